package sparkplug

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Which deaths end a session, and which are another's. [tck-id-payloads-ndeath-bdseq] [tck-id-topics-nbirth-bdseq-matching]
// [tck-id-topics-nbirth-bdseq-included] [tck-id-topics-ndeath-payload]
func TestHostBdSeq(t *testing.T) {
	birth := func(p *plant, metrics ...Metric) { p.send("spBv1.0/G/NBIRTH/E", p.payload(0, metrics...)) }
	death := func(p *plant, metrics ...Metric) { p.send("spBv1.0/G/NDEATH/E", p.payload(-1, metrics...)) }
	bd := func(n uint64) Metric { return Metric{Name: NameBdSeq, Type: Int64, Value: Value{Type: Int64, Num: n}} }
	tests := []struct {
		name string
		do   func(p *plant)
		want State
	}{
		{"matching", func(p *plant) { birth(p, bd(3)); death(p, bd(3)) }, StateOffline},
		{"UInt64", func(p *plant) {
			birth(p, bd(3))
			death(p, Metric{Name: NameBdSeq, Type: UInt64, Value: Value{Type: UInt64, Num: 3}})
		}, StateOffline},
		{"an older session's will", func(p *plant) { birth(p, bd(3)); death(p, bd(2)) }, StateOnline},
		{"the will of before the wrap", func(p *plant) { birth(p, bd(255)); birth(p, bd(0)); death(p, bd(255)) }, StateOnline},
		{"after the wrap", func(p *plant) { birth(p, bd(255)); birth(p, bd(0)); death(p, bd(0)) }, StateOffline},
		{"missing in the death", func(p *plant) { birth(p, bd(3)); death(p) }, StateOffline},
		{"missing in the birth", func(p *plant) { birth(p); death(p, bd(3)) }, StateOffline},
		{"missing in both", func(p *plant) { birth(p); death(p) }, StateOffline},
		{"by alias alone", func(p *plant) {
			x := bd(3)
			x.Alias, x.HasAlias = 7, true
			birth(p, x)
			death(p, Metric{Alias: 7, HasAlias: true, Value: Value{Num: 3}, Field: FieldLong})
		}, StateOffline},
		{"by alias alone, an older session's", func(p *plant) {
			x := bd(3)
			x.Alias, x.HasAlias = 7, true
			birth(p, x)
			death(p, Metric{Alias: 7, HasAlias: true, Value: Value{Num: 2}, Field: FieldLong})
		}, StateOnline},
		{"stuck, the will of the client before", func(p *plant) {
			for _, c := range []string{"c1", "c2"} {
				p.client = c
				p.session(c, true, "")
				birth(p, bd(0))
			}
			p.session("c1", false, "keep alive timeout")
			p.client = "c1"
			death(p, bd(0))
		}, StateOnline},
		{"stuck, the will of its own client", func(p *plant) {
			p.client = "c1"
			p.session("c1", true, "")
			birth(p, bd(0))
			p.session("c1", false, "keep alive timeout")
			death(p, bd(0))
		}, StateOffline},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlant(t, Options{})
			if tt.do(p); p.node().State != tt.want {
				t.Errorf("%s, want %s", p.node().State, tt.want)
			}
			if late := p.h.Stats().LateDeaths; (late == 1) != (tt.want == StateOnline) {
				t.Errorf("%d late deaths", late)
			}
			before := p.node().LastDeath
			if p.tick(time.Minute); tt.want == StateOffline {
				death(p, bd(3))
				if p.want(); !p.node().LastDeath.Equal(before) {
					t.Error("a second death is told again")
				}
			}
		})
	}
}

// A bdSeq that never moves does not hide that the session is a new one. [tck-id-payloads-nbirth-bdseq-repeat]
func TestHostStuckBdSeq(t *testing.T) {
	p := newPlant(t, Options{})
	p.client = "c"
	p.session("c", true, "")
	p.nbirth(0, p.double("a", 1))
	p.nbirth(0, p.double("a", 2))
	p.want("node born", "a=2 birth")
	p.session("c", false, "connection lost")
	p.session("c", true, "")
	p.nbirth(0, p.double("a", 3))
	if e := p.out.Records[0].Event; e == nil || e.Kind != NodeDied || !strings.Contains(e.Reason, "new session") {
		t.Errorf("%+v", p.out.Records[0])
	}
}

// Loss of a server leaves the nodes of the other alone; the newest birth tells where a node is.
// [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]
func TestHostServers(t *testing.T) {
	p := newPlant(t, Options{})
	on := func(server, topic string, pl Payload) Output {
		return p.step(Input{Message: &Message{Server: server, Topic: topic, Payload: Encode(&pl)}})
	}
	on("A", "spBv1.0/G/NBIRTH/E", p.payload(0, p.double("a", 1)))
	on("B", "spBv1.0/G/NBIRTH/F", p.payload(0, p.double("a", 1)))
	p.step(Input{Lost: &Lost{"B"}})
	if f, _ := p.h.Node("G", "F"); p.node().State != StateOnline || f.State != StateUnknown || !strings.Contains(f.Reason, "server B lost") {
		t.Errorf("%s, %s: %s", p.node().State, f.State, f.Reason)
	}
	old := p.payload(0, p.double("a", 2))
	p.now = p.now.Add(time.Second)
	old.Timestamp -= 1000
	if on("B", "spBv1.0/G/NBIRTH/E", old); p.value("", "a") != "1 good" || p.node().Server != "A" {
		t.Error("a birth on another server that is older won")
	}
	on("B", "spBv1.0/G/NBIRTH/E", p.payload(0, p.double("a", 3)))
	on("A", "spBv1.0/G/NDATA/E", p.payload(1, p.double("a", 4)))
	on("A", "spBv1.0/G/NDEATH/E", p.payload(-1))
	if p.step(Input{Lost: &Lost{"A"}}); p.value("", "a") != "3 good" || p.node().Server != "B" || p.h.Stats().OtherServer != 2 {
		t.Errorf("%s on %s, %+v", p.value("", "a"), p.node().Server, p.h.Stats())
	}
	on("B", "spBv1.0/G/NDATA/E", p.payload(1, p.double("unknown", 4)))
	if len(p.out.Publish) != 1 || p.out.Publish[0].Server != "B" {
		t.Errorf("asked %+v, want one on B", p.out.Publish)
	}
}

// After a restart a thousand nodes that are heard are asked once each, evenly, and those that are not heard are not asked.
func TestHostRestartWithoutStorm(t *testing.T) {
	const nodes, perSec = 1000, 20
	p := newPlant(t, Options{RebirthsPerSec: perSec})
	for i := range nodes + 100 {
		pl := p.payload(0, p.double("a", 1))
		if err := p.h.Seed(fmt.Sprintf("spBv1.0/G/NBIRTH/N%04d", i), Encode(&pl), p.now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range nodes {
		p.send(fmt.Sprintf("spBv1.0/G/NDATA/N%04d", i), p.payload(7, p.double("a", 2)))
	}
	asked := map[string]int{}
	var times []time.Time
	for next := p.h.NextTick(); !next.IsZero(); next = p.h.NextTick() {
		p.now = next
		for _, m := range p.step(Input{}).Publish {
			topic, _ := ParseTopic(m.Topic)
			asked[topic.Node]++
			times = append(times, p.now)
			p.send("spBv1.0/G/NBIRTH/"+topic.Node, p.payload(0, p.double("a", 3)))
		}
	}
	for i := range times {
		if i >= perSec && times[i].Sub(times[i-perSec]) < time.Second {
			t.Fatalf("more than %d requests from %v to %v", perSec, times[i-perSec], times[i])
		}
	}
	if st := p.h.Stats(); len(asked) != nodes || len(times) != nodes || st.Rebirths[AskRestart] != nodes || st.RebirthsDone != nodes {
		t.Errorf("%d nodes asked %d times, %+v", len(asked), len(times), st)
	}
}

// A node that never answers, and one whose births never help, are asked ever less often; each cause is counted.
func TestHostBackOff(t *testing.T) {
	for _, answers := range []bool{false, true} {
		p := newPlant(t, Options{})
		p.nbirth(0, p.double("a", 1))
		asks := 0
		for i := range 3600 {
			p.now = p.now.Add(time.Second)
			if p.ndata(p.node().Seq+1&255, p.double("unknown", float64(i))); p.asks() > 0 {
				asks++
				if answers {
					p.nbirth(0, p.double("a", 1))
				}
			}
		}
		n := p.node()
		if most := map[bool]int{false: 13, true: 65}[answers]; asks > most || asks < most/2 || n.RebirthCauses[AskMetric] != asks {
			t.Errorf("answers %t: asked %d times in an hour, causes %v", answers, asks, n.RebirthCauses)
		}
		if said := strings.Contains(strings.Join(n.Warnings, " "), "does not answer rebirth requests"); said == answers {
			t.Errorf("answers %t: warnings %q", answers, n.Warnings)
		}
	}
}

// The way of a message does not count as skew, a step of the clock is told, whichever way.
func TestHostClockSkew(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(0, p.double("a", 1))
	var steps []string
	run := func(n int, skew time.Duration) {
		for i := range n {
			p.now = p.now.Add(5 * time.Second)
			pl := p.payload((p.node().Seq+1)&255, p.double("a", 1))
			pl.Timestamp = Millis(p.now.Add(skew - time.Duration(i%5)*time.Second)) // up to 4 s late
			for _, r := range p.send("spBv1.0/G/NDATA/E", pl).Records {
				if e := r.Event; e != nil && e.Kind == ClockStepped {
					steps = append(steps, e.Reason)
				}
			}
		}
	}
	run(40, 0)
	if got := p.node().ClockSkew; got != 0 || len(steps) > 0 {
		t.Errorf("skew %v, steps %q", got, steps)
	}
	run(40, time.Hour)
	run(40, -time.Hour)
	want := []string{"the node's clock was set forward by 1h0m0s; it is now 1h0m0s ahead", "the node's clock was set back by 1h59m56s; it is now 1h0m0s behind"}
	if fmt.Sprint(steps) != fmt.Sprint(want) || p.node().ClockSkew != -time.Hour {
		t.Errorf("skew %v, steps %q", p.node().ClockSkew, steps)
	}
}

// What a hostile publisher can make the host keep is bounded in bytes, whatever it makes up: names, nodes, devices, metrics, held
// messages with long topics.
func TestHostBytes(t *testing.T) {
	o := Options{MaxBytes: 1 << 20, ReorderBytes: 64 << 10, MaxValueBytes: 64 << 10}
	p := newPlant(t, o)
	long := strings.Repeat("x", 4000)
	for i := range 40 {
		var metrics []Metric
		for j := range 50 {
			metrics = append(metrics, p.double(fmt.Sprint(long, i, j), 1), Metric{Name: fmt.Sprint("s", j), Type: String, Value: StringValue(long)})
		}
		node := fmt.Sprint(long, i)
		p.send("spBv1.0/G/NBIRTH/"+node, p.payload(0, metrics...))
		p.send("spBv1.0/G/DBIRTH/"+node+"/"+long, p.payload(1, metrics...))
		for j := range 60 {
			p.send("spBv1.0/G/DDATA/"+node+"/"+fmt.Sprint(long, j), p.payload(7+j%2))
			p.send("spBv1.0/G/NDATA/"+fmt.Sprint(node, j), p.payload(7))
		}
		if h := p.h; h.bytes > o.MaxBytes || h.valueBytes > o.MaxValueBytes || h.heldBytes > 17*o.ReorderBytes {
			t.Fatalf("%d bytes of state, %d of values, %d held", h.bytes, h.valueBytes, h.heldBytes)
		}
	}
	if p.h.Stats().Refused == 0 {
		t.Error("nothing was refused")
	}
}
