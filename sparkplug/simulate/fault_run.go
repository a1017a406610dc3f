package simulate

import (
	"context"
	"fmt"
	"time"

	"edge/sparkplug"
)

// The rhythms of the faults that have one, in intervals.
const (
	flappingOn = 10
	backlogOn  = 30
	backlogOff = 20
	typeData   = 10 // data says another type than the birth
	typeBirth  = 20 // a new birth says it too
	typeBack   = 40 // the first type again, with a birth
)

// misbehave does what a fault does at an interval; an *errFault ends the connection without DISCONNECT.
func (s *session) misbehave(ctx context.Context) error {
	switch {
	case s.has(Flapping) && s.looks >= flappingOn:
		return &errFault{fault: Flapping}
	case s.has(Backlog) && s.looks >= backlogOn:
		s.missed = s.now()
		return &errFault{fault: Backlog, pause: backlogOff * s.opt.Interval}
	}
	if turn := s.looks % typeBack; s.has(TypeChange) && (turn == typeBirth || turn == 0) {
		return s.birth(ctx)
	}
	return nil
}

// typeOf is the datatype that a tag has now. Under type-change the first measured number of the
// node becomes a String.
func (s *session) typeOf(t *tag) sparkplug.DataType {
	if s.has(TypeChange) && s.looks%typeBack >= typeData && t == s.oddTag() {
		return sparkplug.String
	}
	return t.Type
}

func (s *session) oddTag() *tag {
	for _, t := range s.tags {
		if t.Deadband > 0 {
			return t
		}
	}
	return nil
}

// as is v in another datatype; only the change to String that type-change makes is needed.
func as(v sparkplug.Value, t sparkplug.DataType) sparkplug.Value {
	if t == v.Type {
		return v
	}
	return sparkplug.StringValue(fmt.Sprintf("%g", number(v)))
}

// maxBacklog is how far back a backlog goes when the broker was away for long.
const maxBacklog = time.Hour

// missedReplay is what a backlog gathered: every interval since the cut, sent without pause.
func (s *session) missedReplay(now time.Time) *replay {
	from := s.missed
	if oldest := now.Add(-maxBacklog); from.Before(oldest) {
		from = oldest
	}
	r := newReplay(s.node, from, now, s.opt.Interval)
	r.burst = true
	s.missed = time.Time{}
	return r
}
