package simulate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// link5 is a connection of MQTT 5.0.
type link5 struct {
	client *paho.Client

	mu  sync.Mutex
	why error // guarded by mu: the first reason the connection ended
}

// connect5 sends CONNECT on w and waits for the CONNACK; w is closed if there is none.
func connect5(ctx context.Context, w *wire, o connectOptions) (*link5, error) {
	l := &link5{}
	l.client = paho.NewClient(paho.ClientConfig{
		Conn:          packets.NewThreadSafeConn(w),
		PacketTimeout: ackTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			deliver(o.in, message{topic: r.Packet.Topic, payload: r.Packet.Payload})
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { l.ended(fmt.Errorf("broker disconnects: reason 0x%02x", d.ReasonCode)) },
		OnClientError:      l.ended,
	})
	receiveMaximum, never := uint16(inbound), uint32(0)
	cp := &paho.Connect{
		ClientID: o.clientID, CleanStart: true, KeepAlive: uint16(keepAlive.Seconds()),
		Username: o.user, UsernameFlag: o.user != "", Password: []byte(o.password), PasswordFlag: o.password != "",
		Properties: &paho.ConnectProperties{ReceiveMaximum: &receiveMaximum, SessionExpiryInterval: &never},
	}
	if o.will != nil {
		cp.WillMessage = &paho.WillMessage{Topic: o.will.topic, Payload: o.will.payload, QoS: willQoS}
	}
	ack, err := l.client.Connect(ctx, cp)
	if err != nil {
		_ = w.Close()
		if ack != nil {
			return nil, fmt.Errorf("broker refuses the connection: reason 0x%02x", ack.ReasonCode)
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return l, nil
}

func (l *link5) subscribe(ctx context.Context, filters []string) error {
	s := &paho.Subscribe{}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1})
	}
	ctx, cancel := l.whileUp(ctx)
	defer cancel()
	_, err := l.client.Subscribe(ctx, s)
	return l.orCause(err)
}

func (l *link5) publish(ctx context.Context, m message) error {
	_, err := l.client.Publish(ctx, &paho.Publish{Topic: m.topic, Payload: m.payload})
	return l.orCause(err)
}

// whileUp ends with the connection: the library waits for an acknowledgement on a broken one until its time limit.
func (l *link5) whileUp(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		select {
		case <-l.client.Done():
			cancel()
		case <-stop:
		}
	})
	return ctx, func() { close(stop); ended.Wait(); cancel() }
}

// orCause prefers the reason the connection ended to the error that followed from it.
func (l *link5) orCause(err error) error {
	select {
	case <-l.client.Done():
		if err != nil {
			return l.cause()
		}
	default:
	}
	return err
}

func (l *link5) disconnect() {
	_ = l.client.Disconnect(&paho.Disconnect{ReasonCode: 0x04})
}

func (l *link5) done() <-chan struct{} { return l.client.Done() }

func (l *link5) ended(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = err
	}
}

func (l *link5) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		return errors.New("connection closed")
	}
	return l.why
}
