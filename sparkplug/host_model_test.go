package sparkplug

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// walk drives a Host and its twin with the same steps and compares them after each.
type walk struct {
	t     *testing.T
	rt    *rapid.T
	h     *Host
	w     *twin
	now   time.Time
	v     float64
	steps *int
	kept  map[string]keptBirth // as whoever runs a Host keeps them for Seed, by topic
}

type keptBirth struct {
	payload  []byte
	received time.Time
}

func walkOptions() Options {
	return Options{ReorderHeld: twinHeld, RebirthsPerSec: int(time.Second / twinEvery)}
}

// TestHostAgainstModel takes random steps: messages lost, doubled and out of order, seq and bdSeq that wrap, stand still or are
// missing, deaths of other sessions, births that are late, repeated or on another server, aliases that are swapped, shared or
// those of another device, data that does not fit, clocks that are set back and forth, lost servers, restarts.
// With EDGE_LONG it takes a million of them.
// [tck-id-payloads-sequence-num-incrementing] [tck-id-operational-behavior-host-reordering-success]
// [tck-id-operational-behavior-host-reordering-rebirth] [tck-id-payloads-ndeath-bdseq]
// [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]
func TestHostAgainstModel(t *testing.T) {
	checks, least := 300, 10_000
	if os.Getenv("EDGE_LONG") != "" {
		checks, least = 11_000, 1_000_000
	}
	if testing.Short() {
		least /= 5 // rapid takes a fifth of the checks then
	}
	setFlag(t, "rapid.checks", checks)
	setFlag(t, "rapid.steps", 100)
	setFlag(t, "rapid.seed", rand.Uint64()>>1)
	steps := 0
	began := time.Now()
	rapid.Check(t, func(rt *rapid.T) {
		x := &walk{t: t, rt: rt, now: t0, steps: &steps, h: NewHost(walkOptions()), w: &twin{now: t0}, kept: map[string]keptBirth{}}
		rt.Repeat(x.actions())
	})
	t.Logf("seed %s: %d steps compared in %s", flag.Lookup("rapid.seed").Value, steps, time.Since(began).Round(time.Millisecond))
	if steps < least {
		t.Errorf("%d steps, want %d", steps, least)
	}
}

// setFlag changes a flag of rapid for one test, unless it was given on the command line.
func setFlag[T any](t *testing.T, name string, value T) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) {
		given = given || f.Name == name && !slices.Contains([]string{"0", "100", "300"}, f.Value.String())
	})
	if given {
		return
	}
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, fmt.Sprint(value)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, old) }) //nolint:errcheck // it was its value
}

func (x *walk) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){
		"lost": func(*rapid.T) {
			server := draw(x, "server", "A", "B", "C")
			x.step(nil, &server)
		},
		"restart": func(*rapid.T) {
			if draw(x, "really", 0, 0, 0, 1) == 1 {
				x.restart()
			}
		},
		"time": func(*rapid.T) {
			x.now = x.now.Add(draw(x, "passes", time.Millisecond, 250*time.Millisecond, time.Second, 4999*time.Millisecond, 5*time.Second,
				time.Minute, time.Hour, -time.Second, -time.Hour))
			x.step(nil, nil)
		},
	}
	for name, kind := range map[string]MessageType{"nbirth": NBIRTH, "ndeath": NDEATH, "ndata": NDATA, "ndata2": NDATA, "ddata": DDATA,
		"ddata2": DDATA, "dbirth": DBIRTH, "ddeath": DDEATH} {
		all[name] = func(*rapid.T) { x.message(kind) }
	}
	return all
}

func draw[T any](x *walk, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(x.rt, label)
}

// message makes one message that is right for most of the time.
func (x *walk) message(kind MessageType) {
	m := twinMsg{kind: kind, node: draw(x, "node", "E", "E", "E", "F"), seq: -1, bd: -1}
	n := x.w.node(m.node)
	if n == nil {
		n = &twinNode{bd: draw(x, "first bdSeq", 0, 254), seq: -1}
	}
	m.server = draw(x, "server", orElse(n.server, "A"), orElse(n.server, "A"), orElse(n.server, "A"), "A", "B")
	m.stamp = draw(x, "stamp", x.now.Truncate(time.Millisecond), x.now.Truncate(time.Millisecond), time.Time{}, t0, x.now.Add(-time.Minute).Truncate(time.Millisecond))
	if kind.OfDevice() {
		m.device = draw(x, "device", "D1", "D2")
	}
	switch kind {
	case NBIRTH:
		m.bd = draw(x, "bdSeq", n.bd, n.bd, (n.bd+1)%256, (n.bd+1)%256, (n.bd+255)%256, -1)
		m.seq = draw(x, "seq", 0, 0, 0, 250, 255)
		m.metrics = x.declares(true)
	case NDEATH:
		m.bd = draw(x, "bdSeq", n.bd, n.bd, n.bd, (n.bd+255)%256, -1)
	default:
		next := n.seq + 1
		m.seq = (draw(x, "seq", next, next, next, next, next, next, next+1, next+2, next-1, next+7, next+128) + 256) % 256
		if draw(x, "has seq", 1, 1, 1, 1, 1, 1, 1, 1, 1, 0) == 0 {
			m.seq = -1
		}
		if kind == DBIRTH {
			m.metrics = x.declares(false)
		} else if kind != DDEATH {
			m.metrics = x.values()
		}
	}
	x.step(&m, nil)
	if draw(x, "twice", 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) == 1 {
		x.step(&m, nil)
	}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// declares are the metrics of a birth: some of a, b and c, each with an alias or without.
func (x *walk) declares(node bool) []twinValue {
	out := []twinValue{}
	if node {
		out = append(out, twinValue{name: NameRebirth, alias: -1})
	}
	layout := draw(x, "layout", [3]int{0, 1, 2}, [3]int{0, 1, 2}, [3]int{1, 0, 2}, [3]int{3, 4, 5}, [3]int{-1, -1, -1}, [3]int{1, 1, 2}, [3]int{5, -1, 0})
	for i, name := range []string{"a", "b", "c"}[:draw(x, "count", 3, 3, 2, 0)] {
		x.v++
		v := twinValue{name: name, alias: layout[i], v: x.v}
		switch draw(x, "kind", 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4) {
		case 3:
			v.historical = true
		case 4:
			v.text = true
		case 1:
			v.missing, v.v = true, 0
		case 2:
			v.null, v.v = true, 0
		}
		out = append(out, v)
	}
	return out
}

// values are those of a DATA message.
func (x *walk) values() []twinValue {
	out := []twinValue{}
	for range draw(x, "count", 1, 1, 1, 2, 3) {
		x.v++
		v := twinValue{alias: draw(x, "alias", 0, 0, 1, 1, 2, 3, 9, -1, -1), v: x.v}
		if v.alias < 0 {
			v.name = draw(x, "name", "a", "a", "b", "c", "x")
		}
		switch draw(x, "kind", 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3) {
		case 1:
			v.historical = true
		case 2:
			v.null, v.v = true, 0
		case 3:
			v.text = true
		}
		out = append(out, v)
	}
	return out
}

// step takes one step on both sides and compares.
func (x *walk) step(m *twinMsg, lost *string) {
	*x.steps++
	var in Input
	if m != nil {
		in.Message = &Message{Server: m.server, Topic: m.topic(), Payload: m.payload()}
	}
	if lost != nil {
		in.Lost = &Lost{Server: *lost}
	}
	before := x.views()
	out := x.h.Step(in, x.now)
	x.w.step(x.now, m, lost)
	for _, r := range out.Records {
		if e := r.Event; e != nil && (e.Kind == NodeBorn || e.Kind == DeviceBorn) {
			t := Topic{Type: NBIRTH, Group: e.Group, Node: e.Node, Device: e.Device}
			if e.Device != "" {
				t.Type = DBIRTH
			}
			x.kept[t.String()] = keptBirth{e.Payload, x.now}
		}
	}
	x.compareOutput(out)
	x.compareNodes()
	x.compareChanged(before, out)
}

func (m *twinMsg) topic() string {
	return Topic{Type: m.kind, Group: "G", Node: m.node, Device: m.device}.String()
}

func (m *twinMsg) payload() []byte {
	p := Payload{HasSeq: m.kind != NDEATH && m.seq >= 0, Seq: uint64(max(0, m.seq))}
	if !m.stamp.IsZero() {
		p.Timestamp, p.HasTimestamp = Millis(m.stamp), true
	}
	if m.bd >= 0 {
		p.Metrics = append(p.Metrics, Metric{Name: NameBdSeq, Type: Int64, Value: Value{Type: Int64, Num: uint64(m.bd)}})
	}
	for _, v := range m.metrics {
		pm := Metric{Name: v.name, Value: DoubleValue(v.v), Historical: v.historical}
		if v.alias >= 0 {
			pm.Alias, pm.HasAlias = uint64(v.alias), true
		}
		switch {
		case v.missing:
			pm.Missing, pm.Value = true, Value{Null: true}
		case v.null:
			pm.Value = Value{Null: true}
		case v.text:
			pm.Value = StringValue("x")
		}
		if m.kind == NBIRTH || m.kind == DBIRTH {
			pm.Type = Double
			if !v.text {
				pm.Value.Type = Double
			}
		}
		p.Metrics = append(p.Metrics, pm)
	}
	return Encode(&p)
}

// restart makes a new host of the births that were kept, nodes first.
func (x *walk) restart() {
	*x.steps++
	x.h, x.w = NewHost(walkOptions()), x.w.restart()
	topics := []string{}
	for t := range x.kept {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b string) int {
		if c := strings.Count(a, "/") - strings.Count(b, "/"); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, t := range topics {
		if err := x.h.Seed(t, x.kept[t].payload, x.kept[t].received); err != nil {
			x.rt.Fatal(err)
		}
	}
	x.compareNodes()
}

// compareOutput holds records and messages against the twin's. A step of a node's clock is not its business.
func (x *walk) compareOutput(out Output) {
	var got []twinRecord
	for _, r := range out.Records {
		if e := r.Event; e != nil && e.Kind != ClockStepped {
			got = append(got, twinRecord{kind: e.Kind, node: e.Node, device: e.Device, at: e.At, bd: e.BdSeq})
		} else if s := r.Sample; s != nil {
			f, _ := s.Value.Float64()
			got = append(got, twinRecord{node: s.Node, device: s.Device, metric: s.Metric, at: s.At, v: f, null: s.Value.Null,
				historical: s.Historical, birth: s.Birth})
		}
	}
	if !slices.EqualFunc(got, x.w.records, func(a, b twinRecord) bool {
		same := a.at.Equal(b.at)
		a.at, b.at = time.Time{}, time.Time{}
		return same && a == b
	}) {
		x.rt.Fatalf("records:\n got %+v\nwant %+v", got, x.w.records)
	}
	var asked []twinAsk
	for _, m := range out.Publish {
		t, err := ParseTopic(m.Topic)
		p := mustDecode(x.t, m.Payload)
		if err != nil || t.Type != NCMD || !IsRebirthRequest(p) || p.HasSeq || m.QoS != 0 || m.Retain {
			x.rt.Fatalf("%+v is no rebirth request", m)
		}
		asked = append(asked, twinAsk{m.Server, t.Node})
	}
	if !slices.Equal(asked, x.w.asked) {
		x.rt.Fatalf("asked %v, want %v", asked, x.w.asked)
	}
}

// compareNodes holds every node, device and metric against the twin's.
func (x *walk) compareNodes() {
	st, w := x.h.Stats(), x.w
	if got, want := [4]uint64{st.LateDeaths, st.HeldDropped, st.UnknownMetrics, st.OtherServer}, [4]uint64{w.late, w.dropped, w.unknown, w.other}; got != want || st.Nodes != len(w.nodes) {
		x.rt.Fatalf("late deaths, dropped, unknown, of another server: %v, want %v; %d nodes, want %d", got, want, st.Nodes, len(w.nodes))
	}
	var due time.Time
	bytes := 0
	for _, n := range w.nodes {
		g := x.h.nodes[NodeRef{"G", n.name}]
		x.compareNode(n, g)
		bytes += nodeCost + len("G") + len(n.name)
		for _, d := range n.devices {
			bytes += x.compareDevice(n, d, g)
		}
		due = earliest(due, n.until)
		if n.want {
			due = earliest(due, latest(n.wantAt, w.pace))
		}
	}
	if next := x.h.NextTick(); !next.Equal(due) {
		x.rt.Fatalf("next tick %v, want %v", next, due)
	}
	if x.h.bytes != bytes {
		x.rt.Fatalf("%d bytes counted, want %d", x.h.bytes, bytes)
	}
}

func (x *walk) compareNode(n *twinNode, g *node) {
	type figures struct {
		state                      State
		why                        Cause
		server                     string
		bd, seq, gaps, asks, dones int
		causes                     [RebirthCauses]int
		held                       int
		doubt                      bool
	}
	got := figures{g.state, kindOf(g.why), g.server, g.bdSeq, g.seq, g.gaps, g.asked, g.answered, g.causes, len(g.held), g.doubt.kind != ""}
	want := figures{n.state, n.why, n.server, n.bd, n.seq, n.gaps, n.asks, n.dones, n.causes, len(n.held), n.doubt > 0}
	if got != want {
		x.rt.Fatalf("node %s:\n got %+v\nwant %+v", n.name, got, want)
	}
	if !g.since.Equal(n.since) || !g.lastBirth.Equal(n.lastBirth) || !g.lastDeath.Equal(n.lastDeath) {
		x.rt.Fatalf("node %s since %v, born %v, died %v; want %v, %v, %v", n.name, g.since, g.lastBirth, g.lastDeath, n.since, n.lastBirth, n.lastDeath)
	}
	if len(g.devices)+1 != len(n.devices) {
		x.rt.Fatalf("node %s has %d devices, want %d", n.name, len(g.devices), len(n.devices)-1)
	}
}

func kindOf(why []Reason) Cause {
	if len(why) == 0 {
		return ""
	}
	return why[0].Kind
}

// compareDevice returns what the host should count for the device, in bytes.
func (x *walk) compareDevice(n *twinNode, d *twinDevice, node *node) (bytes int) {
	g := node.own
	if d.name != "" {
		g = node.devices[d.name]
		bytes = deviceCost + len(d.name)
	}
	if g.state != d.state || !g.since.Equal(d.since) || kindOf(g.why) != d.why || len(g.metrics) != len(d.metrics) {
		x.rt.Fatalf("device %s/%q is %s (%v) since %v with %d metrics, want %s (%s) since %v with %d", n.name, d.name, g.state, g.why, g.since,
			len(g.metrics), d.state, d.why, d.since, len(d.metrics))
	}
	for i := range d.metrics {
		o := &d.metrics[i]
		bytes += metricCost + len(o.name)
		m := g.metrics[o.name]
		if m == nil {
			x.rt.Fatalf("%s/%s/%s is not known", n.name, d.name, o.name)
		}
		f, _ := m.value.Float64()
		if q, _ := m.quality(); f != o.v || m.value.Null != o.null || q != d.quality(n, i) || !m.at.Equal(o.at) || !m.received.Equal(o.received) {
			x.rt.Fatalf("%s/%s/%s is %v %s at %v, received %v; want %v %s at %v, received %v", n.name, d.name, o.name, f, q, m.at, m.received,
				o.v, d.quality(n, i), o.at, o.received)
		}
	}
	return bytes
}

// shownMetric and shownNode are what a page shows of them.
type shownMetric struct {
	v       float64
	null    bool
	at      time.Time
	quality Quality
}

type shownNode struct {
	state State
	asks  int
	gaps  int
}

type shown2 struct {
	metrics map[MetricRef]shownMetric
	nodes   map[NodeRef]shownNode
}

func (x *walk) views() shown2 {
	s := shown2{map[MetricRef]shownMetric{}, map[NodeRef]shownNode{}}
	for _, n := range x.w.nodes {
		s.nodes[NodeRef{"G", n.name}] = shownNode{n.state, n.asks, n.gaps}
		for _, d := range n.devices {
			for i, m := range d.metrics {
				s.metrics[MetricRef{"G", n.name, d.name, m.name}] = shownMetric{m.v, m.null, m.at, d.quality(n, i)}
			}
		}
	}
	return s
}

// compareChanged checks that whatever is shown in another way than before is reported.
func (x *walk) compareChanged(before shown2, out Output) {
	now := x.views()
	changed := map[MetricRef]bool{}
	for _, ref := range out.Changed {
		changed[ref] = true
	}
	for ref, m := range now.metrics {
		if before.metrics[ref] != m && !changed[ref] {
			x.rt.Fatalf("%v was %+v, is %+v, and is not reported", ref, before.metrics[ref], m)
		}
	}
	for ref := range before.metrics {
		if _, ok := now.metrics[ref]; !ok && !changed[ref] {
			x.rt.Fatalf("%v is gone and that is not reported", ref)
		}
	}
	for ref, n := range now.nodes {
		if before.nodes[ref] != n && !slices.Contains(out.Nodes, ref) {
			x.rt.Fatalf("node %v was %+v, is %+v, and is not reported", ref, before.nodes[ref], n)
		}
	}
}

// TestHostHugeBirth holds births of 20,000 metrics against the twin: all declared, then half of them, with aliases reversed.
func TestHostHugeBirth(t *testing.T) {
	setFlag(t, "rapid.checks", 1)
	rapid.Check(t, func(rt *rapid.T) {
		steps := 0
		x := &walk{t: t, rt: rt, now: t0, steps: &steps, h: NewHost(walkOptions()), w: &twin{now: t0}, kept: map[string]keptBirth{}}
		huge := func(kind MessageType, seq, n, last int) {
			m := twinMsg{kind: kind, node: "E", server: "A", seq: seq, bd: -1, stamp: t0}
			if kind == DBIRTH {
				m.device = "D1"
			}
			for i := range n {
				m.metrics = append(m.metrics, twinValue{name: "metric/" + strconv.Itoa(i), alias: max(last-i, i-last), v: float64(i)})
			}
			x.step(&m, nil)
		}
		data := func(kind MessageType, device string, seq, alias int) {
			x.step(&twinMsg{kind: kind, node: "E", device: device, server: "A", seq: seq, bd: -1, metrics: []twinValue{{alias: alias, v: 0.5}}}, nil)
		}
		huge(NBIRTH, 0, 20_000, 0)
		data(NDATA, "", 1, 19_999)
		huge(DBIRTH, 2, 20_000, 60_000)
		data(DDATA, "D1", 3, 59_999)
		huge(NBIRTH, 0, 10_000, 10_000)
		data(NDATA, "", 1, 1)
		data(DDATA, "D1", 2, 59_999)
		x.restart()
	})
}
