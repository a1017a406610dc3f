package historian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

var catalogKind = &fileKind{version: fileVersion, buckets: [][]byte{bucketMeta, bucketSeries}, added: [][]byte{bucketState, bucketLast}}

// catalogFile is catalog.db: the series, and how far the files are. It is the last thing a flush writes.
type catalogFile struct {
	path  string
	mu    sync.RWMutex // held for reading while db is in use, for writing to replace it
	db    *bolt.DB
	store storeID
	turn  atomic.Uint64 // its transactions
}

// openCatalog opens catalog.db and fills the table. lost says that there is none, that a damaged one was moved aside, or that one
// which was made for these reasons was never saved: the day files tell their series again, before a number is given twice.
func (s *Store) openCatalog() (lost bool, err error) {
	path := filepath.Join(s.dir, "catalog.db")
	_ = os.Remove(path + ".tmp")
	_ = os.Remove(path + ".anew.tmp")
	_, err = os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing {
		err = s.loadCatalog(path)
		var newer *VersionError
		var corrupt *CorruptError
		if errors.As(err, &newer) || !errors.As(err, &corrupt) {
			return err == nil && s.pos == position{}, err
		}
		return true, s.beginCatalog(corrupt)
	}
	if err := createBolt(path, catalogKind); err != nil {
		return false, fmt.Errorf("open historian: %w", err)
	}
	return true, s.loadCatalog(path)
}

// beginCatalog moves the catalog aside and makes an empty one.
func (s *Store) beginCatalog(cause *CorruptError) error {
	path := filepath.Join(s.dir, "catalog.db")
	if s.file != nil {
		_ = s.file.close()
		s.file = nil
	}
	to, err := moveAside(path, s.o.Quarantine, s.o.Clock(), cause)
	if err != nil {
		return fmt.Errorf("open historian: move damaged %s aside: %w", path, err)
	}
	s.o.Log.Error("catalog is damaged or a stray, moved aside; rebuilt from the day files", "part", "historian", "file", path, "to", to, "err", cause)
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%v; moved to %s, rebuilt from the day files", cause, to)})
	s.forgetCatalog()
	if err := createBolt(path, catalogKind); err != nil {
		return fmt.Errorf("open historian: %w", err)
	}
	return s.loadCatalog(path)
}

// forgetCatalog drops what a catalog that cannot be trusted said.
func (s *Store) forgetCatalog() {
	s.catalog, s.pos, s.clock, s.store, s.ledger = newCatalog(s.o.MaxSeries, s.o.Clock), position{}, timekeeper{}, storeID{}, make(map[string]fileEntry)
}

func (s *Store) loadCatalog(path string) error {
	db, err := openBolt(path, false, 0)
	if err != nil {
		return err
	}
	f := &catalogFile{path: path, db: db}
	if err = guard(path, func() error { return upgrade(path, db, catalogKind) }); err == nil {
		err = f.read(s)
	}
	if err != nil {
		return errors.Join(err, f.close())
	}
	s.file = f
	return nil
}

// read fills the store's table and position.
func (f *catalogFile) read(s *Store) error {
	return guard(f.path, func() error {
		return f.db.View(func(tx *bolt.Tx) error { return s.readCatalog(f, tx) })
	})
}

func (s *Store) readCatalog(from *catalogFile, tx *bolt.Tx) error {
	corrupt := func(err error) error { return &CorruptError{File: from.path, Err: err, Hint: hintQuarantine} }
	if err := checkBuckets(from.path, tx, catalogKind); err != nil {
		return err
	}
	meta, rows := tx.Bucket(bucketMeta), tx.Bucket(bucketSeries)
	if b := meta.Get(metaPosition); b != nil {
		var err error
		if s.pos, err = readPosition(b); err != nil {
			return corrupt(err)
		}
	}
	if b := meta.Get(metaWhose); b != nil {
		var ok bool
		var period string
		if s.store, period, ok = readWhose(b); !ok || period != "" {
			return corrupt(errors.New("whose it is cannot be read"))
		}
	}
	from.turn.Store(readTurn(meta, metaTurn))
	s.readLedger(meta)
	if b := meta.Get(metaClock); b != nil {
		var err error
		if s.clock, err = readClock(b); err != nil {
			return corrupt(err)
		}
	}
	if err := s.readSeriesRows(rows, true); err != nil {
		return corrupt(err)
	}
	return nil
}

func (s *Store) readSeriesRows(rows *bolt.Bucket, saved bool) error {
	return rows.ForEach(func(k, v []byte) error {
		e, err := readSeries(k, v)
		if err == nil {
			s.catalog.bind(e.id, e.key, e.group, saved)
		}
		return err
	})
}

// seriesOf takes the series that a day file knows.
func (s *Store) seriesOf(d *storeFile) error {
	return d.view(func(tx *bolt.Tx) error {
		if err := s.readSeriesRows(tx.Bucket(bucketSeries), false); err != nil {
			return &CorruptError{File: d.path, Err: err, Hint: hintQuarantine}
		}
		return nil
	})
}

// saveCatalog commits what a flush leaves to the catalog, and what that has to know of the other files.
func (s *Store) saveCatalog(list []*series, pos position, more func(*bolt.Tx) error) error {
	changes := s.ledgerChanges()
	err := s.file.save(list, pos, &s.clock, func(tx *bolt.Tx) error {
		return errors.Join(more(tx), putLedger(tx.Bucket(bucketMeta), changes))
	})
	if err == nil {
		s.ledgerSaved(changes)
	}
	return err
}

// save commits the new series, the position and the time, and what more adds.
func (f *catalogFile) save(list []*series, pos position, clock *timekeeper, more func(*bolt.Tx) error) error {
	return f.update(func(tx *bolt.Tx) error {
		rows := tx.Bucket(bucketSeries)
		rows.FillPercent = 1 // numbers come in ascending order
		for _, e := range list {
			if err := put(rows, bucketSeries, big4(uint32(e.id)), appendSeries(nil, e)); err != nil {
				return err
			}
		}
		if err := more(tx); err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		if err := put(meta, bucketMeta, metaClock, clock.bytes()); err != nil {
			return err
		}
		return put(meta, bucketMeta, metaPosition, pos.bytes())
	})
}

// update runs fn in a write transaction.
func (f *catalogFile) update(fn func(*bolt.Tx) error) error {
	d := &storeFile{kind: catalogKind, store: &f.store}
	var turn uint64
	f.mu.RLock()
	defer f.mu.RUnlock()
	err := guard(f.path, func() error {
		return f.db.Update(func(tx *bolt.Tx) error {
			err := fn(tx)
			if err == nil {
				turn, err = d.sign(tx, f.turn.Load())
			}
			return err
		})
	})
	if err == nil {
		f.turn.Store(turn)
	}
	return err
}

// view runs fn in a short read transaction; a catalog that is lost, and cannot be made again, is empty.
func (f *catalogFile) view(fn func(*bolt.Tx) error) error {
	if f == nil {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return guard(f.path, func() error { return f.db.View(fn) })
}

// position is the one that the last flush left.
func (f *catalogFile) position() (p position, err error) {
	err = f.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketMeta).Get(metaPosition); b != nil {
			p, err = readPosition(b)
		}
		return err
	})
	return p, err
}

func (f *catalogFile) close() error { return guard(f.path, f.db.Close) }

// known says that a day file has the series' row.
func known(rows *bolt.Bucket, e *series) bool {
	k := binary.BigEndian.AppendUint32(nil, uint32(e.id))
	return rows.Get(k) != nil
}
