package powercut

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// What was flushed is there after a cut, what was written afterwards is not, and of what the machine only has in its memory there is
// nothing either. Then the disk is as good as before.
func TestCut(t *testing.T) {
	d := New(t)
	for round := range 3 {
		for name, flush := range map[string]bool{"flushed": true, "waits": false} {
			if err := put(filepath.Join(d.Dir, name), byte(1+round), flush); err != nil {
				t.Fatal(err)
			}
		}
		d.Cut()
		if err := put(filepath.Join(d.Dir, "late"), 9, true); err == nil {
			t.Errorf("round %d: a flush without power succeeds", round)
		}
		d.Restore()
		got, err := os.ReadFile(filepath.Join(d.Dir, "flushed"))
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(1 + round)}, 100<<10)) {
			t.Errorf("round %d: what was flushed: %d bytes, %v", round, len(got), err)
		}
		if _, err := os.Stat(filepath.Join(d.Dir, "late")); !os.IsNotExist(err) {
			t.Errorf("round %d: what was written without power: %v", round, err)
		}
	}
	if d.server == nil {
		return
	}
	// Without the page cache between, what waits in the disk's own cache is lost in part: 100 times all of it would be none.
	name := filepath.Join(d.Dir, "direct")
	if err := put(name, 0, true); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 100*4096+4096)
	page := raw[4096-int(uintptr(unsafe.Pointer(&raw[0]))%4096):]
	for i := range page {
		page[i] = 7
	}
	for i := range int64(25) {
		if _, err := f.WriteAt(page[:4096], i*4096); err != nil {
			t.Fatal(err)
		}
	}
	d.Cut()
	_ = f.Close()
	d.Restore()
	got, err := os.ReadFile(name)
	if n := bytes.Count(got, []byte{7}); err != nil || len(got) != 100<<10 || n == 100<<10 {
		t.Errorf("of 25 pages without a flush all are there (%d bytes of %d), %v", n, len(got), err)
	}
}

func put(name string, b byte, flush bool) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.Write(bytes.Repeat([]byte{b}, 100<<10)); err == nil && flush {
		err = f.Sync()
	}
	return err
}
