package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"edge/broker/packets"
)

// BenchmarkFanOut has one publisher and many subscribers over TCP; one operation is one message to each.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		for name, v := range versions {
			b.Run(fmt.Sprintf("%d subscribers %s", n, name), func(b *testing.B) { benchmark(b, new(rig), v, 1, n) })
		}
	}
}

// BenchmarkFanIn has many publishers and one subscriber; one operation is one message.
func BenchmarkFanIn(b *testing.B) {
	for _, n := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("%d publishers", n), func(b *testing.B) { benchmark(b, new(rig), packets.V4, n, 1) })
	}
}

// benchServer serves the rig with raised limits until the test ends.
func benchServer(t testing.TB, r *rig) net.Listener {
	t.Helper()
	r.limits = Limits{OutBytes: 1 << 28, AcceptsPerSecond: -1}
	r.start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { r.Server.Serve(ctx, Listener{Listener: l, Anonymous: true}) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	return l
}

// benchmark returns what the whole process used of the processor for a message that was delivered, both ends of its connections included.
func benchmark(b *testing.B, r *rig, v packets.Version, pubs, subs int) (cpuNanos float64) {
	l := benchServer(b, r)
	message := (&packets.Publish{Topic: "plant/oven/temperature", Payload: make([]byte, 128)}).Append(nil, v)
	want := int64(b.N) * int64(len(message))
	var done sync.WaitGroup
	for i := range subs {
		c := rawClient(b, l, v, fmt.Sprint("sub", i))
		c.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "plant/#"}}}).Append(nil, v))
		io.ReadFull(c, make([]byte, map[packets.Version]int{packets.V4: 5, packets.V5: 6}[v]))
		done.Go(func() {
			if n, err := io.CopyN(io.Discard, c, want); err != nil {
				b.Errorf("%d of %d bytes: %v", n, want, err)
			}
		})
	}
	batch := make([]byte, 0, 16*len(message))
	for range 16 {
		batch = append(batch, message...)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	b.ResetTimer()
	for p := range pubs {
		c := rawClient(b, l, v, fmt.Sprint("pub", p))
		n := b.N / pubs
		if p == 0 {
			n += b.N % pubs
		}
		done.Go(func() {
			for left := n; left > 0; left -= 16 {
				c.Write(batch[:min(left, 16)*len(message)])
			}
		})
	}
	done.Wait()
	b.StopTimer()
	runtime.ReadMemStats(&after)
	delivered := float64(b.N) * float64(subs)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/delivered, "allocs/delivered")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/delivered, "ns/delivered")
	cpuNanos = float64(cpuTime()-cpu) / delivered
	b.ReportMetric(cpuNanos, "cpu-ns/delivered")
	return cpuNanos
}

// rawClient is connected and has read its CONNACK.
func rawClient(b testing.TB, l net.Listener, v packets.Version, id string) net.Conn {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write((&packets.Connect{Version: v, ClientID: id, CleanStart: true, KeepAlive: 60}).Append(nil, v))
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		b.Fatal(err)
	}
	io.CopyN(io.Discard, c, int64(head[1]))
	return c
}
