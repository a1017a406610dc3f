package historian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// anewBytes is how much is put into a file that is written anew before it goes to the disk.
const anewBytes = 4 << 20

// anew is a file being written to take the place of another one of its name: bbolt files do not shrink.
//
//	begin ─► put ... ─► finish ─► it has the name
//	            └─ error ─► abandon
type anew struct {
	d    *storeFile
	path string
	db   *bolt.DB
	tx   *bolt.Tx
	size int
}

func beginAnew(d *storeFile) (*anew, error) {
	a := &anew{d: d, path: d.path + ".anew.tmp"}
	if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err := createBolt(a.path, d.kind)
	if err == nil {
		a.db, err = openBolt(a.path, false, d.capBytes)
	}
	if err != nil {
		_ = os.Remove(a.path)
		return nil, err
	}
	a.db.NoSync = true // finish syncs once
	return a, nil
}

// put writes a row; within a bucket best in order of the keys.
func (a *anew) put(bucket, k, v []byte) error {
	if a.tx != nil && a.size > anewBytes {
		if err := a.commit(); err != nil {
			return err
		}
	}
	if err := a.begin(); err != nil {
		return err
	}
	a.size += len(k) + len(v)
	b := a.tx.Bucket(bucket)
	if b == nil { // one of fileKind.optional
		var err error
		if b, err = a.tx.CreateBucket(bucket); err != nil {
			return err
		}
	}
	b.FillPercent = 1
	return put(b, bucket, k, v)
}

func (a *anew) begin() (err error) {
	if a.tx == nil {
		a.tx, err = a.db.Begin(true)
	}
	return err
}

// has says that a row was put.
func (a *anew) has(bucket, k []byte) bool {
	if a.begin() != nil {
		return false
	}
	b := a.tx.Bucket(bucket)
	return b != nil && b.Get(k) != nil
}

func (a *anew) commit() error {
	tx := a.tx
	a.tx, a.size = nil, 0
	if tx == nil {
		return nil
	}
	return tx.Commit()
}

// copy puts all rows of a bucket that the source has.
func (a *anew) copy(src *bolt.Tx, bucket []byte) error {
	b := src.Bucket(bucket)
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error { return a.put(bucket, k, v) })
}

// from lets f put what it reads of the file that the new one is to replace. bbolt keeps values that were put where they are until they are
// committed; here that is the old file's memory, so they are committed before that may be closed.
func (a *anew) from(f func(*bolt.Tx) error) error {
	return a.d.view(func(tx *bolt.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return a.commit()
	}, a.d.kind.all()...) // what is wrong in it would be right in the new one
}

// finish syncs the file and gives it its name.
func (a *anew) finish() error {
	err := a.begin()
	if err == nil {
		_, err = a.d.sign(a.tx, max(a.d.least, a.d.turn.Load()))
	}
	if err = errors.Join(err, a.commit()); err == nil {
		err = a.db.Sync()
	}
	if err = errors.Join(err, a.db.Close()); err != nil {
		_ = os.Remove(a.path)
		return err
	}
	return a.d.replace(a.path)
}

func (a *anew) abandon() {
	if a.tx != nil {
		_ = a.tx.Rollback()
	}
	_ = a.db.Close()
	_ = os.Remove(a.path)
}

// replace gives the file's name to another one; those who read the old one are done before.
func (d *storeFile) replace(path string) error {
	d.lock()
	defer d.mu.Unlock()
	if d.gone {
		return errors.Join(errGone, os.Remove(path))
	}
	d.closeLocked()
	if err := os.Rename(path, d.path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	d.replaced.Add(1)
	d.checked.Store(0)
	return syncDir(filepath.Dir(d.path))
}

// rewrite writes a file anew with what f puts, and takes over what the new one says of itself.
func (s *Store) rewrite(set *fileSet, d *storeFile, f func(*bolt.Tx, *anew) error) error {
	a, err := beginAnew(d)
	if err != nil {
		return err
	}
	if err := a.from(func(tx *bolt.Tx) error { return f(tx, a) }); err != nil {
		a.abandon()
		return err
	}
	s.atPeak()
	if err := a.finish(); err != nil {
		return err
	}
	about, err := d.readMeta()
	if err == nil {
		set.setInfo(d, about)
	}
	return err
}

// withoutSamples puts what stays of a day when its samples leave: rollups and events. A thin day takes no samples again.
func withoutSamples(src *bolt.Tx, a *anew) error {
	for _, name := range [...][]byte{bucketSeries, bucketMinute, bucketEvent, bucketLife, bucketBirth, bucketSaid} {
		if err := a.copy(src, name); err != nil {
			return err
		}
	}
	t, err := readTotals(src.Bucket(bucketMeta).Get(metaTotals))
	if err != nil {
		return err
	}
	if err := a.put(bucketMeta, metaThin, binary.AppendUvarint(nil, t.samples)); err != nil {
		return err
	}
	return a.meta(src, totals{firstEvent: t.firstEvent, lastEvent: t.lastEvent})
}

// meta puts the source's position and what it says of its rollups and births, and totals.
func (a *anew) meta(src *bolt.Tx, t totals) error {
	err := src.Bucket(bucketMeta).ForEach(func(k, v []byte) error {
		if bytes.Equal(k, metaRolled) || bytes.Equal(k, metaAgain) || bytes.Equal(k, metaSaid) || bytes.HasPrefix(k, metaUnrolled) {
			return a.put(bucketMeta, k, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if pos := src.Bucket(bucketMeta).Get(metaPosition); pos != nil {
		if err := a.put(bucketMeta, metaPosition, pos); err != nil {
			return err
		}
	}
	return a.put(bucketMeta, metaTotals, t.bytes())
}

// samplesFrom puts a day without the samples of windows that begin before cut.
func samplesFrom(cut journal.Millis) func(*bolt.Tx, *anew) error {
	return func(src *bolt.Tx, a *anew) error {
		for _, name := range [...][]byte{bucketSeries, bucketMinute, bucketObject, bucketEvent, bucketLife, bucketBirth, bucketSaid} {
			if err := a.copy(src, name); err != nil {
				return err
			}
		}
		t, err := readTotals(src.Bucket(bucketMeta).Get(metaTotals))
		if err != nil {
			return err
		}
		t = totals{firstEvent: t.firstEvent, lastEvent: t.lastEvent}
		for _, name := range [...][]byte{bucketBlock, bucketLate} {
			err := src.Bucket(name).ForEach(func(k, v []byte) error {
				b, err := chunk.Parse(v)
				switch {
				case err == nil && b.Last < cut, err != nil && len(k) == 8 && be4(k) < unitOf(cut):
					return nil
				case err == nil:
					t.addBlock(b, len(v), name)
				} // a damaged one stays, so that its time is told of
				return a.put(name, k, v)
			})
			if err != nil {
				return err
			}
		}
		if err := a.copy(src, bucketFlush); err != nil { // it may name blocks that are no more
			return err
		}
		return a.meta(src, t)
	}
}

func (t *totals) addBlock(b *chunk.Block, bytes int, bucket []byte) {
	n := uint64(b.Len())
	t.samples += n
	t.blockBytes += uint64(bytes)
	t.addIndex(b.FirstIndex, b.LastIndex)
	if &bucket[0] == &bucketLate[0] {
		t.lateSamples += n
	}
}
