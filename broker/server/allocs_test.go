package server

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"testing"

	"edge/broker/packets"
)

// perRun is how many messages one measured run has: what is amortized, as the growth of a buffer, does not count.
const perRun = 1000

// allocsPerRun is testing.AllocsPerRun with all processors: on one, an event loop that waits would keep it from the clients. It is the
// least of several rounds: a collection in between empties the pools.
func allocsPerRun(runs int, f func()) float64 {
	f()
	least := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/float64(runs))
	}
	return least
}

// TestAllocationsOfFanIn: a QoS 0 message of a known topic that no tap wants passes without memory of its own, from one
// connection to another, for each publisher and version.
func TestAllocationsOfFanIn(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled; run without -race")
	}
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			l := benchServer(t, new(rig))
			message := (&packets.Publish{Topic: "plant/oven/temperature", Payload: make([]byte, 128)}).Append(nil, v)
			sub := subscribed(t, l, v, 0)
			var pubs []net.Conn
			for i := range 10 {
				pubs = append(pubs, rawClient(t, l, v, fmt.Sprint("pub", i)))
			}
			batch, got := bytes.Repeat(message, perRun/10), make([]byte, perRun*len(message))
			n := allocsPerRun(10, func() {
				for _, c := range pubs {
					c.Write(batch)
				}
				if _, err := io.ReadFull(sub, got); err != nil {
					t.Fatal(err)
				}
			})
			if n > perRun/50 {
				t.Errorf("%v allocations for %d messages, want next to none", n, perRun)
			}
		})
	}
}

// TestAllocationsOfQoS1: a QoS 1 message from its PUBLISH to the PUBACKs of both sides, over a session that lives in memory.
func TestAllocationsOfQoS1(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled; run without -race")
	}
	const most = 3 // the message and its payload, and one to spare
	const window = 50
	l := benchServer(t, new(rig))
	message := (&packets.Publish{Topic: "plant/oven/temperature", QoS: 1, PacketID: 1, Payload: make([]byte, 128)}).Append(nil, packets.V4)
	sub, pub := subscribed(t, l, packets.V4, 1), rawClient(t, l, packets.V4, "pub")
	batch, got, acks := bytes.Repeat(message, window), make([]byte, window*len(message)), make([]byte, 4*window)
	n := allocsPerRun(10, func() {
		for range perRun / window {
			pub.Write(batch)
			if _, err := io.ReadFull(sub, got); err != nil {
				t.Fatal(err)
			}
			acknowledge(sub, got, len(message), acks)
			if _, err := io.ReadFull(pub, acks); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > most*perRun {
		t.Errorf("%.2f allocations for a message, want at most %d", n/perRun, most)
	}
	t.Logf("%.2f allocations for a message", n/perRun)
}

// acknowledge answers the QoS 1 messages in got, 3.1.1 and all of one size, in one write made in acks.
func acknowledge(c net.Conn, got []byte, size int, acks []byte) {
	id := 3 + 2 + len("plant/oven/temperature")
	if size < 2+127 { // one byte of length
		id--
	}
	acks = acks[:0]
	for at := 0; at < len(got); at += size {
		acks = append(acks, byte(packets.TypePuback)<<4, 2, got[at+id], got[at+id+1])
	}
	c.Write(acks)
}

// subscribed is a client with a subscription to everything.
func subscribed(t testing.TB, l net.Listener, v packets.Version, qos byte) net.Conn {
	t.Helper()
	c := rawClient(t, l, v, "sub")
	c.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "#", QoS: qos}}}).Append(nil, v))
	if _, err := io.ReadFull(c, make([]byte, map[packets.Version]int{packets.V4: 5, packets.V5: 6}[v])); err != nil {
		t.Fatal(err)
	}
	return c
}
