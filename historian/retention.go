package historian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// class is what retention removes by itself: the samples of a day, all of a day, or a month of 1-hour rollups.
type class int

const (
	classRaw class = iota
	classMinute
	classHour
)

// retain removes what is too old, then the oldest while the store is larger than Options.MaxBytes or the disk is full; only Run
// calls it, when SetOwed was. Samples go first: their day is written anew without them. Then days go, then months.
// The present day and month stay. What an uplink still owes outlives its age and a full disk, but not the limit of bytes.
func (s *Store) retain() {
	s.lookAtClock()
	s.retainAge()
	s.retainBytes()
	s.retainSpace()
}

func (s *Store) retainAge() {
	now, owed := s.clock.early(), s.owedFrom()
	today := dayOf(max(0, now))
	for _, day := range s.days.existing(0, today-1) {
		end := dayStart(day + 1)
		switch {
		case s.isOwed(day, owed) || s.o.Raw <= 0 || end > now-toMillis(s.o.Raw):
		case s.o.Minute > 0 && end <= now-toMillis(s.o.Minute):
			s.dropDay(day, whyAge, 0)
		default:
			s.thinDay(day, whyAge, 0)
		}
	}
	if s.o.Hour <= 0 {
		return
	}
	for _, month := range s.trends.existing(0, monthOf(now)-1) {
		if s.monthIsOver(month) {
			s.dropMonth(month, whyAge)
		}
	}
}

const (
	whyAge   = "older than retention"
	whyBytes = "limit of bytes"
	whySpace = "the disk is full"
)

// retainBytes keeps the store so far below its limit that a file can be written anew.
func (s *Store) retainBytes() {
	s.measure() // rollups came since the last flush
	for s.o.MaxBytes > 0 && s.bytes.Load() > s.ceiling() {
		s.leaveRewriting() // one file at a time is written into what is spare
		if !s.dropOldest(whyBytes, false) && !s.dropOldest(whyBytes, true) && !s.halveToday() {
			return
		}
	}
}

// retainSpace makes room on a full disk: below ten percent one file each time, below five as many as it takes.
func (s *Store) retainSpace() {
	for level := s.lookAtSpace(); level >= SpaceDrop; level = s.lookAtSpace() {
		if !s.dropOldest(whySpace, false) || level < SpaceLow {
			return
		}
	}
}

// dropOldest removes the oldest thing of the first class that has one: damaged files, then samples, days, months. With owing, what an uplink owes too.
// It returns false when there is nothing, or when it cannot be removed.
func (s *Store) dropOldest(why string, owing bool) bool {
	if s.dropWreck(why) {
		return true
	}
	owed := s.owedFrom()
	now := max(0, s.clock.late())
	for _, c := range [...]class{classRaw, classMinute} {
		for _, day := range s.removable() {
			_, t := s.days.info(day)
			owes := s.isOwed(day, owed)
			switch {
			case owes && !owing, c == classRaw && t.samples == 0:
			case c == classRaw && owes:
				return s.thinDay(day, why, owed)
			case c == classRaw:
				return s.thinDay(day, why, 0)
			default:
				return s.dropDay(day, why, 0)
			}
		}
	}
	if months := s.trends.existing(0, monthOf(now)-1); len(months) > 0 {
		return s.dropMonth(months[0], why)
	}
	return false
}

// removable are the days that may be removed, the oldest first. Those that are ahead of the clock, from when it was wrong, are as old as
// what came then: else what comes now would go before them, or with nothing left beside them.
func (s *Store) removable() []int64 {
	came := func(day int64) journal.Index { _, t := s.days.info(day); return t.lastIndex }
	today, known := dayOf(max(0, s.clock.wall)), dayOf(max(0, s.clock.late()))
	list := s.days.existing(0, today-1)
	for _, day := range s.days.existing(today+3, 1<<40) {
		if day >= known && day < known+3 {
			continue
		}
		i := slices.IndexFunc(list, func(other int64) bool { return came(other) > came(day) })
		if i < 0 {
			i = len(list)
		}
		list = slices.Insert(list, i, day)
	}
	return list
}

func (s *Store) owedFrom() journal.Index {
	if s.owed == nil {
		return 0
	}
	return s.owed()
}

func (s *Store) isOwed(day int64, owed journal.Index) bool {
	_, t := s.days.info(day)
	return owed != 0 && t.holdsFrom(owed)
}

// thinDay removes a day's samples. If an uplink owed some, a GapEvent says so; its Count is at most what the day held. On a
// disk that has no room for what is to stay, all of the day goes.
func (s *Store) thinDay(day int64, why string, owed journal.Index) bool {
	d := s.days.get(day)
	_, t := s.days.info(day)
	if t.samples == 0 {
		return true
	}
	s.rollBefore(day)
	kept := s.keep(day, dayStart(day+1), false)
	err := s.rewrite(s.days, d, withoutSamples)
	if isDamage(err) { // what can be read of it stays
		if err = s.mend(d, err); err == nil && !d.exists() {
			return true
		}
		if err == nil {
			err = s.rewrite(s.days, d, withoutSamples)
		}
	}
	if errors.Is(err, syscall.ENOSPC) || isDamage(err) {
		return s.dropDay(day, why, owed)
	}
	if err != nil {
		s.o.Log.Error("remove old samples", "part", "historian", "file", d.path, "err", err)
		return false
	}
	kept.done()
	s.measure()
	s.o.Log.Info("old samples removed", "part", "historian", "file", d.path, "samples", t.samples, "reason", why)
	s.tellOwed(day, t, why, owed)
	return true
}

// dropDay unlinks a day.
func (s *Store) dropDay(day int64, why string, owed journal.Index) bool {
	s.rollBefore(day)
	kept := s.keep(day, dayStart(day+1), true)
	_, t := s.days.info(day)
	path := s.days.path(day)
	if err := s.days.drop(day); err != nil {
		s.o.Log.Error("remove old day", "part", "historian", "file", path, "err", err)
		return false
	}
	kept.done()
	s.dropped[day] = true
	s.measure()
	s.o.Log.Info("old day removed", "part", "historian", "file", path, "samples", t.samples, "reason", why)
	s.tellOwed(day, t, why, owed)
	return true
}

func (s *Store) tellOwed(day int64, t totals, why string, owed journal.Index) {
	if owed == 0 || t.samples == 0 {
		return
	}
	s.event(journal.Event{Kind: journal.GapEvent, At: dayStart(day), Until: dayStart(day + 1),
		Count:  min(t.samples, uint64(t.lastIndex-max(owed, t.firstIndex)+1)),
		Reason: fmt.Sprintf("removed before it was delivered: %s", why)})
}

// dropMonth unlinks a month of 1-hour rollups.
func (s *Store) dropMonth(month int64, why string) bool {
	path := s.trends.path(month)
	err := s.strike(trendKind, month)
	if err == nil || errors.Is(err, syscall.ENOSPC) { // what is full has room then
		err = s.trends.drop(month)
	}
	if err != nil {
		s.o.Log.Error("remove old month", "part", "historian", "file", path, "err", err)
		return false
	}
	s.measure()
	s.o.Log.Info("old month removed", "part", "historian", "file", path, "reason", why)
	return true
}

// halveToday removes the older half of the present day's windows, when nothing else is left to remove: the limit of bytes is
// less than two days or so. What goes is a gap.
func (s *Store) halveToday() bool {
	today := dayOf(max(0, s.clock.late()))
	for _, day := range s.days.existing(today, today+2) { // or a day ahead of it, whose stamps come from a device's clock
		d := s.days.get(day)
		first, cut, ok := s.middle(d)
		if !ok {
			continue
		}
		_, before := s.days.info(day)
		kept := s.keep(day, cut, false)
		err := d.writes() // its flushes are those of the newest version then
		if err == nil {
			err = s.rewrite(s.days, d, samplesFrom(cut))
		}
		_, after := s.days.info(day)
		if err != nil || after.samples == before.samples {
			s.o.Log.Error("remove old windows", "part", "historian", "file", d.path, "err", err)
			continue
		}
		kept.done()
		s.measure()
		n := before.samples - after.samples
		s.o.Log.Warn("windows of today removed: historian.retention.bytes is less than a day", "part", "historian", "file", d.path, "samples", n)
		s.event(journal.Event{Kind: journal.GapEvent, At: first, Until: cut, Count: n,
			Reason: "removed: historian.retention.bytes is less than a day of samples; raise it"})
		return true
	}
	return false
}

// middle is the start of the first of a day's windows and of the one behind which the later half of its blocks lies; false: all are
// of one window.
func (s *Store) middle(d *storeFile) (first, cut journal.Millis, ok bool) {
	size := make(map[journal.Millis]int)
	total := 0
	err := d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketBlock).ForEach(func(k, v []byte) error {
			at := floorTo(journal.Millis(binary.BigEndian.Uint32(k))*unitMillis, s.window)
			size[at] += len(v)
			total += len(v)
			return nil
		})
	})
	windows := slices.Sorted(maps.Keys(size))
	if err != nil || len(windows) < 2 {
		return 0, 0, false
	}
	behind := 0
	for _, at := range windows {
		if behind += size[at]; behind >= total/2 {
			return windows[0], min(at+s.window, windows[len(windows)-1]), true
		}
	}
	return 0, 0, false
}
