package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/google/go-cmp/cmp"
)

// script renders what a server got of one node's session, without PINGREQs: one line a packet.
//
//	DDATA d seq=3 ~temp=4     ~ is_historical, ! a Quality that is not good
func (s *server) script(client string) (lines []string) {
	synctest.Wait() // the last packets are noted too
	for _, e := range s.entries() {
		if strings.HasPrefix(e.client, client) && e.kind != "PINGREQ" {
			lines = append(lines, e.line())
		}
	}
	return lines
}

func (e entry) line() string {
	switch e.kind {
	case "CONNECT", "WILL":
		if e.topic == "" {
			return e.kind
		}
		return fmt.Sprintf("%s %s", e.kind, payloadLine(e.topic, e.payload))
	case "SUBSCRIBE":
		return "SUBSCRIBE " + strings.Join(e.subs, ", ")
	case "DISCONNECT":
		return fmt.Sprintf("DISCONNECT 0x%02x", e.code)
	}
	return payloadLine(e.topic, e.payload)
}

func payloadLine(topic string, payload []byte) string {
	levels := strings.Split(topic, "/")
	p, err := wire(payload)
	if err != nil || len(levels) < 4 {
		return fmt.Sprintf("%s %v", topic, err)
	}
	line := levels[2]
	if len(levels) == 5 {
		line += " " + levels[4]
	}
	if p.hasSeq {
		line += fmt.Sprintf(" seq=%d", p.seq)
	}
	for _, m := range p.metrics {
		name := strings.TrimPrefix(m.name, "Node Control/")
		if name == "Rebirth" {
			continue // in every NBIRTH; the checker asks for it
		}
		mark := ""
		if m.hist {
			mark = "~"
		}
		if q, ok := m.props["Quality"]; ok && q != 192 {
			mark += "!"
		}
		line += fmt.Sprintf(" %s%s=%s", mark, name, m.value)
	}
	return line
}

// expect compares a script from its CONNECT on.
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	var lines []string
	for l := range strings.Lines(want) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Error(diff)
	}
}

// one is a rig with one server and one live node g/n with device d, past its births.
func one(t *testing.T, change func(*Options)) (*rig, *server, *checker) {
	s := newServer(t)
	c := judge(t, s)
	o := quick(s.as())
	if change != nil {
		change(&o)
	}
	r := newRig(t, o)
	r.start()
	return r, s, c
}

func (r *rig) alive() {
	r.birth("g", "n", "", oven[0])
	r.birth("g", "n", "d", oven[0])
	pass(time.Second)
}

// node and device write one sample of the node or of its device, stamped now.
func (r *rig) node(v float64) {
	r.samples(r.sample("g", "n", "", "temp", time.Now(), v))
	pass(100 * time.Millisecond)
}

func (r *rig) device(v float64) {
	r.samples(r.sample("g", "n", "d", "temp", time.Now(), v))
	pass(100 * time.Millisecond)
}

// The conversation of one outage, packet by packet.
func TestConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		r.device(1)
		r.device(2)
		s.cut()
		pass(time.Second)
		r.device(3)
		r.death("g", "n", "", "keep alive timeout")
		pass(time.Second)
		r.birth("g", "n", "", oven[0])
		r.birth("g", "n", "d", oven[0])
		r.device(4)
		s.restore()
		pass(time.Second)
		r.device(5)
		pass(time.Second)
		r.stop()
		c.verdict()
		expect(t, s.script("edge-up/g/n"), `
			CONNECT NDEATH bdSeq=0
			SUBSCRIBE spBv1.0/g/NCMD/n qos=1, spBv1.0/g/DCMD/n/# qos=1
			SUBSCRIBE spBv1.0/g/NBIRTH/n qos=0
			NBIRTH seq=0 bdSeq=0 temp=null
			DBIRTH d seq=1 temp=null
			DDATA d seq=2 temp=1
			DDATA d seq=3 temp=2
			WILL NDEATH bdSeq=0
			CONNECT NDEATH bdSeq=1
			SUBSCRIBE spBv1.0/g/NCMD/n qos=1, spBv1.0/g/DCMD/n/# qos=1
			SUBSCRIBE spBv1.0/g/NBIRTH/n qos=0
			NBIRTH seq=0 bdSeq=1 temp=null
			DBIRTH d seq=1 temp=4
			DDATA d seq=2 ~temp=3 ~temp=4
			DDATA d seq=3 temp=5
			NDEATH bdSeq=1
			DISCONNECT 0x04
			WILL NDEATH bdSeq=1`)
		o := r.up.Outages()
		if len(o) != 1 || o[0].Owed != 2 || o[0].Delivered != 2 || o[0].Duplicated != 0 || o[0].To.IsZero() {
			t.Fatalf("outages %+v", o)
		}
		n := o[0].Nodes
		if len(n) != 1 || len(n[0].Deaths) != 1 || n[0].Deaths[0].To.Sub(n[0].Deaths[0].From) < time.Second {
			t.Errorf("the node's own death is not in the report: %+v", n)
		}
	})
}

// A death in the plant is a death upstream, and the next birth is a new session.
func TestDeathInThePlant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		r.death("g", "n", "", "connection lost")
		pass(time.Second)
		if st := r.up.Status(); !strings.Contains(st.Nodes[0].Reason, "connection lost") || st.Nodes[0].State != Idle {
			t.Errorf("status %+v", st.Nodes[0])
		}
		r.birth("g", "n", "", oven[0])
		pass(time.Second)
		c.verdict()
		expect(t, s.script("edge-up/g/n")[3:], `
			NBIRTH seq=0 bdSeq=0 temp=null
			DBIRTH d seq=1 temp=null
			NDEATH bdSeq=0
			DISCONNECT 0x04
			WILL NDEATH bdSeq=0
			CONNECT NDEATH bdSeq=1
			SUBSCRIBE spBv1.0/g/NCMD/n qos=1, spBv1.0/g/DCMD/n/# qos=1
			SUBSCRIBE spBv1.0/g/NBIRTH/n qos=0
			NBIRTH seq=0 bdSeq=1 temp=null`)
		if o := r.up.Outages(); len(o) != 0 {
			t.Errorf("a death in the plant is no outage of the uplink: %+v", o)
		}
	})
}

// Devices come and go within a session; seq goes on.
func TestDeviceLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		r.death("g", "n", "d", "")
		pass(time.Second)
		r.birth("g", "n", "d", oven...)
		pass(time.Second)
		r.device(1)
		pass(time.Second)
		c.verdict()
		expect(t, s.script("edge-up/g/n")[3:], `
			NBIRTH seq=0 bdSeq=0 temp=null
			DBIRTH d seq=1 temp=null
			DDEATH d seq=2
			DBIRTH d seq=3 temp=null speed=null
			DDATA d seq=4 temp=1`)
	})
}

// History of a device that is dead in the plant: born stale for it, and dead again.
func TestHistoryOfADeadDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		s.cut()
		pass(time.Second)
		r.device(1)
		r.death("g", "n", "d", "")
		s.restore()
		pass(2 * time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-4:], `
			NBIRTH seq=0 bdSeq=1 temp=null
			DBIRTH d seq=1 !temp=1
			DDATA d seq=2 ~temp=1
			DDEATH d seq=3`)
	})
}

// A node that is still dead delivers its history after a while, in a session that says it is dead.
func TestPostmortem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, func(o *Options) { o.PostmortemAfter = time.Minute })
		r.alive()
		s.cut()
		pass(time.Second)
		r.node(1)
		r.device(2)
		r.death("g", "n", "", "power")
		s.restore()
		pass(50 * time.Second)
		if got := s.script("edge-up/g/n"); got[len(got)-1] != "WILL NDEATH bdSeq=0" {
			t.Fatalf("too early: %s", got[len(got)-1])
		}
		pass(20 * time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		i := slices.Index(got, "NBIRTH seq=0 bdSeq=1 !temp=1")
		if i < 0 {
			t.Fatal(got)
		}
		expect(t, got[i:], `
			NBIRTH seq=0 bdSeq=1 !temp=1
			DBIRTH d seq=1 !temp=2
			NDATA seq=2 ~temp=1
			DDATA d seq=3 ~temp=2
			NDEATH bdSeq=1
			DISCONNECT 0x04
			WILL NDEATH bdSeq=1`)
		if o := r.up.Outages(); len(o) != 1 || o[0].To.IsZero() || o[0].Delivered != 2 || o[0].Owed != 2 {
			t.Errorf("outages %+v", o)
		}
	})
}

// A rebirth request is answered here: same bdSeq, seq 0, at most one in two seconds.
func TestRebirthShield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plant plantCommands
		r, s, c := one(t, nil)
		r.stop()
		r.commands = &plant
		r.start()
		r.alive()
		r.node(1)
		ask := sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "g", Node: "n"}, time.Now())
		for range 50 {
			s.publish(ask.Topic, ask.Payload, false)
			pass(100 * time.Millisecond)
		}
		pass(3 * time.Second)
		r.node(2)
		pass(time.Second)
		c.verdict()
		births := 0
		for _, l := range s.script("edge-up/g/n") {
			if strings.HasPrefix(l, "NBIRTH seq=0 bdSeq=0") {
				births++
			}
		}
		if births < 3 || births > 5 {
			t.Errorf("%d births for 5 s of requests", births)
		}
		if n := plant.taken(); len(n) > 0 {
			t.Errorf("passed down: %v", n)
		}
	})
}

// plantCommands is the plant's side of the gate.
type plantCommands struct {
	mu  sync.Mutex
	got []string
}

func (p *plantCommands) Command(_ context.Context, topic string, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, _ := wire(payload)
	line := topic
	for _, m := range w.metrics {
		line += fmt.Sprintf(" %s alias=%v %s", m.name, m.alias, m.value)
	}
	p.got = append(p.got, line)
	return nil
}

func (p *plantCommands) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// Commands pass the gate also while history flows, and what comes back is live at once.
func TestCommandsDuringAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plant plantCommands
		r, s, c := one(t, nil)
		r.stop()
		low, high := 0.0, 250.0
		r.commands = &plant
		r.o.Commands = []CommandRule{{Metric: "temp", Min: &low, Max: &high, PerMinute: 2}}
		r.o.FlushSamplesPerSecond, r.o.HistoryMetrics = 10, 10
		r.start()
		r.alive()
		s.cut()
		pass(time.Second)
		for i := range 200 {
			r.samples(r.sample("g", "n", "d", "temp", time.Now(), float64(i)))
			pass(time.Millisecond)
		}
		s.restore()
		pass(time.Second)
		write := func(metric string, v float64, at time.Time, retained bool) {
			p := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Metrics: []sparkplug.Metric{
				{Name: metric, Type: sparkplug.Double, Value: valueOf(r.sample("g", "n", "d", "temp", at, v).Value)}}}
			s.publish("spBv1.0/g/DCMD/n/d", sparkplug.Encode(&p), retained)
			pass(100 * time.Millisecond)
		}
		write("speed", 1, time.Now(), false)                 // no such metric
		write("temp", 300, time.Now(), false)                // out of range
		write("temp", 50, time.Now().Add(-time.Hour), false) // too old
		write("temp", 60, time.Now(), false)
		r.device(60) // the readback
		write("temp", 70, time.Now(), false)
		write("temp", 80, time.Now(), false) // too many
		pass(time.Minute)
		c.verdict()
		want := []string{"spBv1.0/g/DCMD/n/d  alias=true 60", "spBv1.0/g/DCMD/n/d  alias=true 70"}
		if diff := cmp.Diff(want, plant.taken()); diff != "" {
			t.Error(diff)
		}
		var audit []string
		for rd := r.j.NewReader(0, journal.KindEvent); ; {
			rec, ok, err := rd.TryNext()
			if err != nil || !ok {
				break
			}
			if rec.Event.Kind == journal.CommandEvent {
				audit = append(audit, strings.TrimPrefix(rec.Event.Reason, "command from upstream "))
			}
		}
		wantAudit := []string{`refused: there is no metric "speed"`, `refused: "temp": 300 is above the allowed 250`,
			"refused: its time stamp is older than 5s", "delivered: temp", "delivered: temp", `refused: "temp": more than 2 commands in a minute`}
		if diff := cmp.Diff(wantAudit, audit); diff != "" {
			t.Error(diff)
		}
		live, history := -1, -1
		for i, l := range s.script("edge-up/g/n") {
			if strings.HasSuffix(l, " temp=60") {
				live = i
			}
			if strings.Contains(l, "~temp=199") {
				history = i
			}
		}
		if live < 0 || history < live {
			t.Errorf("the readback is message %d, the end of the history %d", live, history)
		}
	})
}

// State waits and moves with the primary host.
func TestPrimaryHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(t), newServer(t)
		ca, cb := judge(t, a), judge(t, b)
		state := func(s *server, online bool, at int64) {
			m := sparkplug.StateMessage("scada", sparkplug.HostState{Online: online, Timestamp: at})
			s.publish(m.Topic, m.Payload, true)
			pass(time.Second)
		}
		o := quick(a.as(), b.as())
		o.PrimaryHost = "scada"
		r := newRig(t, o)
		r.start()
		r.alive()
		if st := r.up.Status(); st.State != WaitState || !strings.Contains(st.Nodes[0].Reason, "waiting for the primary host scada: no STATE on") {
			t.Errorf("status %+v", st)
		}
		state(a, true, 1000)
		r.node(1)
		state(a, false, 500) // of a session that is over
		r.node(2)
		if n := ca.node("g/n"); !n.online || n.births != 1 {
			t.Errorf("on the first server: %+v", n)
		}
		state(a, false, 1000)
		if n := ca.node("g/n"); n.online {
			t.Error("no NDEATH for a primary host that is offline")
		}
		r.node(3)
		state(b, true, 2000)
		pass(time.Second)
		if n := cb.node("g/n"); !n.online || n.bdSeq != 1 || n.filed != 3 {
			t.Errorf("on the second server: %+v", n)
		}
		ca.verdict()
		cb.verdict()
		expect(t, a.script("edge-up/g/n")[1:2], "SUBSCRIBE spBv1.0/g/NCMD/n qos=1, spBv1.0/g/DCMD/n/# qos=1, spBv1.0/STATE/scada qos=1")
		got := a.script("edge-up/g/n")
		expect(t, got[len(got)-3:], "NDEATH bdSeq=0\nDISCONNECT 0x04\nWILL NDEATH bdSeq=0")
		o1 := r.up.Outages()
		if len(o1) != 1 || o1[0].Owed != 3 || o1[0].Delivered != 3 || o1[0].Duplicated != 2 {
			t.Errorf("outages %+v", o1)
		}
	})
}

// The cursors, bdSeq and reports outlive a restart; a node stays away until it is born again.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		r.node(1)
		s.cut()
		pass(time.Second)
		owed := r.samples(r.sample("g", "n", "", "temp", time.Now(), 2))
		pass(2 * time.Second)
		r.stop()
		r.node(3)
		s.restore()
		r.start()
		pass(5 * time.Second)
		if n := c.node("g/n"); n.births != 1 {
			t.Errorf("%d births without a birth in the plant", n.births)
		}
		if from := r.up.OwedFrom(); from > owed {
			t.Errorf("OwedFrom %d, but %d is owed", from, owed)
		}
		r.birth("g", "n", "", oven[0])
		pass(2 * time.Second)
		r.node(4)
		pass(time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-3:], `
			NBIRTH seq=0 bdSeq=1 temp=null
			NDATA seq=1 ~temp=2 ~temp=3
			NDATA seq=2 temp=4`)
		o := r.up.Outages()
		if len(o) != 1 || o[0].Owed != 2 || o[0].Delivered != 2 {
			t.Errorf("outages %+v", o)
		}
		if st := r.up.Status(); st.Owed != 0 || r.up.OwedFrom() <= journal.Index(st.Nodes[0].Cursor) {
			t.Errorf("status %+v, OwedFrom %d", st, r.up.OwedFrom())
		}
		r.stop()
		r.start()
		if diff := cmp.Diff(o, r.up.Outages()); diff != "" {
			t.Errorf("the reports after a restart: %s", diff)
		}
	})
}

// What the backlog has and the present birth has not is born as null, and gone after the flush. A datatype that
// changed is widened, or given up and counted.
func TestSchemaChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.birth("g", "n", "", metricSpec{"gone", sparkplug.Double}, metricSpec{"count", sparkplug.Int32}, metricSpec{"text", sparkplug.String})
		pass(time.Second)
		s.cut()
		pass(time.Second)
		put := func(name string, typ journal.DataType, v journal.Value) {
			smp := journal.Sample{Series: r.id(journal.SeriesKey{Group: "g", Node: "n", Metric: name, Type: typ}), Quality: journal.Good,
				At: journal.Millis(time.Now().UnixMilli()), Received: journal.Millis(time.Now().UnixMilli()), Value: v}
			smp.Value.Type = typ
			r.samples(smp)
		}
		r.samples(r.sample("g", "n", "", "gone", time.Now(), 5))
		put("count", 3, journal.Value{Num: 7})
		put("text", 12, journal.Value{Bytes: []byte("x")})
		pass(time.Second)
		r.birth("g", "n", "", metricSpec{"count", sparkplug.Int64}, metricSpec{"text", sparkplug.Double})
		pass(time.Second)
		s.restore()
		pass(5 * time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-3:], `
			NBIRTH seq=0 bdSeq=1 count=null text=null !gone=null
			NDATA seq=1 ~gone=5 ~count=7
			NBIRTH seq=0 bdSeq=1 count=null text=null`)
		o := r.up.Outages()
		if len(o) != 1 || o[0].Owed != 3 || o[0].Delivered != 2 || o[0].Waived != 1 || len(o[0].Gaps) != 1 || o[0].Gaps[0].Reason != reasonType {
			t.Errorf("outages %+v", o)
		}
		if st := r.up.Status(); st.Owed != 0 || st.Drops[reasonType] != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// Samples that the plant itself calls historical never become current values.
func TestHistoryOfThePlant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		r.node(1)
		for i := range 3 {
			h := r.sample("g", "n", "", "temp", time.Now().Add(-time.Hour), float64(10+i))
			h.Historical = true
			r.samples(h, r.sample("g", "n", "", "temp", time.Now(), float64(20+i)))
			pass(time.Millisecond)
		}
		pass(2 * time.Second)
		c.verdict()
		if distinct, again := c.counts(); distinct != 7 || again != 0 {
			t.Errorf("%d samples, %d twice", distinct, again)
		}
		n := c.node("g/n")
		if n.filed != 3 || n.live != 4 {
			t.Errorf("%d historical, %d live", n.filed, n.live)
		}
		ask := sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "g", Node: "n"}, time.Now())
		s.publish(ask.Topic, ask.Payload, false)
		pass(3 * time.Second)
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-2:], "NBIRTH seq=0 bdSeq=0 temp=22\nDBIRTH d seq=1 temp=null")
		if st := r.up.Status(); st.Owed != 0 || st.Duplicated != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// The queue's bounds: what is given up is counted, and the rest arrives.
func TestQueueBounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		queue  Queue
		reason string
		newest bool
	}{
		{"bytes, oldest first", Queue{Bytes: 100 * sampleBytes}, reasonFull, false},
		{"bytes, newest first", Queue{Bytes: 100 * sampleBytes, Full: "drop_newest"}, reasonFull, true},
		{"age", Queue{Age: 10 * time.Second}, reasonAge, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s, c := one(t, func(o *Options) { o.Queue = tc.queue })
				r.alive()
				s.cut()
				pass(time.Second)
				for i := range 300 {
					r.node(float64(i))
				}
				pass(2 * time.Second)
				s.restore()
				pass(3 * time.Second)
				c.verdict()
				st := r.up.Status()
				distinct, again := c.counts()
				if st.Owed != 0 || again != 0 || uint64(distinct)+st.Drops[tc.reason] != 300 || distinct < 50 || distinct > 130 {
					t.Errorf("%d delivered, %d twice, drops %v, owed %d", distinct, again, st.Drops, st.Owed)
				}
				hasNewest := false
				for k := range c.seen {
					hasNewest = hasNewest || strings.HasSuffix(k, "=299")
				}
				if hasNewest == tc.newest {
					t.Errorf("the newest sample delivered: %v", hasNewest)
				}
				o := r.up.Outages()
				if len(o) != 1 || o[0].Owed != 300 || o[0].Delivered+o[0].Waived != 300 || len(o[0].Gaps) != 1 || o[0].Gaps[0].Count != o[0].Waived {
					t.Errorf("outages %+v", o)
				}
			})
		})
	}
}

// Another client that publishes births under the node's name makes the proxy stand back and say so.
func TestTakeoverGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, _ := one(t, nil)
		r.alive()
		p := sparkplug.Payload{HasSeq: true, Metrics: []sparkplug.Metric{sparkplug.BdSeqMetric(99, time.Now())}}
		s.publish("spBv1.0/g/NBIRTH/n", sparkplug.Encode(&p), false)
		pass(time.Second)
		st := r.up.Status()
		if st.Nodes[0].State != Down || !strings.Contains(st.Nodes[0].Reason, "another client publishes the births of g/n") {
			t.Errorf("status %+v", st.Nodes[0])
		}
		pass(2 * time.Minute)
		if st := r.up.Status(); st.Nodes[0].State != Live {
			t.Errorf("it does not come back: %+v", st.Nodes[0])
		}
	})
}

// A server that reads but does not answer is given up after the keep alive.
func TestServerFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.alive()
		s.mu.Lock()
		s.mute = true
		s.mu.Unlock()
		r.node(1)
		pass(31 * time.Second)
		if o := r.up.Outages(); len(o) != 1 || !strings.Contains(o[0].Cause, "has not answered for 30s") || o[0].Duplicated != 1 {
			t.Errorf("outages %+v", o)
		}
		s.mu.Lock()
		s.mute = false
		s.mu.Unlock()
		pass(35 * time.Second)
		c.verdict()
		if distinct, again := c.counts(); distinct != 1 || again < 1 {
			t.Errorf("%d samples, %d twice", distinct, again)
		}
		if st := r.up.Status(); st.Owed != 0 || st.Delivered != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// Reasons are for an operator.
func TestReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, _ := one(t, func(o *Options) { o.BackoffMin, o.BackoffMax = 10*time.Second, 10*time.Second })
		s.cut()
		r.alive()
		pass(500 * time.Millisecond)
		st := r.up.Status()
		if want := "cannot reach mqtt://enterprise:1883: connection refused; trying again in 9 s"; st.Nodes[0].Reason != want {
			t.Errorf("%q, want %q", st.Nodes[0].Reason, want)
		}
		s.restore()
		s.mu.Lock()
		s.refuse = 0x86
		s.mu.Unlock()
		r.up.Kick()
		pass(1500 * time.Millisecond)
		st = r.up.Status()
		if want := "mqtt://enterprise:1883 refuses the connection: bad user name or password; trying again in 9 s"; st.Nodes[0].Reason != want {
			t.Errorf("%q, want %q", st.Nodes[0].Reason, want)
		}
		if st.Owed != 0 || st.State != Down {
			t.Errorf("status %+v", st)
		}
	})
}
