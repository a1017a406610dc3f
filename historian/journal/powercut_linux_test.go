package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"unsafe"
)

// TestPowerCut cuts the power of a disk under load: an ext4 image is shut down without flushing its log, mounted again, and
// what was acknowledged is there. Without flushes it is not, which shows that the cut is one.
func TestPowerCut(t *testing.T) {
	if os.Getenv("EDGE_LONG") != "1" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")
	mustRun(t, "truncate", "-s", "128M", image)
	mustRun(t, "mkfs.ext4", "-q", "-F", image)
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	for round := range 100 {
		durable := cutPower(t, image, mnt, 1+round*37%150, false)
		found := foundAfterCut(t, image, mnt)
		t.Logf("round %d: acknowledged up to %d, found up to %d", round, durable, found)
		if found < durable {
			t.Errorf("acknowledged up to %d, found up to %d", durable, found)
		}
	}
	durable := cutPower(t, image, mnt, 50, true)
	if found := foundAfterCut(t, image, mnt); found >= durable {
		t.Errorf("without flushes, acknowledged up to %d and found up to %d: the power was not cut", durable, found)
	}
}

func mustRun(t *testing.T, name string, arg ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
	}
}

func mount(t *testing.T, image, mnt string) {
	t.Helper()
	mustRun(t, "mount", "-o", "loop,noatime,commit=1000", image, mnt)
}

// cutPower runs a child on the mounted image, shuts the file system down after so many commits, and returns
// the last index that the child had called durable.
func cutPower(t *testing.T, image, mnt string, commits int, unsynced bool) (durable Index) {
	t.Helper()
	mount(t, image, mnt)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killChildDir+"="+filepath.Join(mnt, "j"), killChildUnsynced+"="+strconv.FormatBool(unsynced))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscanf(lines.Text(), "durable %d", &durable); err != nil {
			break // "error": the disk is gone
		}
		if n == commits {
			shutDown(t, mnt)
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	mustRun(t, "umount", mnt)
	return durable
}

// shutDown is EXT4_IOC_SHUTDOWN without flushing the log: from now on nothing reaches the disk.
func shutDown(t *testing.T, mnt string) {
	t.Helper()
	f, err := os.Open(mnt)
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

// foundAfterCut mounts the image, reads the journal through and returns its last index.
func foundAfterCut(t *testing.T, image, mnt string) Index {
	t.Helper()
	mount(t, image, mnt)
	defer mustRun(t, "umount", mnt)
	j, err := Open(filepath.Join(mnt, "j"), Options{SegmentBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if r := j.Recovered(); len(r.Quarantined) > 0 {
		t.Logf("recovery: %+v", r)
	}
	for _, rec := range readAll(t, j, 0) {
		if !bytes.HasPrefix(rec.Data, []byte(fmt.Sprint(rec.Index, " "))) {
			t.Errorf("record %d is %.20q", rec.Index, rec.Data)
		}
	}
	return j.Durable()
}
