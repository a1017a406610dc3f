//go:build linux

package server

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/session"
)

// TestIdleMemory counts what a quiet connection with one subscription costs: no buffer, no goroutine, and little else.
func TestIdleMemory(t *testing.T) {
	r := (&rig{limits: Limits{Clients: -1, AcceptsPerSecond: -1}}).over(overLoops).start(t)
	const n = 500
	open := func(from int) (conns []net.Conn) {
		for i := range n {
			c := r.dialLoop()
			conns = append(conns, c)
			var b []byte
			b = (&packets.Connect{Version: packets.V4, ClientID: fmt.Sprintf("idle-%06d", from+i), CleanStart: true, KeepAlive: 60}).Append(b, packets.V4)
			b = (&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: fmt.Sprintf("idle/%d", from+i)}}}).Append(b, packets.V4)
			c.Write(b)
			if _, err := readFull(c, 4+5); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}
		return conns
	}
	open(0) // what is made once has been made
	r.quiet()
	before, goroutines := heap(), runtime.NumGoroutine()
	open(n)
	r.quiet()
	perConn := (heap() - before) / n
	t.Logf("%d bytes a connection, the test's end of it included", perConn)
	t.Logf("looped %d conn %d outbox %d client %d session %d", unsafe.Sizeof(looped{}), unsafe.Sizeof(conn{}), unsafe.Sizeof(outbox{}), unsafe.Sizeof(client{}), unsafe.Sizeof(session.Session{}))
	if runtime.NumGoroutine() > goroutines {
		t.Errorf("%d goroutines for %d connections", runtime.NumGoroutine()-goroutines, n)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func readFull(c net.Conn, n int) ([]byte, error) {
	b := make([]byte, n)
	for at := 0; at < n; {
		k, err := c.Read(b[at:])
		if err != nil {
			return nil, err
		}
		at += k
	}
	return b, nil
}

var _ = brokertest.Timeout
