package historian

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// goldenFill records what the golden files hold: 100 samples, a late one, a death and a birth.
func goldenFill(r *rig) {
	for i := range 100 {
		r.add(key(0), at(noon.Add(time.Duration(i-200)*time.Second), float64(i)/4))
	}
	r.follow()
	r.flush(flushAll)
	r.add(key(0), at(noon.Add(-199500*time.Millisecond), -1))
	r.addEvent(death(noon.Add(-90 * time.Second)))
	r.addEvent(birth(journal.NodeBirth, "", noon.Add(-80*time.Second)))
	r.addEvent(birth(journal.DeviceBirth, "d", noon.Add(-70*time.Second)))
	r.follow()
}

// The golden files stay as they are; a change that cannot read them needs a new version.
func TestGoldenFiles(t *testing.T) {
	if *rewrite {
		r := newRig(t, Options{})
		goldenFill(r)
		r.close()
		if err := os.RemoveAll("testdata/v4"); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS("testdata/v4", os.DirFS(filepath.Join(r.dir, "history"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"v1", "v2", "v3", "v4"} {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "history"), os.DirFS(filepath.Join("testdata", version))); err != nil {
				t.Fatal(err)
			}
			r := newRigIn(t, dir, Options{}) // with a journal that is empty: the log is lost, the files are not
			defer r.close()
			goldenCheck(r)
			r.add(key(0), at(noon.Add(-time.Second), 7))
			r.follow()
			if got := r.read(key(0), noon.Add(-time.Minute), noon).Samples; len(got) != 1 {
				t.Errorf("%d samples after the files were taken up, want 1", len(got))
			}
		})
	}
}

// goldenCheck reads back what goldenFill recorded.
func goldenCheck(r *rig) {
	r.t.Helper()
	out := r.read(key(0), noon.Add(-time.Hour), noon)
	if got := values(out.Samples); len(got) != 101 || got[0] != 0 || got[1] != -1 || got[100] != 24.75 {
		r.t.Errorf("samples %v", got)
	}
	want := Gap{From: ms(noon) - 90_000, To: ms(noon) - 70_000, Cause: "node death: connection lost"}
	if len(out.Gaps) != 1 || out.Gaps[0] != want {
		r.t.Errorf("gaps %v, want %v", out.Gaps, want)
	}
	backlog, next, err := r.s.Backlog(context.Background(), "g", "n", 1, 103, 1000)
	if err != nil || len(backlog) != 101 || next != 103 || backlog[100].Index != 102 || backlog[100].Value.Num != double(-1).Num {
		r.t.Errorf("%d samples of backlog, next %d, %v", len(backlog), next, err)
	}
}

// A file of version 1 answers as it is, and the same after it was upgraded, which writing does.
func TestUpgrade(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 7))
	r.clock.Set(noon.Add(48 * time.Hour))
	r.add(key(0), at(r.clock.Now(), 8)) // a newer day, which is the one that is opened for writing
	r.follow()
	r.flush(flushAll)
	r.crash()
	path := r.dayPath(noon)
	old, err := os.ReadFile("testdata/v1/part/2026-03-10.db")
	if err == nil {
		err = os.WriteFile(path, old, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Set(noon)
	r.open()
	defer r.close()
	goldenCheck(r)
	if now, _ := os.ReadFile(path); !bytes.Equal(now, old) {
		t.Error("the file was changed by reading")
	}
	before := dump(t, path)
	if err := r.s.days.get(dayOf(ms(noon))).writes(); err != nil {
		t.Fatal(err)
	}
	goldenCheck(r)
	after := dump(t, path)
	for _, name := range []string{"series", "blk", "late", "evt", "life"} {
		if diff := cmp.Diff(before[name], after[name]); diff != "" {
			t.Errorf("bucket %s changed: %s", name, diff)
		}
	}
	if after["r1m"] == nil || after["obj"] == nil || len(before) != 7 {
		t.Errorf("buckets %d before, %d after", len(before), len(after))
	}
	for number, from := range map[string]journal.Index{"\x00\x00\x00\x00\x00\x00\x00\x01": 2, "\x00\x00\x00\x00\x00\x00\x00\x02": 102} {
		row, err := readFlushRow(0, 2, []byte(number), []byte(after["flush"][number]))
		was, err1 := readFlushRow(0, 1, []byte(number), []byte(before["flush"][number]))
		was.from = from
		if diff := cmp.Diff(was, row, cmp.AllowUnexported(flushRow{})); err != nil || err1 != nil || diff != "" {
			t.Errorf("flush row %q: %v, %v, %s", number, err, err1, diff)
		}
	}
}

// A file of version 2 keeps its rows, blocks of version 2 among them, and takes new ones.
func TestUpgradeOfVersion2(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "history"), os.DirFS("testdata/v2")); err != nil {
		t.Fatal(err)
	}
	r := newRigIn(t, dir, Options{})
	defer r.close()
	path := r.dayPath(noon)
	before := dump(t, path)
	if err := r.s.days.get(dayOf(ms(noon))).writes(); err != nil {
		t.Fatal(err)
	}
	goldenCheck(r)
	after := dump(t, path)
	if got := after["meta"]["version"]; got != string(versionRow(fileVersion)) {
		t.Errorf("version %x", got)
	}
	delete(before["meta"], "version")
	delete(after["meta"], "version")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	r.add(key(0), at(noon.Add(-time.Second), 7))
	r.follow()
	r.flush(flushAll)
	if got := r.read(key(0), noon.Add(-time.Hour), noon).Samples; len(got) != 102 {
		t.Errorf("%d samples, want 102", len(got))
	}
}

// dump is what a file holds: bucket, key, value.
func dump(t *testing.T, path string) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile(path) // a copy: the store may have the file open
	if err == nil {
		path = filepath.Join(t.TempDir(), "copy.db")
		err = os.WriteFile(path, b, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o640, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]map[string]string)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			rows := make(map[string]string)
			out[string(name)] = rows
			return b.ForEach(func(k, v []byte) error {
				rows[string(k)] = string(v)
				return nil
			})
		})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}
