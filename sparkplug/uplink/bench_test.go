package uplink

import (
	"fmt"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/historian/journal"
)

// BenchmarkFlush is the history lane as fast as it goes, into a real mosquitto: samples per second for a backlog of one
// node, and of twenty nodes that share the journal.
func BenchmarkFlush(b *testing.B) {
	for _, nodes := range []int{1, 20} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			const samples = 200_000
			for b.Loop() {
				b.StopTimer()
				m := brokertest.StartMosquitto(b)
				relay := newRelay(b, m.Addr)
				o := quick(Server{URL: relay.url()})
				o.FlushSamplesPerSecond = 100_000_000
				r := newRig(b, o)
				r.start()
				for n := range nodes {
					r.birth("g", fmt.Sprint(n), "", oven...)
				}
				until(b, "births", func() bool { return len(r.up.Status().Nodes) == nodes && r.up.Status().Nodes[nodes-1].State == Live })
				relay.cut()
				at := time.Now()
				var batch []journal.Sample
				for i := range samples {
					batch = append(batch, r.sample("g", fmt.Sprint(i%nodes), "", "temp", at.Add(time.Duration(i)*time.Millisecond), float64(i)))
					if len(batch) == 1000 {
						r.samples(batch...)
						batch = batch[:0]
					}
				}
				until(b, "the feed", func() bool { return r.up.Status().Owed == samples })
				b.StartTimer()
				begin := time.Now()
				relay.restore()
				until(b, "drained", func() bool { return r.up.Status().Owed == 0 })
				b.ReportMetric(samples/time.Since(begin).Seconds(), "samples/s")
				b.StopTimer()
				r.stop()
				m.Kill()
				b.StartTimer()
			}
		})
	}
}
