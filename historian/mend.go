package historian

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// boltMeta is one of a file's two meta pages: bbolt writes them in turn, so that the other one leads to the tree before the
// last transaction, of which no page was used again.
type boltMeta struct {
	page       int64 // 0 or 1
	root, txid uint64
}

// readMetas returns the meta pages that are whole, the newer first (bbolt internal/common/meta.go). A file's own transactions use
// them in turn, by the parity of their number; in a copy that bbolt made (a backup's) they may stand the other way round.
func readMetas(f io.ReaderAt) (out []boltMeta) {
	const magic, sum = 0xED0CDAED, 56
	for page := range int64(2) {
		var b [sum + 8]byte
		if _, err := f.ReadAt(b[:], page*pageBytes+pageHeader); err != nil {
			continue
		}
		h := fnv.New64a()
		h.Write(b[:sum])
		if binary.LittleEndian.Uint32(b[:]) != magic || h.Sum64() != binary.LittleEndian.Uint64(b[sum:]) {
			continue
		}
		txid := binary.LittleEndian.Uint64(b[48:])
		if len(out) == 1 && out[0].txid == txid {
			continue // one page in the place of both
		}
		out = append(out, boltMeta{page, binary.LittleEndian.Uint64(b[16:]), txid})
	}
	slices.SortFunc(out, func(a, b boltMeta) int { return cmp.Compare(b.txid, a.txid) })
	return out
}

// mend makes a day file good again: without its last transaction if the log still has what that wrote, else with all
// blocks that can be read. If neither can be done the file is moved aside. The damaged file stays in the quarantine.
func (s *Store) mend(d *storeFile, cause error) error {
	if isStray(cause) {
		return s.setAside(d, cause)
	}
	s.o.Log.Error("day file is damaged", "part", "historian", "file", d.path, "err", cause)
	s.boundWrecks(bytesOf(d.path))
	defer s.boundWrecks(0)
	if s.reader == nil { // the log is still to be read
		err := s.revert(d)
		if err == nil {
			err = s.unrollAll(d)
		}
		if err == nil {
			s.event(journal.Event{Kind: journal.SystemEvent,
				Reason: fmt.Sprintf("%v; the last transaction is undone, and what it wrote is taken from the log again", cause)})
			return nil
		}
	}
	found, err := s.salvage(d)
	if err == nil {
		s.o.Log.Warn("day file is saved", "part", "historian", "file", d.path, "samples", found)
		s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%v; moved to the quarantine", cause)})
		return nil
	}
	s.o.Log.Warn("day file is not saved", "part", "historian", "file", d.path, "err", err)
	if isStray(err) { // damaged, too
		cause = err
	}
	return s.setAside(d, cause)
}

// unrollAll marks all hours of a day that are rolled up: the transaction that was undone may have been a mark for something
// in another day's file, which the log does not tell again.
func (s *Store) unrollAll(d *storeFile) error {
	a, err := d.readMeta()
	if err != nil || a.thin { // a thin day has no samples: its rows stay
		return err
	}
	s.setTrended(d.unit, false)
	if s.rolling != nil {
		s.rolling[d.unit] = true
	}
	return d.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		marks := make(map[hourMark]bool)
		for hour, st := dayStart(d.unit), readRolled(meta, d.unit); hour < st.until; hour += hourMillis {
			marks[hourMark{hour, 0}] = true
		}
		return putMarks(meta, marks)
	})
}

// mendHurt mends the files that readers found damaged; flushLoop calls it again and again.
func (s *Store) mendHurt() {
	for _, d := range s.trends.hurt() {
		d.close()
		err := d.writes()
		if isDamage(err) {
			err = s.mendMonth(d, err)
		}
		if err != nil {
			s.o.Log.Error("damaged trend file", "part", "historian", "file", d.path, "err", err)
		}
	}
	for _, d := range s.days.hurt() {
		d.close()
		err := d.writes() // reads its whole tree
		if isDamage(err) {
			err = s.mend(d, err)
		}
		if err != nil {
			s.o.Log.Error("damaged day file", "part", "historian", "file", d.path, "err", err)
		}
	}
}

var errNotReverted = errors.New("the transaction before cannot be gone back to")

// revert makes of the file what it was before its last transaction, if that is whole and the log has what came later.
func (s *Store) revert(d *storeFile) error {
	d.close()
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	metas := readMetas(f)
	if len(metas) < 2 {
		return errNotReverted
	}
	path := d.path + ".anew.tmp"
	var pos position
	err = copyWithout(path, f, metas[0].page)
	if err == nil {
		pos, err = s.reverted(path, d)
	}
	if err == nil {
		err = s.readAgain(pos)
	}
	if err == nil {
		err = keepWreck(d.path, s.o.Quarantine, s.o.Clock())
	}
	if err != nil {
		_ = os.Remove(path)
		return err
	}
	return d.replace(path)
}

// reverted says whether a file can take d's place, whose copy it was, and its position.
func (s *Store) reverted(path string, d *storeFile) (position, error) {
	probe := &storeFile{kind: d.kind, unit: d.unit, path: path, store: d.store}
	defer probe.close()
	if err := readTree(path); err != nil {
		return position{}, err
	}
	a, err := probe.readMeta()
	if err != nil {
		return position{}, err
	}
	if a.pos.applied == 0 || !s.logReaches(a.pos) {
		return position{}, errNotReverted
	}
	return a.pos, nil
}

// readAgain sees to it that the log is read from behind pos again, at the next start too: what a day that goes back to pos has lost is in
// memory only, until the next flush.
func (s *Store) readAgain(pos position) error {
	if pos.checkpoint >= s.pos.checkpoint {
		return nil
	}
	back := s.pos
	back.checkpoint = pos.checkpoint
	err := s.file.update(func(tx *bolt.Tx) error { return put(tx.Bucket(bucketMeta), bucketMeta, metaPosition, back.bytes()) })
	if err == nil {
		s.pos = back
	}
	return err
}

// logReaches says that the journal has all that came after a position.
func (s *Store) logReaches(pos position) bool {
	return s.journal.NewReader(0).Pos() <= pos.checkpoint+1 && s.journal.Durable() >= max(pos.applied, s.pos.applied)
}

// copyWithout copies a file but for one of its meta pages.
func copyWithout(path string, f *os.File, page int64) error {
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, f)
	if err == nil {
		_, err = to.WriteAt(make([]byte, pageBytes), page*pageBytes)
	}
	return errors.Join(err, to.Sync(), to.Close())
}

// keepWreck gives a damaged file a second name in the quarantine: its first one will be another file's.
func keepWreck(path, quarantine string, now time.Time) error {
	to, err := asideName(path, quarantine, now)
	if err == nil {
		err = os.Link(path, to)
	}
	return err
}

// bothMetas says that both meta pages are whole. A lost one may be that of the last transaction: bbolt then opens the file without.
func (d *storeFile) bothMetas() bool {
	f, err := os.Open(d.path)
	if err != nil {
		return true // that is told elsewhere
	}
	defer f.Close()
	return len(readMetas(f)) == 2
}

func (d *storeFile) exists() bool {
	_, err := os.Stat(d.path)
	return err == nil
}
