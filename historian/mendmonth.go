package historian

import (
	"errors"
	"fmt"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// A damaged trend file. Its rows are derived: those of days that still have a file are made again of it, with the others that can be
// read of the wreck. Days that are in neither are gaps.

// mendMonth makes a trend file good again, or begins it anew. The caller's write may be repeated.
func (s *Store) mendMonth(d *storeFile, cause error) error {
	s.o.Log.Error("trend file is damaged", "part", "historian", "file", d.path, "err", cause)
	s.boundWrecks(bytesOf(d.path))
	defer s.boundWrecks(0)
	lost, err := (*wreck)(nil), cause
	if !isStray(cause) {
		lost, err = s.salvageMonth(d)
	}
	if err == nil {
		s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%v; moved to the quarantine, what can be read of it is saved", cause)})
	} else {
		s.o.Log.Warn("trend file is not saved", "part", "historian", "file", d.path, "err", err)
		if err := s.quarantine(s.trends, d, cause); err != nil {
			return err
		}
		lost = &wreck{s: s, d: d, lacksLife: true}
		lost.miss(nil, nil, nil)
	}
	if err := s.trendAgain(d.unit); err != nil {
		return err
	}
	lost.tellMonth()
	return nil
}

// salvageMonth writes a trend file anew with what can still be read of it.
func (s *Store) salvageMonth(d *storeFile) (*wreck, error) {
	w, err := s.openWreck(d)
	if err != nil {
		return nil, err
	}
	defer w.file.Close()
	err = w.replace(func() error {
		metas := readMetas(w.file)
		if len(metas) == 0 {
			return &CorruptError{File: d.path, Err: errors.New("both meta pages are lost"), Hint: hintQuarantine}
		}
		if len(metas) == 1 {
			w.miss(nil, nil, nil) // it may be that of the last transaction
		}
		if err := errors.Join(w.page(metas[0].root, nil, nil, nil, 0), w.stray); err != nil {
			return err
		}
		return w.compare()
	})
	if err != nil {
		return nil, err
	}
	a, err := d.readMeta()
	if err != nil {
		return nil, err
	}
	a.lives = s.trends.about(d.unit).lives + 1
	s.trends.setInfo(d, a)
	return w, nil
}

// trendAgain has the days of a month that are there write their hours to the trend file again.
func (s *Store) trendAgain(month int64) error {
	for _, day := range s.daysOf(month) {
		s.setTrended(day, false)
		err := s.days.get(day).update(func(tx *bolt.Tx) error {
			meta := tx.Bucket(bucketMeta)
			st := readRolled(meta, day)
			st.trended = false
			return st.put(meta, day)
		})
		if err != nil && !isDamage(err) { // a damaged day is rolled up again when it is mended
			return fmt.Errorf("roll %s up again: %w", s.days.path(day), err)
		}
	}
	s.rolling = nil // all are looked at
	return nil
}

func (s *Store) daysOf(month int64) []int64 {
	return s.days.existing(dayOf(monthStart(month)), dayOf(monthStart(month+1))-1)
}

// tellMonth tells of the lost days that have no file: the others' rows come again. Of births, deaths and gaps it is not known of which days they
// are lost.
func (w *wreck) tellMonth() {
	has := make(map[int64]bool)
	for _, day := range w.s.daysOf(w.d.unit) {
		has[day] = !w.s.days.about(day).again
	}
	end := dayStart(dayOf(w.s.now()))
	days := make(map[int64]bool)
	if w.lacksLife {
		w.lost = append(w.lost, Gap{From: monthStart(w.d.unit), To: monthStart(w.d.unit + 1)})
	}
	for _, g := range w.lost {
		for day := dayOf(g.From); dayStart(day) < min(g.To, end); day++ {
			days[day] = days[day] || !has[day]
		}
	}
	w.lost = w.lost[:0]
	for day, gone := range days {
		if gone {
			w.lost = append(w.lost, Gap{From: dayStart(day), To: dayStart(day + 1), Cause: "the month's hours, or its births, deaths and gaps, were damaged"})
		}
	}
	w.tellLost()
	if w.lacksLife {
		w.s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%s: births, deaths and gaps of days that are no more may be lost", w.d.path)})
	}
}
