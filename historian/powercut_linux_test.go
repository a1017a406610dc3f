package historian

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// TestPowerCut cuts the power of the disk that journal and store are on, twice, 200 times with EDGE_LONG=1: an ext4 image is shut
// down without flushing its log, mounted again, and every sample that was durable is there, once, but for what retention took. Without
// the journal's flushes samples are lost, and without those of the day files, of which the catalog then says more than there is: the
// cut is one.
func TestPowerCut(t *testing.T) {
	d := newDisk(t)
	h := newHunt(t, d.dir())
	rounds := 2
	if h.long {
		rounds = 200
	}
	for range rounds {
		d.cutWhile(h)
		h.check()
	}
	h.tell("cuts")
	d.cutWithout(t, unsyncedJournal)
	d.cutWithout(t, unsyncedDays)
}

// cutWithout cuts the power of a child, a part of which does not flush: samples are missing then, unless the system happened to write
// all by itself; the next cut shows it.
func (d *loopDisk) cutWithout(t *testing.T, part string) {
	t.Helper()
	h := newHunt(t, d.dir())
	for range 10 {
		d.cutWhile(h, childUnsynced+"="+part)
		missing, _, _ := lookForAll(t, d.dir(), h.durable)
		t.Logf("without flushes of the %s %d of %d samples are missing", part, missing, h.durable)
		if missing > 0 {
			return
		}
	}
	t.Errorf("without flushes of the %s nothing is missing after ten cuts: the power was not cut", part)
}

// loopDisk is an ext4 file system in a file.
type loopDisk struct{ image, mnt string }

func newDisk(t *testing.T) *loopDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("power cuts need root, mkfs.ext4 and a loop device")
	}
	dir := t.TempDir()
	d := &loopDisk{filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")}
	if err := os.Mkdir(d.mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"truncate", "-s", "256M", d.image}, {"mkfs.ext4", "-q", "-F", d.image}, d.mounting()} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("EDGE_LONG") == "1" {
				t.Fatalf("%v: %v %s", c, err, out)
			}
			t.Skipf("power cuts need root, mkfs.ext4 and a loop device: %v: %v %s", c, err, out)
		}
	}
	t.Cleanup(func() { d.run(t, "umount", d.mnt) })
	return d
}

// dir holds journal and store.
func (d *loopDisk) dir() string { return filepath.Join(d.mnt, "data") }

// mounting makes the kernel write nothing back that was not flushed, for as long as the test runs.
func (d *loopDisk) mounting() []string {
	return []string{"mount", "-o", "loop,noatime,commit=1000", d.image, d.mnt}
}

func (d *loopDisk) run(t *testing.T, name string, arg ...string) {
	t.Helper()
	if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
	}
}

// cutWhile lets a child record on the disk until the disk loses what was not flushed.
func (d *loopDisk) cutWhile(h *hunt, env ...string) {
	h.t.Helper()
	h.run(func(p *os.Process) error {
		d.cut(h.t)
		return p.Kill()
	}, env...)
	d.run(h.t, "umount", d.mnt)
	d.run(h.t, d.mounting()[0], d.mounting()[1:]...)
}

// cut is EXT4_IOC_SHUTDOWN without flushing the log: from now on nothing reaches the disk.
func (d *loopDisk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.mnt)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const request, noLogFlush = 0x8004587d, 2
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&how))); errno != 0 {
		t.Fatal("shut down:", errno)
	}
}
