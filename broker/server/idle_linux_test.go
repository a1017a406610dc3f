//go:build linux

package server

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"edge/broker/packets"
)

// TestIdleMemory counts what a quiet connection with one subscription costs: no goroutine, no buffer, and little else.
func TestIdleMemory(t *testing.T) {
	const n, most = 500, 4096
	r := (&rig{limits: Limits{Clients: -1, AcceptsPerSecond: -1}}).over(overLoops).start(t)
	open := func(from int) {
		for i := range n {
			c := r.dial()
			t.Cleanup(func() { c.Close() })
			id := fmt.Sprintf("idle-%06d", from+i)
			b := (&packets.Connect{Version: packets.V4, ClientID: id, CleanStart: true, KeepAlive: 60}).Append(nil, packets.V4)
			b = (&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "idle/" + id}}}).Append(b, packets.V4)
			c.Write(b)
			if _, err := io.ReadFull(c, make([]byte, 4+5)); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(0) // what is made once has been made
	before, goroutines := liveHeap(), runtime.NumGoroutine()
	open(n)
	if each := (liveHeap() - before) / n; each > most {
		t.Errorf("%d bytes for each quiet connection, the test's end of it included", each)
	} else {
		t.Logf("%d bytes", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 0 {
		t.Errorf("%d goroutines for %d connections", more, n)
	}
}

// liveHeap is the live heap in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what a pool kept over one is gone now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
