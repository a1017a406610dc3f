package uplink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/log"
)

// dialTimeout bounds the way to a server: TCP, TLS and CONNACK each.
const dialTimeout = 10 * time.Second

// A conn gathers small packets into large writes, and gives up on a socket that does not take them. It is a
// sync.Locker: paho holds it while it writes one packet. Its own writer holds it back (cork) over a batch.
type conn struct {
	net.Conn
	patience atomic.Int64 // nanoseconds that one write may take

	mu     sync.Mutex
	w      *bufio.Writer // guarded by mu
	corked bool
}

func newConn(c net.Conn, patience time.Duration) *conn {
	k := &conn{Conn: c}
	k.patience.Store(int64(patience))
	k.w = bufio.NewWriterSize(deadlineWriter{k}, 32<<10)
	return k
}

// deadlineWriter is the socket, with a deadline on each write.
type deadlineWriter struct{ c *conn }

func (d deadlineWriter) Write(b []byte) (int, error) {
	if err := d.c.Conn.SetWriteDeadline(time.Now().Add(time.Duration(d.c.patience.Load()))); err != nil {
		return 0, err
	}
	return d.c.Conn.Write(b)
}

// farewellTime is what a session may take to end.
const farewellTime = 2 * time.Second

// hurry bounds what is being written and what follows: the uplink stops.
func (c *conn) hurry() {
	c.patience.Store(int64(farewellTime))
	_ = c.Conn.SetWriteDeadline(time.Now().Add(farewellTime))
}

func (c *conn) Lock() { c.mu.Lock() }

// Unlock ends one packet. An error of the write stays in the bufio.Writer and comes back with the next one.
func (c *conn) Unlock() {
	if !c.corked {
		_ = c.w.Flush()
	}
	c.mu.Unlock()
}

// Write is called with the lock held.
func (c *conn) Write(b []byte) (int, error) { return c.w.Write(b) }

func (c *conn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

func (c *conn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	return c.w.Flush()
}

// A pinger counts PINGRESPs; PINGREQs are the barriers of its session.
type pinger struct {
	pongs atomic.Uint64
	wake  func()
}

func (p *pinger) Run(ctx context.Context, _ net.Conn, _ uint16) error { <-ctx.Done(); return nil }
func (p *pinger) PacketSent()                                         {}
func (p *pinger) PacketReceived()                                     {}
func (p *pinger) PingResp()                                           { p.pongs.Add(1); p.wake() }
func (p *pinger) SetDebug(log.Logger)                                 {}

// ping writes a PINGREQ.
func (c *conn) ping() error {
	_, err := packets.NewControlPacket(packets.PINGREQ).WriteTo(c)
	return err
}

// noAuth answers enhanced authentication, which we do not ask for; without it paho would call nil.
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth { return &paho.Auth{ReasonCode: 0x18} }
func (noAuth) Authenticated()                     {}

// A link is one MQTT 5 connection to a server.
type link struct {
	client    *paho.Client
	conn      *conn
	ping      *pinger
	maxPacket int // of the server; 0: no limit
	keepAlive time.Duration
	lost      context.Context // ends with the connection
	lose      func()

	mu  sync.Mutex
	err error // why it ended; guarded by mu
}

// done is closed when the connection is gone.
func (l *link) done() <-chan struct{} { return l.client.Done() }

func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return errors.New("the connection was lost")
	}
	return l.err
}

func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
	l.lose()
}

// subscribe waits for the SUBACK, no longer than the connection lasts; paho by itself would wait on.
func (l *link) subscribe(ctx context.Context, subs ...paho.SubscribeOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.lost, cancel)()
	_, err := l.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: subs})
	if l.lost.Err() != nil {
		return l.cause()
	}
	return err
}

// close ends the connection without DISCONNECT, so that the server publishes the will, and waits for its goroutines.
func (l *link) close() {
	_ = l.conn.Conn.Close()
	<-l.done()
	l.lose()
}

// disconnect says DISCONNECT and waits.
func (l *link) disconnect(reason byte) {
	_ = l.conn.uncork()
	_ = l.client.Disconnect(&paho.Disconnect{ReasonCode: reason})
	<-l.done()
}

// A caller is who connects: with which id and will, and what to do when something comes.
type caller struct {
	clientID string
	will     *paho.WillMessage
	wake     func()
	receive  func(*paho.Publish)
}

// connect sends CONNECT on a fresh connection, which it owns from then on: clean start, session expiry 0.
// [tck-id-principles-persistence-clean-session-50]
func (s Server) connect(ctx context.Context, tcp net.Conn, o *Options, c caller) (*link, error) {
	wake := c.wake
	l := &link{conn: newConn(tcp, o.KeepAlive), ping: &pinger{wake: wake}, keepAlive: o.KeepAlive}
	l.lost, l.lose = context.WithCancel(context.Background())
	l.client = paho.NewClient(paho.ClientConfig{
		Conn:          l.conn,
		PingHandler:   l.ping,
		AuthHandler:   noAuth{},
		PacketTimeout: dialTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			c.receive(r.Packet)
			return true, nil
		}},
		OnClientError: func(err error) { l.fail(err); wake() },
		OnServerDisconnect: func(d *paho.Disconnect) {
			l.fail(fmt.Errorf("the server ended the session: %s", reasonText(d.ReasonCode)))
			wake()
		},
	})
	receiveMax, maxPacket, expiry := uint16(16), uint32(1<<20), uint32(0)
	cp := &paho.Connect{ClientID: c.clientID, CleanStart: true, KeepAlive: uint16(o.KeepAlive / time.Second), WillMessage: c.will,
		Properties: &paho.ConnectProperties{ReceiveMaximum: &receiveMax, MaximumPacketSize: &maxPacket, SessionExpiryInterval: &expiry}}
	if s.Username != "" || s.Password != "" {
		cp.Username, cp.UsernameFlag = s.Username, true
		cp.Password, cp.PasswordFlag = []byte(s.Password), s.Password != ""
	}
	ack, err := l.client.Connect(ctx, cp)
	if err != nil {
		_ = tcp.Close()
		l.lose()
		if ack != nil {
			return nil, fmt.Errorf("%s refuses the connection: %s", s.redacted(), reasonText(ack.ReasonCode))
		}
		return nil, fmt.Errorf("%s does not answer CONNECT: %s", s.redacted(), plainError(err))
	}
	if p := ack.Properties; p != nil {
		if p.MaximumPacketSize != nil {
			l.maxPacket = int(*p.MaximumPacketSize)
		}
		if p.ServerKeepAlive != nil && *p.ServerKeepAlive > 0 {
			l.keepAlive = min(l.keepAlive, time.Duration(*p.ServerKeepAlive)*time.Second)
		}
	}
	return l, nil
}

// dial opens the connection for it.
func (s Server) dial(ctx context.Context) (net.Conn, error) {
	c, err := s.dialNet(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %s", s.redacted(), plainError(err))
	}
	return c, nil
}

func (s Server) dialNet(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address, secure, err := s.address()
	if err != nil {
		return nil, err
	}
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	c, err := dial(ctx, "tcp", address)
	if err != nil || !secure {
		return c, err
	}
	cfg := s.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}

// plainError is the last, telling part of a network error: "connection refused".
func plainError(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		text := op.Err.Error()
		return strings.TrimPrefix(text, "connect: ")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

// reasonText names the MQTT 5 reason codes that an operator can do something about.
func reasonText(code byte) string {
	switch code {
	case 0x84:
		return "it does not speak MQTT 5"
	case 0x85:
		return "client identifier not valid"
	case 0x86:
		return "bad user name or password"
	case 0x87:
		return "not authorized; check the access rules of the user"
	case 0x88, 0x89:
		return "server busy or unavailable"
	case 0x8A:
		return "banned"
	case 0x8B:
		return "it is shutting down"
	case 0x8D:
		return "keep alive timeout"
	case 0x8E:
		return "another client took the session over; client ids must be unique"
	case 0x95:
		return "packet too large"
	case 0x97:
		return "quota exceeded"
	}
	return fmt.Sprintf("reason code 0x%02x", code)
}
