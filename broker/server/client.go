package server

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
	"edge/broker/topic"
)

// client is one client identifier: its session and the connection it has, if any.
type client struct {
	server  *Server
	id      string
	ordinal uint64        // clients are locked in rising order
	turn    chan struct{} // holds one token: who has it may begin a connection
	online  atomic.Bool

	refs  int   // connections and attempts; guarded by Server.mu
	owner owner // who it was made for; guarded by Server.mu

	duePlace int // in Server.dues, from 1; 0: it is not there. Guarded by their lock

	mu       sync.Mutex
	session  *session.Session // nil: none
	self     *subscriber      // what the router knows session by
	identity auth.Identity
	conn     *conn            // nil: not connected, or ended
	replays  []replay         // retained messages to be sent, one entry per subscription
	replayAt broker.Index     // not before this is durable: the SUBACK comes first
	owed     []session.Change // of Saves that failed: they go before the next. Few, as the connection ends
	begunAt  broker.Index     // of the Save that began the connection: behind all that earlier connections saved
	keeps    atomic.Bool      // the session outlives its connection: its messages are saved
	blocked  atomic.Bool      // something waits for room in the connection's outbox
	out      session.Output

	// For the page; guarded by mu.
	last      *Departure // of the last connection that ended
	blockedAt time.Time  // when blocked was set
	slowAt    time.Time  // when the connection was too slow last; zero: never
	dropped0  uint64     // QoS 0 messages not delivered
}

// subscriber is one session of a client. A message that was matched for it does not reach the next, which another user may have.
type subscriber struct {
	*client
	session *session.Session
}

var _ router.Subscriber = (*subscriber)(nil)

// setSessionLocked gives the client a session.
func (c *client) setSessionLocked(s *session.Session) {
	c.session, c.self, c.dropped0 = s, &subscriber{c, s}, 0
}

func (s *Server) newClient(id string) *client {
	return &client{server: s, id: id, ordinal: s.ordinals.Add(1), turn: make(chan struct{}, 1)}
}

// ClientID returns the client identifier.
func (c *client) ClientID() string { return c.id }

// Online tells whether the client is connected.
func (c *client) Online() bool { return c.online.Load() }

func (c *client) routerSubscription(sub session.Subscription, protocol byte) router.Subscription {
	share, inner := splitShare(sub.Filter, protocol)
	return router.Subscription{
		Subscriber: c.self, Filter: inner, Share: share, QoS: sub.QoS, NoLocal: sub.NoLocal,
		RetainAsPublished: sub.RetainAsPublished, ID: sub.ID,
	}
}

// splitShare takes a shared filter apart. 3.1.1 has no shared subscriptions: there $share is a level like any other.
func splitShare(f topic.Filter, protocol byte) (share string, inner topic.Filter) {
	if protocol != byte(packets.V5) {
		return "", f
	}
	share, inner, err := topic.ParseShare(f)
	if err != nil {
		return "", f
	}
	return share, inner
}

// save carries out a Save; without a store it needs nothing.
func (s *Server) save(changes []session.Change) (broker.Index, error) {
	if len(changes) == 0 || s.opt.Store == nil {
		return 0, nil
	}
	index, err := s.opt.Store.SaveSession(changes)
	if err != nil {
		s.counters.storeErrors.Add(1)
		s.storeFailed("save session", "client", changes[0].ClientID, "err", err)
		return 0, err
	}
	for {
		old := s.saved.Load()
		if uint64(index) <= old || s.saved.CompareAndSwap(old, uint64(index)) {
			return index, nil
		}
	}
}

// saveLocked carries out a Save behind those that failed before: else the store would not know, after a crash, that a QoS 2
// message has come further.
func (c *client) saveLocked(changes []session.Change) (broker.Index, error) {
	if len(c.owed) > 0 {
		changes = append(c.owed, changes...)
	}
	index, err := c.server.save(changes)
	c.owed = nil
	if err != nil {
		c.owed = slices.Clone(changes)
	}
	return index, err
}

// storeFailed logs a failure of the store, at most one a second: a full disk fails every message, and the counters have them all.
func (s *Server) storeFailed(what string, args ...any) {
	if second := s.now().Unix(); s.told.Swap(second) != second {
		s.log.Error(what, append([]any{"part", "broker"}, args...)...)
	}
}

// carryLocked carries out the Save and Send of c.out. Route is the caller's. Its index covers what an earlier connection
// saved, too: what a client repeats is not answered before the first time is durable.
func (c *client) carryLocked(now time.Time, t *turn) (broker.Index, error) {
	index, err := c.saveLocked(c.out.Save)
	index = max(index, c.begunAt)
	c.server.counters.drops(c.out.Drops)
	if err == nil {
		c.sendLocked(index, now, t)
	} else if c.conn != nil { // what was to be saved is not sent: a new connection begins from what is [v3 MQTT-4.8.0-2]
		c.conn.kick(broker.ReasonStore, packets.ImplementationSpecificError)
	}
	return index, err
}

// sendLocked sends what c.out says; QoS 2 packets wait until index is durable.
func (c *client) sendLocked(index broker.Index, now time.Time, t *turn) {
	if c.conn == nil {
		return
	}
	wait := !c.server.isDurable(index)
	for i := range c.out.Send {
		send := &c.out.Send[i]
		// QoS 1 does not overtake what is held: what is sent again keeps its first order [v3 MQTT-4.6.0-1].
		if wait && (send.Kind == session.Pubrel || send.QoS == 2) || c.conn.holds() {
			c.conn.hold(index, *send, t)
			continue
		}
		c.writeSendLocked(send, now, t)
	}
}

// writeSendLocked encodes one packet of the session.
func (c *client) writeSendLocked(send *session.Send, now time.Time, t *turn) {
	conn := c.conn
	if send.Kind == session.Pubrel {
		conn.out.mu.Lock()
		conn.appendPlainLocked(packets.TypePubrel, send.PacketID)
		conn.unlockAndMark(t)
		return
	}
	m := send.Message
	shared := packets.Share(conn.version, string(m.Topic), m.Properties, m.Payload)
	d := packets.Delivery{
		Dup: send.Dup, QoS: send.QoS, Retain: send.Retain, PacketID: send.PacketID,
		Expiry: expiryLeft(m, now), SubscriptionIDs: send.IDs,
	}
	if conn.sendPublish(&shared, &d, true, t) == tooLarge {
		c.tooLargeLocked(send.PacketID)
	}
}

// tooLargeLocked ends a delivery that the client cannot take [MQTT-3.1.2-25].
func (c *client) tooLargeLocked(id uint16) {
	var o session.Output
	c.session.TooLarge(id, &o)
	c.saveLocked(o.Save)
	c.server.counters.drops(o.Drops)
}

// expiryLeft is what remains of a message's expiry interval, in seconds, rounded up [MQTT-3.3.2-6].
func expiryLeft(m *broker.Message, now time.Time) packets.Optional[uint32] {
	if m.Expires.IsZero() {
		return packets.Optional[uint32]{}
	}
	left := m.Expires.Sub(now)
	return packets.Some(uint32(max(0, (left+time.Second-1)/time.Second)))
}

// pumpLocked sends what waits and may go: the session's messages first, then retained messages.
func (c *client) pumpLocked(now time.Time, t *turn) {
	if c.conn == nil || c.session == nil {
		return
	}
	for range maxPumps {
		room := c.roomLocked()
		if room <= 0 {
			return
		}
		c.setBlockedLocked(false, now)
		c.out.Reset()
		c.session.Pump(room, now, &c.out)
		if len(c.out.Send) == 0 && len(c.out.Save) == 0 {
			break
		}
		if _, err := c.carryLocked(now, t); err != nil {
			return
		}
	}
	c.setBlockedLocked(c.session.Waiting(), now)
	c.replayLocked(now, t)
}

// maxPumps bounds the work of one wake-up; what is left comes with the next.
const maxPumps = 64

// roomAgain is called by writeLoop after a write.
func (c *client) roomAgain(conn *conn) {
	if !c.blocked.Load() {
		return
	}
	var t turn
	c.mu.Lock()
	if c.conn == conn {
		c.pumpLocked(c.server.now(), &t)
	}
	c.mu.Unlock()
	t.flush()
}

// released is called when a commit may have made held packets, or the retained messages behind a SUBACK, free to go.
func (c *client) released(conn *conn, t *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != conn || c.session == nil {
		return
	}
	now := c.server.now()
	sent := 0
	for send, ok := conn.heldNow(sent); ok; send, ok = conn.heldNow(sent) {
		c.writeSendLocked(&send, now, t)
		sent++
	}
	if sent > 0 {
		conn.sentHeld(sent)
	}
	if len(c.replays) > 0 || c.session.Waiting() { // one that was too large has left its place
		c.pumpLocked(now, t)
	}
}
