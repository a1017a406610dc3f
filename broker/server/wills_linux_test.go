package server

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestWillsOfManyTakeTurns: when many connections end at once whose wills are for many sessions, a bounded number of the wills is routed
// at a time: each needs a list of all who get it. All get all of them.
func TestWillsOfManyTakeTurns(t *testing.T) {
	const dying, subscribers = 50, 20
	r := (&rig{goes: 4, limits: Limits{ConnectionsPerAddress: -1}}).over(overLoops).start(t)
	var subs, all []*brokertest.Client
	for i := range subscribers {
		c := r.client(packets.V5, fmt.Sprint("sub", i), true)
		c.Subscribe("wills/+", 1)
		subs = append(subs, c)
	}
	for i := range dying {
		will := &packets.Will{Topic: fmt.Sprint("wills/", i), QoS: 1, Payload: []byte("gone")}
		all = append(all, connectWithWill(t, r, packets.V5, fmt.Sprint("dying", i), will, 0))
	}
	first := r.Server.clientOf("sub0").client
	first.mu.Lock() // who routes a will waits for it
	for _, c := range all {
		c.Close()
	}
	r.until("all wills are due", func() bool { return goroutinesIn("(*client).publishWill") == dying })
	if n := goroutinesIn("(*Router).Route("); n > willsAtOnce {
		t.Errorf("%d wills are routed at once, not %d", n, willsAtOnce)
	}
	first.mu.Unlock()
	for i, c := range subs {
		got := make(map[string]bool)
		for range dying {
			p := brokertest.Expect[*packets.Publish](c)
			got[p.Topic] = true
			c.Acknowledge(p)
		}
		if len(got) != dying {
			t.Errorf("sub%d has %d wills, want %d", i, len(got), dying)
		}
	}
}

// goroutinesIn returns how many goroutines are in a function.
func goroutinesIn(name string) (n int) {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, name) {
			n++
		}
	}
	return n
}
