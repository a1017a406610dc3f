package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"edge/historian/journal/powercut"
)

// TestPowerCut cuts the power of a disk under load, mounts it as that left it, and what was acknowledged is there. Without flushes it
// is not, which shows that the cut is one.
func TestPowerCut(t *testing.T) {
	if os.Getenv("EDGE_LONG") != "1" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	d := powercut.New(t)
	for round := range 100 {
		durable := cutPower(t, d, 1+round*37%150, false)
		found := foundAfterCut(t, d)
		t.Logf("round %d: acknowledged up to %d, found up to %d", round, durable, found)
		if found < durable {
			t.Errorf("acknowledged up to %d, found up to %d", durable, found)
		}
	}
	durable := cutPower(t, d, 50, true)
	if found := foundAfterCut(t, d); found >= durable {
		t.Errorf("without flushes, acknowledged up to %d and found up to %d: the power was not cut", durable, found)
	}
}

// cutPower runs a child on the disk, cuts the power after so many commits, brings it back, and returns the last index that the child
// had called durable.
func cutPower(t *testing.T, d *powercut.Disk, commits int, unsynced bool) (durable Index) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killChildDir+"="+filepath.Join(d.Dir, "j"), killChildUnsynced+"="+strconv.FormatBool(unsynced))
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
			d.Cut()
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	d.Restore()
	return durable
}

// foundAfterCut reads the journal through and returns its last index.
func foundAfterCut(t *testing.T, d *powercut.Disk) Index {
	t.Helper()
	j, err := Open(filepath.Join(d.Dir, "j"), Options{SegmentBytes: 256 << 10})
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
