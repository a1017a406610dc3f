package historian

import (
	"fmt"

	"edge/historian/journal"
)

// retain removes days that are older than Options.Raw, then the oldest ones while the store is larger than
// Options.MaxBytes; only Run calls it, when SetOwed was. Today's file stays. A day that an uplink still owes outlives its age, but not the limit of bytes.
func (s *Store) retain() {
	now := millis(s.o.Clock())
	list := s.days.existing(0, dayOf(max(0, now))-1)
	owed := s.owedFrom()
	if s.o.Raw > 0 {
		for _, day := range list {
			if dayStart(day+1) <= now-toMillis(s.o.Raw) && !s.isOwed(day, owed) {
				s.dropDay(day, "older than retention", 0)
			}
		}
	}
	if s.o.MaxBytes <= 0 {
		return
	}
	for _, spare := range [...]bool{true, false} {
		for _, day := range s.days.existing(0, dayOf(max(0, now))-1) {
			if s.bytes.Load() <= s.o.MaxBytes {
				return
			}
			owes := s.isOwed(day, owed)
			switch {
			case !owes:
				s.dropDay(day, "limit of bytes", 0)
			case !spare:
				s.dropDay(day, "limit of bytes", owed)
			}
		}
	}
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

// dropDay unlinks a day. If an uplink owed it, a GapEvent says so; its Count is at most what the day held.
func (s *Store) dropDay(day int64, why string, owed journal.Index) {
	_, t := s.days.info(day)
	path := s.days.path(day)
	if err := s.days.drop(day); err != nil {
		s.o.Log.Error("remove old day", "part", "historian", "file", path, "err", err)
		return
	}
	s.dropped[day] = true
	s.bytes.Store(diskBytes(s.dir))
	s.o.Log.Info("old day removed", "part", "historian", "file", path, "samples", t.samples, "reason", why)
	if owed != 0 {
		s.event(journal.Event{Kind: journal.GapEvent, At: dayStart(day), Until: dayStart(day + 1),
			Count:  min(t.samples, uint64(t.lastIndex-max(owed, t.firstIndex)+1)),
			Reason: fmt.Sprintf("removed before it was delivered: %s", why)})
	}
}
