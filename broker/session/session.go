package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// The reasons for which a session does not deliver a QoS 1 or 2 message.
const (
	DropQueueFull = "queue full"      // the session's own bound, by messages or bytes
	DropAllFull   = "all queues full" // the bound of all sessions together
	DropExpired   = "expired"         // waited longer than its expiry interval [MQTT-3.3.2-5]
	DropTooLarge  = "too large"       // above the client's Maximum Packet Size [MQTT-3.1.2-25]
	DropEnded     = "session ended"   // was waiting when its session ended
)

// Limits bound one session. 0 is no limit, but for the 65535 packet identifiers.
type Limits struct {
	Inflight      int   // QoS 1 and 2 messages sent and not acknowledged
	QueueMessages int   // messages waiting to be sent
	QueueBytes    int64 // bytes of messages sent or waiting, see Cost

	// Of all sessions together; nil is no bound.
	Total   *Budget // Cost of messages sent or waiting
	Wills   *Budget // Cost of wills
	Filters *Budget // FilterCost of subscriptions
}

// Cost is what m counts in a queue: its bytes and an allowance for the rest of its entry.
func Cost(m *broker.Message) int64 { return m.Size() + 128 }

// FilterCost is what a subscription counts: what was measured for one that shares no level with another.
func FilterCost(f topic.Filter) int64 {
	return 512 + 2*int64(len(f)) + 320*int64(strings.Count(string(f), "/"))
}

// Session is the state of one client identifier. It is not safe for concurrent use.
type Session struct {
	clientID string
	limits   *Limits

	user      string
	protocol  byte
	expiry    time.Duration // 0: ends with the connection
	connected bool
	endedAt   time.Time // of the last connection
	will      *Will
	saved     bool // the store knows this session

	subscriptions map[topic.Filter]Subscription
	filterBytes   int64 // FilterCost of subscriptions

	quota    int     // QoS 1 and 2 messages that may be unacknowledged on this connection
	inflight []entry // Sent and Released, in the order sent; a part of window
	window   []entry
	resend   int // the first so many of inflight were not sent again on this connection yet
	queue    deque
	bytes    int64 // cost of inflight and queue
	shared   int   // entries that came by a shared subscription
	lastSeq  uint64
	ids      identifiers

	replays  []Replay
	received idSet // QoS 2 messages taken over and not completed
	dropped  uint64
}

// entry is an Entry and what only this process needs of it.
type entry struct {
	Entry
	cost  int64
	early bool // a PUBREL that was sent on this connection before those in front of it
}

// New returns a session for its first CONNECT, which Connect carries out.
func New(clientID string, limits *Limits) *Session {
	return &Session{clientID: clientID, limits: limits}
}

// Restore returns the session that s is a snapshot of, with its connection ended at now if it had one
// [MQTT-4.1.0-1]. Its will and expiry run from the end of the connection; from now, if that is to come: a clock was wrong, then or now.
func Restore(s *Snapshot, limits *Limits, now time.Time) *Session {
	r := &Session{
		clientID: s.ClientID, limits: limits, user: s.User, protocol: s.Protocol, expiry: s.Expiry,
		endedAt: s.DisconnectedAt, will: s.Will, saved: true, lastSeq: s.LastSeq,
	}
	if s.Connected || s.DisconnectedAt.After(now) {
		r.endedAt = now
	}
	limits.Wills.add(r.willCost())
	for _, sub := range s.Subscriptions {
		r.setSubscription(sub)
	}
	for _, e := range s.Entries {
		r.restoreEntry(e)
	}
	r.ids.last = s.LastPacketID
	r.replays = slices.Clone(s.Replays)
	for _, id := range s.Received {
		if !r.received.has(id) {
			r.received.add(id)
		}
	}
	return r
}

// restoreEntry takes an entry back whatever the bounds say now: it was promised.
func (s *Session) restoreEntry(e Entry) {
	x := entry{Entry: e}
	if e.Shared != "" {
		s.shared++
	}
	if e.Message != nil {
		x.cost = Cost(e.Message)
		s.limits.Total.addMessage(e.Message, x.cost)
		s.bytes += x.cost
	}
	if e.State == Queued {
		s.queue.push(x)
		return
	}
	s.pushSent(&x)
}

// Snapshot returns the durable state; ok is false if the session needs none: it ends with
// its connection and leaves no will.
func (s *Session) Snapshot() (snap Snapshot, ok bool) {
	if !s.saved {
		return Snapshot{}, false
	}
	snap = Snapshot{
		ClientID: s.clientID, User: s.user, Protocol: s.protocol, Expiry: s.expiry, Connected: s.connected,
		DisconnectedAt: s.endedAt, Will: s.will, LastSeq: s.lastSeq, LastPacketID: s.ids.last,
	}
	if !s.durable() {
		snap.LastSeq, snap.LastPacketID = 0, 0
		return snap, true
	}
	for _, f := range slices.Sorted(maps.Keys(s.subscriptions)) {
		snap.Subscriptions = append(snap.Subscriptions, s.subscriptions[f])
	}
	for i := range s.inflight {
		snap.Entries = append(snap.Entries, s.inflight[i].Entry)
	}
	for i := range s.queue.len() {
		snap.Entries = append(snap.Entries, s.queue.at(i).Entry)
	}
	snap.Received = s.received.sorted()
	snap.Replays = s.Replays()
	return snap, true
}

// ClientID, User, Protocol, Expiry, Connected, EndedAt and Will tell what their names say.
func (s *Session) ClientID() string      { return s.clientID }
func (s *Session) User() string          { return s.user }
func (s *Session) Protocol() byte        { return s.protocol }
func (s *Session) Expiry() time.Duration { return s.expiry }
func (s *Session) Connected() bool       { return s.connected }
func (s *Session) EndedAt() time.Time    { return s.endedAt }
func (s *Session) Will() *Will           { return s.will }

// Inflight, Queued, QueuedBytes and Dropped are sizes for the page.
func (s *Session) Inflight() int      { return len(s.inflight) }
func (s *Session) Queued() int        { return s.queue.len() }
func (s *Session) QueuedBytes() int64 { return s.bytes }
func (s *Session) Dropped() uint64    { return s.dropped }

// durable tells whether the session outlives its connection, so that its messages are saved.
func (s *Session) durable() bool { return s.expiry > 0 }
