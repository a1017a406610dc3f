package historian

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// Folders are copied, and files restored, by hand. A file of another period would answer for the days in its name with those of others, and
// one of another store with its own numbers of series, which here are other metrics'. So each says whose it is.
//
//	name 2026-03-10.db ─► whose: this store, 2026-03-10 ─► it is read
//	                      else                          ─► the quarantine, whole; a gap
//
// A store that is copied as a whole stays the store that it was, and a file of its backup is its own.

var metaWhose = []byte("whose") // store 16 bytes, text of the period, CRC32C u32 of both

// storeID is drawn once; zero: not known.
type storeID [16]byte

func drawStoreID() (id storeID) {
	_, _ = rand.Read(id[:]) // which never fails
	return id
}

// strayError says that a file is whole, and another one than its name says.
type strayError struct{ is, not string }

func (e *strayError) Error() string { return fmt.Sprintf("it is of %s, not of %s", e.is, e.not) }

func isStray(err error) bool {
	var e *strayError
	return errors.As(err, &e)
}

// period is the day or month that a unit stands for, as in its file's name; of the catalog "".
func (k *fileKind) period(unit int64) string {
	if k.layout == "" {
		return ""
	}
	return time.UnixMilli(int64(k.start(unit))).UTC().Format(k.layout)
}

// unitIn is the unit in the name of a file.
func (k *fileKind) unitIn(path string) (unit int64, ok bool) {
	if k.layout == "" {
		return 0, false
	}
	t, err := time.Parse(k.layout+".db", filepath.Base(path))
	return k.unit(t), err == nil && t.Unix() >= 0
}

func whoseRow(id storeID, period string) []byte {
	b := append(id[:], period...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func readWhose(b []byte) (id storeID, period string, ok bool) {
	n := len(b) - 4
	if n < len(id) || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return id, "", false
	}
	return storeID(b), string(b[len(id):n]), true
}

// checkWhose finds a file that is another one than its name says. One that was written before files said it is known by its rows.
func (d *storeFile) checkWhose(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return nil // that is damage of another kind
	}
	b := meta.Get(metaWhose)
	if b == nil {
		return d.asDamage(d.checkRows(tx))
	}
	id, period, ok := readWhose(b)
	if !ok {
		return d.asDamage(errors.New("whose it is cannot be read"))
	}
	return d.asDamage(d.isWhose(id, period))
}

func (d *storeFile) asDamage(err error) error {
	if err == nil {
		return nil
	}
	return &CorruptError{File: d.path, Err: err, Hint: hintQuarantine}
}

// isWhose compares what a file says with what it should.
func (d *storeFile) isWhose(id storeID, period string) error {
	should := d.kind.period(d.unit)
	switch {
	case period != should:
		return &strayError{period, should}
	case d.store != nil && *d.store != storeID{} && id != storeID{} && id != *d.store:
		return &strayError{"another appliance's store", "this one's"}
	}
	return nil
}

// checkRows finds a file whose rows are all of another period. It reads the first key and the last, so that one that is damaged is not enough.
func (d *storeFile) checkRows(tx *bolt.Tx) error {
	for name, ms := range map[string]journal.Millis{string(bucketBlock): unitMillis, string(bucketMinute): 1000, string(bucketHour): 1000} {
		b := tx.Bucket([]byte(name))
		if b == nil {
			continue
		}
		first, _ := b.Cursor().First()
		last, _ := b.Cursor().Last()
		if len(first) != 8 || len(last) != 8 || bytes.Equal(first, last) {
			continue
		}
		is := d.kind.periodAt(journal.Millis(be4(first)) * ms)
		if should := d.kind.period(d.unit); is != should && is == d.kind.periodAt(journal.Millis(be4(last))*ms) {
			return &strayError{is, should}
		}
	}
	return nil
}

func (k *fileKind) periodAt(at journal.Millis) string {
	return k.period(k.unit(time.UnixMilli(int64(at)).UTC()))
}

// putWhose has a file say whose it is. A store that is not known yet is said later.
func putWhose(meta *bolt.Bucket, store *storeID, period string) error {
	var id storeID
	if store != nil {
		id = *store
	}
	row := whoseRow(id, period)
	if old := meta.Get(metaWhose); bytes.Equal(old, row) || old != nil && id == (storeID{}) {
		return nil
	}
	return put(meta, bucketMeta, metaWhose, row)
}

// whoseIs reads what a file says, whatever it is called; false: nothing that can be read.
func whoseIs(path string) (id storeID, ok bool) {
	db, err := openBolt(path, true, 0)
	if err != nil {
		return id, false
	}
	err = guard(path, func() error {
		return db.View(func(tx *bolt.Tx) error {
			if meta := tx.Bucket(bucketMeta); meta != nil {
				id, _, ok = readWhose(meta.Get(metaWhose))
			}
			return nil
		})
	})
	_ = guard(path, db.Close)
	return id, err == nil && ok && id != storeID{}
}

// findStore learns which store this is, when the catalog does not know: the one that most of the files are of.
func (s *Store) findStore() error {
	if s.store != (storeID{}) {
		return nil
	}
	votes, best := make(map[storeID]int), storeID{}
	for _, set := range [...]*fileSet{s.days, s.trends} {
		list, err := set.scan()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open historian: %w", err)
		}
		for _, unit := range list { // of as many the newer
			if id, ok := whoseIs(set.path(unit)); ok {
				if votes[id]++; votes[id] >= votes[best] {
					best = id
				}
			}
		}
	}
	if s.store = best; best == (storeID{}) && !s.readOnly {
		s.store = drawStoreID()
	}
	return nil
}

// catalogIsStray says that the catalog is of another store than all files that say whose they are: then it is the one that does not belong here.
func (s *Store) catalogIsStray() bool {
	if s.store == (storeID{}) || s.pos.applied == 0 {
		return false
	}
	stray := false
	for _, set := range [...]*fileSet{s.days, s.trends} {
		list, _ := set.scan()
		for _, unit := range slices.Backward(list) {
			switch id, ok := whoseIs(set.path(unit)); {
			case ok && id == s.store:
				return false
			case ok:
				stray = true
			}
		}
	}
	return stray
}
