package server

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/router"
	"edge/broker/session"
	"edge/broker/topic"
)

// Options are what a Server is made of.
type Options struct {
	Router     *router.Router     // needed
	Auth       Auth               // nil: everyone may do everything
	Guard      Guard              // nil: what Auth allows is allowed
	Store      Store              // nil: sessions live in memory only
	Durable    Durable            // nil: what is stored is acknowledged at once
	Fast       bool               // so it is with a Durable: that only holds back who sends more than the disk takes
	Sessions   []session.Snapshot // what the store held at start
	StartLater bool               // the caller calls Start
	Limits     Limits

	// ResponsePrefix begins the Response Information that a 5.0 client gets if it asks, followed by its identifier; "": none is given.
	ResponsePrefix string

	Loops int // event loops for plain TCP and unix sockets, on Linux; 0: DefaultLoops, negative: none, goroutines serve them
	// KeepProcessor: a loop that has traffic keeps its processor while it waits, and wakes up at half the cost. For a process that gave
	// the scheduler one more for each loop (GOMAXPROCS), or its other goroutines have none.
	KeepProcessor bool
	Log           *slog.Logger     // nil: discard
	Now           func() time.Time // nil: time.Now
}

// DefaultLoops is one event loop for two processors: the others compute while it waits.
func DefaultLoops() int { return max(1, runtime.NumCPU()/2) }

// Auth says who may do what; *auth.Policy does.
type Auth interface {
	Connect(ctx context.Context, req auth.ConnectRequest) (auth.Identity, error)
	Begin(method string, req auth.ConnectRequest) (auth.Exchange, error)
	MayPublish(id auth.Identity, name topic.Name) bool
	MaySubscribe(id auth.Identity, f topic.Filter) bool
}

// Guard has the last word on who Auth let in. It does not wait.
type Guard interface {
	// Connect is asked of a CONNECT before its session is touched. An error refuses it, 0x87 or in 3.1.1 0x05, and is logged.
	Connect(c Caller) error
	// Subscribe is asked of a filter that Auth allows, without $share; of those that a session had, once taps know of its client.
	Subscribe(clientID string, f topic.Filter) error
	// Refused is told of a message that Auth does not allow. Of a will, taps are told.
	Refused(c Caller, name topic.Name)
}

// Caller is who is connected, or would be.
type Caller struct {
	ClientID, User, Addr, Cert string
	Will                       *broker.Message // of a CONNECT; nil: none
}

// Store makes sessions durable. SaveSession does not wait: it appends to the journal and returns the index that
// makes changes durable. They are one record: after a crash either all are there or none.
type Store interface {
	SaveSession(changes []session.Change) (broker.Index, error)
}

// Durable tells how far the journal is durable. OnDurable's function is called after each commit, by one goroutine
// at a time; it does not wait. Await says that someone waits for an index; last, that nothing more is to be expected before
// it is durable. Crowded says that much waits: who caused it is not read from until it is durable.
type Durable interface {
	Durable() broker.Index
	OnDurable(func(broker.Index))
	Await(index broker.Index, last bool)
	Crowded() bool
}

// Limits bound what clients may take. 0 means the default, a negative value no limit.
type Limits struct {
	Clients               int           // connections that have logged in; default 1000
	PacketBytes           int           // largest packet taken; default 1 MiB
	ConnectPacketBytes    int           // largest CONNECT; default 64 KiB
	ConnectTimeout        time.Duration // from accept to the end of CONNECT, TLS included; default 5 s
	PacketTimeout         time.Duration // for a packet that has begun, and 1 s for each 64 KiB of it that has come; default 20 s
	WriteTimeout          time.Duration // for one write of at most 1 MiB; who reads more slowly is closed; default 10 s
	KeepAliveMax          time.Duration // default 300 s
	KeepAliveStrict       bool          // 3.1.1: a keep alive of 0 or above KeepAliveMax is refused with 0x02
	Inflight              int           // QoS 1 and 2 messages sent to a client and not acknowledged; default 100
	ReceiveMaximum        int           // QoS 1 and 2 messages of a client taken and not acknowledged; default 1000, at most 65535
	QueueMessages         int           // waiting per session; default 10000
	QueueBytes            int64         // waiting or unacknowledged per session; default 16 MiB
	TotalQueueBytes       int64         // of all sessions together, a message of a MiB or more once; default 256 MiB, at least 4 times PacketBytes
	TotalWillBytes        int64         // wills of all sessions, a small one always has room; default 64 MiB
	TotalFilterBytes      int64         // memory of the subscriptions of all sessions, few always have room; default 128 MiB
	AliasBytes            int           // topics that one connection's aliases stand for, each way; default 64 KiB
	TotalPacketBytes      int64         // large packets that have begun, of all connections; the oldest gives way; default 128 MiB
	TotalOutBytes         int64         // of all connections, waiting to be written; above it each may have 64 KiB; default 128 MiB
	OutBytes              int           // per connection, waiting to be written; default 1 MiB
	SessionExpiryMax      time.Duration // default 24 h
	Sessions              int           // connected or not, at the limit a quarter for one user or address; default 10 times Clients
	Subscriptions         int           // per session; default 200
	TopicLevels           int           // default 16
	TopicAlias            int           // that clients may use, and we towards each of them; default 64, negative: none
	AcceptsPerSecond      int           // per listener, the rest waits in the kernel; default 200
	ConnectionsPerAddress int           // loopback is not counted; default 100
	LoginFailures         int           // in a minute of one user name at one address, then it waits; of the address 10 times that; default 10
}

// withDefaults returns l with defaults for zeros, and zeros for no limit.
func (l Limits) withDefaults() Limits {
	def(&l.Clients, 1000)
	def(&l.PacketBytes, 1<<20)
	def(&l.ConnectPacketBytes, 64<<10)
	def(&l.ConnectTimeout, 5*time.Second)
	def(&l.PacketTimeout, 20*time.Second)
	def(&l.WriteTimeout, 10*time.Second)
	def(&l.KeepAliveMax, 300*time.Second)
	def(&l.Inflight, 100)
	def(&l.ReceiveMaximum, 1000)
	def(&l.QueueMessages, 10000)
	def(&l.QueueBytes, 16<<20)
	def(&l.TotalQueueBytes, max(256<<20, 4*int64(l.PacketBytes)))
	def(&l.TotalWillBytes, 64<<20)
	def(&l.TotalFilterBytes, 128<<20)
	def(&l.AliasBytes, 64<<10)
	def(&l.TotalPacketBytes, 128<<20)
	def(&l.TotalOutBytes, 128<<20)
	def(&l.OutBytes, 1<<20)
	def(&l.SessionExpiryMax, 24*time.Hour)
	def(&l.Sessions, 10*l.Clients)
	def(&l.Subscriptions, 200)
	def(&l.TopicLevels, 16)
	def(&l.TopicAlias, 64)
	def(&l.AcceptsPerSecond, 200)
	def(&l.ConnectionsPerAddress, 100)
	def(&l.LoginFailures, 10)
	if l.ReceiveMaximum == 0 || l.ReceiveMaximum > 65535 {
		l.ReceiveMaximum = 65535
	}
	if l.OutBytes == 0 {
		l.OutBytes = 1 << 30
	}
	l.TopicAlias = min(l.TopicAlias, 65535)
	return l
}

// window is the most that Inflight allows.
func (l *Limits) window() int {
	if l.Inflight > 0 {
		return l.Inflight
	}
	return 65535
}

func def[T int | int64 | time.Duration](v *T, d T) {
	switch {
	case *v == 0:
		*v = d
	case *v < 0:
		*v = 0
	}
}

// Listener is one place that clients connect to.
type Listener struct {
	net.Listener
	Name      string // for logs and the page
	Anonymous bool   // whether CONNECT without a user name may be let in
}
