package sparkplug

import (
	"fmt"
	"testing"
	"time"
)

// A node's life as it should be. [tck-id-topics-nbirth-topic] [tck-id-topics-ndata-payload]
// [tck-id-payloads-alias-data-cmd-requirement] [tck-id-payloads-nbirth-bdseq] [tck-id-message-flow-device-birth-publish-nbirth-wait]
func TestHostLife(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(3, p.aliased("Temp", 0, 20), p.double("Count", 1))
	p.want("node born", "Temp=20 birth", "Count=1 birth")
	if n := p.node(); n.State != StateOnline || !n.Heard.Equal(t0) || !n.BirthHeard.Equal(t0) || n.BdSeq != 3 || n.Seq != 0 || !n.LastBirth.Equal(t0) || n.Metrics != 3 || len(n.Warnings) != 0 {
		t.Errorf("node after birth: %+v", n)
	}
	p.dbirth("Press", 1, p.aliased("Force", 5, 7.5))
	p.want("device born Press", "Press/Force=7.5 birth")
	p.now = p.now.Add(time.Second)
	p.ndata(2, p.byAlias(0, 21), p.double("Count", 2))
	p.want("Temp=21", "Count=2")
	p.ddata("Press", 3, p.byAlias(5, 8))
	p.want("Press/Force=8")
	if got := p.value("", "Temp") + ", " + p.value("Press", "Force"); got != "21 good, 8 good" {
		t.Error(got)
	}
	if len(p.out.Nodes) != 0 || len(p.out.Changed) != 1 || p.out.Changed[0] != (MetricRef{"G", "E", "Press", "Force"}) {
		t.Errorf("changed %v, nodes %v", p.out.Changed, p.out.Nodes)
	}
	p.now = p.now.Add(time.Second)
	p.ndeath(3)
	p.want("node died NDEATH received")
	n := p.node()
	if n.State != StateOffline || !n.Since.Equal(p.now) || n.Devices[0].State != StateOffline || !n.Devices[0].Since.Equal(p.now) {
		t.Errorf("node after death: %+v", n)
	}
	if got := p.value("", "Temp") + ", " + p.value("Press", "Force"); got != "21 stale, 8 stale" {
		t.Error(got)
	}
	if len(p.out.Changed) != 4 {
		t.Errorf("a death changes %d metrics, want 4", len(p.out.Changed))
	}
}

// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale]
// [tck-id-payloads-ndeath-bdseq]
func TestHostDeaths(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(7, p.double("a", 1))
	p.ndeath(6)
	p.want()
	if p.node().State != StateOnline || p.h.Stats().LateDeaths != 1 {
		t.Error("the will of an older session killed a living node")
	}
	p.ndeath(7)
	p.want("node died NDEATH received")
	p.ndeath(7)
	p.want()
	p.nbirth(8, p.double("a", 2))
	p.nbirth(9, p.double("a", 3))
	p.want("node died new session began, no death of the old one was seen", "node born", "a=3 birth")
	p.nbirth(9, p.double("a", 4))
	p.want("node born", "a=4 birth")
	p.send("spBv1.0/G/NDEATH/E", p.payload(-1))
	p.want("node died NDEATH received")
	p.wantWarning("NDEATH without bdSeq")
	p.step(Input{Message: &Message{Topic: "spBv1.0/G/NDEATH/Other", Payload: NodeDeath(NodeRef{"G", "Other"}, 1, t0).Payload}})
	if _, ok := p.h.Node("G", "Other"); ok {
		t.Error("the death of a node never heard of made one")
	}
}

// The will of a client that left before its birth is nothing to complain of: what it would have been born with is not known.
func TestHostDeathBeforeBirth(t *testing.T) {
	p := newPlant(t, Options{})
	p.ndata(3, p.double("a", 1))
	p.ndeath(6)
	if w := p.node().Warnings; len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
	if s := p.node().State; s != StateOffline {
		t.Errorf("state %s", s)
	}
}

// [tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale]
// [tck-id-topics-ddeath-topic] [tck-id-payloads-ddeath-seq-number]
func TestHostDeviceDeath(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(0, p.double("n", 1))
	p.dbirth("D", 1, p.aliased("a", 1, 1))
	at := p.now
	p.now = p.now.Add(time.Minute)
	death := Payload{Timestamp: Millis(at), HasTimestamp: true, Seq: 2, HasSeq: true}
	p.send("spBv1.0/G/DDEATH/E/D", death)
	p.want("device died D DDEATH received")
	if e := p.out.Records[0].Event; !e.At.Equal(at) || !p.node().Devices[0].Since.Equal(at) {
		t.Errorf("death at %v, device since %v; want the payload's %v", e.At, p.node().Devices[0].Since, at)
	}
	if got := p.value("D", "a") + ", " + p.value("", "n"); got != "1 stale, 1 good" {
		t.Error(got)
	}
	p.ddata("D", 3, p.byAlias(1, 2))
	if p.asks() != 1 {
		t.Error("data of a dead device raised no rebirth request")
	}
	p.dbirth("D", 4, p.aliased("a", 1, 3))
	p.ddata("D", 5, p.byAlias(1, 4))
	if got := p.value("D", "a"); got != "4 good" {
		t.Error("after the device's second birth: " + got)
	}
	if len(p.node().Warnings) != 0 {
		t.Errorf("a device's return is normal, but: %q", p.node().Warnings)
	}
}

// [tck-id-operational-behavior-host-reordering-param] [tck-id-operational-behavior-host-reordering-start]
// [tck-id-operational-behavior-host-reordering-rebirth] [tck-id-operational-behavior-host-reordering-success]
// [tck-id-payloads-sequence-num-incrementing]
func TestHostReordering(t *testing.T) {
	born := func(t *testing.T, o Options) *plant {
		p := newPlant(t, o)
		p.nbirth(0, p.aliased("a", 1, 0), p.aliased("b", 2, 0))
		return p
	}
	t.Run("gap filled in time", func(t *testing.T) {
		p := born(t, Options{})
		p.ndata(3, p.byAlias(1, 3))
		p.want()
		if due := p.h.NextTick(); !due.Equal(t0.Add(5 * time.Second)) {
			t.Errorf("timer ends %v", due)
		}
		p.ndata(2, p.byAlias(1, 2))
		p.tick(4 * time.Second)
		p.ndata(1, p.byAlias(1, 1))
		p.want("a=1", "a=2", "a=3")
		if !p.h.NextTick().IsZero() || p.node().Seq != 3 || p.node().Gaps != 0 {
			t.Errorf("next tick %v, node %+v", p.h.NextTick(), p.node())
		}
	})
	t.Run("timer ends", func(t *testing.T) {
		p := born(t, Options{ReorderTimeout: 2 * time.Second})
		p.ndata(3, p.byAlias(1, 3))
		p.ndata(2, p.byAlias(1, 2))
		p.tick(1999 * time.Millisecond)
		p.want()
		p.tick(time.Millisecond)
		p.want("gap sequence gap: expected 1, got 2", "a=2", "a=3", "rebirth asked sequence gap: expected 1, got 2")
		if p.asks() != 1 || p.node().Gaps != 1 || p.node().Seq != 3 {
			t.Errorf("asked %d, node %+v", p.asks(), p.node())
		}
		if got := p.value("", "a") + ", " + p.value("", "b"); got != "3 good, 0 uncertain" {
			t.Error(got)
		}
		p.ndata(4, p.byAlias(2, 4))
		p.want("b=4")
		p.nbirth(0, p.aliased("a", 1, 5), p.aliased("b", 2, 5))
		p.want("node born", "rebirth done", "a=5 birth", "b=5 birth")
		if n := p.node(); n.RebirthsAsked != 1 || n.RebirthsDone != 1 || p.value("", "b") != "5 good" {
			t.Errorf("after the rebirth: %+v", n)
		}
	})
	t.Run("a second gap waits its own time", func(t *testing.T) {
		p := born(t, Options{})
		p.ndata(2, p.byAlias(1, 2))
		p.tick(3 * time.Second)
		p.ndata(4, p.byAlias(1, 4))
		p.ndata(1, p.byAlias(1, 1))
		p.want("a=1", "a=2")
		if due := p.h.NextTick(); !due.Equal(t0.Add(8 * time.Second)) {
			t.Errorf("timer ends %v", due)
		}
	})
	t.Run("no timeout", func(t *testing.T) {
		p := born(t, Options{ReorderTimeout: -1})
		p.ndata(2, p.byAlias(1, 2))
		if p.asks() != 1 || p.value("", "a") != "2 good" {
			t.Error("a gap was waited for")
		}
	})
	t.Run("wrap", func(t *testing.T) {
		p := born(t, Options{})
		for i := 1; i <= 600; i++ {
			p.ndata(i%256, p.byAlias(1, float64(i)))
		}
		if p.value("", "a") != "600 good" || p.node().Gaps != 0 || p.node().Seq != 600%256 {
			t.Errorf("%s %+v", p.value("", "a"), p.node())
		}
	})
	t.Run("buffer full", func(t *testing.T) {
		p := born(t, Options{ReorderHeld: 4})
		for i := 2; i <= 5; i++ {
			p.ndata(i, p.byAlias(1, float64(i)))
		}
		if p.asks() != 1 || p.value("", "a") != "5 good" {
			t.Error("a full buffer did not end the waiting")
		}
	})
	t.Run("death flushes", func(t *testing.T) {
		p := born(t, Options{})
		p.ndata(2, p.byAlias(1, 2))
		p.ndeath(0)
		p.want("gap sequence gap: expected 1, got 2", "a=2", "node died NDEATH received")
		if p.asks() != 0 || !p.h.NextTick().IsZero() {
			t.Error("a dead node is asked, or waited for")
		}
	})
	t.Run("birth drops", func(t *testing.T) {
		p := born(t, Options{})
		p.ndata(2, p.byAlias(1, 2))
		p.nbirth(0, p.aliased("a", 2, 9), p.aliased("b", 1, 9))
		p.want("node born", "a=9 birth", "b=9 birth")
		if p.h.Stats().HeldDropped != 1 || !p.h.NextTick().IsZero() {
			t.Error("a message of the old session is still held")
		}
	})
}

// Data before any birth: the birth may be late; if it does not come, it is asked for.
func TestHostDataBeforeBirth(t *testing.T) {
	p := newPlant(t, Options{})
	p.dbirth("D", 1, p.double("d", 1))
	p.ndata(2, p.double("a", 2))
	if p.node().State != StateUnknown {
		t.Errorf("state %s before a birth", p.node().State)
	}
	p.nbirth(0, p.double("a", 1))
	p.want("node born", "a=1 birth", "device born D", "D/d=1 birth", "a=2")

	p = newPlant(t, Options{})
	p.ndata(77, p.double("a", 2))
	p.tick(5 * time.Second)
	p.want("rebirth asked NDATA before a birth")
	p.ndata(78, p.double("a", 3))
	p.nbirth(0, p.double("a", 1))
	p.want("node born", "rebirth done", "a=1 birth")
	if p.h.Stats().HeldDropped != 2 {
		t.Errorf("%d held messages dropped, want 2", p.h.Stats().HeldDropped)
	}
}

// Requests are debounced per node and capped over all. [tck-id-operational-behavior-data-commands-ncmd-rebirth-verb]
func TestHostRebirthLimits(t *testing.T) {
	p := newPlant(t, Options{RebirthsPerSec: 2})
	p.nbirth(0, p.double("a", 1))
	asks := 0
	for i := 1; i <= 100; i++ {
		p.now = p.now.Add(100 * time.Millisecond)
		p.ndata(i, p.double("unknown", 1))
		asks += p.asks()
	}
	if asks != 2 || p.node().RebirthsAsked != 2 {
		t.Errorf("%d requests in 10 s with a debounce of 5 s, want 2", asks)
	}
	p.nbirth(0, p.double("a", 1))
	if p.tick(time.Minute); p.asks() != 0 {
		t.Error("asked again although the birth came")
	}

	p = newPlant(t, Options{RebirthsPerSec: 2})
	for i := range 10 {
		p.send(fmt.Sprintf("spBv1.0/G/NDATA/E%d", i), p.payload(1))
	}
	p.tick(5 * time.Second)
	if got := len(p.out.Publish); got != 1 {
		t.Errorf("%d requests at once, want 1", got)
	}
	total := 1
	for range 9 {
		p.tick(500 * time.Millisecond)
		total += len(p.out.Publish)
	}
	if total != 10 || !p.h.NextTick().IsZero() {
		t.Errorf("%d requests after 4.5 s at 2 a second, want 10; next tick %v", total, p.h.NextTick())
	}
	if out, ok := p.h.RequestRebirth(NodeRef{"G", "E3"}, "operator", p.now.Add(time.Hour)); !ok || len(out.Publish) != 1 || out.Records[0].Event.Reason != "operator" {
		t.Errorf("operator's request: %+v %v", out, ok)
	}
	if _, ok := p.h.RequestRebirth(NodeRef{"G", "nobody"}, "operator", p.now); ok {
		t.Error("a node never heard of was asked")
	}
}

// [tck-id-payloads-alias-uniqueness] [tck-id-payloads-alias-birth-requirement]
func TestHostAliases(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(0, p.aliased("a", 1, 1), p.aliased("b", 2, 2))
	p.nbirth(0, p.aliased("a", 2, 1), p.aliased("b", 1, 2)) // swapped by the rebirth
	p.ndata(1, p.byAlias(1, 10))
	p.want("b=10")
	p.ndata(2, p.byAlias(3, 1))
	if p.asks() != 1 {
		t.Error("an unknown alias raised no request")
	}
	p.dbirth("D", 3, p.aliased("x", 2, 0))
	p.wantWarning("alias 2 stands for two metrics")
	p.dbirth("D", 4, p.aliased("x", 9, 0))
	p.dbirth("D", 5, p.aliased("x", 9, 1))
	p.ddata("D", 6, p.byAlias(9, 5))
	p.want("D/x=5")
	both := p.aliased("x", 9, 6)
	p.ddata("D", 7, both)
	p.want("D/x=6")
	p.wantWarning("name and alias together")
	if p.ddata("D", 8, p.byAlias(1, 7)); p.value("", "b") != "10 good" {
		t.Error("a device's data wrote a metric of the node")
	}

	p = newPlant(t, Options{}) // a rebirth may give a device's alias to the node
	p.nbirth(0, p.aliased("a", 1, 1))
	p.dbirth("D", 1, p.aliased("x", 5, 1))
	p.nbirth(0, p.aliased("a", 5, 2))
	p.ndata(1, p.byAlias(5, 3))
	p.want("a=3")
	if w := p.node().Warnings; len(w) != 0 {
		t.Errorf("aliases of the old birth are remembered: %q", w)
	}
}

// A value of an older session is not shown as this one's, even if the birth brings only history.
func TestHostForgetsOldSessions(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(0, p.double("a", 1))
	old := p.double("a", 2)
	old.Historical = true
	p.nbirth(1, old)
	if got := p.value("", "a"); got != "1 never" {
		t.Error(got)
	}
	p.ndata(1, p.double("a", 3))
	if got := p.value("", "a"); got != "3 good" {
		t.Error(got)
	}
}

// [tck-id-payloads-propertyset-quality-value-type] [tck-id-payloads-propertyset-quality-value-value]
// [tck-id-payloads-name-birth-data-requirement] [tck-id-payloads-metric-datatype-req]
func TestHostValues(t *testing.T) {
	p := newPlant(t, Options{})
	unit := p.double("t", 1)
	low := 0.5
	unit.Properties = []Property{{Key: "engUnit", Value: StringValue("°C")}, {Key: "engLow", Value: DoubleValue(low)}}
	small := Metric{Name: "int8", Type: Int8, Value: Int64Value(Int8, -1), Timestamp: 1, HasTimestamp: true}
	never := Metric{Name: "never", Type: Double, Missing: true, Value: Value{Null: true}, Timestamp: 1, HasTimestamp: true}
	transient := p.double("shown", 1)
	transient.Transient = true
	text := Metric{Name: "text", Type: String, Value: StringValue("hi"), Timestamp: 1, HasTimestamp: true}
	p.nbirth(0, unit, small, never, transient, text)
	p.want("node born", "t=1 birth", "int8=-1 birth", `text="hi" birth`)
	if m, _ := p.h.Metric(MetricRef{"G", "E", "", "t"}); m.Unit != "°C" || m.Low == nil || *m.Low != low || m.High != nil {
		t.Errorf("unit %q low %v high %v", m.Unit, m.Low, m.High)
	}
	if got := p.value("", "never") + ", " + p.value("", "shown"); got != "null never, 1 good" {
		t.Error(got)
	}
	old := p.double("t", 0.1)
	old.Historical, old.Timestamp = true, Millis(t0.Add(-time.Hour))
	p.ndata(1, old)
	p.want("t=0.1 historical")
	if len(p.out.Changed) != 0 || p.value("", "t") != "1 good" {
		t.Error("history moved the live value")
	}
	if at := p.out.Records[0].Sample.At; !at.Equal(t0.Add(-time.Hour)) {
		t.Errorf("history at %v", at)
	}
	tests := []struct {
		name   string
		metric Metric
		sample string // "" none
		want   string
	}{
		{"quality bad", with(p.double("t", 2), 0), "t=2", "2 bad"},
		{"quality stale", with(p.double("t", 3), 500), "t=3", "3 stale"},
		{"quality good", with(p.double("t", 4), 192), "t=4", "4 good"},
		{"quality unknown", with(p.double("t", 5), 7), "t=5", "5 uncertain"},
		{"quality of no code", with(p.double("t", 5), 1<<16+192), "t=5", "5 uncertain"},
		{"quality in words", said(p.double("t", 5), StringValue("bad")), "t=5", "5 uncertain"},
		{"quality null", said(p.double("t", 5), Value{Type: Int32, Null: true}), "t=5", "5 good"},
		{"null", Metric{Name: "t", Value: Value{Null: true}}, "t=null", "null null"},
		{"back", p.double("t", 6), "t=6", "6 good"},
		{"transient in data", Metric{Name: "t", Value: DoubleValue(7), Transient: true}, "", "7 good"},
		{"float for a double", Metric{Name: "t", Value: FloatValue(1.5)}, "t=1.5", "1.5 good"},
		{"text for a double", Metric{Name: "t", Value: StringValue("x")}, `rebirth asked metric "t": Double in string_value`, "1.5 uncertain"},
		{"a double again", p.double("t", 8), "t=8", "8 good"},
	}
	for i, tt := range tests {
		p.ndata(i+2, tt.metric)
		if tt.sample == "" {
			p.want()
		} else {
			p.want(tt.sample)
		}
		if got := p.value("", "t"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	p.wantWarning("Quality property")
	p.wantWarning("metrics without a timestamp")
	raw := Metric{Name: "int8", Field: FieldInt, Value: Value{Num: 0xFE}} // no datatype, 8 bits
	p.ndata(len(tests)+2, raw)
	p.want("int8=-2")
	if at := p.out.Records[0].Sample.At; !at.Equal(t0) {
		t.Errorf("a metric without a timestamp is at %v, want the payload's %v", at, t0)
	}
}

func with(m Metric, quality uint64) Metric {
	return said(m, Value{Type: Int32, Num: quality})
}

// said returns the metric with a Quality property of any kind.
func said(m Metric, quality Value) Metric {
	m.Properties = []Property{{Key: "Quality", Value: quality}}
	return m
}

// The payload's memory may be reused by the sender of a Step after its output is dealt with; live values must not change.
func TestHostKeepsOwnValues(t *testing.T) {
	p := newPlant(t, Options{})
	pl := p.payload(0, BdSeqMetric(0, t0), Metric{Name: "s", Type: String, Value: StringValue("good")})
	data := Encode(&pl)
	p.step(Input{Message: &Message{Topic: "spBv1.0/G/NBIRTH/E", Payload: data}})
	clear(data)
	if got := p.value("", "s"); got != `"good" good` {
		t.Error(got)
	}
}
