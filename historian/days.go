package historian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"edge/historian/journal"
)

// maxOpen is how many day files are kept open at once.
const maxOpen = 24

// days is the set of day files.
type days struct {
	dir      string
	capBytes int64

	mu    sync.Mutex
	files map[int64]*dayFile
	turn  int64
}

func newDays(dir string, capBytes int64) *days {
	return &days{dir: dir, capBytes: capBytes, files: make(map[int64]*dayFile)}
}

const dayLayout = "2006-01-02"

func (ds *days) path(day int64) string {
	return filepath.Join(ds.dir, time.UnixMilli(int64(dayStart(day))).UTC().Format(dayLayout)+".db")
}

// scan returns the days that have a file, oldest first. What a crash left under a temporary name is removed.
func (ds *days) scan() ([]int64, error) {
	entries, err := os.ReadDir(ds.dir)
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".tmp") {
			_ = os.Remove(filepath.Join(ds.dir, name))
			continue
		}
		t, err := time.Parse(dayLayout+".db", name)
		if err == nil && t.Unix() >= 0 {
			out = append(out, dayOf(millis(t)))
		}
	}
	slices.Sort(out)
	return out, nil
}

// get returns the day's file, whether it exists on disk or not, and closes the one that was not used for longest.
func (ds *days) get(day int64) *dayFile {
	ds.mu.Lock()
	d := ds.files[day]
	if d == nil {
		d = &dayFile{day: day, path: ds.path(day), capBytes: ds.capBytes}
		ds.files[day] = d
	}
	ds.turn++
	d.used.Store(ds.turn)
	idle := ds.idleLocked(d)
	ds.mu.Unlock()
	if idle != nil {
		idle.close()
	}
	return d
}

// idleLocked returns a file to close when more than maxOpen were used lately.
func (ds *days) idleLocked(keep *dayFile) *dayFile {
	if len(ds.files) <= maxOpen {
		return nil
	}
	var oldest *dayFile
	open := 0
	for _, d := range ds.files {
		if d == keep || d.used.Load() == 0 {
			continue
		}
		if open++; oldest == nil || d.used.Load() < oldest.used.Load() {
			oldest = d
		}
	}
	if open < maxOpen {
		return nil
	}
	oldest.used.Store(0) // it counts as closed
	return oldest
}

// existing returns the days between from and to (both inclusive) that have a file, oldest first.
func (ds *days) existing(from, to int64) []int64 {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var out []int64
	for day, d := range ds.files {
		if day >= from && day <= to && d.pos.applied > 0 {
			out = append(out, day)
		}
	}
	slices.Sort(out)
	return out
}

func (ds *days) info(day int64) (position, totals) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.files[day]; d != nil {
		return d.pos, d.totals
	}
	return position{}, totals{}
}

func (ds *days) setInfo(d *dayFile, pos position, t totals) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d.pos, d.totals = pos, t
}

// drop unlinks a day.
func (ds *days) drop(day int64) error {
	ds.mu.Lock()
	d := ds.files[day]
	delete(ds.files, day)
	ds.mu.Unlock()
	if d == nil {
		return nil
	}
	return errors.Join(d.remove(), syncDir(ds.dir))
}

func (ds *days) closeAll() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.files {
		d.close()
	}
}

// samples is how many samples all days hold.
func (ds *days) samples() (n uint64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.files {
		n += d.totals.samples
	}
	return n
}

// diskBytes is what the files below dir take on the disk; holes do not count.
func diskBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n += fileBytes(e)
		}
		return nil // a file that vanished meanwhile takes none
	})
	return n
}

func fileBytes(e os.DirEntry) int64 {
	info, err := e.Info()
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// moveAside renames a damaged file into the quarantine folder and returns its new name.
func moveAside(path, quarantine string, now time.Time) (string, error) {
	if err := os.MkdirAll(quarantine, 0o750); err != nil {
		return "", err
	}
	base := filepath.Join(quarantine, now.UTC().Format("20060102T150405.000")+"-"+filepath.Base(path))
	to := base
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s-%d", base, n)
	}
	return to, os.Rename(path, to)
}

// dayIndex is the range of journal indices that a day's samples have.
func (t totals) holdsFrom(i journal.Index) bool { return t.samples > 0 && t.lastIndex >= i }
