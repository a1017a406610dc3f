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
	clockEvery = 10 * time.Second                                  // how often it is looked at
	clockHint  = "set the clock; if it is right, nothing is to do" // for an operator
)

// timekeeper doubts the wall clock. A clock that leaps would make every sample too old, or too far in the future; so retention
// goes by a time that advances as the monotonic clock does, and follows the wall clock only while the two agree to
// a day. The time that the appliance was off is not known: it may be a leap too.
//
//	known ──── monotonic ────► known + passed ◄── within a day? ── wall: it is true
//	                                          ◄── further off ──── doubted, until it has run on for three days
type timekeeper struct {
	known  journal.Millis // the time, as far as it can be known; kept in catalog.db
	doubt  journal.Millis // for how long the wall clock has been further off; 0: it is believed; kept as well
	wall   journal.Millis // of the last look, both
	passed time.Duration
	looked bool // since the start
}

// verdict is what a look finds that an operator should know.
type verdict struct {
	stepped  journal.Millis // how far the wall clock stepped since the last look, when that is more than clockStep
	doubted  bool           // from now on
	believed bool           // again, or after all
}

// look takes the wall clock's time, and what passed on the monotonic clock since any fixed moment.
func (k *timekeeper) look(wall journal.Millis, passed time.Duration) (v verdict) {
	var went journal.Millis
	if k.looked {
		went = toMillis(passed - k.passed)
		if step := wall - k.wall - went; step > clockStep || step < -clockStep {
			v.stepped = step
		}
	}
	k.wall, k.passed, k.looked = wall, passed, true
	if k.known == 0 { // nothing is known yet
		k.known = wall
	}
	was := k.doubt > 0
	k.known += went
	if off := wall - k.known; off > clockLeap || off < -clockLeap {
		k.doubt = max(1, k.doubt+went)
	} else {
		k.doubt = 0
	}
	if k.doubt == 0 || k.doubt >= clockProof {
		k.known, k.doubt = wall, 0
	}
	v.doubted, v.believed = !was && k.doubt > 0, was && k.doubt == 0
	return v
}

// early and late are the bounds of the present time: what is to be removed is older than early says, what is from the
// future is later than late says.
func (k *timekeeper) early() journal.Millis { return min(k.known, k.wall) }
func (k *timekeeper) late() journal.Millis  { return max(k.known, k.wall) }

func (k *timekeeper) bytes() []byte {
	return binary.AppendUvarint(binary.AppendVarint(nil, int64(k.known)), uint64(k.doubt))
}

func readClock(b []byte) (k timekeeper, err error) {
	f := &fields{b: b}
	k.known, k.doubt = journal.Millis(f.varint()), journal.Millis(f.uvarint())
	return k, f.end()
}

// lookAtClock is called by flushLoop, again and again.
func (s *Store) lookAtClock() {
	before := s.clock.wall
	v := s.clock.look(millis(s.o.Clock()), s.o.Passed())
	s.early.Store(int64(s.clock.early()))
	s.late.Store(int64(s.clock.late()))
	if v.stepped != 0 {
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: fmt.Sprintf("the clock stepped by %s, from %s",
			time.Duration(v.stepped)*time.Millisecond, stampText(before))})
	}
	switch {
	case v.doubted:
		off := time.Duration(s.clock.wall-s.clock.known) * time.Millisecond
		s.o.Log.Warn("the clock is not believed", "part", "historian", "off", off)
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: fmt.Sprintf("the clock is %s from the last known time, %s: "+
			"no day is removed for its age until the clock has run on for %s; %s", off, stampText(s.clock.known),
			time.Duration(clockProof)*time.Millisecond, clockHint)})
	case v.believed:
		s.o.Log.Info("the clock is believed again", "part", "historian")
		s.event(journal.Event{Kind: journal.ClockEvent, Reason: "the clock is believed again"})
	}
}

func stampText(at journal.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format(time.RFC3339)
}
