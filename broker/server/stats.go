package server

import (
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/session"
)

// The reasons for which the server drops a message; session and router have more.
const (
	DropNoRoom        = "slow consumer"  // QoS 0, the outbox of the connection is full
	DropNotAuthorized = "not authorized" // the publisher may not publish to its topic
	DropRefused       = "refused"        // by a gate, or a topic of more levels than allowed
	DropStore         = "store failed"   // a tap or the store could not hold it
)

// The reasons for which the server refuses or ends a connection; Refusals counts them.
const (
	RefuseStrangers    = "too many connections before login"
	RefuseAddress      = "too many connections of one address"
	RefuseNoConnect    = "no CONNECT in time"
	RefuseTLS          = "TLS handshake failed"
	RefuseUpgrade      = "WebSocket upgrade refused"
	RefuseMalformed    = "malformed CONNECT"
	RefuseNotAllowed   = "not authorized"
	RefuseClients      = "too many clients"
	RefuseSessions     = "too many sessions"
	RefuseKeepAlive    = "keep alive not watched"
	RefuseOtherUser    = "session of another user"
	RefusePacketTime   = "packet not finished in time"
	RefuseSlow         = "slow consumer closed"
	RefuseUnavailable  = "store failed"
	RefuseWills        = "no room for the will"
	RefuseProtocol     = "protocol error" // after login
	RefuseSubscription = "subscription refused"
	RefuseHalf         = "no room for large packets that are not finished"
	RefuseUnfinished   = "ended before it was authenticated"
	RefuseFailures     = "too many failed logins"
	RefuseGuard        = "refused by the firewall"
	RefuseHoard        = "session ended, its owner has too many"
)

var (
	dropReasons = [...]string{DropNoRoom, DropNotAuthorized, DropRefused, DropStore, session.DropQueueFull, session.DropAllFull,
		session.DropExpired, session.DropTooLarge, session.DropEnded}
	refuseReasons = [...]string{RefuseStrangers, RefuseAddress, RefuseNoConnect, RefuseTLS, RefuseUpgrade, RefuseMalformed, RefuseNotAllowed, RefuseClients,
		RefuseSessions, RefuseKeepAlive, RefuseOtherUser, RefusePacketTime, RefuseSlow, RefuseUnavailable,
		RefuseWills, RefuseProtocol, RefuseHalf, RefuseSubscription, RefuseUnfinished, RefuseFailures, RefuseGuard, RefuseHoard,
		auth.ReasonNoUser, auth.ReasonBadLogin, auth.ReasonNoVerifier, auth.ReasonMethod, auth.ReasonExchange, auth.ReasonBusy,
		auth.ReasonClientID, auth.ReasonWill}
)

// counters count since start.
type counters struct {
	logins       atomic.Uint64
	authFailures atomic.Uint64
	expired      atomic.Uint64 // sessions
	storeErrors  atomic.Uint64
	dropped      [len(dropReasons)]atomic.Uint64
	refusals     [len(refuseReasons)]atomic.Uint64
}

func (k *counters) drop(reason string, n uint64) {
	if i := slices.Index(dropReasons[:], reason); i >= 0 {
		k.dropped[i].Add(n)
	}
}

func (k *counters) drops(list []session.Drop) {
	for _, d := range list {
		k.drop(d.Reason, d.Count)
	}
}

func (k *counters) refused(reason string) {
	if i := slices.Index(refuseReasons[:], reason); i >= 0 {
		k.refusals[i].Add(1)
	}
}

// Stats returns the broker's counters, the router's included.
func (s *Server) Stats() broker.Stats {
	st := s.router.Stats()
	s.mu.Lock()
	st.Clients, st.ClientsMax, st.Connections, st.Sessions, st.Accepted = s.loggedIn, s.mostIn, len(s.conns), len(s.clients), s.accepted
	all, conns := s.ended, make([]*conn, 0, len(s.conns)) // at one moment: a connection that ends now is in one of both
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		all.add(c)
	}
	st.Received, st.Sent, st.OutboxBytes = all.received, all.sent, all.waiting
	st.ReceivedTotal, st.SentTotal = st.Received.Publishes(), st.Sent.Publishes()
	now := s.now()
	for _, c := range s.allClients() {
		c.addTo(&st, now)
	}
	k := &s.counters
	st.Logins, st.AuthFailures, st.SessionsExpired, st.StoreErrors =
		k.logins.Load(), k.authFailures.Load(), k.expired.Load(), k.storeErrors.Load()
	for i, reason := range dropReasons {
		st.Dropped[reason] = k.dropped[i].Load()
	}
	st.Refused = s.Refusals()
	return st
}

// addTo adds the client's queues.
func (c *client) addTo(st *broker.Stats, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return
	}
	if c.keeps.Load() {
		st.Persistent++
	}
	if c.conn != nil && c.slowLocked(c.conn.out.waiting(), now) {
		st.Slow++
	}
	st.Inflight += c.session.Inflight()
	st.Queued += c.session.Queued()
	st.QueuedBytes += c.session.QueuedBytes()
}

// Refusals returns how many connections were refused or ended, by reason.
func (s *Server) Refusals() map[string]uint64 {
	r := make(map[string]uint64, len(refuseReasons))
	for i, reason := range refuseReasons {
		r[reason] = s.counters.refusals[i].Load()
	}
	return r
}

// Snapshots returns the durable state of every session that is to be kept, for a checkpoint.
func (s *Server) Snapshots() []session.Snapshot {
	var snaps []session.Snapshot
	for _, c := range s.allClients() {
		c.mu.Lock()
		if c.session != nil {
			if snap, ok := c.session.Snapshot(); ok {
				snaps = append(snaps, snap)
			}
		}
		c.mu.Unlock()
	}
	return snaps
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
