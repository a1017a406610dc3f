package historian

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// A catalog that shows damage while the store runs is made anew at once: its series, and how far the files are, are in memory. What it alone
// has, the last births, deaths and samples of days that are no more, is taken of it as far as it can be read.

// check reads every page and adds up the buckets.
func (f *catalogFile) check() error {
	return f.view(func(tx *bolt.Tx) error {
		if err := checkTree(f.path, tx); err != nil {
			return err
		}
		return checkSums(f.path, tx)
	})
}

// mendCatalog is called by flushLoop.
func (s *Store) mendCatalog(cause error) error {
	path := s.file.path
	s.o.Log.Error("catalog is damaged", "part", "historian", "file", path, "err", cause)
	tmp := path + ".anew.tmp"
	_ = os.Remove(tmp)
	whole, err := s.newCatalog(tmp)
	if err == nil {
		err = keepWreck(path, s.o.Quarantine, s.o.Clock())
	}
	if err == nil {
		err = s.file.replace(tmp)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("make %s anew: %w", path, err)
	}
	text := "nothing of it is lost"
	if !whole {
		text = "the last births, deaths and values of days that are no more may be lost"
	}
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%v; moved to the quarantine and made anew, %s", cause, text)})
	return nil
}

// newCatalog writes a catalog with what the present one had. whole says that it has all rows that were only there.
func (s *Store) newCatalog(path string) (whole bool, err error) {
	if err := createBolt(path, catalogKind); err != nil {
		return false, err
	}
	db, err := openBolt(path, false, 0)
	if err != nil {
		return false, err
	}
	f := &catalogFile{path: path, db: db, store: s.store}
	f.turn.Store(s.file.turn.Load())
	saved := s.catalog.list(func(e *series) bool { return e.saved })
	err = f.save(saved, s.pos, &s.clock, func(tx *bolt.Tx) error {
		whole = true
		for _, name := range [...][]byte{bucketState, bucketLast} {
			if !s.takeRows(tx.Bucket(name), name) {
				whole = false
			}
		}
		return putLedger(tx.Bucket(bucketMeta), s.ledger)
	})
	return whole, errors.Join(err, f.close())
}

// takeRows puts the rows of one of the present catalog's buckets that can be read; all says that they are what was written.
func (s *Store) takeRows(to *bolt.Bucket, name []byte) (all bool) {
	err := s.file.view(func(tx *bolt.Tx) error {
		from := tx.Bucket(name)
		if from == nil {
			return errElement
		}
		err := from.ForEach(func(k, v []byte) error {
			if bytes.Equal(name, bucketLast) {
				if _, err := readSample(k, v); err != nil {
					return nil
				}
			} else if _, err := readState(owner{}, v); err != nil {
				return nil
			}
			return put(to, name, bytes.Clone(k), bytes.Clone(v))
		})
		all = err == nil && from.Sequence() == to.Sequence()
		return err
	})
	return err == nil && all
}

// replace gives the catalog's name to another file. Who reads it is done before.
func (f *catalogFile) replace(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = guard(f.path, f.db.Close)
	err := os.Rename(path, f.path)
	if err == nil {
		err = syncDir(filepath.Dir(f.path))
	}
	db, opened := openBolt(f.path, false, 0)
	if opened == nil {
		f.db = db
	}
	return errors.Join(err, opened)
}
