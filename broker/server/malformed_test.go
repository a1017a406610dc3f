package server

import (
	"context"
	"net"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestFaultsSlowDown: an address that sends what is malformed thirty times has as many such connections in a second as it may have at
// once, and no more. A few faults cost nothing, nor do those of another address; what is no fault is not counted.
func TestFaultsSlowDown(t *testing.T) {
	const perAddress = 5
	in(t, func(t *testing.T) {
		r := (&rig{limits: Limits{ConnectionsPerAddress: perAddress, AcceptsPerSecond: -1}}).start(t)
		send := func(from string, b []byte) (letIn bool) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			before := r.Server.Refusals()[RefuseAddress]
			r.Server.startConn(context.Background(), addressed{theirs, from}, Listener{Anonymous: true})
			if letIn = r.Server.Refusals()[RefuseAddress] == before; !letIn {
				return false
			}
			c := brokertest.NewClient(t, ours, packets.V5)
			c.TrySendRaw(b)
			r.quiet()
			c.Close()
			r.quiet()
			return true
		}
		malformed := map[string][]byte{
			"no CONNECT":   {0x30, 2, 0, 0},
			"after log-in": append(connectPacket(packets.V5, "bad"), 0, 0),
		}
		clean := append(connectPacket(packets.V5, "good"), 0xE0, 0)
		for name, bad := range malformed {
			for range 10*manyFaults - 1 {
				if !send("10.0.0.1:1", bad) {
					t.Fatalf("%s: slowed down after few", name)
				}
			}
			for second := range 3 {
				n := 0
				for n <= perAddress && send("10.0.0.1:1", bad) {
					n++
				}
				if n != perAddress {
					t.Errorf("%s: %d let in in second %d", name, n, second)
				}
				if send("10.0.0.1:1", clean) || !send("10.0.0.2:1", bad) {
					t.Errorf("%s: the places of one address are not those of another", name)
				}
				pass(1100 * time.Millisecond)
			}
			for range 3 * perAddress {
				if !send("10.0.0.1:1", clean) {
					t.Fatalf("%s: what is no fault is slowed down", name)
				}
			}
			pass(2 * time.Minute)
		}
		if !send("10.0.0.3:1", clean) || len(r.Server.addresses) > 0 || len(r.Server.faults.late) > 0 {
			t.Errorf("places are left: %v, %v", r.Server.addresses, r.Server.faults.late)
		}
	})
}
