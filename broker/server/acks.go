package server

import (
	"context"
	"slices"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

// ack answers a packet of the client once index is durable, and behind the answers before it.
func (c *conn) ack(a ack) {
	o := &c.out
	o.mu.Lock()
	if len(o.acks) == 0 && c.server.isDurable(a.index) {
		c.appendAckLocked(&a)
		c.unlockAndMark(&c.deliver.turn)
		return
	}
	if o.closing {
		o.mu.Unlock()
		return
	}
	o.acks = append(o.acks, a)
	o.answers += a.bytes()
	last := c.server.hurry.waits(&o.clock, len(o.acks), c.deliver.now)
	o.mu.Unlock()
	c.await(a.index, last, &c.deliver.turn)
}

// waitForDisk has no more read from a client whose message needs index to be durable, when the disk has much to do: what
// is not acknowledged, as a retained message of QoS 0, or what is acknowledged before, would else fill the journal, and the messages of
// all others would fail.
func (c *conn) waitForDisk(index broker.Index) {
	if index == 0 || c.server.isWritten(index) || !c.server.opt.Durable.Crowded() {
		return
	}
	c.out.mu.Lock()
	c.out.disk = index
	c.out.mu.Unlock()
	c.await(index, false, &c.deliver.turn)
}

// hold sends a QoS 2 packet once index is durable: a message that is begun under an identifier which a crash
// makes us forget would be delivered twice.
func (c *conn) hold(index broker.Index, send session.Send, t *turn) {
	o := &c.out
	o.mu.Lock()
	o.held = append(o.held, heldSend{index, send})
	o.holding.Store(true)
	last := c.server.hurry.waits(&o.heldClock, len(o.held), c.server.now())
	o.mu.Unlock()
	c.await(index, last, t)
}

// holds is asked for each QoS 1 and 2 message, under the client's lock.
func (c *conn) holds() bool { return c.out.holding.Load() }

func (c *conn) appendAckLocked(a *ack) {
	why := a.why
	if !c.problems {
		why = ""
	}
	switch a.kind {
	case packets.TypePuback:
		c.acknowledgedLocked()
		if a.code == packets.Success {
			c.appendPlainLocked(a.kind, a.id)
			return
		}
		c.appendPacketLocked(&packets.Puback{PacketID: a.id, Code: a.code, ReasonString: why})
	case packets.TypePubrec:
		if a.code == packets.Success {
			c.appendPlainLocked(a.kind, a.id)
			return
		}
		if a.code.Failed() {
			c.acknowledgedLocked()
		}
		c.appendPacketLocked(&packets.Pubrec{PacketID: a.id, Code: a.code, ReasonString: why})
	case packets.TypePubcomp:
		if a.code == packets.Success {
			c.acknowledgedLocked()
			c.appendPlainLocked(a.kind, a.id)
			return
		}
		c.appendPacketLocked(&packets.Pubcomp{PacketID: a.id, Code: a.code})
	default:
		c.appendPacketLocked(a.packet)
	}
}

// acknowledgedLocked gives a place of the Receive Maximum back. Messages of an earlier connection had none.
func (c *conn) acknowledgedLocked() { c.out.receiving = max(0, c.out.receiving-1) }

// isDurable asks the journal only if what it told last is not enough.
func (s *Server) isDurable(i broker.Index) bool {
	if uint64(i) <= s.durable.Load() {
		return true
	}
	return s.opt.Durable != nil && i != never && i <= s.opt.Durable.Durable()
}

// isWritten is isDurable for who is held back until it is so.
func (s *Server) isWritten(i broker.Index) bool {
	if s.opt.Fast && s.opt.Durable != nil {
		return i <= s.opt.Durable.Durable()
	}
	return s.isDurable(i)
}

// await puts c among those that the next commit may release; last: nothing more is to be expected before it. If the commit
// came in between, the turn's flush does it: here the lock of a client may be held.
func (c *conn) await(index broker.Index, last bool, t *turn) {
	s, o := c.server, &c.out
	o.mu.Lock()
	if !o.listed {
		o.listed = true
		s.waitMu.Lock()
		s.waiting = append(s.waiting, c)
		s.waitMu.Unlock()
	}
	o.mu.Unlock()
	if s.isWritten(index) {
		t.release = s
	} else if index != never {
		s.opt.Durable.Await(index, last)
	}
}

// onDurable is called after each commit of the journal.
func (s *Server) onDurable(i broker.Index) {
	for {
		old := s.durable.Load()
		if uint64(i) <= old {
			break
		}
		if s.durable.CompareAndSwap(old, uint64(i)) {
			break
		}
	}
	s.commits.Add(1)
	s.hurry.begin()
	s.release()
}

// waitDurable waits until index is durable, as long as a CONNECT may take. Only a connection that begins may wait.
func (s *Server) waitDurable(ctx context.Context, index broker.Index) error {
	if s.limits.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.limits.ConnectTimeout)
		defer cancel()
	}
	for !s.isDurable(index) {
		next := s.nextCommit()
		if s.isDurable(index) { // it came in between
			return nil
		}
		if index != never {
			s.opt.Durable.Await(index, false)
		}
		select {
		case <-next:
		case <-s.stop:
			return &refusedError{packets.ServerShuttingDown, RefuseUnavailable, "the broker is shutting down"}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nextCommit is closed by the next commit.
func (s *Server) nextCommit() <-chan struct{} {
	s.waitMu.Lock()
	defer s.waitMu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// release sends everything that waited for what is durable now. Several goroutines may: whom one has put back that had not seen
// another's commit yet, that one has not found.
func (s *Server) release() {
	for again := true; again; {
		commits := s.commits.Load()
		s.releaseOnce()
		again = s.commits.Load() != commits
	}
}

// releaseOnce does so by one write per connection.
func (s *Server) releaseOnce() {
	s.waitMu.Lock()
	waiting := s.waiting
	s.waiting = nil
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
	s.waitMu.Unlock()
	var t turn
	for _, c := range waiting {
		c.release(&t)
	}
	t.flush()
}

func (c *conn) release(t *turn) {
	o := &c.out
	o.mu.Lock()
	if o.closing { // the client sends again what was not acknowledged, and gets again what was held
		o.acks, o.answers, o.held, o.disk, o.listed = nil, 0, nil, 0, false
		o.holding.Store(false)
		o.mu.Unlock()
		return
	}
	done := 0
	for done < len(o.acks) && c.server.isDurable(o.acks[done].index) {
		c.appendAckLocked(&o.acks[done])
		o.answers -= o.acks[done].bytes()
		done++
	}
	if done > 0 {
		c.server.hurry.answered(&o.clock, len(o.acks), c.server.now())
		o.acks = slices.Delete(o.acks, 0, done)
	}
	if o.disk > 0 && c.server.isWritten(o.disk) {
		o.disk = 0
	}
	ready := len(o.held) > 0 && c.server.isDurable(o.held[0].index)
	if ready {
		c.server.hurry.answered(&o.heldClock, len(o.held), c.server.now())
	}
	if o.listed = len(o.acks) > 0 || o.disk > 0; o.listed {
		c.server.waitMu.Lock()
		c.server.waiting = append(c.server.waiting, c)
		c.server.waitMu.Unlock()
	}
	c.wire.roomLocked()
	c.unlockAndMark(t)
	if ready || done > 0 {
		c.client.released(c, t)
	}
	c.awaitHeld(t)
}

// heldNow returns the held packet in place i if it may go.
func (c *conn) heldNow(i int) (send session.Send, ok bool) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if i >= len(o.held) || !c.server.isDurable(o.held[i].index) {
		return send, false
	}
	return o.held[i].send, true
}

// sentHeld forgets the first n, which have gone.
func (c *conn) sentHeld(n int) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = slices.Delete(o.held, 0, min(n, len(o.held)))
	o.holding.Store(len(o.held) > 0)
	c.wire.roomLocked()
}

// awaitHeld goes on waiting for what is still held.
func (c *conn) awaitHeld(t *turn) {
	c.out.mu.Lock()
	n := len(c.out.held)
	var index broker.Index
	if n > 0 {
		index = c.out.held[0].index
	}
	c.out.mu.Unlock()
	if n > 0 {
		c.await(index, false, t)
	}
}
