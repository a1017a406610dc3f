package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edge/historian/journal"
)

// unsyncedEnv, if set, makes the impatient program's journal one that does not flush.
const unsyncedEnv = "EDGE_TEST_UNSYNCED"

type unsynced struct{ journal.OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Open(name string, flag int) (journal.File, error) {
	f, err := u.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ journal.File }

func (unsyncedFile) Datasync() error { return nil }

// TestPowerCut is TestPromises with the power of the disk cut instead of a kill: an ext4 image is shut down without flushing its log
// while the program runs, and mounted again. Journal and broker.db are on it.
func TestPowerCut(t *testing.T) {
	if os.Getenv("EDGE_LONG") == "" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	d := newDisk(t)
	rounds := 100
	if os.Getenv(unsyncedEnv) != "" {
		rounds = 5
	}
	keepPromises(t, filepath.Join(d.mnt, "data"), rounds, func(c *child) {
		d.cut(t)
		c.kill()
		d.unmount(t)
		d.mount(t)
	})
	t.Logf("%d cuts", rounds)
}

// TestPowerCutIsOne is the negative control: without flushes TestPowerCut finds that promises are broken.
func TestPowerCutIsOne(t *testing.T) {
	if os.Getenv("EDGE_LONG") == "" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestPowerCut$", "-test.v")
	cmd.Env = append(os.Environ(), unsyncedEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestPowerCut") || !strings.Contains(string(out), "session present false, want true") {
		t.Errorf("without flushes nothing was lost: %v\n%s", err, out)
	}
	t.Log("without flushes the cuts are found out")
}

// disk is an ext4 file system in a file.
type disk struct{ image, mnt string }

func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")}
	d.run(t, "truncate", "-s", "256M", d.image)
	d.run(t, "mkfs.ext4", "-q", "-F", d.image)
	if err := os.Mkdir(d.mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	d.mount(t)
	t.Cleanup(func() { d.unmount(t) })
	return d
}

func (d *disk) run(t *testing.T, name string, arg ...string) {
	t.Helper()
	if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
	}
}

// mount makes the kernel write nothing back that was not flushed, for as long as the test runs.
func (d *disk) mount(t *testing.T) {
	t.Helper()
	d.run(t, "mount", "-o", "loop,noatime,commit=1000", d.image, d.mnt)
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	d.run(t, "umount", d.mnt)
}
