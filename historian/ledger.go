package historian

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// A disk that says of a write that it is there, and is not, takes a file's last transaction with its meta page: what is left is whole, and
// older. So each file counts its transactions, and the catalog, a file of its own, knows the count of each; the days know the catalog's.
//
//	flush ─► day: turn 8, catalog 40 ─► catalog: turn 41, day 8
//	Open: day is at 7  ─► the log still has the rest: taken again; else a gap, of the time that the flush wrote
//	      day is gone  ─► a gap
//	      catalog is at 39 ─► its series are read from all files
//
// What is written after a flush, rollups and marks, the catalog knows with the next one. An honest disk never has a file behind: what the
// catalog says of it was on the disk before.

var (
	metaTurn    = []byte("turn")    // uv how many transactions the file has had
	metaCatalog = []byte("catalog") // of a day: uv the catalog's turn when the last flush began
	metaFile    = []byte("file ")   // of catalog.db: then u8 'd' or 'm' and u32 unit: what it knows of the file
)

// fileEntry is what the catalog knows of a file.
type fileEntry struct {
	turn uint64
	wrote
}

// wrote is what a file's last flush wrote: samples and events of a time, to a file that had the journal up to before.
type wrote struct {
	before, applied journal.Index
	from, to        journal.Millis // to 0: not known
}

func (e *fileEntry) bytes() []byte {
	b := binary.AppendUvarint(nil, e.turn)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.before)), uint64(e.applied))
	return binary.AppendVarint(binary.AppendVarint(b, int64(e.from)), int64(e.to))
}

func readEntry(b []byte) (e fileEntry, err error) {
	f := &journal.Fields{B: b}
	e.turn = f.Uvarint()
	e.before, e.applied = journal.Index(f.Uvarint()), journal.Index(f.Uvarint())
	e.from, e.to = journal.Millis(f.Varint()), journal.Millis(f.Varint())
	return e, end(f)
}

func fileKey(kind *fileKind, unit int64) string {
	letter := byte('d')
	if kind == trendKind {
		letter = 'm'
	}
	return string(append(append(bytes.Clone(metaFile), letter), big4(uint32(unit))...))
}

func (d *storeFile) key() string { return fileKey(d.kind, d.unit) }

// readLedger takes what the catalog knows of the files. A row that cannot be read is one that is not there.
func (s *Store) readLedger(meta *bolt.Bucket) {
	s.ledger = make(map[string]fileEntry)
	c := meta.Cursor()
	for k, v := c.Seek(metaFile); bytes.HasPrefix(k, metaFile); k, v = c.Next() {
		if e, err := readEntry(v); err == nil && len(k) == len(metaFile)+5 {
			s.ledger[string(k)] = e
		}
	}
}

// ledgerChanges are the rows that differ from what the files have now; turn 0: to be removed.
func (s *Store) ledgerChanges() map[string]fileEntry {
	out := make(map[string]fileEntry)
	for k := range s.ledger {
		out[k] = fileEntry{}
	}
	for _, set := range [...]*fileSet{s.days, s.trends} {
		set.mu.Lock()
		for _, d := range set.files {
			k, turn := d.key(), d.turn.Load()
			old, ok := s.ledger[k]
			switch {
			case !d.about.there || turn == 0:
			case ok && old.turn == turn:
				delete(out, k)
			default:
				e := fileEntry{turn, d.wrote}
				if d.kind == dayKind && e.applied != d.about.pos.applied { // of a file that was mended, or not written since the start
					e.wrote = wrote{applied: d.about.pos.applied}
				}
				out[k] = e
			}
		}
		set.mu.Unlock()
	}
	return out
}

// lifeSpan is the time of births, deaths and gaps.
func lifeSpan(list []loggedEvent) (w wrote) {
	for i, e := range list {
		if i == 0 || e.At < w.from {
			w.from = e.At
		}
		w.to = max(w.to, e.At+1, e.Until)
	}
	return w
}

func putLedger(meta *bolt.Bucket, changes map[string]fileEntry) error {
	for k, e := range changes {
		var err error
		if e.turn == 0 {
			err = remove(meta, bucketMeta, []byte(k))
		} else {
			err = put(meta, bucketMeta, []byte(k), e.bytes())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropLedger forgets the files.
func dropLedger(meta *bolt.Bucket) error {
	var keys [][]byte
	c := meta.Cursor()
	for k, _ := c.Seek(metaFile); bytes.HasPrefix(k, metaFile); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := remove(meta, bucketMeta, k); err != nil {
			return err
		}
	}
	return nil
}

// ledgerSaved is called when the changes are on the disk.
func (s *Store) ledgerSaved(changes map[string]fileEntry) {
	for k, e := range changes {
		if e.turn == 0 {
			delete(s.ledger, k)
		} else {
			s.ledger[k] = e
		}
	}
}

// struck is the change that takes a file from the catalog, before it is removed.
func (s *Store) struck(kind *fileKind, unit int64) map[string]fileEntry {
	k := fileKey(kind, unit)
	if _, ok := s.ledger[k]; !ok {
		return nil
	}
	return map[string]fileEntry{k: {}}
}

// strike commits that.
func (s *Store) strike(kind *fileKind, unit int64) error {
	changes := s.struck(kind, unit)
	if changes == nil {
		return nil
	}
	err := s.file.update(func(tx *bolt.Tx) error { return putLedger(tx.Bucket(bucketMeta), changes) })
	if err == nil {
		s.ledgerSaved(changes)
	}
	return err
}

// sign counts a transaction, and says whose the file is.
func (d *storeFile) sign(tx *bolt.Tx, least uint64) (turn uint64, err error) {
	meta := tx.Bucket(bucketMeta)
	turn = max(readTurn(meta, metaTurn), least) + 1
	if err = putWhose(meta, d.store, d.kind.period(d.unit)); err == nil {
		err = put(meta, bucketMeta, metaTurn, binary.AppendUvarint(nil, turn))
	}
	return turn, err
}

func readTurn(meta *bolt.Bucket, k []byte) uint64 {
	n, _ := binary.Uvarint(meta.Get(k))
	return n
}

// expects has a file know what the catalog knows of it, before it is opened.
func (s *Store) expects(d *storeFile) {
	e := s.ledger[d.key()]
	d.least, d.wrote = e.turn, e.wrote
}

// behind is what the catalog knows of a file that has had fewer transactions; false: it has all of them.
func (s *Store) behindLedger(d *storeFile, a about) (e fileEntry, behind bool) {
	e, ok := s.ledger[d.key()]
	if a.turn == 0 { // an older program wrote it last
		return e, ok && a.pos.applied < e.applied
	}
	return e, ok && a.turn < e.turn
}

// wentBack sees whether a whole day is an older one than it was. What it lacks is taken from the log again, if that has it: lacks says so; else
// it is a gap.
func (s *Store) wentBack(d *storeFile, a about) (lacks bool, err error) {
	e, behind := s.behindLedger(d, a)
	if !behind {
		return false, nil
	}
	tell := func(what string) {
		s.o.Log.Error("file lost transactions", "part", "historian", "file", d.path, "had", e.turn, "has", a.turn, "err", what)
		s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%s is older than it was (%d transactions of %d): "+
			"the disk lost what it said it had, or it was put back from a copy; %s", d.path, a.turn, e.turn, what)})
	}
	switch {
	case a.pos.applied >= e.applied:
		tell("what is reckoned from its samples is reckoned again")
	case s.logReaches(a.pos):
		tell("what it lacks is taken from the log again")
		if lacks = true; !s.readOnly {
			err = s.readAgain(a.pos)
		}
	default:
		tell("what it lacks is lost")
		g := Gap{From: dayStart(d.unit), To: dayStart(d.unit + 1)}
		if e.before == a.pos.applied && e.to != 0 {
			g.From, g.To = max(g.From, e.from), min(g.To, e.to)
		}
		s.event(journal.Event{Kind: journal.GapEvent, At: g.From, Until: g.To, Reason: "the day's file lost what was written to it"})
	}
	if err == nil && !s.readOnly {
		err = s.unrollAll(d)
	}
	return lacks, err
}

// monthWentBack is wentBack of a month, whose rows are made again of the days that are there.
func (s *Store) monthWentBack(d *storeFile, a about) error {
	e, behind := s.behindLedger(d, a)
	if !behind {
		return nil
	}
	s.o.Log.Error("file lost transactions", "part", "historian", "file", d.path, "had", e.turn, "has", a.turn)
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%s is older than it was (%d transactions of %d): "+
		"the disk lost what it said it had, or it was put back from a copy; its days are added again", d.path, a.turn, e.turn)})
	w := &wreck{s: s, d: d, lacksLife: e.turn != a.turn+1 || e.to == 0}
	w.lost = []Gap{{From: e.from, To: e.to}}
	return s.monthAgain(w)
}

func (s *Store) monthAgain(w *wreck) error {
	if !s.readOnly {
		if err := s.trendAgain(w.d.unit); err != nil {
			return err
		}
	}
	w.tellMonth()
	return nil
}

// missing tells of the files that the catalog knows and that are not there. found says that there are some: the log may have what they had.
func (s *Store) missing() (found bool, err error) {
	for _, k := range slices.Sorted(maps.Keys(s.ledger)) {
		kind, set := dayKind, s.days
		if k[len(metaFile)] == 'm' {
			kind, set = trendKind, s.trends
		}
		unit := int64(be4([]byte(k[len(metaFile)+1:])))
		d := set.get(unit)
		if _, err := os.Lstat(d.path); err == nil || s.aside[d.path] {
			continue // the latter is told of already
		}
		found = true
		s.o.Log.Error("file is missing", "part", "historian", "file", d.path)
		s.event(journal.Event{Kind: journal.SystemEvent, Reason: d.path + " is missing: it was removed by hand, or the disk lost it"})
		if kind == trendKind {
			w := &wreck{s: s, d: d, lacksLife: true}
			if err := s.monthAgain(w); err != nil {
				return found, err
			}
			continue
		}
		s.opened[unit] = position{}
		s.event(journal.Event{Kind: journal.GapEvent, At: dayStart(unit), Until: dayStart(unit + 1), Reason: "the day's file is missing"})
	}
	return found, nil
}

// afterFiles looks what the files say of each other once all were opened. lacks says that the log may have what they lack.
func (s *Store) afterFiles() (lacks bool, err error) {
	had := s.file.turn.Load()
	s.file.turn.Store(max(had, s.catalogHad))
	if s.pos == (position{}) || had >= s.catalogHad { // the former is one that was made anew
		return s.missing()
	}
	text := fmt.Sprintf("%s is older than it was (%d transactions of %d): the disk lost what it said it had, or it was put back from a copy; "+
		"series are read from all files, last values of metrics that are silent may be older", s.file.path, had, s.catalogHad)
	s.o.Log.Error(text, "part", "historian")
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: text})
	for _, set := range [...]*fileSet{s.days, s.trends} {
		for _, unit := range set.existing(0, 1<<40) {
			if err := s.survive(s.seriesOf(set.get(unit))); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}
