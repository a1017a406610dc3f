package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"edge/broker"
	"edge/broker/router"
	"edge/broker/session"
)

// Store makes sessions durable. SaveSession must not wait: it appends to the journal and returns the index
// that makes all of changes durable, which are one record: after a crash either all are there or none.
type Store interface {
	SaveSession(changes []session.Change) (broker.Index, error)
}

// Durable tells how far the journal is durable. OnDurable's function is called after each commit, from one
// goroutine at a time; it does not wait.
type Durable interface {
	Durable() broker.Index
	OnDurable(func(broker.Index))
}

// Limits bound what clients may take. The zero value of each field means the default; -1 means none.
type Limits struct {
	Clients               int           // connections at once; default 1000
	PacketBytes           int           // largest packet taken; default 1 MiB
	ConnectPacketBytes    int           // largest CONNECT; default 64 KiB
	ConnectTimeout        time.Duration // from accept to a good CONNECT, TLS included; default 5 s
	PacketTimeout         time.Duration // for a packet that has begun; default 20 s
	WriteTimeout          time.Duration // for one write; a consumer slower than that is closed; default 10 s
	KeepAliveMax          time.Duration // default 300 s
	KeepAliveStrict       bool          // 3.1.1: a keep alive of 0 or above the limit is refused with 0x02
	Inflight              int           // QoS 1 and 2 messages sent and not acknowledged, each way; default 100
	ReceiveMaximum        int           // QoS 1 and 2 messages taken and not acknowledged; default 1000
	QueueMessages         int           // per session; default 10000
	QueueBytes            int64         // per session; default 16 MiB
	TotalQueueBytes       int64         // all sessions together; default 256 MiB
	OutBytes              int           // per connection, waiting to be written; default 1 MiB
	SessionExpiryMax      time.Duration // default 24 h
	Sessions              int           // connected or not; default 10 times Clients
	Subscriptions         int           // per session; default 200
	TopicLevels           int           // default 16
	TopicAlias            int           // default 64
	AcceptsPerSecond      int           // default 200
	ConnectionsPerAddress int           // loopback is not counted; default 100
}

// Options are what a Server is made of.
type Options struct {
	Router   *router.Router
	Auth     Auth               // nil: everyone may do everything
	Store    Store              // nil: sessions live in memory only
	Durable  Durable            // nil: acknowledged at once
	Sessions []session.Snapshot // what the store held at start
	Taps     []broker.Tap       // get the session events; the same as the router's
	Limits   Limits
	Log      *slog.Logger     // nil: discard
	Now      func() time.Time // nil: time.Now
}

// Server is an MQTT broker's face to the network.
type Server struct {
	opt Options
}

// Listener is one place that clients connect to.
type Listener struct {
	net.Listener
	Name      string // for logs and the page
	Anonymous bool   // whether CONNECT without a user name may be let in
}

// ErrClosed is returned by Serve and ServeConn after Shutdown.
var ErrClosed = errors.New("server is shut down")

// New returns a server that has taken over opt.Sessions. Wills of sessions that were connected when
// the program died are published here, before anyone can connect.
func New(opt Options) *Server { return &Server{opt: opt} }

// Serve accepts connections until ctx ends or Shutdown is called (then nil) or the listener fails.
func (s *Server) Serve(ctx context.Context, l Listener) error { return nil }

// ServeConn serves one connection that came through l and returns when it has ended.
func (s *Server) ServeConn(ctx context.Context, c net.Conn, l Listener) {}

// Shutdown stops accepting, disconnects every client with 0x8B, publishes the wills of those that were
// connected, waits until everything is written or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return nil }

// Stats returns the broker's counters, the router's included.
func (s *Server) Stats() broker.Stats { return broker.Stats{} }

// Clients returns every session, connected or not, in order of client identifier.
func (s *Server) Clients() []ClientInfo { return nil }

// Disconnect ends the connection of clientID, its will is published; false if it has none.
func (s *Server) Disconnect(clientID string, reason broker.Reason) bool { return false }

// SetAuth replaces the rules: new connections and every message from now on.
func (s *Server) SetAuth(a Auth) {}

// Snapshots returns the durable state of every session that is to be kept, for a checkpoint.
func (s *Server) Snapshots() []session.Snapshot { return nil }

// ClientInfo is one session as the page shows it.
type ClientInfo struct {
	ClientID      string
	User          string
	Addr          string // host:port, empty when not connected
	Listener      string
	TLS           bool
	Cert          string // subject of the client certificate
	Protocol      byte   // 4 or 5
	Connected     bool
	Since         time.Time // of the connection, or of its end
	KeepAlive     time.Duration
	SessionExpiry time.Duration // session.Never, 0: ends with the connection
	Subscriptions int
	Inflight      int
	Queued        int
	QueuedBytes   int64
	Dropped       uint64 // messages not delivered to it, since it was created or the program started
}
