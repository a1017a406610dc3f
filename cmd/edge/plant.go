package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/topic"
	"edge/historian/journal"
	"edge/sparkplug"
	"edge/ui"
)

// hostName is the publisher name of the Sparkplug host: what it says enters the router under it.
const hostName = "$host"

// live is whoever shows values and events at once; ui.UI does. Its methods do not block.
type live interface {
	Changed([]sparkplug.MetricRef)
	NodeChanged([]sparkplug.NodeRef)
	Event(journal.Event)
}

// nobody is the live side before the page is there: wills of before a crash are published while the parts are joined.
type nobody struct{}

func (nobody) Changed([]sparkplug.MetricRef)   {}
func (nobody) NodeChanged([]sparkplug.NodeRef) {}
func (nobody) Event(journal.Event)             {}

// plant is the tap that feeds the Sparkplug host: every message and session event of the broker is one step of
// the host, whose records go to the journal, changes to the page, and messages back to the router.
//
// A message is stepped on its publisher's goroutine under mu. Accepting a message means its records are in the
// journal's buffer; a QoS 1 or 2 message is acknowledged when they are durable.
// When the journal takes nothing, the values are still shown, and the loss is recorded as a gap later.
type plant struct {
	// Set before the first message, never changed.
	log       *slog.Logger
	now       func() time.Time
	live      live
	births    births
	sampleDue time.Duration // how long a sample may wait for its commit
	ackedDue  time.Duration // the same for what a publisher waits for

	outbox  chan sparkplug.Publish // owned by sendLoop on the right side
	dropped atomic.Uint64          // messages of the host for which the outbox had no room
	ticked  atomic.Int64           // Unix ms of the last tick: whether the host still moves

	mu   sync.Mutex // held for one step and its append; never during I/O or a callback
	host *sparkplug.Host
	rec  recorder
}

// outboxSize bounds what the host may have to say at once; a restart of a large plant asks for many rebirths.
const outboxSize = 4096

// Wants implements broker.Chooser.
func (p *plant) Wants(name topic.Name) bool {
	return strings.HasPrefix(string(name), sparkplug.Namespace+"/") || strings.HasPrefix(string(name), sparkplug.LegacyState)
}

// Message implements broker.Tap.
func (p *plant) Message(m *broker.Message) (broker.Index, error) {
	if m.From == hostName {
		return 0, nil
	}
	due := p.sampleDue
	if m.QoS > 0 {
		due = p.ackedDue
	}
	in := sparkplug.Input{Message: &sparkplug.Message{Topic: string(m.Topic), Payload: m.Payload, Retain: m.Retain, ClientID: clientOf(m)}}
	index, err := p.step(in, due)
	if m.QoS == 0 {
		return 0, nil // nobody waits for it; a gap is recorded if it was lost
	}
	return broker.Index(index), err
}

// clientOf names the MQTT client behind a message; our own publishers are no clients.
func clientOf(m *broker.Message) string {
	if strings.HasPrefix(m.From, "$") {
		return ""
	}
	return m.From
}

// Session implements broker.Tap.
func (p *plant) Session(e broker.SessionEvent) {
	p.step(sessionInput(&e), p.sampleDue) //nolint:errcheck // a loss is recorded as a gap
}

// sessionInput is a session event in the host's words.
func sessionInput(e *broker.SessionEvent) sparkplug.Input {
	reason := string(e.Reason)
	if e.Kind == broker.Refused {
		return sparkplug.Input{Refused: &sparkplug.Refused{
			ClientID: e.ClientID, Address: e.Addr, User: e.User, Topic: string(e.WillTopic), Connect: true, Reason: reason}}
	}
	return sparkplug.Input{Session: &sparkplug.Session{
		ClientID: e.ClientID, Address: e.Addr, TLS: e.TLS, User: e.User, Cert: e.Cert, Protocol: e.Protocol, KeepAlive: e.KeepAlive,
		WillTopic: string(e.WillTopic), Connected: e.Kind == broker.Connected, Reason: reason, Detail: e.Detail,
	}}
}

// tick lets time pass for the host.
func (p *plant) tick() {
	p.step(sparkplug.Input{}, p.sampleDue) //nolint:errcheck // a loss is recorded as a gap
	p.ticked.Store(p.now().UnixMilli())
}

// step takes the host one step further and hands on what it wants done.
func (p *plant) step(in sparkplug.Input, due time.Duration) (journal.Index, error) {
	p.mu.Lock()
	out := p.host.Step(in, p.now())
	index, events, err := p.rec.append(due, out.Records)
	p.mu.Unlock()
	p.handOn(out, events)
	p.host.Done(out)
	return index, err
}

// requestRebirth asks a node for its births on behalf of an operator; ok is false for a node that is not known.
func (p *plant) requestRebirth(ref sparkplug.NodeRef, reason string) (ok bool) {
	p.mu.Lock()
	out, ok := p.host.RequestRebirth(ref, reason, p.now())
	_, events, _ := p.rec.append(p.ackedDue, out.Records) // a loss is recorded as a gap
	p.mu.Unlock()
	p.handOn(out, events)
	p.host.Done(out)
	return ok
}

// handOn shows what changed and says what the host wants said.
func (p *plant) handOn(out sparkplug.Output, events []journal.Event) {
	p.births.forget(out.Forgotten, p.log)
	p.births.remember(out.Records, p.now(), p.log)
	p.live.Changed(out.Changed)
	p.live.NodeChanged(out.Nodes)
	for _, e := range events {
		e.Payload = nil // the event log does not show it
		p.live.Event(e)
	}
	for _, m := range out.Publish {
		p.say(m)
	}
}

// lastValues is who knows the last value of a metric from before a restart; historian.Store does.
type lastValues interface {
	Last(group, node, device, metric string) (journal.Sample, bool)
}

// seedValues shows, for metrics that nothing was heard of since the start, the last recorded value in place of the
// birth's. It takes its time beside the work: it reads the historian once for each metric.
func (p *plant) seedValues(ctx context.Context, from lastValues) {
	for _, m := range p.Metrics(ui.MetricFilter{Quality: sparkplug.QualityStale}) {
		if ctx.Err() != nil {
			return
		}
		last, ok := from.Last(m.Group, m.Node, m.Device, m.Name)
		if !ok || last.Historical {
			continue
		}
		ref := sparkplug.MetricRef{Group: m.Group, Node: m.Node, Device: m.Device, Name: m.Name}
		v := sparkplug.Value{Type: sparkplug.DataType(last.Value.Type), Null: last.Value.Null, Num: last.Value.Num, Bytes: last.Value.Bytes}
		p.mu.Lock()
		ok = p.host.SeedValue(ref, v, time.UnixMilli(int64(last.At)), time.UnixMilli(int64(last.Received)), p.now())
		p.mu.Unlock()
		if ok {
			p.live.Changed([]sparkplug.MetricRef{ref})
		}
	}
}

// say queues a message of the host. What finds no room is dropped and counted: the host asks again.
func (p *plant) say(m sparkplug.Publish) {
	select {
	case p.outbox <- m:
	default:
		p.dropped.Add(1)
	}
}

// retainer is the router: it takes messages and knows what is retained.
type retainer interface {
	broker.Publisher
	Retained(name topic.Name, now time.Time) *broker.Message
}

// run sends what the host says and ticks it, until ctx ends.
func (p *plant) run(ctx context.Context, to retainer, last lastValues) error {
	seeded := make(chan struct{})
	go func() {
		defer close(seeded)
		p.seedValues(ctx, last)
	}()
	defer func() { <-seeded }()
	timer, look := time.NewTimer(tickEvery), time.NewTicker(time.Second)
	defer timer.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			for len(p.outbox) > 0 { // nobody fills it any more
				p.publish(to, <-p.outbox)
			}
			return nil
		case m := <-p.outbox:
			p.publish(to, m)
		case <-timer.C:
			p.tick()
			timer.Reset(p.untilTick())
		case <-look.C:
			p.lookAtState(to)
		}
	}
}

// tickEvery is how often time passes for the host at the least: the service manager's watchdog looks at it.
const tickEvery = 250 * time.Millisecond

// untilTick is when the host wants time to pass next.
func (p *plant) untilTick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.host.NextTick()
	if next.IsZero() {
		return tickEvery
	}
	return min(max(next.Sub(p.now()), time.Millisecond), tickEvery)
}

func (p *plant) publish(to broker.Publisher, m sparkplug.Publish) broker.Index {
	index, err := to.Publish(&broker.Message{
		Topic: topic.Name(m.Topic), Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, From: hostName, Received: p.now(),
	})
	if err != nil {
		p.log.Warn("host message not published", "topic", m.Topic, "err", err)
	}
	return index
}

// Stats implements ui.Plant.
// unkept counts the host's messages for which the outbox had no room, and samples for which the catalog had none.
func (p *plant) unkept() (messages, samples uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped.Load(), p.rec.refused
}

func (p *plant) Stats() sparkplug.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Stats()
}

// Hosts implements ui.Plant.
func (p *plant) Hosts() []sparkplug.HostView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Hosts()
}

// nodesAtOnce is how many nodes are looked at while every message waits.
const nodesAtOnce = 32

// Nodes implements ui.Plant. It takes the lock for some nodes at a time, so that a large plant is not held up.
func (p *plant) Nodes() (all []sparkplug.NodeView) {
	var after *sparkplug.NodeRef
	for {
		p.mu.Lock()
		some := p.host.NodesAfter(after, nodesAtOnce)
		for i := range some {
			p.notRecorded(&some[i])
		}
		p.mu.Unlock()
		all = append(all, some...)
		if len(some) < nodesAtOnce {
			return all
		}
		after = &sparkplug.NodeRef{Group: some[nodesAtOnce-1].Group, Node: some[nodesAtOnce-1].Node}
	}
}

// Node implements ui.Plant.
func (p *plant) Node(group, node string) (sparkplug.NodeView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.host.Node(group, node)
	p.notRecorded(&n)
	return n, ok
}

// notRecorded says of a node that the journal takes nothing: its values are shown, and will be missing from the history.
func (p *plant) notRecorded(n *sparkplug.NodeView) {
	if span, ok := p.rec.lost[sparkplug.NodeRef{Group: n.Group, Node: n.Node}]; ok {
		n.Why = append(n.Why, sparkplug.Reason{Kind: sparkplug.CauseNotRecorded, At: span.from, Lasts: true, Also: len(n.Why) > 0,
			Text: "its values are not recorded, the journal takes nothing"})
	}
}

// Metrics implements ui.Plant. It takes the lock for a page at a time, so that a large plant is not held up.
func (p *plant) Metrics(f ui.MetricFilter) []sparkplug.MetricView {
	filter := sparkplug.MetricFilter{Group: f.Group, Node: f.Node, Quality: f.Quality}
	if f.Device != "" {
		filter.Device = &f.Device
	}
	var after *sparkplug.MetricRef
	if f.After != (sparkplug.MetricRef{}) {
		after = &f.After
	}
	var all []sparkplug.MetricView
	for {
		limit := 1000
		if f.Limit > 0 {
			limit = min(limit, f.Limit-len(all))
		}
		p.mu.Lock()
		page, more := p.host.Metrics(filter, after, limit)
		p.mu.Unlock()
		all = append(all, page...)
		if !more || len(page) == 0 || f.Limit > 0 && len(all) >= f.Limit {
			return all
		}
		last := page[len(page)-1]
		after = &sparkplug.MetricRef{Group: last.Group, Node: last.Node, Device: last.Device, Name: last.Name}
	}
}

// Metric implements ui.Plant.
func (p *plant) Metric(ref sparkplug.MetricRef) (sparkplug.MetricView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Metric(ref)
}
