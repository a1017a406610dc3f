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

	mqtt "github.com/eclipse/paho.mqtt.golang"
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
	url            *url.URL
	user, password string
}

// defaultPorts by scheme; the schemes that an address may have.
var defaultPorts = map[string]string{
	"tcp": "1883", "mqtt": "1883", "mqtts": "8883", "ssl": "8883", "tls": "8883", "ws": "80", "wss": "443", "unix": "",
}

// ParseBroker reads tcp://, mqtt://, mqtts://, ws://, wss://, unix:///path or host:port. A missing port is the
// scheme's own, a missing path of a WebSocket /mqtt.
func ParseBroker(broker string) (*url.URL, error) {
	if !strings.Contains(broker, "://") {
		broker = "tcp://" + broker
	}
	u, err := url.Parse(broker)
	if err != nil {
		return nil, fmt.Errorf("broker address: %w", err)
	}
	port, known := defaultPorts[u.Scheme]
	switch {
	case !known:
		return nil, fmt.Errorf("broker address: scheme %q: want tcp, mqtt, mqtts, ws, wss or unix", u.Scheme)
	case u.Scheme == "unix" && (u.Host != "" || u.Path == ""):
		return nil, fmt.Errorf("broker address %q: want unix:///path", u.Redacted())
	case u.Scheme == "unix":
		return u, nil
	case u.Hostname() == "":
		return nil, fmt.Errorf("broker address %q has no host", u.Redacted())
	}
	u.Host = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	if u.Path == "" && (u.Scheme == "ws" || u.Scheme == "wss") {
		u.Path = "/mqtt"
	}
	return u, nil
}

func parseBroker(broker string) (endpoint, error) {
	u, err := ParseBroker(broker)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{url: u, user: u.User.Username()}
	e.password, _ = u.User.Password()
	u.User = nil
	return e, nil
}

// dial opens the socket of a link.
func (e endpoint) dial(ctx context.Context, conf *tls.Config, slow bool) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	conn, err := e.open(ctx, conf)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, slow: slow, closed: make(chan struct{})}, nil
}

func (e endpoint) open(ctx context.Context, conf *tls.Config) (net.Conn, error) {
	switch e.url.Scheme {
	case "unix":
		return (&net.Dialer{}).DialContext(ctx, "unix", e.url.Path)
	case "ws", "wss":
		return mqtt.NewWebsocket(e.url.String(), conf, ackTimeout, nil, nil)
	case "mqtts", "ssl", "tls":
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", e.url.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", e.url.Host)
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
