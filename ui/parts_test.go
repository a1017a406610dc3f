package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/server"
	"edge/historian"
	"edge/historian/journal"
	"edge/historian/promql"
	"edge/sparkplug"
	"edge/sparkplug/uplink"
)

func sortedDevices(node string) []string {
	devices := slices.Sorted(maps.Keys(testNodes[node]))
	return slices.DeleteFunc(devices, func(d string) bool { return d == "" })
}

// testHistory is a History over slices.
type testHistory struct {
	mu      sync.Mutex
	samples map[sparkplug.MetricRef][]journal.Sample
	events  []journal.Event // oldest first
	gaps    map[sparkplug.NodeRef][]historian.Gap
	index   journal.Index
}

func newTestHistory() *testHistory {
	return &testHistory{samples: map[sparkplug.MetricRef][]journal.Sample{}, gaps: map[sparkplug.NodeRef][]historian.Gap{}}
}

func (h *testHistory) add(s *sparkplug.Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ref := sparkplug.MetricRef{Group: s.Group, Node: s.Node, Device: s.Device, Name: s.Metric}
	h.index++
	h.samples[ref] = append(h.samples[ref], journal.Sample{
		Index: h.index, At: journal.Millis(s.At.UnixMilli()), Received: journal.Millis(s.Received.UnixMilli()), Quality: journal.Quality(s.Quality),
		Value: journal.Value{Type: journal.DataType(s.Value.Type), Null: s.Value.Null, Num: s.Value.Num, Bytes: s.Value.Bytes}})
}

func (h *testHistory) addEvent(e *sparkplug.Event) journal.Event {
	kinds := map[sparkplug.EventKind]journal.EventKind{sparkplug.NodeBorn: journal.NodeBirth, sparkplug.NodeDied: journal.NodeDeath,
		sparkplug.DeviceBorn: journal.DeviceBirth, sparkplug.DeviceDied: journal.DeviceDeath, sparkplug.SeqGap: journal.SeqGap,
		sparkplug.RebirthAsked: journal.RebirthAsked, sparkplug.RebirthDone: journal.RebirthDone}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.index++
	out := journal.Event{Index: h.index, Kind: kinds[e.Kind], At: journal.Millis(e.At.UnixMilli()), Group: e.Group, Node: e.Node, Device: e.Device,
		Reason: e.Reason, BdSeq: int16(e.BdSeq), Payload: e.Payload}
	h.events = append(h.events, out)
	node := sparkplug.NodeRef{Group: e.Group, Node: e.Node}
	switch gaps := h.gaps[node]; {
	case e.Kind == sparkplug.NodeDied:
		h.gaps[node] = append(gaps, historian.Gap{From: out.At, Cause: e.Reason})
	case e.Kind == sparkplug.NodeBorn && len(gaps) > 0 && gaps[len(gaps)-1].To == 0:
		gaps[len(gaps)-1].To = out.At
	}
	return out
}

func (h *testHistory) Read(_ context.Context, r historian.Range) (out historian.Samples, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, ok := h.samples[sparkplug.MetricRef{Group: r.Group, Node: r.Node, Device: r.Device, Name: r.Metric}]
	if !ok {
		return out, historian.ErrNoSeries
	}
	for _, s := range all {
		if s.At < r.From || s.At >= r.To {
			continue
		}
		if len(out.Samples) == r.Limit {
			out.Next = s.At
			break
		}
		out.Samples = append(out.Samples, s)
	}
	out.Gaps = h.gapsLocked(r)
	return out, nil
}

func (h *testHistory) gapsLocked(r historian.Range) (out []historian.Gap) {
	for _, g := range h.gaps[sparkplug.NodeRef{Group: r.Group, Node: r.Node}] {
		if g.From < r.To && (g.To == 0 || g.To > r.From) {
			out = append(out, g)
		}
	}
	return out
}

func rangeOf(m historian.Metric, from, to journal.Millis) historian.Range {
	return historian.Range{Group: m.Group, Node: m.Node, Device: m.Device, Metric: m.Name, From: from, To: to}
}

func (h *testHistory) Charts(ctx context.Context, q historian.ChartQuery) (out []historian.Chart, _ error) {
	for _, m := range q.Metrics {
		c := historian.Chart{Source: historian.SourceRaw}
		c.Buckets, c.Gaps, c.Err = h.buckets(ctx, rangeOf(m, q.From, q.To), q.Points)
		out = append(out, c)
	}
	return out, nil
}

func (h *testHistory) Aggregates(ctx context.Context, q historian.AggregateQuery) (out []historian.Aggregates, _ error) {
	for _, m := range q.Metrics {
		a := historian.Aggregates{Source: historian.SourceRaw}
		var list []historian.Bucket
		list, a.Gaps, a.Err = h.buckets(ctx, rangeOf(m, q.From, q.To), int((q.To-q.From-1)/q.Interval)+1)
		for _, b := range list {
			a.Intervals = append(a.Intervals, historian.Aggregate{From: b.T, To: min(q.To, b.T+q.Interval), Count: b.Count, Average: b.Mean,
				TimeAverage: b.Mean, Minimum: b.Min, Maximum: b.Max, MinimumAt: b.T, Range: b.Max - b.Min, Start: historian.Reading{Value: math.NaN()},
				End: historian.Reading{At: b.T, Value: b.Last, Quality: journal.Good}, Quality: b.Quality, Worst: b.Quality})
		}
		out = append(out, a)
	}
	return out, nil
}

func (h *testHistory) buckets(ctx context.Context, r historian.Range, points int) ([]historian.Bucket, []historian.Gap, error) {
	r.Limit = math.MaxInt
	s, err := h.Read(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	out := make([]historian.Bucket, points)
	for i := range out {
		out[i] = historian.Bucket{T: r.From + journal.Millis(int64(i)*int64(r.To-r.From)/int64(points)), Min: math.NaN(), Max: math.NaN(), Mean: math.NaN(), Last: math.NaN(), Quality: journal.Good}
	}
	for _, x := range s.Samples {
		f, ok := x.Value.Float64()
		if !ok {
			continue
		}
		b := &out[int(x.At-r.From)*points/int(r.To-r.From)]
		if b.Count == 0 {
			b.Min, b.Max = f, f
		}
		b.Min, b.Max, b.Mean, b.Last = min(b.Min, f), max(b.Max, f), f, f
		b.Count++
	}
	return out, s.Gaps, nil
}

func (h *testHistory) Events(_ context.Context, q historian.EventQuery) (out []journal.Event, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range slices.Backward(h.events) {
		if q.After != 0 && e.Index >= q.After || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind) ||
			q.Group != "" && q.Group != e.Group || q.Node != "" && q.Node != e.Node ||
			e.At < q.From || q.To != 0 && e.At >= q.To {
			continue
		}
		if len(out) == q.Limit {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func (h *testHistory) Birth(_ context.Context, i journal.Index) (journal.Event, []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Index == i && (e.Kind == journal.NodeBirth || e.Kind == journal.DeviceBirth) {
			payload := e.Payload
			if e.Payload = nil; payload == nil {
				return e, nil, historian.ErrNotKept
			}
			return e, payload, nil
		}
	}
	return journal.Event{}, nil, historian.ErrNoBirth
}

func (h *testHistory) Stats() historian.Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := historian.Stats{Series: len(h.samples)}
	for _, s := range h.samples {
		st.SamplesTotal += uint64(len(s))
	}
	return st
}

func (h *testHistory) FindMetric(id string) (group, node, device, metric string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.samples {
		if metricID(r) == id {
			return r.Group, r.Node, r.Device, r.Name, true
		}
	}
	return
}

// testUplinks shows one uplink in the state it is put in.
type testUplinks struct {
	mu      sync.Mutex
	status  uplink.Status
	outages []uplink.Outage
}

func (u *testUplinks) Status() []uplink.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.status
	out.Nodes = slices.Clone(out.Nodes) // a copy, as uplink.Status promises
	return []uplink.Status{out}
}

func (u *testUplinks) Outages(name string) ([]uplink.Outage, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.outages, name == u.status.Name
}

func (u *testUplinks) set(f func(*uplink.Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.status)
}

type testBroker struct{}

func (testBroker) Stats() broker.Stats {
	return broker.Stats{
		Clients: 4, Sessions: 5, Retained: 9, ReceivedTotal: 100, SentTotal: 50, Slow: 1,
		Received: broker.Traffic{Messages: [3]uint64{70, 20, 10}, Packets: 150, Bytes: 9000},
		Dropped:  map[string]uint64{"queue full": 2}, Refused: map[string]uint64{"not authorized": 3}, AuthFailures: 3,
	}
}

func (testBroker) Clients() []server.ClientInfo {
	return []server.ClientInfo{
		{ClientID: "client-press", Addr: "127.0.0.1:50123", Listener: "plant", Protocol: 5, Connected: true, Since: time.UnixMilli(1000), KeepAlive: 30 * time.Second, SessionExpiry: math.MaxInt64,
			Slow: true, Last: &server.Departure{Reason: broker.ReasonKeepAlive, At: time.UnixMilli(900), Addr: "127.0.0.1:50100"}},
		{ClientID: "line/1", Protocol: 4, Since: time.UnixMilli(2000), Queued: 3},
	}
}

func (b testBroker) Client(id string) (server.ClientInfo, bool) {
	for _, c := range b.Clients() {
		if c.ClientID == id {
			return c, true
		}
	}
	return server.ClientInfo{}, false
}

func (b testBroker) Disconnect(id string, _ broker.Reason) bool {
	c, _ := b.Client(id)
	return c.Connected
}

func (testBroker) StartTrace(id string, _ server.TraceOptions) error {
	switch id {
	case "one-too-many":
		return server.ErrTraces
	case "no-name":
		return server.ErrTraceClient
	}
	return nil
}

func (b testBroker) StopTrace(id string) bool {
	_, ok := b.Client(id)
	return ok
}

func (b testBroker) Trace(id string, after uint64, limit int) (v server.TraceView, ok bool) {
	if _, ok := b.Client(id); !ok {
		return v, false
	}
	v = server.TraceView{TraceOptions: server.TraceOptions{Duration: time.Minute, Packets: 2}, Started: time.UnixMilli(1000), Count: 2}
	for _, l := range []server.TraceLine{
		{Seq: 1, At: time.UnixMilli(1100), Direction: server.TraceOut, Type: 4, PacketID: 7, Size: 4, Codes: []packets.ReasonCode{packets.NotAuthorized}},
		{Seq: 2, At: time.UnixMilli(1200), Note: "connection ended: connection lost"},
	} {
		if l.Seq > after && len(v.Lines) < limit {
			v.Lines = append(v.Lines, l)
		}
	}
	return v, true
}

// testJournal is a journal.Stats.
type testJournal journal.Stats

func (j testJournal) Stats() journal.Stats { return journal.Stats(j) }

func newTestJournal() testJournal {
	j := testJournal{Bytes: 1 << 20, Segments: 1, Spares: 2, Commits: 3, Syncs: 4}
	j.CommitTimes.Counts[1], j.CommitTimes.Counts[3], j.CommitTimes.Sum = 2, 1, 1500*time.Microsecond
	return j
}

// testCommands lets writes to metrics named Setpoint through, and keeps what was asked.
type testCommands struct {
	mu    sync.Mutex
	asked []string
}

func (c *testCommands) Rebirth(_ context.Context, group, node, by string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprintf("rebirth %s/%s by %s", group, node, by))
	return nil
}

func (c *testCommands) CheckWrite(w Write) error {
	if w.Ref.Name != "Zone 1/Setpoint" {
		return fmt.Errorf("metric %s: %w", w.Ref.Name, ErrRefused)
	}
	return nil
}

func (c *testCommands) Write(_ context.Context, w Write) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprintf("write %s %v because %s by %s", w.Ref.Name, math.Float64frombits(w.Value.Num), w.Reason, w.By))
	return nil
}

func (c *testCommands) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// testDemo is a Demo whose SCADA sees what the plant does, but for the time of a cut.
type testDemo struct {
	plant *testPlant
	up    *testUplinks
	now   func() time.Time

	mu     sync.Mutex
	cut    bool
	since  time.Time
	killed []string
	faults map[string]string
}

func (d *testDemo) Scada() ScadaView {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := ScadaView{Host: "scada", Server: "mqtt://127.0.0.1:1884", Connected: true, Nodes: d.plant.Nodes(), Messages: 900, Samples: 12345, Cut: d.cut, Killed: slices.Clone(d.killed),
		Offered: []DemoFault{{"seq-gap", "a sequence gap"}, {"garbage", "a payload that is none"}}, Faults: maps.Clone(d.faults)}
	if d.cut {
		for i := range v.Nodes {
			v.Nodes[i].State, v.Nodes[i].Since = sparkplug.StateOffline, d.since
		}
	}
	return v
}

func (d *testDemo) Trend(ref sparkplug.MetricRef, from, to time.Time, points int) ([]historian.Bucket, []historian.Gap) {
	b, g, _ := d.plant.past.buckets(context.Background(), historian.Range{Group: ref.Group, Node: ref.Node, Device: ref.Device, Metric: ref.Name,
		From: journal.Millis(from.UnixMilli()), To: journal.Millis(to.UnixMilli())}, points)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		cut := journal.Millis(d.since.UnixMilli())
		g = append(g, historian.Gap{From: cut, Cause: "uplink cut"})
		for i := range b {
			if b[i].T >= cut {
				b[i].Count = 0
			}
		}
	}
	return b, g
}

func (d *testDemo) Do(_ context.Context, action, node, fault string) error {
	name := node[min(len(node), len(testGroup)+1):]
	if _, ok := testNodes[name]; node != "" && !ok {
		return fmt.Errorf("node %s: %w", node, ErrUnknown)
	}
	now := d.now()
	switch action {
	case "kill":
		d.plant.kill(name, now)
	case "revive":
		d.plant.birth(name, now)
	case "fault":
		if fault != "" && fault != "seq-gap" {
			return fmt.Errorf("fault %s: %w", fault, ErrUnknown)
		}
		d.setFault(node, fault)
	case "cut":
		d.up.set(func(s *uplink.Status) {
			s.State, s.Reason, s.Since, s.Owed, s.Oldest, s.Rate, s.Eta = uplink.Down, "no answer from the server; is the link up?", now, 4321, now, 0, -1
		})
	case "restore":
		d.up.set(func(s *uplink.Status) {
			s.State, s.Reason, s.Since, s.Owed, s.Eta = uplink.Live, "", now, 12, time.Second
		})
	default:
		return errors.New("no such switch")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch action {
	case "kill":
		d.killed = append(d.killed, node)
	case "revive":
		d.killed = slices.DeleteFunc(d.killed, func(n string) bool { return n == node })
	default:
		d.cut, d.since = action == "cut", now
	}
	return nil
}

func (d *testDemo) setFault(node, fault string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = map[string]string{}
	}
	d.faults[node] = fault
	if fault == "" {
		delete(d.faults, node)
	}
}

// testParts is everything a page stands on.
type testParts struct {
	plant    *testPlant
	uplinks  *testUplinks
	commands *testCommands
	demo     *testDemo
	ui       *UI
}

// newParts returns a page over the test plant, with an hour of history up to now. The press was dead from
// 25 to 22 minutes ago.
func newParts(now func() time.Time, change func(*Options)) *testParts {
	p := &testParts{plant: newTestPlant(), commands: &testCommands{}, uplinks: &testUplinks{}}
	start := now()
	p.uplinks.status = uplink.Status{Name: "enterprise", State: uplink.Live, Since: start.Add(-time.Hour), Server: "mqtts://broker.example:8883",
		Owed: 3, Oldest: start.Add(-time.Second), Rate: 118.4, Eta: 200 * time.Millisecond, Drops: map[string]uint64{}, Delivered: 55555}
	p.uplinks.outages = []uplink.Outage{{ID: 4, From: start.Add(-20 * time.Minute), Restored: start.Add(-19 * time.Minute), To: start.Add(-18 * time.Minute),
		Cause: "connection refused", Server: "mqtts://broker.example:8883", Owed: 12431, Delivered: 12431, Duplicated: 17,
		Nodes: []uplink.NodeOutage{{Group: testGroup, Node: "press", Owed: 12431, Delivered: 12431, Deaths: []uplink.Span{{From: start.Add(-20 * time.Minute)}}}}}}
	for node := range testNodes {
		p.plant.birth(node, start.Add(-time.Hour))
		p.uplinks.status.Nodes = append(p.uplinks.status.Nodes, uplink.NodeStatus{Group: testGroup, Node: node, State: uplink.Live, Since: start.Add(-time.Hour), BdSeq: 3, Cursor: 1000})
	}
	for s := 3595; s > 0; s -= 5 {
		at := start.Add(-time.Duration(s) * time.Second)
		for node := range testNodes {
			switch dead := node == "press" && s <= 1500 && s > 1320; {
			case dead && s == 1500:
				p.plant.kill(node, at)
			case !dead && node == "press" && s == 1320:
				p.plant.birth(node, at)
			case !dead:
				p.plant.data(node, at)
			}
		}
	}
	opt := Options{Plant: p.plant, History: p.plant.past, Uplinks: p.uplinks, Broker: testBroker{}, Journal: newTestJournal(), Commands: p.commands, Firewall: testFirewall{}, PromQL: promql.New(noSeries{}, promql.Options{}),
		Unkept: func() (messages, samples uint64) { return 3, 4 }, Version: "1.0.0-test", Now: now, Started: start}
	p.demo = &testDemo{plant: p.plant, up: p.uplinks, now: now}
	opt.Demo = p.demo
	if change != nil {
		change(&opt)
	}
	p.ui = New(opt)
	p.plant.mu.Lock()
	p.plant.ui = p.ui
	p.plant.mu.Unlock()
	return p
}

// testFirewall has seen one intruder.
type testFirewall struct{}

func (testFirewall) Mode() string { return "enforce" }

func (testFirewall) Violations() ([]Violation, map[string]uint64) {
	at := time.Date(2026, 8, 6, 7, 0, 0, 0, time.UTC)
	return []Violation{{First: at, Last: at.Add(time.Second), Count: 12, Rule: "another node", What: "PUBLISH", Topic: "spBv1.0/plant/NDEATH/press",
		Detail: "an NDEATH of \"plant\"/\"press\", which is client press at loopback", Client: "<b>mallory</b>", Address: "127.0.0.1:4711",
		Group: testGroup, Node: "press", Refused: true}}, map[string]uint64{"another node": 12}
}

func (testFirewall) Bindings() []sparkplug.Binding {
	return []sparkplug.Binding{{Group: testGroup, Node: "press", Key: "client press at loopback", Client: "press", Address: "127.0.0.1:4712",
		Since: time.Date(2026, 8, 6, 6, 0, 0, 0, time.UTC), Pinned: true}}
}

func (testFirewall) Forget(name, _ string) (bool, error) {
	if name == "full" {
		return true, errors.New("no space left on device")
	}
	return name == "node/plant/press", nil
}
