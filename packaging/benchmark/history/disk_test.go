package history

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a loop device with an ext4 of its own, so that what reaches it is one store's.
type disk struct {
	mnt string
	dev string // loop7; empty: the machine allows none, and mnt is a folder like any other
}

func newDisk(t testing.TB, megabytes int) disk {
	t.Helper()
	dir := t.TempDir()
	d := disk{mnt: filepath.Join(dir, "mnt")}
	if err := os.Mkdir(d.mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Log("device bytes are not measured: loop devices need root")
		return d
	}
	image := filepath.Join(dir, "image")
	mustRun(t, "truncate", "-s", strconv.Itoa(megabytes)+"M", image)
	mustRun(t, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	dev, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Logf("device bytes are not measured: no loop device: %v", err)
		return d
	}
	path := strings.TrimSpace(string(dev))
	d.dev = filepath.Base(path)
	mustRun(t, "mount", "-o", "noatime,commit=60", path, d.mnt)
	t.Cleanup(func() {
		for _, c := range [][]string{{"umount", d.mnt}, {"losetup", "-d", path}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", c, err, out)
			}
		}
	})
	return d
}

func mustRun(t testing.TB, name string, arg ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
	}
}

// written is what the device was given since it is there, after all that waits in memory was given to it too.
func (d disk) written() (bytes, flushes int64, err error) {
	if d.dev == "" {
		return 0, 0, nil
	}
	f, err := os.Open(d.mnt)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return 0, 0, err
	}
	return d.stat()
}

// stat reads the block device's counters: Documentation/block/stat.rst, fields 7 (sectors of 512 bytes written) and 16 (flushes).
func (d disk) stat() (bytes, flushes int64, err error) {
	text, err := os.ReadFile("/sys/block/" + d.dev + "/stat")
	if err != nil {
		return 0, 0, err
	}
	field := strings.Fields(string(text))
	if len(field) < 16 {
		return 0, 0, fmt.Errorf("%s has %d counters", d.dev, len(field))
	}
	sectors, err1 := strconv.ParseInt(field[6], 10, 64)
	flushes, err2 := strconv.ParseInt(field[15], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%s: %q", d.dev, text)
	}
	return 512 * sectors, flushes, nil
}
