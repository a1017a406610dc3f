package historian

import (
	"bytes"
	"fmt"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// unroll marks, in a flush's transaction, the hours of its day that are rolled up and change by what it writes.
func (w *dayWriter) unroll(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	st := readRolled(meta, w.job.day)
	if st.until == dayStart(w.job.day) {
		return nil
	}
	marks := make(map[hourMark]bool)
	for _, k := range w.job.cells {
		if hour := floorTo(k.window, hourMillis); hour < st.until {
			for _, m := range w.job.head.cells[k].members {
				if m.series != nil {
					marks[hourMark{hour, w.s.catalog.lead(m.series).group}] = true
				}
			}
		}
	}
	for _, e := range w.job.life {
		for _, at := range lifeTimes(e) {
			if hour := floorTo(at, hourMillis); dayOf(hour) == w.job.day && hour < st.until {
				for _, g := range w.s.catalog.groupsOf(owner{e.Group, e.Node, e.Device}) {
					marks[hourMark{hour, g}] = true
				}
			}
		}
	}
	w.marks = marks
	return putMarks(meta, marks)
}

func putMarks(meta *bolt.Bucket, marks map[hourMark]bool) error {
	keys := make([][]byte, 0, len(marks))
	for m := range marks {
		keys = append(keys, m.key())
	}
	slices.SortFunc(keys, bytes.Compare)
	for _, k := range keys {
		if err := put(meta, bucketMeta, k, nil); err != nil {
			return err
		}
	}
	return nil
}

// lifeTimes are when what holds may begin or end by an event: see deadSpans.
func lifeTimes(e loggedEvent) []journal.Millis {
	if e.Kind == journal.GapEvent {
		return []journal.Millis{e.At, max(e.At, e.Until)}
	}
	return []journal.Millis{e.At, max(0, e.logged)}
}

// unrollOthers marks hours in other days' files for the events that a job holds, before the job is written.
func (s *Store) unrollOthers(job *dayJob) error {
	for _, e := range job.life {
		for _, at := range lifeTimes(e) {
			if day := dayOf(at); day != job.day {
				marks, err := s.markDay(day, floorTo(at, hourMillis), s.catalog.groupsOf(owner{e.Group, e.Node, e.Device}))
				if err != nil {
					return err
				}
				s.rests(marks)
			}
		}
	}
	return nil
}

// markDay marks an hour of a day for groups, if it is rolled up, and returns what it marked.
func (s *Store) markDay(day int64, hour journal.Millis, groups []uint32) (marks map[hourMark]bool, err error) {
	if len(s.days.existing(day, day)) == 0 || s.days.isThin(day) {
		return nil, nil
	}
	d := s.days.get(day)
	st, err := s.rolledOf(day)
	if isDamage(err) { // all of it is rolled up again then
		return nil, s.mend(d, err)
	}
	if err != nil || hour >= st.until {
		return nil, err
	}
	marks = make(map[hourMark]bool)
	for _, g := range groups {
		marks[hourMark{hour, g}] = true
	}
	s.setTrended(day, false)
	if s.rolling != nil {
		s.rolling[day] = true
	}
	err = d.update(func(tx *bolt.Tx) error { return putMarks(tx.Bucket(bucketMeta), marks) })
	if isDamage(err) {
		return nil, s.mend(d, err)
	}
	if err != nil {
		return nil, fmt.Errorf("mark %s: %w", s.days.path(day), err)
	}
	return marks, nil
}

// A marked hour is rolled up again when nothing has marked it for markQuiet, or when it has waited for markMost: samples that
// come late one by one, for hours, would else have it read and written each time. Until then it is answered from samples.
const (
	markQuiet = hourMillis
	markMost  = 24 * hourMillis
)

// rest is how long a marked hour has waited.
type rest struct {
	first, last journal.Millis // by the clock, when it was marked since it was rolled up
}

// rests notes that samples or events marked hours.
func (s *Store) rests(marks map[hourMark]bool) {
	now := millis(s.o.Clock())
	for m := range marks {
		r, ok := s.resting[m.hour]
		if !ok {
			r.first = now
		}
		r.last = now
		s.resting[m.hour] = r
	}
}

// rested finds a marked hour that is to be rolled up. One that only the hour before it marked need not rest, nor one that was
// marked before the store was opened.
func (s *Store) rested(marks []hourMark, all bool) (hour journal.Millis, ok bool) {
	now := millis(s.o.Clock())
	for _, m := range marks { // with one all of the day, which is else never without a mark and does not come to its trend file
		r, waits := s.resting[m.hour]
		all = all || waits && now-r.first >= markMost
	}
	for _, m := range marks {
		switch r, waits := s.resting[m.hour]; {
		case !waits, now-r.last >= markQuiet, now < r.first: // the clock fell back
			return m.hour, true
		case all:
			for _, m := range marks {
				delete(s.resting, m.hour)
			}
			return m.hour, true
		}
	}
	return 0, false
}
