package simulate

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// link3 is a connection of MQTT 3.1.1.
type link3 struct {
	client mqtt.Client
	gone   chan struct{} // closed by end

	mu  sync.Mutex
	why error // guarded by mu: the first reason the connection ended
}

// connect3 sends CONNECT on w and waits for the CONNACK; w is closed if there is none.
func connect3(ctx context.Context, w *wire, o connectOptions) (*link3, error) {
	l := &link3{gone: make(chan struct{})}
	opts := mqtt.NewClientOptions().AddBroker("tcp://dialled").SetProtocolVersion(4).
		SetClientID(o.clientID).SetCleanSession(true).SetKeepAlive(keepAlive).SetConnectTimeout(ackTimeout).
		SetAutoReconnect(false).SetConnectRetry(false).SetUsername(o.user).SetPassword(o.password).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return w, nil }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.end(err) }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			deliver(o.in, message{topic: m.Topic(), payload: m.Payload()})
		})
	if o.will != nil {
		opts.SetBinaryWill(o.will.topic, o.will.payload, willQoS, false)
	}
	l.client = mqtt.NewClient(opts)
	if err := l.await(ctx, l.client.Connect()); err != nil {
		_ = w.Close()
		return nil, err
	}
	return l, nil
}

func (l *link3) subscribe(ctx context.Context, filters []string) error {
	all := make(map[string]byte, len(filters))
	for _, f := range filters {
		all[f] = 1
	}
	return l.await(ctx, l.client.SubscribeMultiple(all, nil))
}

func (l *link3) publish(ctx context.Context, m message) error {
	return l.await(ctx, l.client.Publish(m.topic, 0, false, m.payload))
}

// await waits for the token, the context or the end of the connection: a QoS 0 token may be
// forgotten by the library when the socket breaks.
func (l *link3) await(ctx context.Context, t mqtt.Token) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-l.gone:
		return l.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link3) disconnect() {
	l.client.Disconnect(uint(ackTimeout.Milliseconds()))
	l.end(nil)
}

func (l *link3) done() <-chan struct{} { return l.gone }

func (l *link3) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = errors.New("connection closed")
	}
	if l.why == nil {
		l.why = err
		close(l.gone)
	}
}

func (l *link3) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}
