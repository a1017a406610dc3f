package ui

import (
	"math"
	"sync"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// testPlant is a real Sparkplug host with four nodes behind it, joined to a page and a history as the pipeline does it.
type testPlant struct {
	mu   sync.Mutex
	host *sparkplug.Host
	seq  map[string]uint64
	ui   *UI
	past *testHistory
}

// testSignal is one metric of the test plant; f gives its value at a time.
type testSignal struct {
	name, unit string
	kind       sparkplug.DataType
	low, high  float64
	f          func(seconds float64) float64
}

func wave(mean, swing, period float64) func(float64) float64 {
	return func(s float64) float64 {
		return mean + swing*math.Sin(2*math.Pi*s/period) + swing/25*math.Sin(s*1.7)
	}
}

func steps(every float64) func(float64) float64 {
	return func(s float64) float64 { return math.Floor(math.Mod(s, 1e6) / every) }
}

func constant(v float64) func(float64) float64 { return func(float64) float64 { return v } }

// testNodes are node → device → signals; the device "" is the node itself.
var testNodes = map[string]map[string][]testSignal{
	"press": {"": {{"Machine/State", "", sparkplug.String, 0, 0, nil}, {"Cabinet Temperature", "°C", sparkplug.Float, 0, 80, wave(34, 2, 900)}},
		"hydraulics": {{"Pressure", "bar", sparkplug.Float, 0, 250, wave(182, 9, 240)}, {"Oil Temperature", "°C", sparkplug.Float, 0, 90, wave(54, 6, 1800)},
			{"Pump Running", "", sparkplug.Boolean, 0, 0, constant(1)}},
		"ram": {{"Cycle Count", "", sparkplug.Int64, 0, 0, steps(12)}, {"Force", "kN", sparkplug.Float, 0, 1600, wave(700, 480, 12)}}},
	"oven": {"furnace": {{"Zone 1/Temperature", "°C", sparkplug.Double, 0, 300, wave(165, 4, 600)}, {"Zone 1/Setpoint", "°C", sparkplug.Double, 20, 250, constant(165)},
		{"Zone 2/Temperature", "°C", sparkplug.Double, 0, 300, wave(182, 3, 700)}, {"Zone 2/Setpoint", "°C", sparkplug.Double, 20, 250, constant(182)}},
		"exhaust": {{"Fan Speed", "rpm", sparkplug.Int32, 0, 3000, wave(1450, 30, 60)}}},
	"conveyor": {"drive": {{"Speed", "m/s", sparkplug.Float, 0, 2.5, wave(0.8, 0.05, 30)}, {"Motor Current", "A", sparkplug.Float, 0, 30, wave(11, 2, 90)}}},
	"utilities": {"compressor": {{"Pressure", "bar", sparkplug.Double, 0, 10, wave(7.2, 0.3, 180)}, {"Flow", "m³/h", sparkplug.Float, 0, 900, wave(540, 80, 400)},
		{hostileName, "<b>", sparkplug.Int32, 0, 9, constant(1)}}},
}

const testGroup = "plant"

// hostileName is a metric that would like to be markup. TestPage shows it and sees no request and no error.
const hostileName = `"><img src=/none onerror="console.error('run')">`

func newTestPlant() *testPlant {
	return &testPlant{host: sparkplug.NewHost(sparkplug.Options{HostID: "edge", ReorderTimeout: -1}), seq: map[string]uint64{}, past: newTestHistory()}
}

// birth sends a node's NBIRTH and the DBIRTHs of its devices.
func (p *testPlant) birth(node string, at time.Time) {
	p.step(sparkplug.Input{Session: &sparkplug.Session{ClientID: "client-" + node, Address: "127.0.0.1:50123", Connected: true}}, at)
	p.mu.Lock()
	p.seq[node] = 255 // so that the birth has 0
	p.mu.Unlock()
	own := []sparkplug.Metric{sparkplug.BdSeqMetric(7, at), {Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false)}}
	p.send(sparkplug.NBIRTH, node, "", at, append(own, metricsAt(node, "", at, true)...))
	for _, device := range sortedDevices(node) {
		p.send(sparkplug.DBIRTH, node, device, at, metricsAt(node, device, at, true))
	}
}

// data sends the present values of a node and its devices.
func (p *testPlant) data(node string, at time.Time) {
	if _, ok := testNodes[node][""]; ok {
		p.send(sparkplug.NDATA, node, "", at, metricsAt(node, "", at, false))
	}
	for _, device := range sortedDevices(node) {
		p.send(sparkplug.DDATA, node, device, at, metricsAt(node, device, at, false))
	}
}

// kill ends a node's connection without a DISCONNECT; its will follows.
func (p *testPlant) kill(node string, at time.Time) {
	p.step(sparkplug.Input{Session: &sparkplug.Session{ClientID: "client-" + node, Reason: "connection lost"}}, at)
	will := sparkplug.NodeDeath(sparkplug.NodeRef{Group: testGroup, Node: node}, 7, at)
	p.step(sparkplug.Input{Message: &sparkplug.Message{Topic: will.Topic, Payload: will.Payload, ClientID: "client-" + node}}, at)
}

func (p *testPlant) send(kind sparkplug.MessageType, node, device string, at time.Time, ms []sparkplug.Metric) {
	p.mu.Lock()
	p.seq[node] = (p.seq[node] + 1) % 256
	payload := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Seq: p.seq[node], HasSeq: true, Metrics: ms}
	p.mu.Unlock()
	topic := sparkplug.Topic{Type: kind, Group: testGroup, Node: node, Device: device}.String()
	p.step(sparkplug.Input{Message: &sparkplug.Message{Topic: topic, Payload: sparkplug.Encode(&payload), ClientID: "client-" + node}}, at)
}

// step is the pipeline in small: what the host saw goes to the history and to the page.
func (p *testPlant) step(in sparkplug.Input, at time.Time) {
	p.mu.Lock()
	out := p.host.Step(in, at)
	var events []journal.Event
	for _, r := range out.Records {
		if r.Sample != nil {
			p.past.add(r.Sample)
		}
		if r.Event != nil {
			events = append(events, p.past.addEvent(r.Event))
		}
	}
	page := p.ui
	p.mu.Unlock()
	if page == nil {
		return
	}
	page.Changed(out.Changed)
	page.NodeChanged(out.Nodes)
	for _, e := range events {
		page.Event(e)
	}
}

func metricsAt(node, device string, at time.Time, birth bool) (out []sparkplug.Metric) {
	for _, s := range testNodes[node][device] {
		m := sparkplug.Metric{Name: s.name, Timestamp: sparkplug.Millis(at), HasTimestamp: true, Type: s.kind, Value: s.at(at)}
		if birth && s.unit != "" {
			m.Properties = []sparkplug.Property{{Key: "engUnit", Value: sparkplug.StringValue(s.unit)},
				{Key: "engLow", Value: doubleValue(s.low)}, {Key: "engHigh", Value: doubleValue(s.high)}}
		}
		out = append(out, m)
	}
	return out
}

func (s testSignal) at(at time.Time) sparkplug.Value {
	seconds := float64(at.UnixMilli()) / 1000
	switch s.kind {
	case sparkplug.String:
		return sparkplug.StringValue("running")
	case sparkplug.Boolean:
		return sparkplug.BoolValue(s.f(seconds) != 0)
	case sparkplug.Float:
		return sparkplug.Value{Type: s.kind, Num: uint64(math.Float32bits(float32(s.f(seconds))))}
	case sparkplug.Double:
		return doubleValue(s.f(seconds))
	}
	return sparkplug.Int64Value(s.kind, int64(s.f(seconds)))
}

func doubleValue(f float64) sparkplug.Value {
	return sparkplug.Value{Type: sparkplug.Double, Num: math.Float64bits(f)}
}

func (p *testPlant) Hosts() []sparkplug.HostView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Hosts()
}

func (p *testPlant) Stats() sparkplug.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Stats()
}

func (p *testPlant) Nodes() []sparkplug.NodeView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Nodes()
}

func (p *testPlant) Node(group, node string) (sparkplug.NodeView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Node(group, node)
}

func (p *testPlant) Metrics(f MetricFilter) []sparkplug.MetricView {
	p.mu.Lock()
	defer p.mu.Unlock()
	filter := sparkplug.MetricFilter{Group: f.Group, Node: f.Node, Quality: f.Quality}
	if f.Device != "" {
		filter.Device = &f.Device
	}
	var after *sparkplug.MetricRef
	if f.After != (sparkplug.MetricRef{}) {
		after = &f.After
	}
	var all []sparkplug.MetricView
	for { // the host answers page by page
		page, more := p.host.Metrics(filter, after, max(f.Limit-len(all), 0))
		all = append(all, page...)
		if !more || len(all) == f.Limit {
			return all
		}
		last := refOf(page[len(page)-1])
		after = &last
	}
}

func (p *testPlant) Metric(ref sparkplug.MetricRef) (sparkplug.MetricView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.Metric(ref)
}
