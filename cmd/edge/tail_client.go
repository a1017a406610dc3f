package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"edge/sparkplug/observe"
	"edge/sparkplug/simulate"
)

// taker gets each message, in order, from one goroutine.
type taker func(observe.Message)

// firstConnect is how long the first connection may take; later ones are tried until ctx ends.
const firstConnect = 10 * time.Second

// subscribeTail listens to filters until ctx ends. The error is of the first connection or its subscription to the first filter (the others are
// welcome, not needed); that a later
// connection is lost is told to notes.
func subscribeTail(ctx context.Context, level simulate.Protocol, broker string, filters []string, take taker, notes *lines) error {
	u, err := simulate.ParseBroker(broker)
	if err != nil {
		return err
	}
	if level == simulate.V311 {
		return tail3(ctx, u, filters, take, notes)
	}
	return tail5(ctx, u, filters, take, notes)
}

func tailID() string { return fmt.Sprintf("edge-tail-%x", time.Now().UnixNano()) }

// tail5 listens with MQTT 5.0.
func tail5(ctx context.Context, u *url.URL, filters []string, take taker, notes *lines) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wasUp atomic.Bool
	up := make(chan struct{}, 1) // a connection stands and is subscribed
	server := *u
	server.User = nil // WebSocket clients do not take it
	conf := autopaho.ClientConfig{
		ServerUrls: []*url.URL{&server}, KeepAlive: 30, CleanStartOnInitialConnection: true, ConnectTimeout: firstConnect,
		ReconnectBackoff: func(attempt int) time.Duration { return time.Duration(min(attempt, 1)) * time.Second },
		OnConnectError: func(err error) {
			if !wasUp.Load() {
				cancel(err)
				return
			}
			notes.printf("edge tail: connect: %v\n", err)
		},
		OnConnectionUp: func(cm *autopaho.ConnectionManager, _ *paho.Connack) {
			wasUp.Store(true)
			go subscribe5(ctx, cm, filters, up, cancel)
		},
		OnConnectionDown: func() bool { notes.printf("edge tail: connection lost\n"); return true },
	}
	if u.User != nil {
		conf.ConnectUsername = u.User.Username()
		password, _ := u.User.Password()
		conf.ConnectPassword = []byte(password)
	}
	if u.Scheme == "unix" {
		conf.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
		}
	}
	receiveMaximum := uint16(256)
	conf.ConnectPacketBuilder = func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
		if c.Properties == nil {
			c.Properties = &paho.ConnectProperties{}
		}
		c.Properties.ReceiveMaximum = &receiveMaximum
		return c, nil
	}
	conf.ClientID = tailID()
	conf.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
		p := r.Packet
		take(observe.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, At: time.Now()})
		return true, nil
	}}
	cm, err := autopaho.NewConnection(ctx, conf)
	if err != nil {
		return err
	}
	return awaitTail(ctx, cancel, up, cm.Done())
}

// subscribe5 ends by itself: Subscribe has its own time limit.
func subscribe5(ctx context.Context, cm *autopaho.ConnectionManager, filters []string, up chan<- struct{}, cancel context.CancelCauseFunc) {
	for i, f := range filters {
		_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: f, QoS: 1}}})
		if err != nil && i == 0 {
			cancel(fmt.Errorf("subscribe %s: %w", f, err))
			return
		}
	}
	select {
	case up <- struct{}{}:
	default:
	}
}

// awaitTail waits for the first connection, then for the end.
func awaitTail(ctx context.Context, cancel context.CancelCauseFunc, up, gone <-chan struct{}) error {
	timer := time.NewTimer(firstConnect)
	defer timer.Stop()
	select {
	case <-up:
		<-ctx.Done()
	case <-ctx.Done():
	case <-timer.C:
		cancel(fmt.Errorf("no connection within %v", firstConnect))
	}
	cancel(nil)
	<-gone
	if why := context.Cause(ctx); !errors.Is(why, context.Canceled) {
		return why
	}
	return nil
}

// tail3 listens with MQTT 3.1.1.
func tail3(ctx context.Context, u *url.URL, filters []string, take taker, notes *lines) error {
	lost := make(chan error, 1) // of the subscription
	opts := mqtt.NewClientOptions().AddBroker(u.String()).SetProtocolVersion(4).SetClientID(tailID()).SetCleanSession(true).
		SetKeepAlive(30 * time.Second).SetConnectTimeout(firstConnect).SetAutoReconnect(true).SetMaxReconnectInterval(5 * time.Second).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { notes.printf("edge tail: connection lost: %v\n", err) }).
		SetOnConnectHandler(func(c mqtt.Client) {
			for i, f := range filters {
				if err := subscribe3(c, f, take); err != nil && i == 0 {
					select {
					case lost <- fmt.Errorf("subscribe %s: %w", f, err):
					default:
					}
				}
			}
		})
	client := mqtt.NewClient(opts)
	defer client.Disconnect(250)
	if err := tokenError(client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-lost:
		return err
	}
}

func subscribe3(c mqtt.Client, filter string, take taker) error {
	token := c.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		take(observe.Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retain: m.Retained(), At: time.Now()})
	})
	if err := tokenError(token); err != nil {
		return err
	}
	if token.(*mqtt.SubscribeToken).Result()[filter] == 0x80 {
		return errors.New("refused")
	}
	return nil
}

func tokenError(t mqtt.Token) error {
	if !t.WaitTimeout(firstConnect) {
		return fmt.Errorf("no answer within %v", firstConnect)
	}
	return t.Error()
}
