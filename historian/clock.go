package historian

import (
	"encoding/binary"
	"fmt"
	"time"

	"edge/historian/journal"
)

const (
	clockStep  = 1000                                              // ms: a larger step of the clock is an event
	clockLeap  = dayMillis                                         // further from what is known, a clock is not believed
	clockProof = 3 * dayMillis                                     // but after it has run on for so long
	clockFloor = journal.Millis(1735689600000)                     // 2025: this program is younger, and a clock that shows less is wrong
	clockEvery = 10 * time.Second                                  // how often it is looked at
	clockHint  = "set the clock; if it is right, nothing is to do" // for an operator
)

// timekeeper doubts the wall clock. A clock that leaps would make every sample too old, or too far in the future; so retention
// goes by a time that advances as the monotonic clock does, and follows the wall clock only while the two agree to
// a day. The time that the appliance was off is not known: it may be a leap too. Whoever else has a clock is heard: while most of
// what the devices send is stamped more than a day off the wall clock, that one is not believed however long it runs.
//
//	known ──── monotonic ────► known + passed ◄── within a day? ── wall: it is true
//	                                          ◄── further off ──── doubted, until it has run on for three days and the devices agree
type timekeeper struct {
	known  journal.Millis // the time, as far as it can be known; kept in catalog.db; 0: it is not
	doubt  journal.Millis // for how long the wall clock has been further off; 0: it is believed; kept as well
	owed   journal.Millis // since when it is not known how long the appliance was off, see TellDowntime; 0: nothing is to be told; kept as well
	wall   journal.Millis // of the last look, both
	passed time.Duration
	looked bool    // since the start
	heard  devices // since the doubt began
}

// devices counts messages by whether their stamps and the wall clock are within clockLeap of each other.
type devices struct{ agree, differ uint64 }

// verdict is what a look finds that an operator should know.
type verdict struct {
	stepped  journal.Millis // how far the wall clock stepped since the last look, when that is more than clockStep
	doubted  bool           // from now on
	believed bool           // again, or after all
}

// look takes the wall clock's time, what passed on the monotonic clock since any fixed moment, and what was heard since the last look.
func (k *timekeeper) look(wall journal.Millis, passed time.Duration, heard devices) (v verdict) {
	var went journal.Millis
	if k.looked {
		went = toMillis(passed - k.passed)
		if step := wall - k.wall - went; step > clockStep || step < -clockStep {
			v.stepped = step
		}
	}
	k.wall, k.passed, k.looked = wall, passed, true
	was := k.doubt > 0
	if k.known > 0 {
		k.known += went
	} else if wall >= clockFloor { // it is all that there is to go by
		k.known = wall
	}
	if off := wall - k.known; off > clockLeap || off < -clockLeap || wall < clockFloor {
		k.doubt = max(1, k.doubt+went)
		k.heard.agree, k.heard.differ = k.heard.agree+heard.agree, k.heard.differ+heard.differ
	} else {
		k.doubt = 0
	}
	if k.doubt == 0 || k.proved() {
		k.known, k.doubt, k.heard = wall, 0, devices{}
	}
	v.doubted, v.believed = !was && k.doubt > 0, was && k.doubt == 0
	return v
}

// proved says that a doubted clock is believed for all that: it runs, and nobody contradicts.
func (k *timekeeper) proved() bool {
	return k.doubt >= clockProof && k.wall >= clockFloor && k.heard.agree >= k.heard.differ
}

// early and late are the bounds of the present time: what is to be removed is older than early says, what is from the
// future is later than late says.
func (k *timekeeper) early() journal.Millis { return min(k.known, k.wall) }
func (k *timekeeper) late() journal.Millis  { return max(k.known, k.wall) }

func (k *timekeeper) bytes() []byte {
	b := binary.AppendUvarint(binary.AppendVarint(nil, int64(k.known)), uint64(k.doubt))
	if k.owed != 0 {
		b = binary.AppendVarint(b, int64(k.owed))
	}
	return b
}

func readClock(b []byte) (k timekeeper, err error) {
	f := &journal.Fields{B: b}
	k.known, k.doubt = journal.Millis(f.Varint()), journal.Millis(f.Uvarint())
	if len(f.B) > 0 {
		k.owed = journal.Millis(f.Varint())
	}
	return k, end(f)
}

// lookAtClock is called by flushLoop, again and again.
func (s *Store) lookAtClock() {
	before := s.clock.wall
	v := s.clock.look(millis(s.o.Clock()), s.o.Passed(), devices{s.agree.Swap(0), s.differ.Swap(0)})
	s.early.Store(int64(s.clock.early()))
	s.late.Store(int64(s.clock.late()))
	s.doubted.Store(s.clock.doubt > 0)
	if s.clock.doubt == 0 {
		s.newest.Store(0)
	}
	if v.stepped != 0 {
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: fmt.Sprintf("the clock stepped by %s, from %s",
			time.Duration(v.stepped)*time.Millisecond, stampText(before))})
	}
	switch {
	case v.doubted:
		s.o.Log.Warn("the clock is not believed", "part", "historian", "wall", stampText(s.clock.wall), "known", stampText(s.clock.known))
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: s.clock.why()})
	case v.believed:
		s.o.Log.Info("the clock is believed again", "part", "historian")
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: "the clock is believed again"})
		s.tellDowntime()
	}
}

// why says why the clock is not believed, and what comes of it.
func (k *timekeeper) why() string {
	if k.wall < clockFloor {
		return fmt.Sprintf("the clock says %s, which is long past: no day is removed for its age; set the clock", stampText(k.wall))
	}
	return fmt.Sprintf("the clock is %s from the last known time, %s: no day is removed for its age until the clock has run on for %s "+
		"and most devices' time stamps agree with it; %s", time.Duration(k.wall-k.known)*time.Millisecond, stampText(k.known),
		time.Duration(clockProof)*time.Millisecond, clockHint)
}

// hear notes, while the clock is doubted, what a message says: whether its stamp agrees with the clock, of one that came lately and has a
// clock of its own; and that it is not earlier than its stamp.
func (s *Store) hear(v *journal.Sample, wall, latest journal.Millis) {
	near := func(d journal.Millis) bool { return d <= clockLeap && d >= -clockLeap }
	if !s.doubted.Load() || v.Historical || v.At == v.Received || v.At > latest || !near(wall-v.Received) {
		return
	}
	if s.newest.Store(max(s.newest.Load(), int64(v.At))); near(v.At - wall) {
		s.agree.Add(1)
	} else {
		s.differ.Add(1)
	}
}

// TellDowntime records that nothing is known of the time from the newest record that Open found until now: no value is carried over
// it. While the clock is not believed nobody knows how long that was: the gap is a millisecond then, and told again, whole, when the clock
// is believed, though the appliance is started again before. Call it once, before Run.
func (s *Store) TellDowntime() {
	s.startedAt, s.started = s.o.Passed(), true
	if s.until == 0 { // a new store
		return
	}
	s.again = s.clock.owed > 0
	if !s.again {
		s.clock.owed = s.until
	}
	if s.clock.doubt == 0 {
		s.tellDowntime()
		return
	}
	s.event(journal.Event{Kind: journal.GapEvent, At: s.until, Until: s.until + 1,
		Reason: "the appliance was not running; for how long, is told when its clock is believed"})
}

// tellDowntime tells of the time until TellDowntime was called, once.
func (s *Store) tellDowntime() {
	if !s.started || s.clock.owed == 0 {
		return
	}
	why := "the appliance was not running"
	if s.again {
		why += ", but for a time with a clock that was not believed"
	}
	from, to := s.clock.owed, s.clock.wall-toMillis(s.clock.passed-s.startedAt)
	s.clock.owed = 0
	if from < to {
		s.event(journal.Event{Kind: journal.GapEvent, At: from, Until: to, Reason: why})
	}
}

// foundRecord takes a record that Open found in the log: the store knows of the time until then. What a clock wrote that was wrong says nothing,
// and what is owed is not when it was told.
func (s *Store) foundRecord(rec *journal.Record) {
	limit := s.now() + farFuture
	if s.clock.doubt > 0 {
		limit = s.clock.known + clockLeap
	}
	if rec.At <= limit {
		s.until = max(s.until, rec.At)
	}
	if e := rec.Event; rec.Kind == journal.KindEvent && e.Kind == journal.GapEvent && e.At == s.clock.owed && e.Until > e.At+1 && e.Node == "" {
		s.clock.owed = 0
	}
}

func stampText(at journal.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format(time.RFC3339)
}
