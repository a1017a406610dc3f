package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/store"
	"edge/historian/journal"
)

// BenchmarkDurable has publishers of QoS 1 messages for a session on disk that is away; one operation is one message that is
// acknowledged, and so on disk. Beside its time it tells what it costs the flash.
func BenchmarkDurable(b *testing.B) {
	for _, x := range []struct{ publishers, window int }{{1, 1}, {10, 1}, {100, 1}, {4, 20}} {
		b.Run(fmt.Sprintf("%d publishers with %d each", x.publishers, x.window), func(b *testing.B) {
			l, j := durableServer(b)
			var done sync.WaitGroup
			b.ResetTimer()
			for p := range x.publishers {
				c := rawClient(b, l, packets.V4, fmt.Sprint("pub", p))
				done.Go(func() {
					for left := b.N/x.publishers + 1; left > 0; left -= x.window {
						publishTo(b, c, min(left, x.window))
						acknowledged(b, c, min(left, x.window))
					}
				})
			}
			done.Wait()
			reportFlash(b, j, (b.N/x.publishers+1)*x.publishers)
		})
	}
}

// BenchmarkDurablePaced has devices that send a message each now and then, a thousand a second together.
func BenchmarkDurablePaced(b *testing.B) {
	l, j := durableServer(b)
	var devices []net.Conn
	for p := range 50 {
		devices = append(devices, rawClient(b, l, packets.V4, fmt.Sprint("pub", p)))
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var done sync.WaitGroup
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		c := devices[i%len(devices)]
		publishTo(b, c, 1)
		done.Go(func() { acknowledged(b, c, 1) })
	}
	done.Wait()
	reportFlash(b, j, b.N)
}

// publishTo sends messages, acknowledged reads as many acknowledgements.
func publishTo(b *testing.B, c net.Conn, n int) {
	message := (&packets.Publish{Topic: "plant/oven/temperature", QoS: 1, PacketID: 1, Payload: make([]byte, 128)}).Append(nil, packets.V4)
	var batch []byte
	for range n {
		batch = append(batch, message...)
	}
	if _, err := c.Write(batch); err != nil {
		b.Error(err)
	}
}

func acknowledged(b *testing.B, c net.Conn, n int) {
	if _, err := io.CopyN(io.Discard, c, int64(4*n)); err != nil {
		b.Error(err)
	}
}

func reportFlash(b *testing.B, j *journal.Journal, messages int) {
	b.StopTimer()
	s := j.Stats()
	b.ReportMetric(float64(s.Syncs)/float64(messages), "syncs/msg")
	b.ReportMetric(float64(s.CommitBytes)/float64(messages), "written/msg")
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "msg/s")
}

// durableServer serves with a store on disk, and with a session that is away and wants everything.
func durableServer(b *testing.B) (net.Listener, *journal.Journal) {
	dir := b.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(filepath.Join(dir, "broker.db"), j, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{t: b}
	r.router = router.New(router.Options{Store: s})
	r.Server = New(Options{Router: r.router, Store: s, Durable: s, Limits: Limits{AcceptsPerSecond: -1, QueueMessages: -1, QueueBytes: -1, TotalQueueBytes: -1}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { j.Run(ctx) })
	running.Go(func() { r.Server.Serve(ctx, Listener{Listener: l, Anonymous: true}) })
	b.Cleanup(func() {
		r.stop()
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	away, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer away.Close()
	away.Write((&packets.Connect{Version: packets.V4, ClientID: "away"}).Append(nil, packets.V4))
	away.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "#", QoS: 1}}}).Append(nil, packets.V4))
	if _, err := io.CopyN(io.Discard, away, 4+5); err != nil {
		b.Fatal(err)
	}
	return l, j
}
