package session

import (
	"time"

	"edge/broker"
)

// Connect is what a CONNECT says about the session.
type Connect struct {
	User           string
	Protocol       byte          // 4 or 5
	Expiry         time.Duration // Never, 0: ends with the connection
	ReceiveMaximum int           // of the client; 0 means 65535
	Will           *Will         // nil for none
}

// Connect begins a connection to this session, new or resumed. The will of an earlier connection is
// withdrawn: the client came back before it was due [MQTT-3.1.3-9]. What was sent and not acknowledged
// is sent again by the Pumps that follow [MQTT-4.4.0-1].
func (s *Session) Connect(c Connect, now time.Time, o *Output) {
	wasSaved := s.saved
	if s.will != nil && c.Will == nil {
		s.save(o, Change{Kind: WillCleared})
	}
	s.user, s.protocol, s.expiry = c.User, c.Protocol, c.Expiry
	s.setWill(c.Will)
	s.connected, s.endedAt = true, time.Time{}
	s.saved = s.durable() || s.will != nil || wasSaved
	s.quota = 65535
	if c.ReceiveMaximum > 0 {
		s.quota = c.ReceiveMaximum // [MQTT-4.9.0-1]
	}
	if s.limits.Inflight > 0 {
		s.quota = min(s.quota, s.limits.Inflight)
	}
	s.resend = len(s.inflight)
	for i := range s.inflight {
		s.inflight[i].early = false
	}
	kind := Created
	if wasSaved {
		kind = Connected
	}
	s.save(o, Change{Kind: kind, User: s.user, Protocol: s.protocol, Expiry: s.expiry, At: now})
	if s.will != nil {
		s.save(o, Change{Kind: WillSet, Will: s.will})
	}
}

// Undo makes s what it was before the last Connect, whose Save failed.
func (s *Session) Undo(before *Session) {
	s.limits.Wills.add(before.willCost() - s.willCost())
	*s = *before
}

func (s *Session) setWill(w *Will) {
	before := s.willCost()
	s.will = w
	s.limits.Wills.add(s.willCost() - before)
}

func (s *Session) willCost() int64 {
	if s.will == nil {
		return 0
	}
	return Cost(s.will.Message)
}

// Disconnect ends the connection. withdraw takes the will away unpublished (DISCONNECT 0x00)
// [MQTT-3.1.2-10]; expiry, if not negative, replaces the session's (MQTT 5 DISCONNECT). A will that is due at once
// and the end of a session that does not outlive its connection come out of the Tick that is part of it.
func (s *Session) Disconnect(withdraw bool, expiry time.Duration, now time.Time, o *Output) {
	if !s.connected {
		return
	}
	s.connected, s.endedAt = false, now
	if expiry >= 0 {
		s.expiry = expiry
	}
	if withdraw && s.will != nil {
		s.setWill(nil)
		s.save(o, Change{Kind: WillCleared})
	}
	s.save(o, Change{Kind: Disconnected, Expiry: s.expiry, At: now})
	s.Tick(now, o)
}

// Tick does what time has made due while no connection is there: the will, the end of the session.
// The will of a session that ends is published at its end at the latest [MQTT-3.1.2-8].
func (s *Session) Tick(now time.Time, o *Output) {
	if s.connected {
		return
	}
	ends := s.EndsBy(now)
	if s.will != nil && (ends || !now.Before(s.endedAt.Add(s.will.Delay))) {
		s.publishWill(now, o)
	}
	if ends {
		s.End(o)
	}
}

// EndsBy tells whether the session, without a connection, has outlived its expiry at now.
func (s *Session) EndsBy(now time.Time) bool {
	return !s.connected && s.expiry != Never && !now.Before(s.endedAt.Add(s.expiry))
}

// Due returns when Tick has something to do; zero if never.
func (s *Session) Due() time.Time {
	if s.connected {
		return time.Time{}
	}
	var due time.Time
	if s.expiry != Never {
		due = s.endedAt.Add(s.expiry)
	}
	if s.will != nil {
		if w := s.endedAt.Add(s.will.Delay); due.IsZero() || w.Before(due) {
			due = w
		}
	}
	return due
}

// Discard ends the session because a client with Clean Start asked for a new one [MQTT-3.1.2-4]; a will
// that waited for its delay is due with the end of its session.
func (s *Session) Discard(now time.Time, o *Output) {
	if s.will != nil {
		s.publishWill(now, o)
	}
	s.End(o)
}

// End forgets everything: nothing of the session is published or sent again.
func (s *Session) End(o *Output) {
	s.drop(o, DropEnded, s.queue.len())
	for i := range s.inflight {
		s.forget(&s.inflight[i])
	}
	for i := range s.queue.len() {
		s.forget(s.queue.at(i))
	}
	s.setWill(nil)
	s.countFilters(-s.filterBytes)
	s.save(o, Change{Kind: Ended})
	s.saved, s.inflight, s.window, s.queue, s.resend, s.replays = false, nil, nil, deque{}, 0, nil
	o.Ended = true
}

// publishWill puts a copy of the will with its times into the Output. It is cleared in the Save of the
// same Output, which is one record with what its routing saves: so it is published once.
func (s *Session) publishWill(now time.Time, o *Output) {
	m := new(broker.Message)
	*m = *s.will.Message
	m.Received = now
	if s.will.Expiry > 0 {
		m.Expires = now.Add(s.will.Expiry)
	}
	o.Route = m
	s.setWill(nil)
	s.save(o, Change{Kind: WillCleared})
}

// PublishWill publishes the will of a session that is still connected, because the broker is about to end; one with
// a delay is kept if keepDelayed says that the session's store will bring it back.
func (s *Session) PublishWill(keepDelayed bool, now time.Time, o *Output) {
	if s.will == nil || keepDelayed && s.durable() && s.will.Delay > 0 {
		return
	}
	s.publishWill(now, o)
}
