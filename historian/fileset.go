package historian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxOpen is how many files of a kind are kept open at once: a question about a month opens each day once.
const maxOpen = 40

// fileSet is the files of one kind: the days, or the months.
type fileSet struct {
	kind     *fileKind
	dir      string
	capBytes int64
	readOnly bool
	store    *storeID // whose they are

	mu    sync.Mutex
	files map[int64]*storeFile
	turn  int64
}

func newFileSet(kind *fileKind, dir string, capBytes int64, store *storeID) *fileSet {
	return &fileSet{kind: kind, dir: dir, capBytes: capBytes, store: store, files: make(map[int64]*storeFile)}
}

func (fs *fileSet) path(unit int64) string {
	return filepath.Join(fs.dir, fs.kind.period(unit)+".db")
}

// scan returns the units that have a file, oldest first. What a crash left under a temporary name is removed.
func (fs *fileSet) scan() ([]int64, error) {
	entries, err := os.ReadDir(fs.dir)
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".tmp") {
			if !fs.readOnly {
				_ = os.Remove(filepath.Join(fs.dir, name))
			}
			continue
		}
		if unit, ok := fs.kind.unitIn(name); ok {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out, nil
}

// get returns the unit's file, whether it exists on disk or not, and closes the one that was not used for longest.
func (fs *fileSet) get(unit int64) *storeFile {
	fs.mu.Lock()
	d := fs.files[unit]
	if d == nil {
		d = &storeFile{kind: fs.kind, unit: unit, path: fs.path(unit), capBytes: fs.capBytes, store: fs.store}
		fs.files[unit] = d
	}
	fs.turn++
	d.used.Store(fs.turn)
	idle := fs.idleLocked(d)
	fs.mu.Unlock()
	if idle != nil {
		idle.closeIdle()
	}
	return d
}

// idleLocked returns a file to close when more than maxOpen were used lately.
func (fs *fileSet) idleLocked(keep *storeFile) *storeFile {
	if len(fs.files) <= maxOpen {
		return nil
	}
	var oldest *storeFile
	open := 0
	for _, d := range fs.files {
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

// existing returns the units between from and to (both inclusive) that have a file, oldest first.
func (fs *fileSet) existing(from, to int64) []int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var out []int64
	for unit, d := range fs.files {
		if unit >= from && unit <= to && d.about.there {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out
}

func (fs *fileSet) info(unit int64) (position, totals) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if d := fs.files[unit]; d != nil {
		return d.about.pos, d.about.totals
	}
	return position{}, totals{}
}

// about is what is known of a file without opening it.
func (fs *fileSet) about(unit int64) about {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if d := fs.files[unit]; d != nil {
		return d.about
	}
	return about{}
}

// isThin says that retention took a day's samples.
func (fs *fileSet) isThin(unit int64) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.files[unit]
	return d != nil && d.about.thin
}

// hurt returns the files that readers found damaged since it was last asked.
func (fs *fileSet) hurt() (out []*storeFile) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, d := range fs.files {
		if d.about.there && d.hurt.Swap(false) {
			out = append(out, d)
		}
	}
	return out
}

func (fs *fileSet) setInfo(d *storeFile, a about) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d.about = a
}

// exists says that a file is there, gainsLife that it has births, deaths or gaps that it had not before.
func (fs *fileSet) exists(d *storeFile) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d.about.there = true
}

func (fs *fileSet) gainsLife(d *storeFile) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d.about.there, d.about.lives = true, d.about.lives+1
}

// drop unlinks a file.
func (fs *fileSet) drop(unit int64) error {
	fs.mu.Lock()
	d := fs.files[unit]
	delete(fs.files, unit)
	fs.mu.Unlock()
	if d == nil {
		return nil
	}
	return errors.Join(d.remove(), syncDir(fs.dir))
}

func (fs *fileSet) closeAll() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, d := range fs.files {
		d.close()
	}
}

// samples is how many samples all files hold.
func (fs *fileSet) samples() (n uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, d := range fs.files {
		n += d.about.totals.samples
	}
	return n
}

// moveAside renames a damaged file into the quarantine folder and returns its new name.
func moveAside(path, quarantine string, now time.Time, cause error) (string, error) {
	to, err := asideName(path, quarantine, now)
	if err != nil {
		return "", err
	}
	if isStray(cause) {
		to += straySuffix
	}
	return to, os.Rename(path, to)
}

// straySuffix ends the names of whole files that are others than their names said: they are somebody's, who may have copied many.
const straySuffix = ".stray"

// asideName finds a name for a file in the quarantine, and removes our oldest one there when there are many.
func asideName(path, quarantine string, now time.Time) (string, error) {
	if err := os.MkdirAll(quarantine, 0o750); err != nil {
		return "", err
	}
	old := slices.DeleteFunc(wrecks(quarantine), func(name string) bool { return strings.HasSuffix(name, straySuffix) })
	if len(old) >= maxWrecks {
		_ = os.Remove(old[0])
	}
	base := filepath.Join(quarantine, now.UTC().Format("20060102T150405.000")+"-"+filepath.Base(path))
	to := base
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			return to, nil
		}
		to = fmt.Sprintf("%s-%d", base, n)
	}
}

// maxWrecks is how many damaged files stay in the quarantine. Whole ones stay until their bytes are needed.
const maxWrecks = 16

// wrecks are the files that the store moved aside, the oldest first: their names begin with the time.
func wrecks(quarantine string) (out []string) {
	for _, name := range [...]string{"*-????-??-??.db*", "*-????-??.db*", "*-catalog.db*"} {
		list, _ := filepath.Glob(filepath.Join(quarantine, name))
		out = append(out, list...)
	}
	slices.Sort(out)
	return out
}
