package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
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

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("server is shut down")

// Server is the broker's face to the network.
type Server struct {
	// Set by New, never changed.
	opt           Options
	limits        Limits
	sessionLimits session.Limits
	router        *router.Router
	log           *slog.Logger
	now           func() time.Time
	stop          chan struct{} // closed by Shutdown: ticks and accepting end
	quit          chan struct{} // closed by Shutdown once every will is out: connections may go
	starting      sync.Once     // Start, or Shutdown of a Server that was not started
	ticked        chan struct{} // closed when tickLoop has ended
	started       time.Time
	nudge         chan struct{} // a session may be due earlier than tickLoop thinks
	wills         chan struct{} // holds one for each will for many that is being routed

	auth     atomic.Pointer[Auth]
	ordinals atomic.Uint64
	buffers  buffers
	durable  atomic.Uint64 // journal index
	commits  atomic.Uint64 // of the journal, that were told
	saved    atomic.Uint64 // the highest journal index any session's Save needed
	counters counters
	refusals refusals
	outBytes atomic.Int64 // of all outboxes, about

	half     halfPackets
	attempts *attempts
	faults   faults
	comings  comings
	traces   traces
	dues     dues
	told     atomic.Int64 // Unix second in which a failure of the store was logged last

	mu        sync.Mutex
	clients   map[string]*client
	owners    map[owner]int      // how many of clients each has
	conns     map[*conn]struct{} // accepted and not ended
	loggedIn  int
	mostIn    int    // the most loggedIn has been
	accepted  uint64 // connections since start
	ended     totals // of connections that have ended
	departed  departures
	addresses map[netip.Addr]int
	listeners map[net.Listener]struct{}
	loops     []*loop // once there is something for them to do
	closed    bool
	serving   sync.WaitGroup // one per connection and per Serve
	reading   sync.WaitGroup // one per connection whose will may still have to be published

	hurry hurry

	offerMu sync.Mutex
	offered offers // see handover.go

	waitMu  sync.Mutex
	waiting []*conn       // have acknowledgements that wait for the journal
	next    chan struct{} // closed by the next commit; nil: nobody waits
}

// New returns a server that has taken over opt.Sessions. The wills of sessions that were connected when the program
// died, and are due, are published here, before anyone can connect. It starts tickLoop; Shutdown ends it.
func New(opt Options) *Server {
	s := &Server{
		opt: opt, limits: opt.Limits.withDefaults(), router: opt.Router, log: opt.Log, now: opt.Now,
		stop: make(chan struct{}), quit: make(chan struct{}), ticked: make(chan struct{}), nudge: make(chan struct{}, 1), offered: make(offers),
		wills:   make(chan struct{}, willsAtOnce),
		clients: make(map[string]*client), owners: make(map[owner]int), conns: make(map[*conn]struct{}),
		addresses: make(map[netip.Addr]int), listeners: make(map[net.Listener]struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.started = s.now()
	s.attempts = newAttempts(s.limits.LoginFailures)
	s.faults.counted = newAttempts(manyFaults)
	s.half.limit = s.limits.TotalPacketBytes
	s.sessionLimits = session.Limits{
		Inflight: s.limits.Inflight, QueueMessages: s.limits.QueueMessages, QueueBytes: s.limits.QueueBytes,
		Total:   &session.Budget{MaxBytes: s.limits.TotalQueueBytes},
		Wills:   &session.Budget{MaxBytes: s.limits.TotalWillBytes},
		Filters: &session.Budget{MaxBytes: s.limits.TotalFilterBytes},
	}
	s.SetAuth(opt.Auth)
	s.watchJournal()
	s.router.SetDeliverer(s)
	s.restore(opt.Sessions)
	if !opt.StartLater {
		s.Start()
	}
	return s
}

// never is an index that does not become durable.
const never = ^broker.Index(0)

// watchJournal follows what is durable; without a Durable, or with one that nobody waits for, everything is.
func (s *Server) watchJournal() {
	if s.opt.Durable == nil || s.opt.Fast {
		s.durable.Store(uint64(never) - 1)
	} else {
		s.durable.Store(uint64(s.opt.Durable.Durable()))
	}
	if s.opt.Durable != nil {
		s.opt.Durable.OnDurable(s.onDurable)
	}
}

// restore makes clients of snapshots: subscriptions first, so that the wills that are due find all subscribers.
func (s *Server) restore(snaps []session.Snapshot) {
	now := s.now()
	var ended []session.Change // saved, or each crash would put wills and expiry off
	for i := range snaps {
		if snaps[i].Connected {
			ended = append(ended, session.Change{Kind: session.Disconnected, ClientID: snaps[i].ClientID, Expiry: snaps[i].Expiry, At: now})
		}
		c := s.newClient(snaps[i].ClientID)
		c.setSessionLocked(session.Restore(&snaps[i], &s.sessionLimits, now))
		c.keeps.Store(true) // or its messages would be acknowledged before they are on disk
		c.identity = auth.Identity{User: c.session.User(), ClientID: c.id, Anonymous: c.session.User() == ""}
		c.restoreReplays()
		s.addClientLocked(c, owner{user: c.session.User()}) // nobody else is there yet
		for _, sub := range c.session.Subscriptions() {
			s.router.Subscribe(c.routerSubscription(sub, c.session.Protocol()))
		}
	}
	s.save(ended)
	s.scheduleAll()
}

// SetAuth replaces the rules (nil: everyone may do everything): for new connections, for every message from now on,
// and for the subscriptions that clients have, which end if they are not allowed any more.
func (s *Server) SetAuth(a Auth) {
	if a == nil {
		a = allowAll{}
	}
	s.auth.Store(&a)
	for _, c := range s.allClients() {
		c.recheckSubscriptions(a)
	}
}

func (s *Server) rules() Auth { return *s.auth.Load() }

// allowAll is the Auth of a server without one.
type allowAll struct{}

func (allowAll) Connect(_ context.Context, r auth.ConnectRequest) (auth.Identity, error) {
	return auth.Identity{User: r.Username, ClientID: r.ClientID, Anonymous: r.Username == ""}, nil
}
func (allowAll) Begin(string, auth.ConnectRequest) (auth.Exchange, error) {
	return nil, &auth.Refused{Code: packets.BadAuthenticationMethod, Reason: auth.ReasonMethod, Detail: "no authentication method is offered"}
}
func (allowAll) MayPublish(auth.Identity, topic.Name) bool     { return true }
func (allowAll) MaySubscribe(auth.Identity, topic.Filter) bool { return true }

// Deliver carries a message of one of our own publishers to the sessions that it matched.
func (s *Server) Deliver(m *broker.Message, to []router.Delivery, also router.Elsewhere) (broker.Index, error) {
	d := delivering{server: s, now: m.Received}
	index, err := d.Deliver(m, to, also)
	d.turn.flush()
	return index, err
}

func (s *Server) allClients() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*client, 0, len(s.clients))
	for _, c := range s.clients {
		all = append(all, c)
	}
	return all
}
