package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"edge/historian"
	"edge/sparkplug"
	"edge/ui"
)

// scadaHostID is the demo SCADA's Sparkplug host id.
const scadaHostID = "scada"

// scada is the demo's SCADA: a host application that is an MQTT client of the enterprise broker like any other.
// It shares nothing with the uplink; what it shows is what it was told.
type scada struct {
	server string
	log    *slog.Logger
	trends trends

	messages, samples, backfill atomic.Uint64

	mu        sync.Mutex // guards the host and what follows; never held during I/O
	host      *sparkplug.Host
	connected bool
	since     time.Time
	outbox    chan sparkplug.Publish
}

func newScada(server string, log *slog.Logger) *scada {
	return &scada{server: server, log: log, since: time.Now(), outbox: make(chan sparkplug.Publish, outboxSize),
		host: sparkplug.NewHost(sparkplug.Options{HostID: scadaHostID})}
}

// run keeps the connection until ctx ends; then SCADA says that it is offline.
func (s *scada) run(ctx context.Context) error {
	server, err := url.Parse("mqtt://" + s.server)
	if err != nil {
		return fmt.Errorf("demo SCADA: %w", err)
	}
	connCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	client, err := autopaho.NewConnection(connCtx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{server}, KeepAlive: 20, CleanStartOnInitialConnection: true,
		ReconnectBackoff:     func(attempt int) time.Duration { return min(time.Duration(attempt), 1) * time.Second }, // 0: the first
		ConnectPacketBuilder: s.withWill,
		OnConnectionUp:       func(m *autopaho.ConnectionManager, _ *paho.Connack) { go s.up(connCtx, m) },
		OnConnectionDown:     func() bool { s.down(); return true },
		ClientConfig: paho.ClientConfig{
			ClientID:          "demo-scada",
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){s.received},
		},
	})
	if err != nil {
		return fmt.Errorf("demo SCADA: %w", err)
	}
	s.sendLoop(ctx, connCtx, client)
	ending, stop := context.WithTimeout(connCtx, 2*time.Second)
	defer stop()
	s.mu.Lock()
	farewell := s.host.StateDeath("", time.Now())
	s.mu.Unlock()
	for _, m := range farewell {
		s.publish(ending, client, m)
	}
	if err := client.Disconnect(ending); err != nil {
		s.log.Debug("demo SCADA disconnect", "err", err)
	}
	return nil
}

// withWill sets the will of this connection: STATE offline, with the time of the STATE online to come.
func (s *scada) withWill(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
	s.mu.Lock()
	wills := s.host.StateWill("", time.Now())
	s.mu.Unlock()
	w := wills[0]
	c.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain}
	return c, nil
}

// up subscribes, then says that SCADA is online.
func (s *scada) up(ctx context.Context, client *autopaho.ConnectionManager) {
	_, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: sparkplug.Namespace + "/#", QoS: 1}, {Topic: sparkplug.StateTopic(scadaHostID), QoS: 1},
	}})
	if err != nil {
		s.log.Warn("demo SCADA subscribe", "err", err)
		return
	}
	s.mu.Lock()
	s.connected, s.since = true, time.Now()
	greeting := s.host.StateBirth("", s.since)
	s.mu.Unlock()
	for _, m := range greeting {
		s.publish(ctx, client, m)
	}
}

func (s *scada) down() {
	s.mu.Lock()
	s.connected, s.since = false, time.Now()
	s.mu.Unlock()
	s.step(sparkplug.Input{Lost: &sparkplug.Lost{}})
}

func (s *scada) received(m paho.PublishReceived) (bool, error) {
	s.messages.Add(1)
	s.step(sparkplug.Input{Message: &sparkplug.Message{Topic: m.Packet.Topic, Payload: m.Packet.Payload, Retain: m.Packet.Retain}})
	return true, nil
}

func (s *scada) step(in sparkplug.Input) {
	s.mu.Lock()
	out := s.host.Step(in, time.Now())
	s.mu.Unlock()
	for _, r := range out.Records {
		switch {
		case r.Event != nil:
			s.trends.event(r.Event)
		case r.Sample.Historical:
			s.backfill.Add(1)
			s.trends.add(r.Sample)
		default:
			s.samples.Add(1)
			s.trends.add(r.Sample)
		}
	}
	for _, m := range out.Publish {
		select {
		case s.outbox <- m:
		default: // the host asks again
		}
	}
}

// sendLoop sends what the host wants said and lets time pass for it.
func (s *scada) sendLoop(ctx, connCtx context.Context, client *autopaho.ConnectionManager) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.outbox:
			s.publish(connCtx, client, m)
		case <-ticker.C:
			s.step(sparkplug.Input{})
		}
	}
}

func (s *scada) publish(ctx context.Context, client *autopaho.ConnectionManager, m sparkplug.Publish) {
	_, err := client.Publish(ctx, &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
	if err != nil {
		s.log.Debug("demo SCADA publish", "topic", m.Topic, "err", err)
	}
}

// view is what SCADA believes now.
func (s *scada) view() ui.ScadaView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ui.ScadaView{Host: scadaHostID, Server: s.server, Connected: s.connected, Since: s.since, Nodes: s.host.Nodes(),
		Messages: s.messages.Load(), Samples: s.samples.Load(), Backfill: s.backfill.Load()}
}

func (s *scada) trend(ref sparkplug.MetricRef, from, to time.Time, points int) ([]historian.Bucket, []historian.Gap) {
	return s.trends.buckets(ref, millis(from), millis(to), points)
}
