package historian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const formatVersion = 1

// The buckets of a day file. FORMAT.md draws their rows.
var (
	bucketMeta   = []byte("meta")   // name: value
	bucketSeries = []byte("series") // id: the catalog's row, so that a day file can be read alone
	bucketBlock  = []byte("blk")    // unit, group: block
	bucketLate   = []byte("late")   // flush, group: block
	bucketFlush  = []byte("flush")  // flush: what it wrote
	bucketEvent  = []byte("evt")    // index: event
	bucketLife   = []byte("life")   // owner, time, index: births, deaths and gaps again, by whom they concern
)

var dayBuckets = [][]byte{bucketMeta, bucketSeries, bucketBlock, bucketLate, bucketFlush, bucketEvent, bucketLife}

// The rows of meta.
var (
	metaVersion  = []byte("version")
	metaPosition = []byte("position")
	metaTotals   = []byte("totals")
)

// totals count what a day file holds.
type totals struct {
	samples                 uint64
	firstIndex, lastIndex   journal.Index // of samples
	firstEvent, lastEvent   journal.Index
	blockBytes, lateSamples uint64
}

func (t *totals) addIndex(first, last journal.Index) {
	if t.firstIndex == 0 || first < t.firstIndex {
		t.firstIndex = first
	}
	t.lastIndex = max(t.lastIndex, last)
}

func (t *totals) addEvent(i journal.Index) {
	if t.firstEvent == 0 || i < t.firstEvent {
		t.firstEvent = i
	}
	t.lastEvent = max(t.lastEvent, i)
}

func (t totals) bytes() (b []byte) {
	for _, x := range [...]uint64{t.samples, uint64(t.firstIndex), uint64(t.lastIndex), uint64(t.firstEvent), uint64(t.lastEvent),
		t.blockBytes, t.lateSamples} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func readTotals(b []byte) (t totals, err error) {
	f := &fields{b: b}
	t.samples = f.uvarint()
	t.firstIndex, t.lastIndex = journal.Index(f.uvarint()), journal.Index(f.uvarint())
	t.firstEvent, t.lastEvent = journal.Index(f.uvarint()), journal.Index(f.uvarint())
	t.blockBytes, t.lateSamples = f.uvarint(), f.uvarint()
	return t, f.end()
}

// dayFile is part/YYYY-MM-DD.db: everything of one UTC day. It is opened when it is needed.
type dayFile struct {
	day      int64
	path     string
	capBytes int64 // bbolt's MaxSize

	mu       sync.RWMutex // held for reading while db is in use, for writing to open, close and remove
	db       *bolt.DB
	writable bool
	gone     bool
	used     atomic.Int64 // when, counted by days.turn

	// Guarded by days.mu.
	pos    position
	totals totals
}

var errGone = errors.New("day removed")

// view runs f in a short read transaction. f copies out what it keeps. A removed day is empty: f is not called.
func (d *dayFile) view(f func(*bolt.Tx) error) error {
	if err := d.acquire(false); err != nil {
		if errors.Is(err, errGone) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.mu.RUnlock()
	return guard(d.path, func() error { return d.db.View(f) })
}

// update runs f in a write transaction, one at a time.
func (d *dayFile) update(f func(*bolt.Tx) error) error {
	if err := d.acquire(true); err != nil {
		return err
	}
	defer d.mu.RUnlock()
	return guard(d.path, func() error { return d.db.Update(f) })
}

// acquire returns with mu held for reading and the file open; on error mu is free.
func (d *dayFile) acquire(write bool) error {
	for {
		d.mu.RLock()
		if d.gone {
			d.mu.RUnlock()
			return errGone
		}
		if d.db != nil && (d.writable || !write) {
			return nil
		}
		d.mu.RUnlock()
		if err := d.open(write); err != nil {
			return err
		}
	}
}

func (d *dayFile) open(write bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return errGone
	}
	if d.db != nil && (d.writable || !write) {
		return nil
	}
	d.closeLocked()
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) && write {
		if err := createBolt(d.path, dayBuckets); err != nil {
			return err
		}
	}
	db, err := openBolt(d.path, !write, d.capBytes)
	if err != nil {
		return err
	}
	d.db, d.writable = db, write
	return nil
}

func (d *dayFile) closeLocked() {
	if d.db != nil {
		_ = guard(d.path, d.db.Close) // what was committed is on disk
		d.db, d.writable = nil, false
	}
}

func (d *dayFile) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeLocked()
}

// remove unlinks the file; its bytes are free at once.
func (d *dayFile) remove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeLocked()
	d.gone = true
	return os.Remove(d.path)
}

// writes opens the file for writing, which reads its whole tree.
func (d *dayFile) writes() error {
	if err := d.acquire(true); err != nil {
		return err
	}
	d.mu.RUnlock()
	return nil
}

// readMeta reads position and totals, and refuses a later format.
func (d *dayFile) readMeta() (pos position, t totals, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		for _, name := range dayBuckets {
			if tx.Bucket(name) == nil {
				return &CorruptError{File: d.path, Err: fmt.Errorf("bucket %s is missing", name), Hint: hintQuarantine}
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := checkVersion(d.path, meta); err != nil {
			return err
		}
		var err error
		if b := meta.Get(metaPosition); b != nil {
			if pos, err = readPosition(b); err != nil {
				return &CorruptError{File: d.path, Err: err, Hint: hintQuarantine}
			}
		}
		if b := meta.Get(metaTotals); b != nil {
			if t, err = readTotals(b); err != nil {
				return &CorruptError{File: d.path, Err: err, Hint: hintQuarantine}
			}
		}
		return nil
	})
	return pos, t, err
}

const hintQuarantine = "it is moved aside when the appliance starts"

func checkVersion(path string, meta *bolt.Bucket) error {
	v := meta.Get(metaVersion)
	if len(v) != 8 || binary.BigEndian.Uint32(v) != ^binary.BigEndian.Uint32(v[4:]) {
		return &CorruptError{File: path, Err: errors.New("no format version that can be read"), Hint: hintQuarantine}
	}
	if found := binary.BigEndian.Uint32(v); found > formatVersion {
		return &VersionError{File: path, Found: found, Known: formatVersion}
	}
	return nil
}

// versionRow says the version twice, the second time inverted: a flipped bit is damage and not a newer program.
func versionRow(v uint32) []byte { return binary.BigEndian.AppendUint32(big4(v), ^v) }

// guard turns what bbolt does with a damaged file, a panic or a fault in its map, into a *CorruptError.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &CorruptError{File: path, Err: fmt.Errorf("%v", r), Hint: hintQuarantine}
		}
	}()
	return f()
}

// allocBytes is how far a file grows ahead of its data.
const allocBytes = 256 << 10

// openBolt opens a file that exists; one that will be written is read as a whole before (see readTree).
func openBolt(path string, readOnly bool, capBytes int64) (db *bolt.DB, err error) {
	if !readOnly {
		if err := readTree(path); err != nil {
			return nil, err
		}
	}
	err = guard(path, func() error {
		db, err = bolt.Open(path, 0o640, boltOptions(readOnly, capBytes))
		return err
	})
	var corrupt *CorruptError
	var errno syscall.Errno
	switch {
	case err == nil:
	case errors.As(err, &corrupt), errors.Is(err, berrors.ErrTimeout), errors.As(err, &errno) && errno != syscall.EIO:
		return nil, err // the last: the system's trouble (no descriptor, no memory, no permission), not the file's
	default:
		return nil, &CorruptError{File: path, Err: err, Hint: hintQuarantine}
	}
	db.AllocSize = int(min(allocBytes, max(32<<10, capBytes/16)))
	if err := wholeFile(db, path); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// wholeFile finds a file that was cut: reading behind its end would fault.
func wholeFile(db *bolt.DB, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > st.Size() {
			return &CorruptError{File: path, Err: fmt.Errorf("%d bytes of %d", st.Size(), tx.Size()), Hint: hintQuarantine}
		}
		return nil
	})
}

func boltOptions(readOnly bool, capBytes int64) *bolt.Options {
	return &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, ReadOnly: readOnly,
		PageSize: 4096, MaxSize: int(capBytes), InitialMmapSize: int(min(64<<20, capBytes))}
}

// createBolt makes a file with empty buckets under a temporary name, and gives it its own when it is on disk.
func createBolt(path string, buckets [][]byte) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o640, boltOptions(false, 0))
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(metaVersion, versionRow(formatVersion))
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
