package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// acquire returns the client of that identifier with its turn taken: nobody else begins a connection to it until
// the turn is given back. letGo undoes it.
func (s *Server) acquire(ctx context.Context, id string, who owner, wait bool) (*client, error) {
	cl := s.hold(id, who)
	if cl == nil && s.makeRoom(who) {
		cl = s.hold(id, who)
	}
	if cl == nil {
		return nil, &refusedError{packets.QuotaExceeded, RefuseSessions, "as many sessions as allowed exist"}
	}
	select {
	case cl.turn <- struct{}{}:
		return cl, nil
	default:
	}
	if !wait {
		s.letGo(cl)
		return nil, errMustWait
	}
	select {
	case cl.turn <- struct{}{}:
		return cl, nil
	case <-ctx.Done():
		s.letGo(cl)
		return nil, ctx.Err()
	}
}

// hold returns the client of that identifier, a new one if there is none and nil if there is no room for one. letGo undoes it.
func (s *Server) hold(id string, who owner) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	cl := s.clients[id]
	if cl == nil {
		if s.limits.Sessions > 0 && len(s.clients) >= s.limits.Sessions {
			return nil
		}
		cl = s.newClient(id)
		cl.last = s.departed.take(id)
		s.addClientLocked(cl, who)
	}
	cl.refs++
	return cl
}

func (s *Server) addClientLocked(cl *client, who owner) {
	cl.owner = who
	s.clients[cl.id] = cl
	s.owners[who]++
}

func (s *Server) removeClientLocked(cl *client) {
	delete(s.clients, cl.id)
	s.dues.remove(cl)
	if s.owners[cl.owner]--; s.owners[cl.owner] == 0 {
		delete(s.owners, cl.owner)
	}
}

// letGo forgets cl if nothing is left of it.
func (s *Server) letGo(cl *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cl.refs--
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.refs == 0 && cl.session == nil {
		s.removeClientLocked(cl)
		if cl.last != nil {
			s.departed.put(cl.id, cl.last)
		}
	}
}

// delays tells whether a connection that begins now has to wait: for the one there is to end, or for the end of a session
// to be durable.
func (c *client) delays(clean bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil || clean && c.session != nil && c.keeps.Load()
}

// takeOver ends the connection that the session has and waits until it has let go; only its own user may.
func (c *client) takeOver(user string) error {
	c.mu.Lock()
	old := c.conn
	if c.session != nil && c.session.User() != user {
		c.mu.Unlock()
		return &refusedError{packets.NotAuthorized, RefuseOtherUser, "the session belongs to another user"}
	}
	c.mu.Unlock()
	if old != nil {
		old.kick(broker.ReasonTakenOver, packets.SessionTakenOver)
		select {
		case <-old.released:
		case <-c.server.stop: // it waits for all that are connecting
			return &refusedError{packets.ServerShuttingDown, RefuseUnavailable, "the broker is shutting down"}
		}
	}
	return nil
}

// countIn counts a client that logs in, if there is room for it.
func (s *Server) countIn(c *conn, cl *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.limits.Clients > 0 && s.loggedIn >= s.limits.Clients {
		return false
	}
	s.loggedIn++
	s.mostIn = max(s.mostIn, s.loggedIn)
	c.client = cl
	return true
}

// countOut undoes countIn, before another connection may take the session over.
func (s *Server) countOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loggedIn--
}

// begin makes conn the connection of the session, a new one if there is none or clean asks for it [MQTT-3.1.2-4]
// [MQTT-3.1.2-5] [MQTT-3.1.2-6]. answer is told whether it continues an earlier one, and queues CONNACK: deliveries come behind it
// [MQTT-3.2.0-1].
//
// A session that clean ended must not come back after that answer, or a QoS 2 message that begins now under one of its identifiers
// would be taken for one of its own: so that waits for the journal.
func (c *client) begin(ctx context.Context, conn *conn, clean bool, x session.Connect, answer func(present bool)) error {
	if clean && c.discard() {
		if err := c.server.waitDurable(ctx, broker.Index(c.server.saved.Load())); err != nil {
			return err
		}
	}
	now := c.server.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	present := c.session != nil
	if !present {
		c.setSessionLocked(session.New(c.id, &c.server.sessionLimits))
	}
	before := *c.session
	c.out.Reset()
	c.session.Connect(x, now, &c.out)
	owed := c.owed
	index, err := c.saveLocked(c.out.Save)
	if err != nil { // a CONNECT that is refused changes nothing
		c.session.Undo(&before)
		if c.owed = owed; !present {
			c.session = nil
		}
		return err
	}
	c.identity, c.begunAt = conn.identity, index
	if present {
		c.resubscribeLocked(before.Protocol())
	}
	answer(present)
	c.conn, c.replayAt = conn, 0
	if !present {
		c.replays = nil
	}
	c.keeps.Store(x.Expiry > 0)
	c.online.Store(true)
	return nil
}

// resubscribeLocked drops the subscriptions that the rules do not allow any more. A filter that begins with
// $share is a shared subscription in 5.0 only, so it moves when the client's version has changed.
func (c *client) resubscribeLocked(before byte) {
	for _, sub := range c.session.Subscriptions() {
		after := c.session.Protocol()
		share, inner := splitShare(sub.Filter, after)
		if before != after && strings.HasPrefix(string(sub.Filter), "$share/") {
			oldShare, oldInner := splitShare(sub.Filter, before)
			c.server.router.Unsubscribe(c.self, oldShare, oldInner)
			c.server.router.Subscribe(c.routerSubscription(sub, after))
		}
		if !c.server.rules().MaySubscribe(c.identity, inner) {
			c.dropLocked(&sub, share, inner)
		}
	}
}

// dropLocked ends a subscription that is not allowed any more.
func (c *client) dropLocked(sub *session.Subscription, share string, inner topic.Filter) {
	c.out.Reset()
	c.session.Unsubscribe(sub.Filter, &c.out)
	c.server.router.Unsubscribe(c.self, share, inner)
	c.saveLocked(c.out.Save)
}

// resume sends what waits for a session that is connected again.
func (c *conn) resume() {
	cl := c.client
	cl.mu.Lock()
	cl.pumpLocked(c.server.now(), &c.deliver.turn)
	shared := cl.session.SharedFilters()
	cl.mu.Unlock()
	c.deliver.turn.flush()
	c.server.offerTo(shared)
}

// discard ends the session, if there is one. True: the store knew it.
func (c *client) discard() (stored bool) {
	c.server.handOver(c, true)
	c.mutate(func(now time.Time, o *session.Output) {
		c.session.Discard(now, o)
		stored = len(o.Save) > 0
	})
	return stored
}

// mutate takes a step of a session without a connection, carries its Output out and forgets the session if it ended.
func (c *client) mutate(f func(time.Time, *session.Output)) {
	d := delivering{server: c.server, now: c.server.now()}
	c.mu.Lock()
	if c.session == nil {
		c.mu.Unlock()
		return
	}
	c.out.Reset()
	f(d.now, &c.out)
	will := c.finishLocked(&d)
	c.mu.Unlock()
	c.publishWill(will, &d)
}

// finishLocked does what is left of the step in c.out but its Save, which goes with the will's deliveries into one record.
func (c *client) finishLocked(d *delivering) (will *broker.Message) {
	c.server.counters.drops(c.out.Drops)
	d.with = append([]session.Change(nil), c.out.Save...)
	if c.out.Ended {
		for _, sub := range c.session.Subscriptions() {
			share, inner := splitShare(sub.Filter, c.session.Protocol())
			c.server.router.Unsubscribe(c.self, share, inner)
		}
		c.session, c.owed = nil, nil
		c.keeps.Store(false)
	}
	return c.out.Route
}

// willsAtOnce is how many wills are routed at a time that may be for many sessions. Each needs a list of all that get it, and when a
// switch fails a thousand are due at once.
const willsAtOnce = 4

// publishWill routes a will that is due and saves the step that made it so. The rules are asked again: the right may
// have gone since CONNECT.
func (c *client) publishWill(will *broker.Message, d *delivering) {
	defer d.turn.flush()
	with := d.with
	if will == nil {
		c.saveEnd(with)
		return
	}
	id := c.identityNow(will)
	if !c.server.rules().MayPublish(id, will.Topic) {
		c.server.counters.drop(DropNotAuthorized, 1)
		c.saveEnd(with)
		return
	}
	if c.server.router.Many() {
		c.server.wills <- struct{}{}
		defer func() { <-c.server.wills }()
	}
	if _, err := c.server.route(will, d); err != nil {
		c.server.sayRefused("will not published as it was to be", c.id, "", "", err)
		c.saveEnd(with)
		d.with = nil
		if errors.Is(err, errStore) { // its client cannot send it again: whoever listens now is told
			now := *will
			now.QoS, now.Retain = 0, false
			c.server.route(&now, d)
		}
	}
}

// saveEnd saves a step that was taken without a connection, now or before the next.
func (c *client) saveEnd(with []session.Change) {
	if _, err := c.server.save(with); err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		c.owed = append(c.owed, with...)
	}
}
