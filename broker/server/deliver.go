package server

import (
	"cmp"
	"errors"
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
	work   uint64           // deliveries so far, and other work that takes about as long
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

	// Of the last Deliver, for the answer to the publisher.
	also router.Elsewhere
	sums
}

// sums is what became of a message.
type sums struct {
	matched int // sessions
	took    int // have it, QoS 0 included
	full    int // of QoS 1 or 2, had no room in their queue
}

func (s *sums) add(more sums) {
	s.matched += more.matched
	s.took += more.took
	s.full += more.full
}

// stored is a delivery whose session is kept on disk.
type stored struct {
	to  *subscriber
	d   session.Delivery
	seq uint64 // as the session took it, 0: it did not

	shared  *router.Delivery // one among several members; nil for others
	present bool             // it was there when it was chosen
	again   bool             // another is to be chosen
}

// Deliver sends m to all of to. Sessions on disk come before others: if they cannot be saved nobody of to gets it, but for a session in memory
// that was chosen among the members of a shared subscription.
func (d *delivering) Deliver(m *broker.Message, to []router.Delivery, also router.Elsewhere) (broker.Index, error) {
	d.stored, d.memory, d.cost = d.stored[:0], d.memory[:0], 0
	d.also, d.sums = also, sums{matched: len(to)}
	var later []session.Change
	if also.More { // what the publisher's session needs saved goes with the last portion
		later, d.with = d.with, nil
	}
	d.work += uint64(len(to))
	for i := range to {
		x := &to[i]
		switch {
		case x.Share != nil:
			if !d.deliverShared(m, x) {
				d.stored = append(d.stored, d.storedFor(m, x))
			}
		case x.QoS == 0:
		case d.server.isStored(x.To.(*subscriber)):
			d.stored = append(d.stored, stored{to: x.To.(*subscriber), d: d.delivery(m, x)})
		default:
			d.memory = append(d.memory, i)
		}
	}
	index, err := d.deliverStored(m)
	clear(d.stored)
	clear(d.changes)
	d.with = nil
	defer d.count()
	if err != nil {
		return 0, err
	}
	d.with = later
	for i := range to {
		if to[i].QoS == 0 && to[i].Share == nil {
			d.deliver0(to[i].To.(*subscriber), m, &to[i])
		}
	}
	for _, i := range d.memory {
		d.deliverInMemory(to[i].To.(*subscriber), m, &to[i])
	}
	return index, nil
}

func (d *delivering) delivery(m *broker.Message, to *router.Delivery) session.Delivery {
	if d.cost == 0 {
		d.cost = session.Cost(m)
	}
	x := session.Delivery{Message: m, QoS: to.QoS, Retain: to.Retain, IDs: to.IDs, Cost: d.cost}
	if to.Share != nil {
		x.Shared = to.Share.Filter()
	}
	return x
}

// deliver0 sends a QoS 0 message, or drops it if the connection has no room.
func (d *delivering) deliver0(c *subscriber, m *broker.Message, to *router.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.send0Locked(c, m, to)
}

func (d *delivering) send0Locked(c *subscriber, m *broker.Message, to *router.Delivery) {
	conn := c.conn
	if conn == nil || c.client.session != c.session {
		return // QoS 0 messages are not kept for those who are away
	}
	shared := d.share(conn.version, m)
	p := packets.Delivery{Retain: to.Retain, SubscriptionIDs: to.IDs, Expiry: expiryLeft(m, d.now)}
	switch conn.sendPublish(shared, &p, false, &d.turn) {
	case taken:
		d.took++
	case noRoom:
		d.noRoom++
		c.dropped0++
		c.slowAt = d.now
	case tooLarge:
		d.large++
		c.dropped0++
	}
}

func (d *delivering) share(v packets.Version, m *broker.Message) *packets.Shared {
	i := v - packets.V4
	if !d.has[i] {
		d.shared[i], d.has[i] = packets.Share(v, string(m.Topic), m.Properties, m.Payload), true
	}
	return &d.shared[i]
}

// deliverInMemory gives m to a session that is not saved. A message of a shared subscription is for who is there.
func (d *delivering) deliverInMemory(c *subscriber, m *broker.Message, to *router.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.session != c.session || to.Share != nil && !c.presentLocked() {
		return false
	}
	c.out.Reset()
	seq := c.session.Deliver(d.delivery(m, to), c.hasRoomLocked(), &c.out)
	d.tally(seq, c.session)
	c.carryLocked(d.now, &d.turn)
	return seq > 0
}

// tally counts what became of one delivery, for the answer to the publisher.
func (d *delivering) tally(seq uint64, s *session.Session) {
	switch {
	case seq > 0:
		d.took++
	case s.Connected() || s.Expiry() > 0: // else it has just ended
		d.full++
	}
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
// record, and sends. After a crash either all of them have the message or, with the publisher not acknowledged, none; of a message for so many
// that they get it in portions this holds for each.
func (d *delivering) deliverStored(m *broker.Message) (broker.Index, error) {
	if len(d.stored)+len(d.with) == 0 {
		return 0, nil
	}
	for tries := 1; ; tries++ {
		again := d.stepStored() && tries < maxChoices
		if again {
			d.leaveStored(0, errChooseAgain)
			d.chooseAgain(m)
			continue
		}
		index, err := d.server.save(d.changes)
		d.leaveStored(index, err)
		return index, err
	}
}

// errChooseAgain is why a step is taken back whose message another member of a shared subscription is to get.
var errChooseAgain = errors.New("choose again")

// stepStored locks the clients of d.stored and gives their sessions the message. It tells whether another member may be found for one
// that was refused: whom others have filled in between, or who has gone.
func (d *delivering) stepStored() (again bool) {
	d.changes = append(d.changes[:0], d.with...)
	slices.SortFunc(d.stored, func(a, b stored) int { return cmp.Compare(a.to.ordinal, b.to.ordinal) })
	for i := range d.stored {
		x := &d.stored[i]
		c := x.to
		if i == 0 || d.stored[i-1].to.client != c.client {
			c.mu.Lock()
			c.out.Reset()
		}
		x.seq = 0
		if c.client.session == c.session {
			saved := len(c.out.Save)
			x.seq = c.session.Deliver(x.d, c.hasRoomLocked(), &c.out)
			d.changes = append(d.changes, c.out.Save[saved:]...)
		}
		x.again = x.shared != nil && (x.seq == 0 || x.present && !c.presentLocked())
		again = again || x.again
	}
	return again
}

// leaveStored sends, or after an error takes back, what stepStored did, and unlocks.
func (d *delivering) leaveStored(index broker.Index, err error) {
	for i := len(d.stored) - 1; i >= 0; i-- {
		x := &d.stored[i]
		c := x.to
		switch {
		case err == nil && c.client.session == c.session:
			d.tally(x.seq, c.session)
		case x.seq > 0:
			c.session.TakeBack(x.seq)
		}
		if i > 0 && d.stored[i-1].to.client == c.client {
			continue
		}
		if err == nil {
			d.server.counters.drops(c.out.Drops)
			c.sendLocked(index, d.now, &d.turn)
		}
		c.mu.Unlock()
	}
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
