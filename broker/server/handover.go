package server

import (
	"slices"
	"time"

	"edge/broker"
	"edge/broker/router"
	"edge/broker/session"
	"edge/broker/topic"
)

// What a member of a shared subscription was given and has not finished goes to another member when it leaves (section 4.8.2): at once to
// one that is there, and when its session ends to one that is away, too. What is on disk goes to a session on disk, in one record, so
// that it is always in one of them; only when its session ends it goes to whoever there is. A QoS 2 message that was begun stays where
// it is [MQTT-4.8.2-4] [MQTT-4.8.2-5], and one that a client refused is gone [MQTT-4.8.2-6].

// offers are the clients that hold messages of shared subscriptions which another member might get.
type offers map[*client]struct{}

// offer has tickLoop hand over what c holds.
func (s *Server) offer(c *client) {
	s.offerMu.Lock()
	s.offered[c] = struct{}{}
	s.offerMu.Unlock()
	s.wakeTicks()
}

// offerTo has handed over what members that are away hold of shared subscriptions which someone has just joined or come back to.
func (s *Server) offerTo(filters []topic.Filter) {
	for _, f := range filters {
		share := s.router.Share(f)
		if share == nil {
			continue
		}
		for at := range share.Len() {
			if who := share.Member(&broker.Message{}, at).To.(*subscriber); !who.Online() && who.sharedCount() > 0 {
				s.offer(who.client)
			}
		}
	}
}

func (c *client) sharedCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return 0
	}
	return c.session.SharedCount()
}

// takeOffers hands over what was offered, on tickLoop. What finds those that are there full is offered again with the next tick.
func (s *Server) takeOffers() {
	s.offerMu.Lock()
	offered := s.offered
	s.offered = make(offers)
	s.offerMu.Unlock()
	for c := range offered {
		if s.handOver(c, false) {
			s.offerMu.Lock()
			s.offered[c] = struct{}{}
			s.offerMu.Unlock()
		}
	}
}

// handOver gives the messages that c, which is away, got by shared subscriptions to other members. ending says that its session is about to
// end. It tells whether to try again, because those that are there are full.
func (s *Server) handOver(c *client, ending bool) (again bool) {
	c.mu.Lock()
	if c.session == nil || c.session.SharedCount() == 0 {
		c.mu.Unlock()
		return false
	}
	h := handover{delivering: delivering{server: s, now: s.now()}, from: c.self, ending: ending}
	entries := c.session.Movable()
	c.mu.Unlock()
	for i := range entries {
		if e := &entries[i]; !slices.Contains(h.nobody, e.Shared) {
			h.give(e)
		}
	}
	h.turn.flush()
	return h.full
}

// handover is the memory of one handOver.
type handover struct {
	delivering
	from   *subscriber
	ending bool
	nobody []topic.Filter // shared subscriptions of which nobody takes more
	full   bool           // of one of them, those that are there are full
}

// give finds a member for e and gives it to it.
func (h *handover) give(e *session.Entry) {
	share := h.server.router.Share(e.Shared)
	if share == nil || expiredAt(e.Message, h.now) {
		return
	}
	h.count()
	present := false
	to := share.Member(e.Message, share.Next())
	best := h.choose(e.Message, &to, func(who *subscriber) bool {
		if !h.mayTake(who, share) {
			return false
		}
		present = present || who.Online()
		return true
	})
	if best == refuses || best == keeps && !h.ending {
		h.nobody = append(h.nobody, e.Shared)
		h.full = h.full || present
		return
	}
	h.move(e, &to)
}

// mayTake tells whether what h.from holds may become who's: its own session keeps it on disk, or this is the last chance.
func (h *handover) mayTake(who *subscriber, share *router.Share) bool {
	switch {
	case who.client == h.from.client:
		return false
	case h.ending:
		return true
	}
	return who.Online() && (who.keeps.Load() || !h.from.keeps.Load())
}

// move gives e, which is h.from's, to another session, in one record.
func (h *handover) move(e *session.Entry, to *router.Delivery) {
	from, who := h.from, to.To.(*subscriber)
	lockBoth(from.client, who.client)
	defer from.mu.Unlock()
	defer who.mu.Unlock()
	if from.online.Load() || from.client.session != from.session || who.client.session != who.session || len(who.owed) > 0 {
		return // one of them has come, gone or failed in between
	}
	from.out.Reset()
	who.out.Reset()
	if !from.session.Giving(e.Seq, &from.out) {
		return
	}
	var seq uint64
	if to.QoS > 0 {
		if seq = who.session.Deliver(h.delivery(e.Message, to), who.hasRoomLocked(), &who.out); seq == 0 {
			return
		}
	}
	index, err := h.server.save(slices.Concat(from.owed, who.out.Save, from.out.Save))
	if err != nil {
		if seq > 0 {
			who.session.TakeBack(seq)
		}
		return
	}
	from.owed = nil
	from.session.Give(e.Seq)
	if seq == 0 {
		h.send0Locked(who, e.Message, to)
		return
	}
	who.sendLocked(index, h.now, &h.turn)
}

// lockBoth locks two clients in their order.
func lockBoth(a, b *client) {
	if a.ordinal > b.ordinal {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
}

func expiredAt(m *broker.Message, now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}
