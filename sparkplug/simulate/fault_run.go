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
	deviceLoss = 15 // without its first device, then with it
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
	if s.has(DeviceLoss) && s.looks%deviceLoss == 0 && len(s.spec.Devices) > 0 {
		return s.loseDevice(ctx)
	}
	if turn := s.looks % typeBack; s.has(TypeChange) && (turn == typeBirth || turn == 0) {
		return s.birth(ctx)
	}
	return nil
}

// loseDevice takes the node's first device away with a DDEATH, or brings it back with a DBIRTH; the session goes on.
// [tck-id-operational-behavior-device-ddeath]
func (s *session) loseDevice(ctx context.Context) error {
	at, device := s.now(), s.spec.Devices[0].Device
	if s.lost == "" {
		s.lost = device
		return s.send(ctx, sparkplug.DDEATH, device, at, nil)
	}
	s.lost = ""
	return s.send(ctx, sparkplug.DBIRTH, device, at, s.bornMetrics(device, at))
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
