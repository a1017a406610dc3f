package server

import (
	"maps"
	"slices"
	"strings"
	"time"

	"edge/broker"
	"edge/broker/session"
)

// ClientInfo is one session as the page shows it.
type ClientInfo struct {
	ClientID       string
	User           string
	Addr           string // host:port, empty when not connected
	Listener       string
	TLS            bool
	Cert           string // subject of the client certificate
	Protocol       byte   // 4 or 5; 3 while a client of 3.1 is connected
	Connected      bool
	Since          time.Time     // of the connection, or of its end
	KeepAlive      time.Duration // 0: the client is not watched but by TCP
	SessionExpiry  time.Duration // session.Never, 0: ends with the connection
	Will           string        // its topic
	Subscriptions  []session.Subscription
	Inflight       int // QoS 1 and 2 messages sent to it and not acknowledged
	Queued         int // the same waiting to be sent
	QueuedBytes    int64
	OutboxBytes    int            // packets waiting for the connection to take them
	Receiving      int            // QoS 1 and 2 messages of it that are not acknowledged yet
	Dropped        uint64         // messages not delivered to it
	Slow           bool           // see slowLocked
	Received, Sent broker.Traffic // of this connection
	Last           *Departure     // how its connection before this one ended; nil: not known
}

// Departure is how a connection ended.
type Departure struct {
	Reason broker.Reason
	At     time.Time
	Addr   string // host:port
}

// Clients returns every session, connected or not, in order of client identifier.
func (s *Server) Clients() []ClientInfo {
	byID := make(map[string]ClientInfo)
	now := s.now()
	for _, c := range s.allClients() {
		if info, ok := c.info(now); ok {
			byID[c.id] = info
		}
	}
	list := slices.AppendSeq(make([]ClientInfo, 0, len(byID)), maps.Values(byID))
	slices.SortFunc(list, func(a, b ClientInfo) int { return strings.Compare(a.ClientID, b.ClientID) })
	return list
}

// Client returns one of them.
func (s *Server) Client(id string) (ClientInfo, bool) {
	s.mu.Lock()
	c := s.clients[id]
	s.mu.Unlock()
	if c == nil {
		return ClientInfo{}, false
	}
	return c.info(s.now())
}

func (c *client) info(now time.Time) (ClientInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.session
	if x == nil {
		return ClientInfo{}, false
	}
	i := ClientInfo{
		ClientID: c.id, User: x.User(), Protocol: x.Protocol(), Since: x.EndedAt(), SessionExpiry: x.Expiry(),
		Subscriptions: x.Subscriptions(), Inflight: x.Inflight(), Queued: x.Queued(),
		QueuedBytes: x.QueuedBytes(), Dropped: x.Dropped() + c.dropped0, Last: c.last,
	}
	if w := x.Will(); w != nil {
		i.Will = string(w.Message.Topic)
	}
	if k := c.conn; k != nil {
		i.Connected, i.Addr, i.Listener, i.Since = true, k.remote, k.listener.Name, k.since
		i.TLS, i.Cert, i.KeepAlive, i.Protocol = k.tls, k.cert, k.keepAlive, byte(k.level)
		i.Received = k.received.traffic()
		i.Sent, i.OutboxBytes = k.out.traffic()
		i.Receiving = k.out.unanswered()
		i.Slow = c.slowLocked(i.OutboxBytes, now)
	}
	return i, true
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size
}

func (o *outbox) unanswered() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.receiving
}

// slowAfter is how long a message may wait for room in an outbox, and slowFor how long a client that was slow is called so.
const (
	slowAfter = time.Second
	slowFor   = 10 * time.Second
)

// slowLocked tells whether the client reads more slowly than it is sent to: in the last 10 s a QoS 0 message found no room in
// its outbox or another waited for room for a second, or more than half of the outbox is in use now.
func (c *client) slowLocked(waiting int, now time.Time) bool {
	return !c.slowAt.IsZero() && now.Sub(c.slowAt) < slowFor ||
		c.blocked.Load() && now.Sub(c.blockedAt) >= slowAfter ||
		waiting > c.server.limits.OutBytes/2
}

// setBlockedLocked says whether something waits for room in the connection's outbox.
func (c *client) setBlockedLocked(blocked bool, now time.Time) {
	switch was := c.blocked.Load(); {
	case blocked && !was:
		c.blockedAt = now
	case was && !blocked && now.Sub(c.blockedAt) >= slowAfter:
		c.slowAt = now
	}
	c.blocked.Store(blocked)
}

// departLocked keeps how the connection ended, for the page.
func (c *client) departLocked(conn *conn, reason broker.Reason) {
	c.last = &Departure{Reason: reason, At: c.server.now(), Addr: conn.remote}
	c.blocked.Store(false)
	c.slowAt = time.Time{}
}

// departures keeps how the last connections of clients without a session ended: most clients of a plant have none between
// two connections. The zero value works.
type departures struct {
	byID  map[string]departed
	order []string // a ring once it is full
	next  int
}

type departed struct {
	Departure *Departure
	place     int // in order
}

// maxDepartures bounds what is kept; a client identifier has at most maxClientID bytes.
const maxDepartures = 2048

func (d *departures) put(id string, last *Departure) {
	if d.byID == nil {
		d.byID = make(map[string]departed)
	}
	if len(d.order) < maxDepartures {
		d.next = len(d.order)
		d.order = append(d.order, id)
	} else {
		d.next = (d.next + 1) % maxDepartures
		if old := d.order[d.next]; d.byID[old].place == d.next {
			delete(d.byID, old)
		}
		d.order[d.next] = id
	}
	d.byID[id] = departed{last, d.next}
}

// take returns what was kept of id, nil for nothing, and forgets it.
func (d *departures) take(id string) *Departure {
	x := d.byID[id]
	delete(d.byID, id)
	return x.Departure
}
