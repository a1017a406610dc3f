package historian

import (
	"os"
	"path/filepath"
	"testing"

	"edge/historian/journal/powercut"
)

// TestPowerCut cuts the power of the disk that journal and store are on, twice, 200 times with EDGE_LONG=1: it is mounted as the cut
// left it, and every sample that was durable is there, once, but for what retention took. Without the journal's flushes samples are
// lost, and without those of the day files, of which the catalog then says more than there is, files are older than they were: the cut is one.
// In the latter case the store sees it: what the log does not have any more is a gap.
func TestPowerCut(t *testing.T) {
	d := powercut.New(t)
	h := newHunt(t, dataOn(d))
	rounds := 2
	if h.long {
		rounds = 200
	}
	for range rounds {
		cutWhile(d, h)
		h.check()
	}
	h.tell("cuts")
	cutWithout(t, d, unsyncedJournal)
	cutWithout(t, d, unsyncedDays)
}

// cutWithout cuts the power of a child, a part of which does not flush: samples are missing then, unless the system happened to write
// all by itself; the next cut shows it.
func cutWithout(t *testing.T, d *powercut.Disk, part string) {
	t.Helper()
	h := newHunt(t, dataOn(d))
	for range 10 {
		cutWhile(d, h, childUnsynced+"="+part)
		missing, found, _ := lookForAll(t, dataOn(d), h.durable, true)
		t.Logf("without flushes of the %s %d of %d samples are missing, %d of them in no gap; the store saw it: %t", part, missing, h.durable, found.untold, found.told)
		if part == unsyncedDays && found.untold > 0 {
			t.Errorf("samples are missing and nothing is told of it: %s", found.story)
		}
		if missing > 0 || found.told {
			return
		}
	}
	t.Errorf("without flushes of the %s nothing is missing after ten cuts: the power was not cut", part)
}

// dataOn is where journal and store are.
func dataOn(d *powercut.Disk) string { return filepath.Join(d.Dir, "data") }

// cutWhile lets a child record on the disk until the power is cut.
func cutWhile(d *powercut.Disk, h *hunt, env ...string) {
	h.t.Helper()
	h.run(func(p *os.Process) error {
		d.Cut()
		return p.Kill()
	}, env...)
	d.Restore()
}
