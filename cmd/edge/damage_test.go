package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	bolt "go.etcd.io/bbolt"
)

// usedData makes a data folder with a bit of everything: sessions, a retained message, births, a day of samples.
func usedData(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := start(t, configure(t, dir, ""))
	away := c.connect("away", false)
	c.must(away.Subscribe("queue/#", 1, nil))
	node := c.node("n", 0)
	for i := range int64(50) {
		c.must(node.data(1, i+1))
		c.must(node.Publish("kept", 1, true, "retained"))
	}
	c.stop()
	return dir
}

// copyData copies a data folder into one of its own, with a configuration for it.
func copyData(t *testing.T, from string) (config, data string) {
	t.Helper()
	dir := t.TempDir()
	data = filepath.Join(dir, "data")
	if err := os.CopyFS(data, os.DirFS(filepath.Join(from, "data"))); err != nil {
		t.Fatal(err)
	}
	return configure(t, dir, ""), data
}

// spoil changes a file's bytes.
func spoil(t *testing.T, pattern string, change func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no such file, %v", pattern, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func garbage(b []byte) []byte { return bytes.Repeat([]byte("not what it was "), len(b)/16+1) }

// TestDamagedFiles: whichever file is damaged, the program starts, sets it aside, says so, and serves.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	used := usedData(t)
	tests := []struct {
		name, file string
		change     func([]byte) []byte
		aside      string // part of a name in the quarantine
		keeps      bool   // the samples are still there, or come again from the journal
	}{
		{"a bit of the journal", "journal/*.seg", func(b []byte) []byte { b[4096+60] ^= 4; return b }, ".seg", true},
		{"a day cut short", "history/part/*.db", func(b []byte) []byte { return b[:len(b)/2] }, ".db", true},
		{"a day of garbage", "history/part/*.db", garbage, ".db", true},
		{"broker.db of garbage", "broker.db", garbage, "broker.db", true},
		{"births of garbage", "sparkplug/births", garbage, "births", true},
		{"catalog of garbage", "history/catalog.db", garbage, "catalog.db", true},
		{"uplink state of garbage", "uplink/state", garbage, "state", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config, data := copyData(t, used)
			spoil(t, filepath.Join(data, tt.file), tt.change)
			c := start(t, config)
			aside, _ := os.ReadDir(filepath.Join(data, "quarantine"))
			if !slices.ContainsFunc(aside, func(e fs.DirEntry) bool { return strings.Contains(e.Name(), tt.aside) }) {
				t.Errorf("in the quarantine is %v, want %s", aside, tt.aside)
			}
			c.logs(`level=(ERROR|WARN).*` + strings.TrimPrefix(tt.aside, "."))
			c.get("readyz", &struct{}{})
			if !strings.HasPrefix(tt.file, "journal/") { // whose records are in the files already
				eventually(t, patience, "an event tells", func() bool {
					var log struct{ Events []struct{ Reason string } }
					c.get("api/v1/events?kind=system", &log)
					return slices.ContainsFunc(log.Events, func(e struct{ Reason string }) bool {
						return strings.Contains(e.Reason, strings.TrimSuffix(filepath.Base(tt.file), "*.db")) && strings.Contains(e.Reason, "damaged")
					})
				})
			}
			if n := len(c.history("n", "Count")); tt.keeps && n != 51 {
				t.Errorf("%d samples are left of 51", n)
			}
			node := c.node("n", 100)
			c.must(node.data(1, 101))
			eventually(t, patience, "the new sample is recorded", func() bool {
				all := c.history("n", "Count")
				return len(all) > 0 && number(t, all[len(all)-1]) == 101
			})
			got := make(chan struct{}, 1)
			c.must(c.connect("r", true).Subscribe("kept", 1, func(mqtt.Client, mqtt.Message) { got <- struct{}{} }))
			select {
			case <-got:
			case <-time.After(patience):
				t.Error("the retained message is gone")
			}
			c.stop()
		})
	}
}

// What keeps the program from starting says what to do.
func TestStoresThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	loop := func(path string) error { return errors.Join(os.RemoveAll(path), os.Symlink(filepath.Base(path), path)) }
	file := func(path string) error { return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)) }
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"journal", file, "a file stands where a folder should be: move it away"},
		{"history", file, "a file stands where a folder should be: move it away"},
		{"history/part", file, "a file stands where a folder should be: move it away"},
		{"sparkplug", file, "a file stands where a folder should be: move it away"},
		{"sparkplug/births", loop, "a symbolic link leads to itself: remove it"},
		{"broker.db", loop, "a symbolic link leads to itself: remove it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := defaultConfig()
			cfg.Data = t.TempDir()
			path := filepath.Join(cfg.Data, tt.name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), tt.make(path)); err != nil {
				t.Fatal(err)
			}
			a, err := NewApp(&cfg, slog.New(slog.DiscardHandler), appOptions{})
			if err == nil {
				t.Fatal("it started", a.Close())
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "; "+tt.want) {
				t.Errorf("%v; want the path and %q", err, tt.want)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Error("it does not stay as it is:", err)
			}
		})
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// TestNewerStore: data of a newer program is refused with 78 and left as it was, byte by byte.
func TestNewerStore(t *testing.T) {
	t.Parallel()
	used := usedData(t)
	version := func(crcFrom int) func([]byte) []byte { // of journal and state files: version at 8, its checksum at 12
		return func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[8:], 99)
			end := len(b)
			if crcFrom == 40 {
				end = 40
			}
			sum := crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:end])
			binary.LittleEndian.PutUint32(b[12:], sum)
			return b
		}
	}
	tests := []struct {
		file   string
		change func(t *testing.T, path string)
	}{
		{"journal/*.seg", func(t *testing.T, path string) { spoil(t, path, version(40)) }},
		{"sparkplug/births", func(t *testing.T, path string) { spoil(t, path, version(0)) }},
		{"uplink/state", func(t *testing.T, path string) { spoil(t, path, version(0)) }},
		{"history/catalog.db", newerBolt(false)},
		{"history/part/*.db", newerBolt(false)},
		{"broker.db", newerBolt(true)},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			config, data := copyData(t, used)
			tt.change(t, filepath.Join(data, tt.file))
			before := contents(t, data)
			code, said := runProgram(t, "run", "--config", config)
			if code != exitRefused || !strings.Contains(said, "format version 99, this program knows up to ") || !strings.Contains(said, "; run the newer program") {
				t.Errorf("exit code %d, %s", code, said)
			}
			after := contents(t, data)
			for name := range maps.Keys(before) {
				if after[name] != before[name] {
					t.Errorf("%s was changed", name)
				}
			}
			for name := range maps.Keys(after) {
				if _, there := before[name]; !there {
					t.Errorf("%s was made", name)
				}
			}
		})
	}
}

// newerBolt writes a later version into a database of ours: broker.db has a checksum before it, the historian's files
// have it again behind it, inverted.
func newerBolt(sealed bool) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		files, _ := filepath.Glob(path)
		if len(files) == 0 {
			t.Fatalf("%s: no such file", path)
		}
		db, err := bolt.Open(files[0], 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		value := binary.BigEndian.AppendUint32(nil, 99)
		if sealed {
			value = append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(value, castagnoli)), value...)
		} else {
			value = binary.BigEndian.AppendUint32(value, ^uint32(99))
		}
		err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), value) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// contents are all files of a folder but its lock.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "lock" {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
