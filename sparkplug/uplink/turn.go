package uplink

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// carry publishes the births and then what happens, until an ending.
func (s *session) carry(ctx context.Context) (ending, error) {
	s.l.conn.cork()
	err := s.begin()
	defer s.end()
	if e := s.l.conn.uncork(); err == nil {
		err = e
	}
	if err != nil {
		return ending{}, err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e, wait, err := s.turn(ctx)
		if err != nil {
			return ending{}, err
		}
		if e != nil {
			s.n.set(Dying, e.reason)
			s.farewell()
			s.after(*e)
			return *e, nil
		}
		if wait <= 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-s.n.wake:
		case <-s.l.done():
		case <-timer.C:
		}
	}
}

// turn does what can be done now. It returns how long nothing else is due.
func (s *session) turn(ctx context.Context) (*ending, time.Duration, error) {
	select {
	case <-s.l.done():
		s.confirm()
		return nil, 0, s.l.cause()
	default:
	}
	s.confirm()
	if e := s.readInbound(ctx); e != nil {
		return e, 0, nil
	}
	if e := s.mustEnd(ctx); e != nil {
		return e, 0, nil
	}
	s.n.trim(ctx, s)
	s.l.conn.cork()
	e, busy, err := s.write(ctx)
	if flushed := s.l.conn.uncork(); err == nil && flushed != nil {
		err = fmt.Errorf("write to the server: %s", plainError(flushed))
	}
	if e != nil || err != nil {
		return e, 0, err
	}
	s.show()
	if busy {
		return nil, 0, nil
	}
	wait, err := s.wait(time.Now())
	return nil, wait, err
}

// write sends births, live values, history and the barrier, as far as there is room. busy: there is more.
func (s *session) write(ctx context.Context) (e *ending, busy bool, err error) {
	now := time.Now()
	most := s.u.o.BarrierMessages
	if !s.rebirthAt.IsZero() && !now.Before(s.rebirthAt) {
		if err := s.births(); err != nil {
			return nil, false, err
		}
	}
	if s.held {
		return nil, false, s.pingIfDue()
	}
	due, _ := s.historyDue(now)
	inTurn := s.u.o.FlushMode != modeInOrder || !due // else live values wait for the history
	if len(s.tail) == 0 && inTurn {
		s.takeInbox()
	}
	if s.barrier.room(most) && inTurn {
		if e, err := s.sendLive(); e != nil || err != nil {
			return e, false, err
		}
	}
	due, wait := s.historyDue(now)
	if due && wait <= 0 && s.barrier.room(most) {
		if err := s.sendHistory(ctx); err != nil {
			return nil, false, err
		}
		busy = s.barrier.room(most)
	}
	if !due && s.caughtUp && s.barrier.unconfirmed() == 0 {
		if err := s.finish(); err != nil {
			return nil, false, err
		}
		if s.postmortem {
			return &ending{endPostmortem, "the dead node's history is delivered"}, false, nil
		}
	}
	if err := s.pingIfDue(); err != nil {
		return nil, false, err
	}
	return nil, busy || len(s.tail) > 0 && s.barrier.room(most) && inTurn, nil
}

// pingIfDue asks the server whether it has read what was written.
func (s *session) pingIfDue() error {
	if !s.barrier.due(time.Now(), s.u.o.BarrierMessages, s.u.o.BarrierEvery) {
		return nil
	}
	if err := s.l.conn.ping(); err != nil {
		return err
	}
	s.barrier.pinged(time.Now())
	return nil
}

// takeInbox takes what the feed left. The feed's position is read first: everything up to it is in the inbox then.
func (s *session) takeInbox() {
	s.takenAt = s.u.fed()
	items, lagging := s.n.take()
	s.tail = items
	if s.lagging == nil {
		s.lagging = lagging
		return
	}
	maps.Copy(s.lagging, lagging)
}

// mustEnd looks for reasons to end the session in order.
func (s *session) mustEnd(ctx context.Context) *ending {
	switch {
	case ctx.Err() != nil:
		return &ending{endStopped, "the uplink stops"}
	case s.u.hostOffline(s.server, s.hostLeft):
		return &ending{endHost, "the primary host " + s.u.o.PrimaryHost + " went offline"}
	case s.u.o.FlushMode == modeInOrder && s.deadMeanwhile(): // its death would wait behind the history
		return &ending{endDeath, "the node died in the plant"}
	case s.u.moved(s.server):
		return &ending{endMove, "moving to the next server"}
	}
	return nil
}

// deadMeanwhile tells whether the node is dead in the plant while its session is not a postmortem one.
func (s *session) deadMeanwhile() bool {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	return !s.postmortem && !s.n.model.born
}

// after does what an ending asks for besides.
func (s *session) after(e ending) {
	switch e.kind {
	case endHost:
		s.u.lost(s.n.ref, e.reason, s.server)
		s.u.walk(s.server, s.hostLeft) // also when the host is back there by now
		if s.u.o.HostRewind > 0 {
			samples := s.n.rewind(s.u.o.Clock().Add(-s.u.o.HostRewind))
			s.u.rewound(s.n.ref, samples)
		}
	case endMove, endForeign:
		s.u.lost(s.n.ref, e.reason, s.server)
	}
}

// wait returns when the next thing is due. It is an error when the server owes an answer for too long.
func (s *session) wait(now time.Time) (time.Duration, error) {
	next := s.barrier.last.Add(s.l.keepAlive / 2)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if w := s.barrier.waiting; len(w) > 0 {
		dead := w[0].at.Add(s.l.keepAlive)
		if !now.Before(dead) {
			return 0, fmt.Errorf("%s has not answered for %s", s.u.o.Servers[s.server].redacted(), s.l.keepAlive)
		}
		next = dead
	} else if s.barrier.msgs() > 0 {
		sooner(s.barrier.open.at.Add(s.u.o.BarrierEvery))
	} else if !now.Before(next) {
		if err := s.l.conn.ping(); err != nil {
			return 0, err
		}
		s.barrier.pinged(now)
		return s.l.keepAlive / 2, nil
	}
	if due, wait := s.historyDue(now); due && !s.held && s.barrier.room(s.u.o.BarrierMessages) {
		sooner(now.Add(wait))
	}
	if !s.rebirthAt.IsZero() {
		sooner(s.rebirthAt)
	}
	return max(next.Sub(now), time.Millisecond), nil
}

// show puts the session's state on the status.
func (s *session) show() {
	_, _, history := s.sent.gap(s.pos)
	switch {
	case s.postmortem:
		s.n.set(Flushing, "the node is dead in the plant; sending the history that it owes, everything marked stale")
	case history && s.u.o.FlushMode == modeInOrder:
		s.n.set(Flushing, "sending history; live values follow it")
	case history:
		s.n.set(Flushing, "live, and sending history")
	default:
		s.n.set(Live, "live")
	}
}
