package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a death is put down to, with the session events that a broker gives.
func TestHostSessions(t *testing.T) {
	tests := []struct {
		name   string
		do     func(p *plant)
		state  State
		reason string
	}{
		{"will after the event", func(p *plant) {
			p.session("c1", false, "keep alive timeout")
			p.ndeath(4)
		}, StateOffline, "will fired: keep-alive timeout of client c1 at 10.0.0.7"},
		{"farewell, then the connection is lost", func(p *plant) {
			p.ndeath(4)
			p.session("c1", false, "connection lost")
			p.ndeath(4)
		}, StateOffline, "NDEATH was published by its client c1 at 10.0.0.7"},
		{"taken over", func(p *plant) {
			p.session("c1", false, "session taken over")
			p.session("c1", true, "")
			p.ndeath(4)
		}, StateOffline, "will fired: take-over of client c1 at 10.0.0.7 by another connection"},
		{"farewell, then clean disconnect", func(p *plant) {
			p.ndeath(4)
			p.session("c1", false, ReasonClean)
		}, StateOffline, "NDEATH was published by its client c1 at 10.0.0.7"},
		{"farewell, then disconnect with will", func(p *plant) {
			p.ndeath(4)
			p.session("c1", false, ReasonWithWill)
			p.ndeath(4)
		}, StateOffline, "NDEATH was published by its client c1 at 10.0.0.7"},
		{"farewell; the next connection brings no birth", func(p *plant) {
			p.ndeath(4)
			p.session("c1", false, ReasonClean)
			p.session("c1", true, "")
			p.session("c1", false, "connection lost")
		}, StateOffline, "NDEATH was published by its client c1 at 10.0.0.7"},
		{"clean disconnect alone", func(p *plant) {
			p.session("c1", false, ReasonClean)
		}, StateOffline, "client left without NDEATH: clean disconnect of client c1 at 10.0.0.7"},
		{"lost, no will, not yet", func(p *plant) {
			p.session("c1", false, "connection lost")
			p.tick(4 * time.Second)
		}, StateOnline, ""},
		{"lost, no will", func(p *plant) {
			p.session("c1", false, "connection lost")
			p.tick(5 * time.Second)
		}, StateOffline, "client is gone and no will came: lost connection of client c1 at 10.0.0.7"},
		{"lost, back with a birth", func(p *plant) {
			p.session("c1", false, "connection lost")
			p.session("c1", true, "")
			p.nbirth(5, p.double("a", 1))
			p.ndeath(4)
			p.tick(time.Minute)
		}, StateOnline, ""},
		{"another client goes", func(p *plant) {
			p.session("c2", true, "")
			p.session("c2", false, ReasonClean)
		}, StateOnline, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlant(t, Options{})
			p.client = "c1"
			p.session("c1", true, "")
			p.nbirth(4, p.double("a", 1))
			if c := p.node().Client; c.ID != "c1" || c.Address != "10.0.0.7:4711" {
				t.Errorf("client %+v", c)
			}
			tt.do(p)
			n := p.node()
			if n.State != tt.state || n.Reason != tt.reason || n.DeathReason != tt.reason && tt.state == StateOffline {
				t.Errorf("state %s, reason %q, death %q; want %s, %q", n.State, n.Reason, n.DeathReason, tt.state, tt.reason)
			}
			if good := p.value("", "a") == "1 good"; good != (tt.state == StateOnline) {
				t.Errorf("value %s while %s", p.value("", "a"), n.State)
			}
		})
	}
}

// [tck-id-topic-structure-namespace-unique-edge-node-descriptor] [tck-id-intro-edge-node-id-uniqueness]
// [tck-id-payloads-nbirth-edge-node-descriptor]
func TestHostTwoClientsOneNode(t *testing.T) {
	p := newPlant(t, Options{})
	for _, c := range []string{"c1", "c2"} {
		p.tick(time.Minute)
		p.client = c
		p.session(c, true, "")
		p.nbirth(0)
	}
	both := p.now
	for _, c := range []string{"c1", "c2"} {
		p.tick(time.Minute)
		p.client = c
		p.nbirth(0)
		if n := p.node(); len(n.Why) != 1 || n.Why[0].Kind != CauseTwoClients || !n.Why[0].At.Equal(both) {
			t.Errorf("born by %s: %+v, want two clients since the second is there", c, n.Why)
		}
	}
	if n := p.node(); len(n.Warnings) != 1 {
		t.Errorf("warned of the same two twice: %q", n.Warnings)
	}
	p.wantWarning(`two clients publish this edge node, "c1" and "c2"`)
	if p.session("c1", false, ReasonClean); p.node().State != StateOnline {
		t.Error("the old client's end killed the node")
	}
}

// The rule has no id: a host that loses its server holds nothing for true.
func TestHostLost(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(2, p.aliased("a", 1, 1))
	p.dbirth("D", 1, p.double("d", 1))
	p.ndata(5, p.byAlias(1, 9)) // held
	p.step(Input{Lost: &Lost{}})
	if p.node().State != StateUnknown || p.value("", "a") != "1 stale" || p.value("D", "d") != "1 stale" || !p.h.NextTick().IsZero() {
		t.Errorf("%+v, %s", p.node(), p.value("", "a"))
	}
	if len(p.out.Changed) != 3 || len(p.out.Nodes) != 1 {
		t.Errorf("changed %v, nodes %v", p.out.Changed, p.out.Nodes)
	}
	p.ndata(2, p.byAlias(1, 3)) // the node did not notice
	p.tick(5 * time.Second)
	if p.asks() != 1 || p.value("", "a") != "1 stale" {
		t.Error("data of an unknown session was believed, or no birth asked for")
	}
	p.nbirth(2, p.aliased("a", 1, 4))
	if p.value("", "a") != "4 good" || p.value("D", "d") != "1 stale" {
		t.Error(p.value("", "a"), p.value("D", "d"))
	}
}

// After a restart births tell what there was; only live births make it true.
func TestHostSeed(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(3, p.aliased("a", 1, 5))
	nbirth := p.out.Records[0].Event.Payload
	p.dbirth("D", 1, p.aliased("d", 2, 6))
	dbirth := p.out.Records[0].Event.Payload

	q := newPlant(t, Options{})
	q.now = t0.Add(time.Hour)
	if err := q.h.Seed("spBv1.0/G/NBIRTH/E", nbirth, q.now); err != nil {
		t.Fatal(err)
	}
	if err := q.h.Seed(CertificatePrefix+"spBv1.0/G/DBIRTH/E/D", dbirth, q.now); err != nil {
		t.Fatal(err)
	}
	n := q.node()
	if n.State != StateUnknown || n.BdSeq != 3 || !n.LastBirth.Equal(t0) || n.Devices[0].State != StateUnknown || n.Reason != "not heard of since the appliance started" {
		t.Errorf("seeded node %+v", n)
	}
	if got := q.value("", "a") + ", " + q.value("D", "d"); got != "5 stale, 6 stale" {
		t.Error(got)
	}
	ref := MetricRef{Group: "G", Node: "E", Device: "D", Name: "d"}
	later := q.h.metric(ref).at.Add(time.Minute)
	for _, tt := range []struct {
		name string
		v    Value
		at   time.Time
		ok   bool
	}{
		{"newer", DoubleValue(7), later, true},
		{"not newer", DoubleValue(6.5), later, false},
		{"of another datatype", StringValue("x"), later.Add(time.Minute), false},
	} {
		if ok := q.h.SeedValue(ref, tt.v, tt.at, q.now, q.now); ok != tt.ok || q.value("D", "d") != "7 stale" {
			t.Errorf("SeedValue of one %s = %t, the value is %s", tt.name, ok, q.value("D", "d"))
		}
	}
	q.ndata(9, q.byAlias(1, 7))
	q.tick(5 * time.Second)
	if q.asks() != 1 || q.value("", "a") != "5 stale" {
		t.Error("data by a seeded alias was believed")
	}
	q.nbirth(4, q.aliased("a", 1, 8))
	if err := q.h.Seed("spBv1.0/G/NBIRTH/E", nbirth, q.now); err != nil || q.value("", "a") != "8 good" {
		t.Error("a seed overwrote what was heard")
	}
	if q.h.SeedValue(MetricRef{Group: "G", Node: "E", Name: "a"}, DoubleValue(9), q.now.Add(time.Hour), q.now, q.now) || q.value("", "a") != "8 good" {
		t.Error("a seeded value overwrote what was heard")
	}
	for topic, payload := range map[string]string{"spBv1.0/G/NDATA/E": "", "a/b": "", "spBv1.0/G/NBIRTH/E": "\xff"} {
		if err := q.h.Seed(topic, []byte(payload), q.now); err == nil {
			t.Errorf("Seed(%q, %q) gave no error", topic, payload)
		}
	}
	r := newPlant(t, Options{})
	if err := r.h.Seed("spBv1.0/G/NBIRTH/E", nbirth, r.now); err != nil {
		t.Fatal(err)
	}
	r.ndeath(2)
	if r.node().State != StateUnknown {
		t.Error("an old will killed a seeded node")
	}
	r.ndeath(3)
	if r.node().State != StateOffline {
		t.Error("the session's own will did not kill a seeded node")
	}
}

// Nothing from outside grows without bound.
func TestHostLimits(t *testing.T) {
	p := newPlant(t, Options{MaxNodes: 2, MaxDevices: 2, MaxMetrics: 4, MaxClients: 1, MaxValueBytes: 10})
	text := func(name, s string) Metric { return Metric{Name: name, Type: String, Value: StringValue(s)} }
	p.nbirth(0, p.double("a", 1), text("s", "1234567890"), p.double("b", 1), p.double("c", 1))
	if n := p.node(); n.Metrics != 4 || p.value("", "c") != "none" {
		t.Errorf("%d metrics with a limit of 4", n.Metrics)
	}
	p.wantWarning("more metrics than the limit")
	p.ndata(1, text("s", "12345678901"))
	if got := p.value("", "s"); got != "null uncertain" {
		t.Error("a value beyond the limit: " + got)
	}
	p.ndata(2, text("s", "123"))
	if got := p.value("", "s"); got != `"123" good` {
		t.Error(got)
	}
	for i := range 20 { // what earlier births held is given back
		p.nbirth(0, text(fmt.Sprint("text", i), "12345678"))
		if got := p.value("", fmt.Sprint("text", i)); got != `"12345678" good` {
			t.Fatalf("birth %d: %s", i, got)
		}
	}
	p.nbirth(0)
	p.dbirth("D1", 1, p.double("a", 1))
	p.dbirth("D2", 2)
	p.dbirth("D3", 3)
	if n := p.node(); len(n.Devices) != 2 {
		t.Errorf("%d devices with a limit of 2", len(n.Devices))
	}
	p.send("spBv1.0/G/DDEATH/E/D1", p.payload(4))
	p.dbirth("D3", 5)
	devices := []string{}
	for _, d := range p.node().Devices {
		devices = append(devices, d.Device)
	}
	if !slices.Equal(devices, []string{"D2", "D3"}) {
		t.Errorf("devices %v: the dead one should have made room", devices)
	}
	for i := range 5 {
		p.send(fmt.Sprintf("spBv1.0/G/NBIRTH/N%d", i), p.payload(0, p.double("x", 1)))
		p.session(fmt.Sprint("c", i), true, "")
	}
	if st := p.h.Stats(); st.Nodes != 2 || st.Clients != 1 || st.Refused == 0 {
		t.Errorf("%+v", st)
	}
	p.step(Input{Message: &Message{Topic: "spBv1.0/G/NDEATH/N0", Payload: Encode(&Payload{})}})
	p.ndata(99, p.double("x", 1)) // held, and its node stays
	p.send("spBv1.0/G/NBIRTH/N9", p.payload(0, p.double("x", 1)))
	names := ""
	for _, n := range p.h.Nodes() {
		names += n.Node + " "
	}
	if st := p.h.Stats(); names != "E N9 " || st.Evicted != 1 {
		t.Errorf("nodes %s, %+v: the dead one should have made room", names, st)
	}
	for i := range 100 {
		p.send("spBv1.0/G/NBIRTH/E", p.payload(0, Metric{Name: fmt.Sprint("bad", i)}))
	}
	if w := p.node().Warnings; len(w) != 16 {
		t.Errorf("%d warnings", len(w))
	}
}

// Names that someone makes up do not push out nodes that lived.
func TestHostJunkGoesFirst(t *testing.T) {
	p := newPlant(t, Options{MaxNodes: 2})
	p.nbirth(0, p.double("a", 1))
	p.ndeath(0)
	for i := range 50 {
		p.now = p.now.Add(time.Second)
		p.send(fmt.Sprintf("spBv1.0/G/NDATA/junk%d", i), p.payload(1))
	}
	if st := p.h.Stats(); p.value("", "a") != "1 stale" || st.Nodes != 2 || st.Evicted != 49 || p.h.heldBytes > 300 {
		t.Errorf("%s, %+v, %d bytes held", p.value("", "a"), st, p.h.heldBytes)
	}
}

// What old or careless peers do wrong is said, not punished.
// [tck-id-case-sensitivity-metric-names] [tck-id-case-sensitivity-sparkplug-ids]
func TestHostWarnings(t *testing.T) {
	p := newPlant(t, Options{})
	pl := Payload{Seq: 9, HasSeq: true, Metrics: []Metric{
		{Name: NameBdSeq, Type: UInt64, Value: Int64Value(UInt64, 0), Alias: 3, HasAlias: true},
		{Name: "Speed", Type: Int32, Value: Int64Value(Int32, 1)},
		{Name: "speed", Type: Int32, Value: Int64Value(Int32, 1)},
		{Name: "none", Value: Int64Value(Int32, 1)},
		{Alias: 8, HasAlias: true, Type: Int32, Value: Int64Value(Int32, 1)},
	}}
	p.step(Input{Message: &Message{Topic: "spBv1.0/G/NBIRTH/E", Payload: Encode(&pl), Retain: true}})
	for _, text := range []string{"retained", "seq is not 0", "without Node Control/Rebirth", "bdSeq has an alias", "differ only in case",
		`"none" has no valid datatype`, "has no name", "without a timestamp"} {
		p.wantWarning(text)
	}
	if n := p.node(); n.BdSeq != 0 || n.State != StateOnline {
		t.Errorf("%+v", n)
	}
	p.ndata(10, p.double("Speed", 2)) // seq goes on from the birth's 9
	p.want(`rebirth asked metric "Speed": Int32 in double_value`)
	p.wantWarning("in double_value")
	if got := p.value("", "Speed"); got != "1 uncertain" {
		t.Errorf("the device says another thing, shown is %s", got)
	}
	p.now = p.now.Add(5 * time.Second)
	p.step(Input{Message: &Message{Topic: "spBv1.0/G/NDATA/E", Payload: []byte("garbage")}})
	if p.asks() != 1 || p.h.Stats().Undecodable != 1 {
		t.Error("garbage was passed over")
	}
	p.now = p.now.Add(-10 * time.Minute)
	ahead := p.payload(11, Metric{Name: "Speed", Value: Int64Value(Int32, 3)})
	ahead.Timestamp += 3_600_000
	p.send("spBv1.0/G/NDATA/E", ahead)
	p.wantWarning("from the future")
	if p.node().ClockSkew != time.Hour {
		t.Errorf("skew %v", p.node().ClockSkew)
	}
	p.dbirth("Press", 12)
	p.dbirth("press", 13)
	p.wantWarning("two devices' names differ only in case")
	p.send("spBv1.0/g/NBIRTH/M", p.payload(0))
	p.send("spBv1.0/g/NBIRTH/e", p.payload(0))
	if n, _ := p.h.Node("g", "e"); !strings.Contains(strings.Join(n.Warnings, ""), "another edge node's name differs only in case") {
		t.Errorf("%q", n.Warnings)
	}
	for _, topic := range []string{"spBv1.0/G/NCMD/E", "a/b", "spBv1.0/G/NDATA", "spBv1.0/STATE/x"} {
		if out := p.step(Input{Message: &Message{Topic: topic, Payload: []byte("garbage")}}); len(out.Nodes)+len(out.Records)+len(out.Publish) > 0 {
			t.Errorf("%s: %+v", topic, out)
		}
	}
}

// [tck-id-topic-structure-namespace-duplicate-device-id-across-edge-node]
func TestHostMetricsPages(t *testing.T) {
	p := newPlant(t, Options{})
	for _, node := range []string{"B", "A"} {
		p.send("spBv1.0/G/NBIRTH/"+node, p.payload(0, p.double("z", 1), p.double("y", 1)))
		p.send("spBv1.0/G/DBIRTH/"+node+"/D", p.payload(1, p.double("x", 1), with(p.double("Bad", 1), 0)))
	}
	var all []string
	var after *MetricRef
	for more := true; more; {
		var page []MetricView
		page, more = p.h.Metrics(MetricFilter{}, after, 3)
		if len(page) == 0 || len(page) > 3 {
			t.Fatalf("page of %d", len(page))
		}
		for _, m := range page {
			all = append(all, m.Node+"/"+m.Device+"/"+m.Name)
		}
		last := page[len(page)-1]
		after = &MetricRef{last.Group, last.Node, last.Device, last.Name}
	}
	if got := strings.Join(all, " "); got != "A//y A//z A/D/Bad A/D/x B//y B//z B/D/Bad B/D/x" {
		t.Error(got)
	}
	none := ""
	for _, tt := range []struct {
		name   string
		filter MetricFilter
		want   int
	}{
		{"group", MetricFilter{Group: "G"}, 8}, {"other group", MetricFilter{Group: "H"}, 0}, {"node", MetricFilter{Node: "B"}, 4},
		{"own metrics", MetricFilter{Device: &none}, 4}, {"contains", MetricFilter{Contains: "bA"}, 2}, {"quality", MetricFilter{Quality: QualityBad}, 2},
	} {
		if page, more := p.h.Metrics(tt.filter, nil, 0); len(page) != tt.want || more {
			t.Errorf("%s: %d metrics, more %v; want %d", tt.name, len(page), more, tt.want)
		}
	}
	if nodes := p.h.Nodes(); len(nodes) != 2 || nodes[0].Node != "A" || len(nodes[0].Devices) != 1 {
		t.Errorf("%+v", nodes)
	}
}
