package historian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// What is known last must outlive the day that told it: that a node is dead, and what a metric that is silent said. catalog.db has it in
// two buckets, and what is committed there is not taken back when days and months go.
//
//	flush    ─► state: of each node and device its last birth and its last death
//	dropDay  ─► state, too; and the births, deaths and gaps of the day go to its month's trend file, beside the hours that they qualify
//	thinDay  ─► last: of each series that has no later sample the newest that goes
var (
	bucketState = []byte("state") // owner, u8 turn: the event
	bucketLast  = []byte("last")  // series: its sample
)

// stateKey is the key of an owner's last birth or death.
func stateKey(o owner, t turn) []byte { return append(lifePrefix(o), byte(t)) }

// putState keeps the births and deaths that are the last of their owners; of owners without a series there is nothing to tell.
func (s *Store) putState(tx *bolt.Tx, list []loggedEvent) error {
	b := tx.Bucket(bucketState)
	for _, e := range list {
		o := owner{e.Group, e.Node, e.Device}
		t := turnOf(o, e.Kind)
		if t == turnNone || len(s.catalog.groupsOf(o)) == 0 {
			continue
		}
		k := stateKey(o, t)
		if old, err := readState(o, b.Get(k)); err == nil && old.Index >= e.Index {
			continue
		}
		v := binary.BigEndian.AppendUint64(nil, uint64(e.At))
		v = binary.BigEndian.AppendUint64(v, uint64(e.Index))
		if err := put(b, bucketState, k, append(v, appendLife(e)...)); err != nil {
			return err
		}
	}
	return nil
}

func readState(o owner, v []byte) (loggedEvent, error) {
	if len(v) < 16 {
		return loggedEvent{}, errMalformed
	}
	return readLife(o, v[:16], v[16:])
}

// stateOf are the last births and deaths that bear on a metric of o.
func (s *Store) stateOf(o owner) (out []loggedEvent, err error) {
	err = s.file.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketState)
		if b == nil { // of version 1, opened to be read
			return nil
		}
		for _, w := range concerns(o) {
			for _, t := range [...]turn{turnDeath, turnBirth} {
				if e, err := readState(w, b.Get(stateKey(w, t))); err == nil {
					out = append(out, e)
				}
			}
		}
		return nil
	})
	return out, s.survive(err)
}

// putLife writes the last births and deaths to the catalog, and all to the trend files, as long as they stay.
func (s *Store) putLife(list []loggedEvent) error {
	if len(list) == 0 {
		return nil
	}
	err := s.file.update(func(tx *bolt.Tx) error { return s.putState(tx, list) })
	byMonth := make(map[int64][]loggedEvent)
	for _, e := range list {
		month := monthOf(e.At)
		byMonth[month] = append(byMonth[month], e)
	}
	for month, list := range byMonth {
		err = errors.Join(err, s.putMonth(month, thinLife(list)))
	}
	return err
}

func (s *Store) putMonth(month int64, list []loggedEvent) error {
	if s.monthIsOver(month) {
		return nil
	}
	d := s.trends.get(month)
	put := func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLife)
		for _, e := range list {
			if err := put(b, bucketLife, lifeKey(e), appendLife(e)); err != nil {
				return err
			}
		}
		return nil
	}
	err := d.update(put)
	if isDamage(err) {
		if err = s.mendMonth(d, err); err == nil {
			err = d.update(put)
		}
	}
	if err == nil {
		d.wrote = lifeSpan(list)
		s.trends.gainsLife(d)
	}
	return err
}

// keepOld writes what of a flight's events no day file tells: of one that is gone, and gaps so long that a question about their middle
// does not look for their beginning.
func (s *Store) keepOld(f *flight) error {
	var gone []loggedEvent
	for _, e := range f.head.events {
		switch {
		case !isLife(e.Kind):
		case e.Kind == journal.GapEvent && e.Until-e.At > lookBack:
			if err := s.putLongGap(e); err != nil {
				return fmt.Errorf("write a gap from %s to %s: %w", stampText(e.At), stampText(e.Until), err)
			}
		case s.isGone(dayOf(e.At)):
			gone = append(gone, e)
		}
	}
	return s.putLife(gone)
}

// isGone says that retention took a day: an event does not bring it back.
func (s *Store) isGone(day int64) bool {
	old := s.o.Minute > 0 && dayStart(day+1) <= s.clock.early()-toMillis(s.o.Minute)
	return s.dropped[day] || old && len(s.days.existing(day, day)) == 0
}

// maxMonths is in how many months a gap is told, at most: the last ones.
const maxMonths = 120

// putLongGap writes a gap into the trend files of all months that it touches.
func (s *Store) putLongGap(e loggedEvent) error {
	last := monthOf(max(e.At, e.Until-1))
	for month := max(monthOf(e.At), last-maxMonths+1); month <= last; month++ {
		part := e
		part.At = max(e.At, monthStart(month))
		if err := s.putMonth(month, []loggedEvent{part}); err != nil {
			return err
		}
	}
	return nil
}

// monthIsOver says that retention has taken a month of hours, or would.
func (s *Store) monthIsOver(month int64) bool {
	return s.o.Hour > 0 && monthStart(month+1) <= s.clock.early()-toMillis(s.o.Hour)
}

// lifeRows is how many births, deaths and gaps that begin in one hour a node or device keeps when their day goes.
const lifeRows = 16

// thinLife keeps what is told of an owner's hour. Where that is more than lifeRows it becomes one gap from the first death or gap to
// the end of the last, and the last birth or death: rather too long a gap than none.
func thinLife(list []loggedEvent) (out []loggedEvent) {
	type ownerHour struct {
		owner
		hour journal.Millis
	}
	byHour := make(map[ownerHour][]loggedEvent)
	for _, e := range list {
		k := ownerHour{owner{e.Group, e.Node, e.Device}, floorTo(e.At, hourMillis)}
		byHour[k] = append(byHour[k], e)
	}
	for k, rows := range byHour {
		if len(rows) > lifeRows {
			rows = joinLife(k.owner, rows)
		}
		out = append(out, rows...)
	}
	return out
}

func joinLife(o owner, rows []loggedEvent) (out []loggedEvent) {
	var gap, last *loggedEvent
	var until journal.Millis
	slices.SortFunc(rows, byArrival)
	for i := range rows {
		e := &rows[i]
		t := turnOf(o, e.Kind)
		if t != turnNone {
			last = e
		}
		if gap == nil && (t == turnDeath || e.Kind == journal.GapEvent) {
			gap = e
		}
		until = max(until, e.At, e.Until)
	}
	if gap != nil && gap != last {
		g := *gap
		g.Kind, g.Until, g.Reason = journal.GapEvent, until, "died or lost samples many times"
		out = append(out, g)
	}
	if last != nil {
		out = append(out, *last)
	}
	return out
}
