package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func openState(t testing.TB, j *Journal, file string) *State {
	t.Helper()
	s, err := OpenState(j, "test", file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// content is all that a state holds.
func content(s *State) map[string]string {
	all := map[string]string{}
	for _, k := range s.Keys("") {
		v, _ := s.Get(k)
		all[k] = string(v)
	}
	return all
}

func TestStateKeepsWhatWasPut(t *testing.T) {
	dir := t.TempDir()
	jdir, file := filepath.Join(dir, "j"), filepath.Join(dir, "uplink", "state")
	j, stop := startJournal(t, jdir, small())
	s := openState(t, j, file)
	if err := s.PutSync(t.Context(), "a/1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if d := j.Durable(); d != 1 {
		t.Errorf("PutSync returned with durable %d", d)
	}
	for _, put := range [][2]string{{"a/2", "two"}, {"b", ""}, {"a/1", "changed"}, {"gone", "x"}} {
		if _, err := s.Put(put[0], []byte(put[1])); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := s.Delete("gone"); i == 0 || err != nil {
		t.Errorf("Delete: %d, %v", i, err)
	}
	if i, err := s.Delete("never there"); i != 0 || err != nil {
		t.Errorf("Delete of nothing: %d, %v", i, err)
	}
	if diff := cmp.Diff([]string{"a/1", "a/2"}, s.Keys("a/")); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{"a/1": "changed", "a/2": "two", "b": ""}
	stop()

	j = openJournal(t, jdir, small())
	s = openState(t, j, file)
	if diff := cmp.Diff(want, content(s)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	j.Close()

	if err := os.RemoveAll(jdir); err != nil { // only the checkpoint is left
		t.Fatal(err)
	}
	j = openJournal(t, jdir, small())
	s = openState(t, j, file)
	if diff := cmp.Diff(want, content(s)); diff != "" {
		t.Errorf("from the checkpoint (-want +got):\n%s", diff)
	}
	if i, err := s.Put("new", nil); i != 7 || err != nil {
		t.Errorf("with the log lost, the next index is %d, %v; want one above the checkpoint, 7", i, err)
	}
}

func TestDamagedStateFileFallsBackByOne(t *testing.T) {
	dir := t.TempDir()
	jdir, file := filepath.Join(dir, "j"), filepath.Join(dir, "state")
	j := openJournal(t, jdir, small())
	s := openState(t, j, file)
	for n := range 3 {
		if _, err := s.Put("n", fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.commit(), s.Checkpoint()); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, jdir, small())
	if v, _ := openState(t, j, file).Get("n"); string(v) != "2" {
		t.Errorf("n is %q, want 2 from the checkpoint before and the log", v)
	}
	if aside, err := os.ReadFile(filepath.Join(dir, "quarantine", "journal-state")); err != nil || !bytes.Equal(aside, b) {
		t.Errorf("damaged file not kept: %v", err)
	}
}

// lockedFiles does not let one file be opened.
type lockedFiles struct {
	OS
	name string
	err  error
}

func (f lockedFiles) Open(name string, flag int) (File, error) {
	if name == f.name {
		return nil, &os.PathError{Op: "open", Path: name, Err: f.err}
	}
	return f.OS.Open(name, flag)
}

// What the system does not let us read stays where it is; what cannot be read goes aside.
func TestStateFileThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		err    syscall.Errno
		aside  bool
		folder bool
	}{
		"permission":              {err: syscall.EACCES},
		"descriptors":             {err: syscall.EMFILE},
		"the disk's error":        {err: syscall.EIO, aside: true},
		"a folder's in its place": {aside: true, folder: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			jdir, file := filepath.Join(dir, "j"), filepath.Join(dir, "state")
			j := openJournal(t, jdir, small())
			s := openState(t, j, file)
			if _, err := s.Put("n", []byte("1")); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(j.commit(), s.Checkpoint(), j.Close()); err != nil {
				t.Fatal(err)
			}
			o := small()
			if c.folder {
				if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
					t.Fatal(err)
				}
			} else {
				o.Files = lockedFiles{name: file, err: c.err}
			}
			s, err := OpenState(openJournal(t, jdir, o), "test", file)
			if _, gone := os.Lstat(file); (gone != nil) != c.aside {
				t.Errorf("the file: %v", gone)
			}
			if !c.aside {
				if !errors.Is(err, c.err) {
					t.Errorf("OpenState: %v, want %v", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := s.Get("n"); string(v) != "1" || s.Damage() == nil {
				t.Errorf("n is %q, want what the log has; damage %v", v, s.Damage())
			}
		})
	}
}

func TestNewerStateFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := encodeState(1, nil)
	b[8]++
	crc := stateCRC(b)
	b[12], b[13], b[14], b[15] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	file := filepath.Join(dir, "state")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenState(openJournal(t, filepath.Join(dir, "j"), small()), "test", file)
	var newer *VersionError
	if !errors.As(err, &newer) || newer.File != file {
		t.Errorf("OpenState: %v", err)
	}
}

// TestStateTwin puts, deletes, checkpoints and reopens at random, and compares with a map.
func TestStateTwin(t *testing.T) {
	base := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, fmt.Sprint(round))
		file := filepath.Join(dir, "state")
		open := func() (*Journal, *State) {
			j, err := Open(filepath.Join(dir, "j"), Options{SegmentBytes: minSegmentBytes, MaxBytes: minSegmentBytes, Spares: -1, Files: unsynced{}})
			if err != nil {
				rt.Fatal(err)
			}
			s, err := OpenState(j, "test", file)
			if err != nil {
				rt.Fatal(err)
			}
			return j, s
		}
		j, s := open()
		defer func() { j.Close() }()
		twin := map[string]string{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			key := rapid.StringMatching("[a-c]").Draw(rt, "key")
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				j.Close()
				j, s = open()
			case 1:
				if err := s.Checkpoint(); err != nil {
					rt.Fatal(err)
				}
			case 2:
				delete(twin, key)
				if _, err := s.Delete(key); err != nil {
					rt.Fatal(err)
				}
			default:
				twin[key] = string(bytes.Repeat([]byte(key), rapid.IntRange(0, 5000).Draw(rt, "length")))
				if _, err := s.Put(key, []byte(twin[key])); err != nil {
					rt.Fatal(err)
				}
			}
			if err := j.commit(); err != nil {
				rt.Fatal(err)
			}
			if name, ok := j.recycleOldest(j.opt.MaxBytes); ok {
				j.remove(name)
			}
			if got := content(s); !maps.Equal(got, twin) {
				rt.Fatalf("keys %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(twin)))
			}
		}
	})
}

// FuzzState reads any bytes as a state file.
func FuzzState(f *testing.F) {
	f.Add(encodeState(7, map[string][]byte{"a": {1}, "b": nil}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= stateHeader { // let the fuzzer past the checksum
			b = bytes.Clone(b)
			copy(b, stateMagic)
			crc := stateCRC(b)
			b[12], b[13], b[14], b[15] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		}
		upTo, data, err := decodeState(b)
		if err != nil {
			return
		}
		again, same, err := decodeState(encodeState(upTo, data))
		if err != nil || again != upTo || len(same) != len(data) {
			t.Fatal("does not come back:", err)
		}
	})
}

// TestStateRefuses: what does not fit for want of room is told from what never would; a value takes the room of the one before it.
func TestStateRefuses(t *testing.T) {
	j, err := Open(t.TempDir(), Options{MaxBuffered: 20 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s, err := OpenState(j, "births", t.TempDir()+"/births")
	if err != nil {
		t.Fatal(err)
	}
	s.apply("others", opPut, make([]byte, maxStateBytes-len("others")-1000))
	for _, tt := range []struct {
		key   string
		bytes int
		want  error
	}{
		{"a", 999, nil}, {"a", 1000, ErrStateFull}, {"a", 999, nil}, {"b", 0, ErrStateFull}, {"a", 998, nil}, {"b", 0, nil},
		{"a", 20<<20 + 1, ErrTooLarge},
	} {
		if _, err := s.Put(tt.key, make([]byte, tt.bytes)); !errors.Is(err, tt.want) {
			t.Errorf("%d bytes at %s: %v, want %v", tt.bytes, tt.key, err, tt.want)
		}
	}
}
