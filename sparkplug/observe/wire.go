package observe

import (
	"context"
	"sync"
	"time"

	"edge/broker/packets"
	"edge/sparkplug"
)

// Wire judges what goes over the connections of edge nodes and hosts, packet by packet, as somebody between them and
// their servers sees it: wills, clean sessions, subscriptions, the order of packets, and each message by an Observer.
// What a connection is, its CONNECT tells: a will on NDEATH makes an edge node, one on STATE a host; without a will, the
// first message that it publishes. Its methods may be called from any goroutine.
type Wire struct {
	o WireOptions

	mu       sync.Mutex // guards the rest
	tally    *Tally
	observer *Observer
	nodes    map[sparkplug.NodeRef]*edgeNode
	hosts    map[string]*hostApp
	watched  map[string]*awaits // STATE on connections that are no node's and no host's, by server
	states   map[string]int64   // its last timestamps, by server
	log      []Entry
	conns    int
	changed  chan struct{} // closed and made anew when log has grown
}

// WireOptions say what a Wire cannot see.
type WireOptions struct {
	PrimaryHost string           // that the edge nodes are configured with; empty: none
	Servers     int              // that the edge nodes know, if more than one
	Devices     []string         // of every edge node, alive whenever the node is; those that come and go are not named
	Clock       func() time.Time // default time.Now
}

// Entry is one packet, or the end of a connection.
type Entry struct {
	At       time.Time
	Conn     int    // counted from 1
	Server   string // as the connection was opened with
	ToServer bool
	Packet   packets.Packet // nil: the connection ended
}

// maxLog is how many entries a Wire keeps; what comes after is judged all the same.
const maxLog = 1 << 17

// What is remembered for peers beyond these bounds is not: they are judged message by message only.
const (
	maxPeers = 5000 // edge nodes, and hosts
	maxAsked = 1024 // SUBSCRIBEs of a connection that wait for their SUBACK
)

// NewWire returns a Wire that has seen nothing.
func NewWire(o WireOptions) *Wire {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	w := &Wire{o: o, tally: NewTally(), nodes: map[sparkplug.NodeRef]*edgeNode{}, hosts: map[string]*hostApp{},
		watched: map[string]*awaits{}, states: map[string]int64{}, changed: make(chan struct{})}
	w.observer = New(Options{AsPublished: true, Tally: w.tally})
	return w
}

// Tally returns a copy of the verdicts so far.
func (w *Wire) Tally() *Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := NewTally()
	t.Add(w.tally)
	w.crowded(t)
	return t
}

// Log returns what has been seen so far, oldest first. It is not to be changed.
func (w *Wire) Log() []Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log[:len(w.log):len(w.log)]
}

// Wait returns when ok holds of the log, or ctx's error.
func (w *Wire) Wait(ctx context.Context, ok func([]Entry) bool) error {
	for {
		w.mu.Lock()
		log, changed := w.log[:len(w.log):len(w.log)], w.changed
		w.mu.Unlock()
		if ok(log) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Conn is one MQTT connection. Its packets are given in the order in which they pass.
type Conn struct {
	w       *Wire
	id      int
	server  string
	version packets.Version

	// guarded by w.mu
	connect    *packets.Connect
	accepted   bool // by a CONNACK
	published  bool // by the client
	goodbye    *packets.Disconnect
	asked      map[uint16][]packets.Subscription // SUBSCRIBE by packet id
	subscribed []packets.Subscription            // acknowledged
	node       *nodeSession
	host       *hostSession
}

// Open begins a connection to a server, whose name only tells servers apart.
func (w *Wire) Open(server string) *Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return &Conn{w: w, id: w.conns, server: server, asked: map[uint16][]packets.Subscription{}}
}

// Packet takes one packet that is on its way. What it shares with the caller must not change.
func (c *Conn) Packet(toServer bool, p packets.Packet) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.o.Clock()
	if toServer {
		c.fromClient(p, at)
	} else {
		c.fromServer(p, at)
	}
	w.noteLocked(Entry{At: at, Conn: c.id, Server: c.server, ToServer: toServer, Packet: p})
}

// Closed ends the connection.
func (c *Conn) Closed() {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.o.Clock()
	if c.node != nil {
		c.node.closed(c, at)
	}
	if c.host != nil {
		c.host.closed(c, at)
	}
	w.noteLocked(Entry{At: at, Conn: c.id, Server: c.server})
}

func (w *Wire) noteLocked(e Entry) {
	if len(w.log) >= maxLog {
		return
	}
	w.log = append(w.log, e)
	close(w.changed)
	w.changed = make(chan struct{})
}

// Note counts what somebody else has seen: ids without "tck-id-", separated by spaces.
func (w *Wire) Note(ok bool, ids, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observer.m, w.observer.found = Message{At: w.o.Clock()}, nil
	w.observer.check(ok, ids, format, args...)
}

// NoteRule counts what is seen of a rule that has no tck-id.
func (w *Wire) NoteRule(rule string, ok bool, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.Note(rule, ok, Finding{At: w.o.Clock(), Text: text})
}

// check counts what is seen of a connection, as Observer.check does of a message.
func (c *Conn) check(at time.Time, topic string, ok bool, ids, format string, args ...any) {
	o := c.w.observer
	o.m, o.found = Message{Topic: topic, At: at}, nil
	o.check(ok, ids, format, args...)
}

func (c *Conn) fromClient(p packets.Packet, at time.Time) {
	if first, ok := p.(*packets.Connect); ok && c.connect == nil {
		c.connect, c.version = first, first.Version
		c.role(at)
	}
	if c.connect == nil {
		return // no server takes it
	}
	switch p := p.(type) {
	case *packets.Subscribe:
		if len(c.asked) < maxAsked {
			c.asked[p.PacketID] = p.Filters
		}
		if c.host != nil {
			c.host.subscribe(c, p, at)
		}
	case *packets.Publish:
		c.publish(p, at)
		c.published = true
	case *packets.Disconnect:
		c.goodbye = p
		if c.node != nil {
			c.node.disconnect(c, p, at)
		}
		if c.host != nil {
			c.host.disconnect(c, at)
		}
	}
}

// role finds out by the will what the connection is.
func (c *Conn) role(at time.Time) {
	if c.connect.Will == nil {
		return
	}
	t, err := sparkplug.ParseTopic(c.connect.Will.Topic)
	switch {
	case err != nil:
	case t.Type == sparkplug.STATE:
		c.openHost(t.Host, at)
	default:
		c.openNode(t.NodeRef(), at)
	}
}

// publish judges a message of the client.
func (c *Conn) publish(p *packets.Publish, at time.Time) {
	t, err := sparkplug.ParseTopic(p.Topic)
	if err != nil && err == sparkplug.ErrForeign {
		return
	}
	if c.node == nil && c.host == nil && err == nil { // it had no will that says what it is
		switch t.Type {
		case sparkplug.STATE:
			c.openHost(t.Host, at)
		case sparkplug.NCMD, sparkplug.DCMD:
		default:
			c.openNode(t.NodeRef(), at)
		}
	}
	c.w.observer.Message(Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, At: at})
	if err != nil {
		return
	}
	if c.node != nil {
		c.node.publish(c, t, p, at)
	}
	if c.host != nil {
		c.host.publish(c, t, p, at)
	}
}

func (c *Conn) fromServer(p packets.Packet, at time.Time) {
	switch p := p.(type) {
	case *packets.Connack:
		c.accepted = !p.Code.Failed()
	case *packets.Suback:
		filters := c.asked[p.PacketID]
		delete(c.asked, p.PacketID)
		for i, f := range filters {
			if i < len(p.Codes) && !p.Codes[i].Failed() && len(c.subscribed) < packets.MaxEntries {
				c.subscribed = append(c.subscribed, f)
			}
		}
	case *packets.Publish:
		t, err := sparkplug.ParseTopic(p.Topic)
		if err != nil {
			return
		}
		switch {
		case c.node != nil:
			c.node.receive(c, t, p)
		case c.host != nil:
			c.host.receive(c, t, p, at)
		case t.Type == sparkplug.STATE:
			c.w.watch(c, t.Host, p.Payload)
		}
	}
}

// watch takes a STATE that comes on a connection which only listens. What it says of the primary host counts for the nodes that
// have a session with that server: one may leave before the server has told it there too.
func (w *Wire) watch(c *Conn, host string, payload []byte) {
	a := w.watched[c.server]
	if a == nil {
		a = &awaits{}
		w.watched[c.server] = a
	}
	if valid := a.take(c, w.states, host, payload, true); !valid || a.online {
		return
	}
	for _, n := range w.nodes {
		for other := range n.open {
			if s := other.node; other.server == c.server && s.lives() {
				s.mustLeave = true
			}
		}
	}
}

// hears returns the highest QoS at which the client has an acknowledged subscription to a topic, -1 for none.
func (c *Conn) hears(topic string) int {
	qos := -1
	for _, s := range c.subscribed {
		if matches(s.Filter, topic) {
			qos = max(qos, int(s.QoS))
		}
	}
	return qos
}
