package uplink

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/historian/journal"
)

// A writer writes samples for a number of nodes at a rate.
type writer struct {
	r     *rig
	nodes int
	total atomic.Int64
	stop  chan struct{}
	done  chan struct{}
}

// write begins: every node is born with one device, and then gets perSecond samples together with the others.
func (r *rig) write(nodes, perSecond int) *writer {
	w := &writer{r: r, nodes: nodes, stop: make(chan struct{}), done: make(chan struct{})}
	for n := range nodes {
		r.birth("plant", fmt.Sprint("n", n), "", oven...)
		r.birth("plant", fmt.Sprint("n", n), "d", oven...)
	}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		begin, sent := time.Now(), 0
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
			due := int(time.Since(begin).Seconds() * float64(perSecond))
			var batch []journal.Sample
			for ; sent < due; sent++ {
				device := ""
				if sent%3 > 0 {
					device = "d"
				}
				at := begin.Add(time.Duration(sent) * time.Second / time.Duration(perSecond))
				batch = append(batch, r.sample("plant", fmt.Sprint("n", sent%nodes), device, []string{"temp", "speed"}[sent/nodes%2], at, float64(sent)))
			}
			if len(batch) > 0 {
				r.samples(batch...)
				w.total.Add(int64(len(batch)))
			}
		}
	}()
	return w
}

// end stops writing and waits until everything is delivered. It returns how many samples were written.
func (w *writer) end() int {
	w.r.t.Helper()
	close(w.stop)
	<-w.done
	until(w.r.t, "everything is delivered", func() bool {
		st := w.r.up.Status()
		o := w.r.up.Outages()
		return st.Owed == 0 && (len(o) == 0 || !o[0].To.IsZero())
	})
	return int(w.total.Load())
}

// written waits until so many more samples are written.
func (w *writer) written(more int) {
	w.r.t.Helper()
	want := w.total.Load() + int64(more)
	until(w.r.t, "samples are written", func() bool { return w.total.Load() >= want })
}

// verdict: each sample came, what came twice was announced, and the reports add up.
// What so many losses may repeat is two groups of the barrier for each node and loss.
func (w *writer) verdict(c *checker, total int, losses int) {
	t, o := w.r.t, w.r.o
	t.Helper()
	bound := losses * w.nodes * 2 * o.BarrierMessages * o.HistoryMetrics
	until(t, "every sample is seen", func() bool { n, _ := c.counts(); return n >= total })
	c.verdict()
	distinct, again := c.counts()
	st := w.r.up.Status()
	if distinct != total {
		t.Errorf("%d different samples came, %d were written", distinct, total)
	}
	if uint64(again) > st.Duplicated || again > bound {
		t.Errorf("%d came twice; the uplink says at most %d, the bound is %d", again, st.Duplicated, bound)
	}
	for _, o := range w.r.up.Outages() {
		t.Logf("outage: owed %d, delivered %d, duplicated %d, waived %d, cause %q", o.Owed, o.Delivered, o.Duplicated, o.Waived, o.Cause)
		if o.Owed != o.Delivered || o.Waived != 0 || len(o.Gaps) != 0 {
			t.Errorf("the report does not add up: %+v", o)
		}
	}
	t.Logf("%d samples, %d twice (announced: %d)", total, again, st.Duplicated)
}

// smallGroups are quick options with groups of the barrier so small that what a loss may repeat is much less than what is written.
func smallGroups(s Server) Options {
	o := quick(s)
	o.BarrierMessages, o.HistoryMetrics = 4, 20
	return o
}

func TestMosquittoCuts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		losses int
		fail   func(t *testing.T, w *writer, r *relay)
	}{
		{"cut", 1, func(_ *testing.T, w *writer, r *relay) {
			r.cut()
			w.written(2000)
			r.restore()
		}},
		{"cut again in the flush", 4, func(t *testing.T, w *writer, r *relay) {
			r.cut()
			w.written(3000)
			for range 3 {
				r.restore()
				until(t, "a flush", func() bool { return w.r.up.Status().State == Flushing })
				r.cut()
				w.written(100)
			}
			r.restore()
		}},
		{"black hole", 1, func(_ *testing.T, w *writer, r *relay) {
			r.blackhole()
			w.written(2000)
			r.restore()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := brokertest.StartMosquitto(t)
			relay := newRelay(t, m.Addr)
			o := smallGroups(Server{URL: relay.url()})
			o.Name = "up-" + fmt.Sprint(len(tc.name))
			o.FlushSamplesPerSecond = 2000
			r := newRig(t, o)
			c := newChecker(t)
			listen(t, m.Addr, c)
			r.start()
			w := r.write(4, 1000)
			w.written(500)
			tc.fail(t, w, relay)
			w.written(500)
			total := w.end()
			w.verdict(c, total, tc.losses)
		})
	}
}

// A server that dies and comes back finds births, then everything that was missed.
func TestMosquittoRestart(t *testing.T) {
	t.Parallel()
	m := brokertest.StartMosquitto(t)
	relay := newRelay(t, m.Addr)
	r := newRig(t, smallGroups(Server{URL: relay.url()}))
	c := newChecker(t)
	host := listen(t, m.Addr, c)
	r.start()
	w := r.write(4, 1000)
	w.written(500)
	m.Kill()
	relay.cut()
	w.written(1000)
	m.Start()
	until(t, "the host is back", host.Load) // else it cannot judge the births
	relay.restore()
	w.written(500)
	total := w.end()
	w.verdict(c, total, 1)
}
