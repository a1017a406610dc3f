package historian

import (
	"errors"
	"fmt"

	"edge/historian/journal"
)

// openFiles reads the catalog and what each day says of itself, and returns where the journal is to be read from.
func (s *Store) openFiles() (from journal.Index, err error) {
	lost, err := s.openCatalog()
	if err == nil && s.catalogIsStray() {
		lost, err = true, s.beginCatalog(&CorruptError{File: s.file.path, Hint: hintQuarantine,
			Err: &strayError{"another appliance's store", "the one that all files here are of"}})
	}
	if err == nil {
		err = s.findStore()
	}
	if err != nil {
		return 0, err
	}
	s.file.store = s.store
	s.replayed, s.applied, s.given = s.pos.applied, s.pos.checkpoint, s.pos.applied
	list, err := s.days.scan()
	if err != nil {
		return 0, fmt.Errorf("open historian: %w", err)
	}
	for i, day := range list {
		lacks, err := s.openDay(day, lost, i == len(list)-1)
		if err != nil {
			return 0, err
		}
		lost = lost || lacks
	}
	if err := s.openTrends(lost); err != nil {
		return 0, err
	}
	lacks, err := s.afterFiles()
	if err != nil {
		return 0, err
	}
	lost = lost || lacks
	if n := len(list); s.clock.known == 0 && n > 0 { // of a store from before the catalog knew
		s.clock.known = dayStart(list[n-1] + 1)
		if wall := millis(s.o.Clock()); wall >= clockFloor {
			s.clock.known = min(s.clock.known, wall)
		}
	}
	if lost {
		return 0, nil // all that the log still has; what the files hold is not taken twice
	}
	s.torn = s.replayed > s.pos.applied
	return s.pos.checkpoint + 1, nil
}

// openDay reads the day's own account, of the newest the whole tree. A damaged file is mended, and lacks what the log may still have.
func (s *Store) openDay(day int64, readSeries, newest bool) (lacks bool, err error) {
	d := s.days.get(day)
	s.expects(d)
	a, err := d.readMeta()
	if err == nil && newest {
		err = d.writes()
	}
	if err == nil && readSeries {
		err = s.seriesOf(d)
	}
	if err == nil && !d.bothMetas() {
		lacks = true
		if s.logReaches(a.pos) {
			if err = s.readAgain(a.pos); err == nil {
				err = s.unrollAll(d)
			}
		} else {
			err = &CorruptError{File: d.path, Err: errors.New("a meta page is lost"), Hint: hintQuarantine}
		}
	}
	if err == nil && !lacks {
		lacks, err = s.wentBack(d, a)
	}
	if isDamage(err) {
		lacks = true
		if err = s.mend(d, err); err == nil && d.exists() {
			if a, err = d.readMeta(); err == nil && readSeries {
				err = s.seriesOf(d)
			}
		} else {
			s.opened[day] = position{} // it has nothing
			return lacks, err
		}
	}
	if err != nil {
		return lacks, err
	}
	s.opens(d, a)
	return lacks, nil
}

// opens takes what a day says of itself.
func (s *Store) opens(d *storeFile, a about) {
	s.days.setInfo(d, a)
	s.opened[d.unit] = a.pos
	s.replayed = max(s.replayed, a.pos.applied)
	s.catalogHad = max(s.catalogHad, a.catalog)
	s.given = max(s.given, s.replayed, a.totals.lastIndex, a.totals.lastEvent) // a saved day may have more than its position says
}

// openTrends reads each month's own account, and if the catalog is lost the series that only rows tell of. A damaged file is mended.
func (s *Store) openTrends(readSeries bool) error {
	list, err := s.trends.scan()
	if err != nil {
		return fmt.Errorf("open historian: %w", err)
	}
	for _, month := range list {
		d := s.trends.get(month)
		s.expects(d)
		a, err := d.readMeta()
		if err == nil && readSeries {
			err = s.seriesOf(d)
		}
		if err == nil && !d.bothMetas() {
			err = &CorruptError{File: d.path, Err: errors.New("a meta page is lost"), Hint: hintQuarantine}
		}
		if isDamage(err) {
			if err = s.mendMonth(d, err); err == nil && readSeries && d.exists() {
				err = s.seriesOf(d)
			}
		} else if err == nil {
			s.trends.setInfo(d, a)
			err = s.monthWentBack(d, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setAside moves a day file to the quarantine; the gap it leaves is an event.
func (s *Store) setAside(d *storeFile, cause error) error {
	if err := s.quarantine(s.days, d, cause); err != nil {
		return err
	}
	reason := "the day's file was damaged"
	if isStray(cause) {
		reason = "the day's file was another one than its name said"
	}
	s.event(journal.Event{Kind: journal.GapEvent, At: dayStart(d.unit), Until: dayStart(d.unit + 1), Reason: reason})
	return nil
}

// quarantine moves a damaged file aside. An event tells where it is; the file of that name begins anew.
func (s *Store) quarantine(set *fileSet, d *storeFile, cause error) error {
	d.close()
	to, err := moveAside(d.path, s.o.Quarantine, s.o.Clock(), cause)
	if err != nil {
		return fmt.Errorf("move damaged %s aside: %w", d.path, err)
	}
	set.setInfo(d, about{})
	s.aside[d.path] = true
	s.o.Log.Error("file is damaged or a stray, moved aside", "part", "historian", "file", d.path, "to", to, "err", cause)
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%v; moved to %s", cause, to)})
	return nil
}
