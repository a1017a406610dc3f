package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestTapsAreToldInOrder ends a connection in each way there is: taps get Connected before its first message, and
// Disconnected with its reason before its will.
func TestTapsAreToldInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig, c *brokertest.Client)
		want []string
	}{
		"clean": {func(_ *rig, c *brokertest.Client) { c.Send(&packets.Disconnect{}) },
			[]string{"disconnected: clean disconnect"}},
		"with will": {func(_ *rig, c *brokertest.Client) { c.Send(&packets.Disconnect{Code: packets.DisconnectWithWill}) },
			[]string{"disconnected: disconnect with will", "w gone"}},
		"lost": {func(_ *rig, c *brokertest.Client) { c.Close() },
			[]string{"disconnected: connection lost", "w gone"}},
		"malformed": {func(_ *rig, c *brokertest.Client) { c.SendRaw([]byte{0x36, 0}) },
			[]string{"disconnected: protocol error", "w gone"}},
		"keep alive": {func(r *rig, _ *brokertest.Client) { r.pass(500 * time.Second) },
			[]string{"disconnected: keep alive timeout", "w gone"}},
		"administrator": {func(r *rig, _ *brokertest.Client) { r.Server.Disconnect("c", broker.ReasonAdmin) },
			[]string{"disconnected: disconnected by administrator", "w gone"}},
		"taken over": {func(r *rig, _ *brokertest.Client) {
			two := r.client(packets.V5, "c", true)
			two.Publish(&packets.Publish{Topic: "t", Payload: []byte("two"), QoS: 1})
			two.Send(&packets.Disconnect{})
		}, []string{"disconnected: session taken over", "w gone", "connected", "t two", "disconnected: clean disconnect"}},
		"shutdown": {func(r *rig, _ *brokertest.Client) { r.stop() },
			[]string{"disconnected: broker shutting down", "w gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				var p recorder
				r := &rig{}
				p.into(r)
				r.over(way).start(t)
				k := connectWithWill(t, r, packets.V5, "c", &packets.Will{Topic: "w", Payload: []byte("gone")}, 0)
				k.Publish(&packets.Publish{Topic: "t", Payload: []byte("one"), QoS: 1})
				c.end(r, k)
				r.quiet()
				want := []string{"c connected", "c t one"}
				for _, w := range c.want {
					want = append(want, "c "+w)
				}
				if diff := cmp.Diff(want, p.of("c")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestShutdown tells everyone, after everyone has seen everyone's will.
func TestShutdown(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		var all []*brokertest.Client
		const n = 10
		for i := range n {
			c := connectWithWill(t, r, packets.V5, fmt.Sprint("c", i), &packets.Will{Topic: "w", Payload: []byte{byte(i)}, QoS: 1, Delay: 5}, 0)
			c.Subscribe("w", byte(i%2))
			all = append(all, c)
		}
		slow := r.dial() // has not logged in
		defer slow.Close()
		r.stop()
		for i, c := range all {
			seen := make(map[byte]bool)
			for range n {
				p := brokertest.Expect[*packets.Publish](c)
				seen[p.Payload[0]] = true
			}
			if code := c.ExpectClosed(); len(seen) != n || code != packets.ServerShuttingDown {
				t.Errorf("client %d saw %d wills, told %v", i, len(seen), code)
			}
		}
		if err := r.Server.Serve(context.Background(), Listener{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Serve after Shutdown: %v", err)
		}
	})
}

// TestShutdownOfStuckClient ends in time though a client reads nothing.
func TestShutdownOfStuckClient(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		conn := r.dial()
		defer conn.Close()
		conn.Write((&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true}).Append(nil, packets.V5))
		r.quiet()
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took > 2*lastWrite {
			t.Errorf("took %v", took)
		}
	})
}
