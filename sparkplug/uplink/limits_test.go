package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// A recycledJournal is a journal whose oldest records are gone.
type recycledJournal struct {
	*journal.Journal
	oldest journal.Index
}

func (j *recycledJournal) Oldest() journal.Index { return j.oldest }

// historianStub is where those are: it reads them from the journal after all, a few at a time.
type historianStub struct {
	r     *rig
	calls int
}

func (h *historianStub) Backlog(_ context.Context, group, node string, from, to journal.Index, limit int) (out []journal.Sample, next journal.Index, err error) {
	h.calls++
	rd := h.r.j.NewReader(from, journal.KindSamples)
	for {
		rec, ok, err := rd.TryNext()
		if err != nil || !ok || rec.Index >= to {
			return out, to, err
		}
		for _, s := range rec.Samples {
			if k, _ := h.r.key(s.Series); s.Index < to && k.Group == group && k.Node == node {
				if out = append(out, s); len(out) == limit {
					return out, s.Index + 1, nil
				}
			}
		}
	}
}

func (h *historianStub) Metrics() []journal.Schema { return h.r.metrics() }

// A backlog older than the journal comes from the historian, and joins the rest without a seam.
func TestBacklogOlderThanTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		o := quick(s.as())
		o.HistoryMetrics = 7
		r := newRig(t, o)
		stub := &historianStub{r: r}
		old := &recycledJournal{Journal: r.j}
		r.backlog, r.log = stub, old
		r.start()
		r.alive()
		s.cut()
		pass(time.Second)
		var middle journal.Index
		for i := range 100 {
			r.samples(r.sample("g", "n", "", "temp", time.Now(), float64(i)), r.sample("g", "n", "d", "temp", time.Now(), float64(i)),
				r.sample("g", "other", "", "temp", time.Now(), float64(i)))
			pass(10 * time.Millisecond)
			if i == 50 {
				middle = r.j.Durable() - 1 // inside a record
			}
		}
		old.oldest = middle
		s.restore()
		pass(5 * time.Second)
		c.verdict()
		if distinct, again := c.counts(); distinct != 200 || again != 0 {
			t.Errorf("%d samples, %d twice", distinct, again)
		}
		if stub.calls == 0 {
			t.Error("the historian was not asked")
		}
		if o := r.up.Outages(); len(o) != 1 || o[0].Owed != 200 || o[0].Delivered != 200 {
			t.Errorf("outages %+v", o)
		}
	})
}

// Without a historian what the journal lost is given up and counted.
func TestBacklogLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		r := newRig(t, quick(s.as()))
		old := &recycledJournal{Journal: r.j}
		r.log = old
		r.start()
		r.alive()
		s.cut()
		pass(time.Second)
		for i := range 10 {
			r.node(float64(i))
		}
		old.oldest = r.j.Durable() - 2 // about three are left: state records lie between
		s.restore()
		pass(5 * time.Second)
		c.verdict()
		distinct, _ := c.counts()
		st := r.up.Status()
		if uint64(distinct)+st.Drops[reasonRecycled] != 10 || distinct == 10 || st.Owed != 0 {
			t.Errorf("%d delivered, drops %v, owed %d", distinct, st.Drops, st.Owed)
		}
		if o := r.up.Outages(); len(o) != 1 || o[0].Owed != o[0].Delivered+o[0].Waived {
			t.Errorf("outages %+v", o)
		}
	})
}

// When the socket does not keep up, the newest values go first and what was passed over follows as history.
func TestConflation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, func(o *Options) {
			o.LiveSamples, o.BarrierMessages, o.BarrierEvery = 64, 8, 10*time.Second
		})
		r.alive()
		s.mu.Lock()
		s.mute = true // no PINGRESP: two groups of 8 messages, then the writer waits
		s.mu.Unlock()
		for i := range 500 {
			r.samples(r.sample("g", "n", "", "temp", time.Now(), float64(i)), r.sample("g", "n", "d", "temp", time.Now(), float64(i)))
			pass(10 * time.Millisecond)
		}
		s.mu.Lock()
		s.mute = false
		for _, c := range s.sessions { // the outstanding PINGRESP
			c.out <- pingresp()
		}
		s.mu.Unlock()
		pass(30 * time.Second)
		c.verdict()
		distinct, again := c.counts()
		st := r.up.Status()
		if distinct != 1000 || again == 0 || uint64(again) > st.Duplicated || st.Owed != 0 {
			t.Errorf("%d samples, %d twice, announced %d, owed %d", distinct, again, st.Duplicated, st.Owed)
		}
		got := s.script("edge-up/g/n")
		newest := slices.IndexFunc(got, func(l string) bool { return strings.HasSuffix(l, " temp=499") })
		passed := slices.IndexFunc(got, func(l string) bool { return strings.Contains(l, "~temp=200") })
		if newest < 0 || passed < newest {
			t.Errorf("the newest value is message %d, history from before %d", newest, passed)
		}
		if o := r.up.Outages(); len(o) != 0 {
			t.Errorf("no session was lost: %+v", o)
		}
	})
}

// What a live session gives up of its backlog counts for the outage only as far as it was owed at the cut: owed = delivered +
// waived, also when samples after the cut were left to the history lane.
func TestTrimAcrossTheCut(t *testing.T) {
	r := newRig(t, quick(Server{URL: "mqtt://nowhere:1"}))
	up, err := New(r.o, Deps{Journal: r.j, Series: r.key, State: r.st})
	if err != nil {
		t.Fatal(err)
	}
	n := up.ensure(nodeA)
	feed := func(samples int) {
		from := r.j.Durable() + 1
		for i := range samples {
			r.samples(r.sample(nodeA.Group, nodeA.Node, "", "temp", time.Now(), float64(i)))
		}
		if err := r.j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for rd := r.j.NewReader(from, journal.KindSamples); ; {
			rec, ok, err := rd.TryNext()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return
			}
			up.feed(&rec)
		}
	}
	up.lost(n.ref, "cut", 0)
	feed(50)
	up.restored(n.ref, n.owed)
	s := &session{n: n, u: up, restored: n.fed, sent: slices.Clone(n.done)}
	feed(20) // which found no room in the inbox
	s.pos, n.excess = n.fed, n.owed
	n.trim(t.Context(), s)
	if o := up.Outages(); len(o) != 1 || o[0].Owed != 50 || o[0].Waived != 50 || n.owed != 0 {
		t.Errorf("%d are still owed; outage %+v, want 50 of 50 waived", n.owed, o)
	}
}

// Payloads fit the server's packets; a value that never will is given up.
func TestMaximumPacketSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		s.maxPacket = 2000
		r := newRig(t, quick(s.as()))
		r.start()
		r.birth("g", "n", "", oven[0], metricSpec{"text", sparkplug.String})
		pass(time.Second)
		s.cut()
		pass(time.Second)
		for i := range 300 {
			r.samples(r.sample("g", "n", "", "temp", time.Now().Add(time.Duration(i)*time.Millisecond), float64(i)))
		}
		text := r.id(journal.SeriesKey{Group: "g", Node: "n", Metric: "text", Type: 12})
		for _, size := range []int{1000, 5000} {
			r.samples(journal.Sample{Series: text, At: 1, Received: 1, Quality: journal.Good, Historical: true,
				Value: journal.Value{Type: 12, Bytes: []byte(strings.Repeat("x", size))}})
		}
		pass(time.Second)
		s.restore()
		pass(3 * time.Second)
		c.verdict()
		if distinct, _ := c.counts(); distinct != 301 {
			t.Errorf("%d samples", distinct)
		}
		for _, e := range s.entries() {
			if len(e.payload) > 2000 {
				t.Errorf("%s: %d bytes", e.line(), len(e.payload))
			}
		}
		if st := r.up.Status(); st.Drops[reasonSize] != 1 || st.Owed != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// A primary host that flaps sees deaths at once and births after the debounce.
func TestPrimaryHostFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		o := quick(s.as())
		o.PrimaryHost, o.StateDebounce = "scada", 3*time.Second
		r := newRig(t, o)
		r.start()
		r.alive()
		for i := range 60 {
			m := sparkplug.StateMessage("scada", sparkplug.HostState{Online: i%2 == 0, Timestamp: int64(1000 + i)})
			s.publish(m.Topic, m.Payload, true)
			pass(500 * time.Millisecond)
		}
		births := c.node("g/n").births
		if births > 11 {
			t.Errorf("%d births in 30 s", births)
		}
		m := sparkplug.StateMessage("scada", sparkplug.HostState{Online: true, Timestamp: 5000})
		s.publish(m.Topic, m.Payload, true)
		pass(5 * time.Second)
		c.verdict()
		if n := c.node("g/n"); !n.online || n.births != births+1 {
			t.Errorf("after it settled: %d births, online %v", n.births, n.online)
		}
	})
}

// Many nodes are born in turn, not at once.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		o := quick(s.as())
		o.ConnectRate = 10
		r := newRig(t, o)
		r.start()
		for i := range 50 {
			r.birth("g", fmt.Sprint("n", i), "", oven[0])
		}
		perSecond := map[int64]int{}
		pass(10 * time.Second)
		for _, e := range s.entries() {
			if e.kind == "CONNECT" {
				perSecond[e.at.Unix()]++
			}
		}
		for at, n := range perSecond {
			if n > 21 { // the full bucket, and one second
				t.Errorf("%d CONNECTs in second %d", n, at)
			}
		}
		for i := range 50 {
			if n := c.node(fmt.Sprint("g/n", i)); !n.online {
				t.Errorf("n%d is not online", i)
			}
		}
		c.verdict()
	})
}

// A server that no longer reads does not hold up the end.
func TestStopWhileTheServerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, _ := one(t, nil)
		r.alive()
		s.mu.Lock()
		stuck := s.sessions["edge-up/g/n"]
		stuck.hold = make(chan struct{})
		s.mu.Unlock()
		for i := range 10 {
			r.node(float64(i))
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %s", took)
		}
		close(stuck.hold)
	})
}

// Births never go back in time, whatever the clock does.
func TestClockStepsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64
		r, s, c := one(t, func(o *Options) {
			o.Clock = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
		})
		r.alive()
		r.node(1)
		for _, d := range []time.Duration{-time.Hour, time.Hour, -365 * 24 * time.Hour} {
			s.cut()
			pass(time.Second)
			step.Store(int64(d))
			r.node(float64(d))
			s.restore()
			pass(3 * time.Second)
		}
		c.verdict()
		if distinct, again := c.counts(); distinct != 4 || again != 0 {
			t.Errorf("%d samples, %d twice", distinct, again)
		}
		var last uint64
		for _, e := range s.entries() {
			if e.kind == "PUBLISH" && strings.Contains(e.topic, "/NBIRTH/") {
				p, _ := wire(e.payload)
				if p.ts <= last {
					t.Errorf("a birth at %d after one at %d", p.ts, last)
				}
				last = p.ts
			}
		}
		if st := r.up.Status(); st.Owed != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// In order: the birth shows what the host saw last, then comes everything since, and live values last.
func TestFlushInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, func(o *Options) {
			o.FlushMode, o.HistoryMetrics, o.FlushSamplesPerSecond = "in_order", 2, 4
		})
		r.alive()
		r.node(1)
		pass(time.Second)
		s.cut()
		pass(time.Second)
		for i := range 12 {
			r.node(float64(2 + i))
		}
		s.restore()
		pass(1200 * time.Millisecond)
		r.node(100) // while the history flows
		pass(5 * time.Second)
		r.node(101)
		pass(time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		i := slices.Index(got, "NBIRTH seq=0 bdSeq=1 temp=1")
		if i < 0 {
			t.Fatal(got)
		}
		expect(t, got[i:], `
			NBIRTH seq=0 bdSeq=1 temp=1
			DBIRTH d seq=1 temp=null
			NDATA seq=2 ~temp=2 ~temp=3
			NDATA seq=3 ~temp=4 ~temp=5
			NDATA seq=4 ~temp=6 ~temp=7
			NDATA seq=5 ~temp=8 ~temp=9
			NDATA seq=6 ~temp=10 ~temp=11
			NDATA seq=7 ~temp=12 ~temp=13
			NDATA seq=8 temp=100
			NDATA seq=9 temp=101`)
		s.cut()
		pass(time.Second)
		r.node(102)
		r.node(103)
		r.node(104)
		s.restore()
		pass(300 * time.Millisecond)
		r.death("g", "n", "", "in the flush")
		pass(time.Second)
		if n := c.node("g/n"); n.online {
			t.Error("the death waits for the history")
		}
		c.verdict()
	})
}

// A host that must not see history gets none, and the report says so.
func TestHistoryElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, func(o *Options) { o.FlushMode = "history_elsewhere" })
		r.alive()
		s.cut()
		pass(time.Second)
		for i := range 10 {
			r.node(float64(i))
		}
		s.restore()
		pass(2 * time.Second)
		r.node(100)
		pass(time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-3:], `
			NBIRTH seq=0 bdSeq=1 temp=9
			DBIRTH d seq=1 temp=null
			NDATA seq=2 temp=100`)
		o := r.up.Outages()
		if len(o) != 1 || o[0].Owed != 10 || o[0].Waived != 10 || o[0].Delivered != 0 || len(o[0].Gaps) != 1 {
			t.Errorf("outages %+v", o)
		}
		if st := r.up.Status(); st.Owed != 0 || st.Drops["history_elsewhere"] != 10 || st.Delivered != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// Hosts that ignore is_historical get the present values once more at the end.
func TestClosingRebirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, func(o *Options) { o.Profile = "tahu" })
		r.alive()
		s.cut()
		pass(time.Second)
		r.node(1)
		s.restore()
		pass(10 * time.Second)
		c.verdict()
		got := s.script("edge-up/g/n")
		expect(t, got[len(got)-5:], `
			NBIRTH seq=0 bdSeq=1 temp=1
			DBIRTH d seq=1 temp=null
			NDATA seq=2 ~temp=1
			NBIRTH seq=0 bdSeq=1 temp=1
			DBIRTH d seq=1 temp=null`)
	})
}

// A connection that is lost between SUBSCRIBE and SUBACK is noticed at once.
func TestCutInTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		s.mu.Lock()
		s.dropSubscribe = true
		s.mu.Unlock()
		r.alive()
		if n := c.node("g/n"); !n.online || n.bdSeq != 1 {
			t.Errorf("a second later: online %v, bdSeq %d", n.online, n.bdSeq)
		}
		c.verdict()
	})
}
