package server

import (
	"edge/broker"
	"edge/broker/packets"
	"edge/broker/router"
)

// standing is how well a member of a shared subscription can take a message, the best last.
type standing uint8

const (
	refuses standing = iota // its queue is full, the message is too large for it, or it is away and would not get it
	keeps                   // it is away and its session keeps the message
	queues                  // it is connected and has as much as it takes for now
	sends                   // it is sent the message at once
)

// choose puts the member of a shared subscription that can take m best into to: beginning with the one whose turn it is, the first
// who is sent it at once, else the first of those that are as near to that as any. fits, unless nil, says who may be chosen.
func (d *delivering) choose(m *broker.Message, to *router.Delivery, fits func(*subscriber) bool) (best standing) {
	share, turn := to.Share, to.At
	for i := range share.Len() {
		candidate := share.Member(m, turn+i)
		who := candidate.To.(*subscriber)
		if fits != nil && !fits(who) {
			continue
		}
		if s := d.standing(who, m, &candidate); s > best {
			if *to, best = candidate, s; s == sends {
				break
			}
		}
	}
	return best
}

func (d *delivering) standing(c *subscriber, m *broker.Message, to *router.Delivery) standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.session != c.session {
		return refuses
	}
	delivery := d.delivery(m, to)
	if !c.presentLocked() {
		if to.QoS > 0 && c.keeps.Load() && c.session.Takes(&delivery) {
			return keeps
		}
		return refuses
	}
	if c.conn.maxPacket > 0 { // section 3.1.2.11.4
		p := packets.Delivery{QoS: to.QoS, SubscriptionIDs: to.IDs, Expiry: expiryLeft(m, d.now)}
		if c.conn.above(d.share(c.conn.version, m).Size(&p)) {
			return refuses
		}
	}
	room := c.conn.freeRoom() > 0
	switch {
	case to.QoS == 0 && !room, to.QoS > 0 && !c.session.Takes(&delivery):
		return refuses
	case to.QoS > 0 && (!room || !c.session.WindowOpen()):
		return queues
	}
	return sends
}

// presentLocked tells whether there is a connection that is not about to end.
func (c *client) presentLocked() bool { return c.conn != nil && c.online.Load() }

// maxChoices bounds how often another member is looked for when the one chosen has gone, or was filled by others, in between.
const maxChoices = 4

// deliverShared gives m to a member whose session is in memory. False: it is for a session on disk, with those that others have.
func (d *delivering) deliverShared(m *broker.Message, to *router.Delivery) (done bool) {
	for range maxChoices {
		d.choose(m, to, nil)
		who := to.To.(*subscriber)
		switch {
		case to.QoS == 0:
			d.deliver0(who, m, to)
			return true
		case d.server.isStored(who):
			return false
		case d.deliverInMemory(who, m, to):
			return true
		}
	}
	return true // nobody takes it: the last one has counted it
}

// isStored tells whether messages for c are saved.
func (s *Server) isStored(c *subscriber) bool { return s.opt.Store != nil && c.keeps.Load() }

// chooseAgain finds other members for the deliveries that were refused.
func (d *delivering) chooseAgain(m *broker.Message) {
	kept := d.stored[:0]
	for _, x := range d.stored {
		if x.again {
			if d.deliverShared(m, x.shared) {
				continue
			}
			x = d.storedFor(m, x.shared)
		}
		kept = append(kept, x)
	}
	d.stored = kept
}

// storedFor makes the delivery to a member on disk.
func (d *delivering) storedFor(m *broker.Message, to *router.Delivery) stored {
	who := to.To.(*subscriber)
	return stored{to: who, d: d.delivery(m, to), shared: to, present: who.online.Load()}
}
