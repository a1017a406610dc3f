package simulate

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// message is a PUBLISH in either direction.
type message struct {
	topic   string
	payload []byte
}

// link is one MQTT connection, from a CONNACK of success until the socket is gone.
type link interface {
	// subscribe asks for all filters at QoS 1 and waits for the SUBACK.
	subscribe(ctx context.Context, filters []string) error
	// publish sends at QoS 0 and returns when the packet is handed to the socket.
	publish(ctx context.Context, m message) error
	// disconnect sends DISCONNECT, in 5.0 with reason 0x04, and closes the socket.
	disconnect()
	// done is closed when the connection is gone; cause then tells why.
	done() <-chan struct{}
	cause() error
}

// connectOptions is what a CONNECT of either protocol is made of. The session is always clean.
type connectOptions struct {
	clientID, user, password string
	will                     *message // QoS 1, not retained; nil: none
	in                       chan<- message
}

const (
	keepAlive  = 30 * time.Second
	ackTimeout = 10 * time.Second
	willQoS    = 1  // [tck-id-payloads-ndeath-will-message-qos]
	inbound    = 64 // messages that wait for a node; more are dropped
)

// deliver hands a message to the node, or drops it: the reader of a connection never waits for the node.
func deliver(in chan<- message, m message) {
	select {
	case in <- m:
	default:
	}
}

// endpoint is a broker's address as parsed from Options.Broker.
type endpoint struct {
	address        string
	secure         bool
	user, password string
}

// parseBroker reads tcp://, mqtt://, mqtts:// or host:port; the port defaults to 1883, or 8883 with TLS.
func parseBroker(broker string) (endpoint, error) {
	if !strings.Contains(broker, "://") {
		broker = "tcp://" + broker
	}
	u, err := url.Parse(broker)
	if err != nil {
		return endpoint{}, fmt.Errorf("broker address: %w", err)
	}
	var e endpoint
	port := "1883"
	switch u.Scheme {
	case "tcp", "mqtt":
	case "mqtts", "ssl", "tls":
		e.secure, port = true, "8883"
	default:
		return endpoint{}, fmt.Errorf("broker address: scheme %q: want tcp, mqtt or mqtts", u.Scheme)
	}
	if u.Hostname() == "" {
		return endpoint{}, fmt.Errorf("broker address %q has no host", u.Redacted())
	}
	e.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	e.user = u.User.Username()
	e.password, _ = u.User.Password()
	return e, nil
}

// dial opens the socket of a link.
func (e endpoint) dial(ctx context.Context, conf *tls.Config, slow bool) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	var conn net.Conn
	var err error
	if e.secure {
		conn, err = (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", e.address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", e.address)
	}
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, slow: slow, closed: make(chan struct{})}, nil
}

// wire is a socket whose writes end in time, and which can be as slow as a bad radio link.
type wire struct {
	net.Conn
	slow   bool
	once   sync.Once
	closed chan struct{}

	mu sync.Mutex // orders writes
}

// A slow wire waits this long before each write, and sends this many bytes a second.
const (
	slowLatency = 50 * time.Millisecond
	slowRate    = 4096
)

// errCut stands for net.ErrClosed, which MQTT libraries take for their own doing.
var errCut = errors.New("socket cut")

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	return n, w.cutOr(err)
}

func (w *wire) cutOr(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return errCut
	}
	return err
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slow {
		select {
		case <-w.closed:
			return 0, errCut
		case <-time.After(slowLatency + time.Duration(len(b))*time.Second/slowRate):
		}
	}
	if err := w.SetWriteDeadline(time.Now().Add(ackTimeout)); err != nil {
		return 0, w.cutOr(err)
	}
	n, err := w.Conn.Write(b)
	return n, w.cutOr(err)
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
