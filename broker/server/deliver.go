package server

import (
	"cmp"
	"slices"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
)

// delivering carries the messages of one goroutine to the sessions that they matched. It implements router.Deliverer.
type delivering struct {
	server *Server
	now    time.Time
	turn   turn             // connections to be flushed by whoever owns this
	cost   int64            // session.Cost of the message, 0: not counted yet
	with   []session.Change // of the publisher, saved in the same record as the deliveries; for one Deliver

	topics    packets.Topics
	publish   packets.Publish // the message that is being taken over
	message   broker.Message  // the same, if nobody keeps it
	receiving session.Output  // what that changed in its publisher's session

	stored  []stored // for sessions on disk
	memory  []int    // QoS 1 and 2 for others, places in to
	changes []session.Change
	shared  [2]packets.Shared // by version, made when the first subscriber needs it
	has     [2]bool
	noRoom  uint64
	large   uint64
}

// stored is a delivery whose session is kept on disk.
type stored struct {
	to  *subscriber
	d   session.Delivery
	seq uint64 // as the session took it, 0: it did not
}

// Deliver sends m to all of to. Sessions on disk come first: if they cannot be saved nobody gets it.
func (d *delivering) Deliver(m *broker.Message, to []router.Delivery) (broker.Index, error) {
	d.stored, d.memory, d.changes, d.cost = d.stored[:0], d.memory[:0], append(d.changes[:0], d.with...), 0
	for i := range to {
		if to[i].QoS == 0 {
			continue
		}
		if c := to[i].To.(*subscriber); d.server.opt.Store != nil && c.keeps.Load() {
			d.stored = append(d.stored, stored{to: c, d: d.delivery(m, &to[i])})
		} else {
			d.memory = append(d.memory, i)
		}
	}
	index, err := d.deliverStored()
	clear(d.stored)
	clear(d.changes)
	d.with = nil
	if err != nil {
		return 0, err
	}
	for i := range to {
		if to[i].QoS == 0 {
			d.deliver0(to[i].To.(*subscriber), m, &to[i])
		}
	}
	for _, i := range d.memory {
		d.deliverInMemory(to[i].To.(*subscriber), m, &to[i])
	}
	d.count()
	return index, nil
}

func (d *delivering) delivery(m *broker.Message, to *router.Delivery) session.Delivery {
	if d.cost == 0 {
		d.cost = session.Cost(m)
	}
	return session.Delivery{Message: m, QoS: to.QoS, Retain: to.Retain, IDs: to.IDs, Cost: d.cost}
}

// deliver0 sends a QoS 0 message, or drops it if the connection has no room.
func (d *delivering) deliver0(c *subscriber, m *broker.Message, to *router.Delivery) {
	c.mu.Lock()
	conn := c.conn
	if conn == nil || c.client.session != c.session {
		c.mu.Unlock()
		return // QoS 0 messages are not kept for those who are away
	}
	shared := d.share(conn.version, m)
	p := packets.Delivery{Retain: to.Retain, SubscriptionIDs: to.IDs, Expiry: expiryLeft(m, d.now)}
	switch conn.sendPublish(shared, &p, false, &d.turn) {
	case noRoom:
		d.noRoom++
		c.dropped0++
		c.slowAt = d.now
	case tooLarge:
		d.large++
		c.dropped0++
	}
	c.mu.Unlock()
}

func (d *delivering) share(v packets.Version, m *broker.Message) *packets.Shared {
	i := v - packets.V4
	if !d.has[i] {
		d.shared[i], d.has[i] = packets.Share(v, string(m.Topic), m.Properties, m.Payload), true
	}
	return &d.shared[i]
}

func (d *delivering) deliverInMemory(c *subscriber, m *broker.Message, to *router.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.session != c.session {
		return
	}
	c.out.Reset()
	c.session.Deliver(d.delivery(m, to), c.hasRoomLocked(), &c.out)
	c.carryLocked(d.now, &d.turn)
}

// hasRoomLocked tells whether a QoS 1 or 2 message may be sent now; if not, writeLoop's next write pumps.
func (c *client) hasRoomLocked() bool {
	if c.conn == nil {
		return false
	}
	return c.roomLocked() > 0
}

// roomLocked returns how many bytes of messages the connection takes now. If there are none, blocked is set, and then
// it looks once more: a write that ended before has not seen it.
func (c *client) roomLocked() int64 {
	room := c.conn.freeRoom()
	if room <= 0 {
		if !c.blocked.Load() {
			c.setBlockedLocked(true, c.server.now())
		}
		room = c.conn.freeRoom()
	}
	return room
}

// deliverStored steps all sessions of d.stored under their locks, saves what they and the publisher changed as one
// record, and sends. After a crash either all of them have the message or, with the publisher not acknowledged, none.
func (d *delivering) deliverStored() (broker.Index, error) {
	slices.SortFunc(d.stored, func(a, b stored) int { return cmp.Compare(a.to.ordinal, b.to.ordinal) })
	for i := range d.stored {
		c := d.stored[i].to
		if i == 0 || d.stored[i-1].to.client != c.client {
			c.mu.Lock()
			c.out.Reset()
		}
		if c.client.session == c.session {
			saved := len(c.out.Save)
			d.stored[i].seq = c.session.Deliver(d.stored[i].d, c.hasRoomLocked(), &c.out)
			d.changes = append(d.changes, c.out.Save[saved:]...)
		}
	}
	index, err := d.server.save(d.changes)
	for i := len(d.stored) - 1; i >= 0; i-- {
		c := d.stored[i].to
		if err != nil && d.stored[i].seq > 0 {
			c.session.TakeBack(d.stored[i].seq)
		}
		if i > 0 && d.stored[i-1].to.client == c.client {
			continue
		}
		d.server.counters.drops(c.out.Drops)
		if err == nil {
			c.sendLocked(index, d.now, &d.turn)
		}
		c.mu.Unlock()
	}
	return index, err
}

// count adds what Deliver counted and forgets the message.
func (d *delivering) count() {
	k := &d.server.counters
	if d.noRoom > 0 {
		k.drop(DropNoRoom, d.noRoom)
	}
	if d.large > 0 {
		k.drop(session.DropTooLarge, d.large)
	}
	d.noRoom, d.large, d.cost = 0, 0, 0
	d.has = [2]bool{}
	d.shared = [2]packets.Shared{}
}
