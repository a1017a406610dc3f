package historian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// fileKind is what the files of one folder have in common.
type fileKind struct {
	version  uint32
	buckets  [][]byte                           // in every version; first meta
	added    [][]byte                           // since version 2: a reader of an older file does without them
	optional [][]byte                           // that come with their first row: who does not know them reads a file all the same
	upgrade  func(tx *bolt.Tx, of uint32) error // makes the newest version of an older one, but for added the version's row and sums; nil: nothing else is to be done

	layout string                     // of the name, as for time.Format
	unit   func(time.Time) int64      // the number of the day or month that a time lies in
	start  func(int64) journal.Millis // when it begins
}

// storeFile is one bbolt file of a day or a month. It is opened when it is needed: for reading as it is, for writing upgraded
// to the newest version.
type storeFile struct {
	kind     *fileKind
	unit     int64 // the day's or month's number
	path     string
	capBytes int64 // bbolt's MaxSize
	store    *storeID

	mu       sync.RWMutex // held for reading while db is in use, for writing to open, close and remove
	db       *bolt.DB
	writable bool
	gone     bool
	hurt     atomic.Bool   // a reader found damage
	checked  atomic.Uint32 // buckets whose sums were found right since the start, or since the scrub came to the file
	replaced atomic.Int64  // how many times another file took its place
	used     atomic.Int64  // when, counted by fileSet.turn; 0: it counts as closed
	wanted   atomic.Int64  // how many wait for mu to write
	stopCopy atomic.Pointer[func()]

	turn  atomic.Uint64 // its transactions, see ledger.go; 0: not known
	least uint64        // that the catalog knows; set by Open
	wrote wrote         // by the last flush; belongs to flushLoop

	about about // guarded by fileSet.mu
}

// about is what a file says of itself.
type about struct {
	pos       position
	totals    totals
	there     bool   // the file exists
	rewritten uint64 // how many times, for its late samples
	thin      bool   // retention took its samples; it takes no others
	again     bool   // a file of the day was removed before: what that told of births, deaths and gaps is in the month's
	turn      uint64 // its transactions
	catalog   uint64 // the catalog's, when the last flush began
	lives     int    // how many times days left a month their births, deaths and gaps, since the store was opened
}

var errGone = errors.New("file removed")

// view runs f in a short read transaction, if the rows of the buckets that it needs are what was written. f copies out what it keeps. A
// removed file is empty: f is not called.
func (d *storeFile) view(f func(*bolt.Tx) error, needs ...[]byte) error {
	if err := d.addUp(needs); err != nil {
		return err
	}
	if err := d.acquire(false); err != nil {
		d.noteHurt(err)
		if errors.Is(err, errGone) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.mu.RUnlock()
	err := guard(d.path, func() error {
		return d.db.View(func(tx *bolt.Tx) error {
			if err := d.sound(tx, needs); err != nil {
				return err
			}
			return f(tx)
		})
	})
	d.noteHurt(err)
	return err
}

// noteHurt names the file in an error about damage, and remembers it, so that flushLoop mends the file.
func (d *storeFile) noteHurt(err error) {
	var c *CorruptError
	if !errors.As(err, &c) {
		return
	}
	if c.File == "" {
		c.File = d.path
	}
	if c.File == d.path {
		d.hurt.Store(true)
	}
}

// update runs f in a write transaction, one at a time; a file that is not there begins.
func (d *storeFile) update(f func(*bolt.Tx) error) error {
	if err := d.acquire(true); err != nil {
		d.noteHurt(err)
		return err
	}
	defer d.mu.RUnlock()
	var turn uint64
	err := guard(d.path, func() error {
		return d.db.Update(func(tx *bolt.Tx) error {
			err := f(tx)
			if err == nil {
				turn, err = d.sign(tx, max(d.least, d.turn.Load()))
			}
			return err
		})
	})
	if err == nil {
		d.turn.Store(turn)
	}
	d.noteHurt(err)
	return err
}

// acquire returns with mu held for reading and the file open; on error mu is free.
func (d *storeFile) acquire(write bool) error {
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

func (d *storeFile) open(write bool) error {
	d.lock()
	defer d.mu.Unlock()
	if d.gone {
		return errGone
	}
	if d.db != nil && (d.writable || !write) {
		return nil
	}
	d.closeLocked()
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) && write {
		if err := createBolt(d.path, d.kind); err != nil {
			return err
		}
	}
	db, err := openBolt(d.path, !write, d.capBytes)
	if err != nil {
		return err
	}
	d.db, d.writable = db, write
	err = guard(d.path, func() error {
		if err := db.View(d.checkWhose); err != nil {
			return err
		}
		if write {
			return upgrade(d.path, db, d.kind)
		}
		return checkBranches(d.path, db)
	})
	if err != nil {
		d.closeLocked()
	} else if write { // it was read as a whole
		d.checked.Store(1<<32 - 1)
	}
	return err
}

func (d *storeFile) closeLocked() {
	if d.db != nil {
		_ = guard(d.path, d.db.Close) // what was committed is on disk
		d.db, d.writable = nil, false
	}
}

func (d *storeFile) close() {
	d.lock()
	defer d.mu.Unlock()
	d.closeLocked()
}

// closeIdle closes the file; one that somebody uses stays open, and is the first to be closed the next time.
func (d *storeFile) closeIdle() {
	if !d.mu.TryLock() {
		d.used.Store(1)
		return
	}
	defer d.mu.Unlock()
	d.closeLocked()
}

// remove unlinks the file; its bytes are free at once.
func (d *storeFile) remove() error {
	d.lock()
	defer d.mu.Unlock()
	d.closeLocked()
	d.gone = true
	return os.Remove(d.path)
}

// writes opens the file for writing, which reads its whole tree.
func (d *storeFile) writes() error {
	if err := d.acquire(true); err != nil {
		return err
	}
	d.mu.RUnlock()
	return nil
}

// readMeta reads what the file says of itself, and refuses a later format.
func (d *storeFile) readMeta() (a about, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		if err := checkBuckets(d.path, tx, d.kind); err != nil {
			return err
		}
		if a, err = readAbout(tx.Bucket(bucketMeta)); err != nil {
			return &CorruptError{File: d.path, Err: err, Hint: hintQuarantine}
		}
		return d.sound(tx, [][]byte{bucketMeta}) // behind the version
	})
	if err == nil {
		d.turn.Store(a.turn)
	}
	return a, err
}

func readAbout(meta *bolt.Bucket) (a about, err error) {
	a.there = true
	a.turn, a.catalog = readTurn(meta, metaTurn), readTurn(meta, metaCatalog)
	a.thin, a.again = meta.Get(metaThin) != nil, meta.Get(metaAgain) != nil
	if b := meta.Get(metaRewritten); b != nil {
		a.rewritten, _ = binary.Uvarint(b)
	}
	if b := meta.Get(metaPosition); b != nil {
		if a.pos, err = readPosition(b); err != nil {
			return a, err
		}
	}
	if b := meta.Get(metaTotals); b != nil {
		a.totals, err = readTotals(b)
	}
	return a, err
}

// checkBuckets finds a file that is not of its kind, or of a later version.
func checkBuckets(path string, tx *bolt.Tx, kind *fileKind) error {
	missing := func(list [][]byte) error {
		for _, name := range list {
			if tx.Bucket(name) == nil {
				return &CorruptError{File: path, Err: fmt.Errorf("bucket %s is missing", name), Hint: hintQuarantine}
			}
		}
		return nil
	}
	if err := missing(kind.buckets); err != nil {
		return err
	}
	version, err := readVersion(path, tx.Bucket(bucketMeta), kind)
	if err != nil || version < 2 {
		return err
	}
	if err := missing(kind.added); err != nil {
		return err
	}
	return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !slices.ContainsFunc(kind.all(), func(b []byte) bool { return bytes.Equal(b, name) }) { // one that may be missing has another name
			return &CorruptError{File: path, Err: fmt.Errorf("bucket %q is none of its kind", name), Hint: hintQuarantine}
		}
		return nil
	})
}

// readVersion is the file's version; a later one than the kind's is an error.
func readVersion(path string, meta *bolt.Bucket, kind *fileKind) (uint32, error) {
	found, ok := versionOf(meta)
	switch {
	case !ok:
		return 0, &CorruptError{File: path, Err: errors.New("no format version that can be read"), Hint: hintQuarantine}
	case found > kind.version:
		return 0, &VersionError{File: path, Found: found, Known: kind.version}
	}
	return found, nil
}

func versionOf(meta *bolt.Bucket) (version uint32, ok bool) {
	v := meta.Get(metaVersion)
	if len(v) != 8 || binary.BigEndian.Uint32(v) != ^binary.BigEndian.Uint32(v[4:]) {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

// versionRow says the version twice, the second time inverted: a flipped bit is damage and not a newer program.
func versionRow(v uint32) []byte { return binary.BigEndian.AppendUint32(big4(v), ^v) }

// upgrade makes the newest version of an older one, in one transaction.
func upgrade(path string, db *bolt.DB, kind *fileKind) error {
	var found uint32
	err := db.View(func(tx *bolt.Tx) (err error) {
		if err = checkBuckets(path, tx, kind); err == nil {
			found, err = readVersion(path, tx.Bucket(bucketMeta), kind)
		}
		return err
	})
	if err != nil || found == kind.version {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range kind.added {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if kind.upgrade != nil {
			if err := kind.upgrade(tx, found); err != nil {
				return err
			}
		}
		if err := setSums(tx); err != nil {
			return err
		}
		return put(tx.Bucket(bucketMeta), bucketMeta, metaVersion, versionRow(kind.version))
	})
}
