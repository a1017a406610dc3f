package server

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// clientInfo finds one client in Clients.
func (r *rig) clientInfo(id string) (ClientInfo, bool) {
	for _, c := range r.Server.Clients() {
		if c.ClientID == id {
			return c, true
		}
	}
	return ClientInfo{}, false
}

// TestLastDeparture is why a client left, while it is away and when it is back, with a session and without.
func TestLastDeparture(t *testing.T) {
	for name, clean := range map[string]bool{"session that stays": false, "no session in between": true} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				c := r.client(packets.V4, "c", clean)
				first, _ := r.clientInfo("c")
				if i := first; i.Last != nil || !i.Connected {
					t.Errorf("first connection: %+v", i)
				}
				r.Server.Disconnect("c", broker.ReasonAdmin)
				c.ExpectClosed()
				r.quiet()
				at := r.moment()
				want := &Departure{Reason: broker.ReasonAdmin, At: at, Addr: first.Addr}
				i, there := r.clientInfo("c")
				if there == clean {
					t.Fatalf("away: %v", there)
				}
				if !clean {
					if diff := cmp.Diff(want, i.Last); diff != "" || i.Connected || !i.Since.Equal(at) {
						t.Errorf("away: %+v (-want +got):\n%s", i, diff)
					}
				}
				r.pass(time.Minute)
				r.client(packets.V4, "c", clean)
				i, _ = r.clientInfo("c")
				if diff := cmp.Diff(want, i.Last); diff != "" || !i.Connected {
					t.Errorf("back: %+v (-want +got):\n%s", i, diff)
				}
			})
		})
	}
}

// TestDeparturesAreBounded lets more clients go than are kept: the oldest are forgotten.
func TestDeparturesAreBounded(t *testing.T) {
	var d departures
	again := &Departure{}
	d.put("again", &Departure{})
	d.take("again")
	for i := range maxDepartures + 10 {
		if i == maxDepartures/2 {
			d.put("again", again)
		}
		d.put(fmt.Sprint(i), &Departure{})
	}
	if len(d.byID) != maxDepartures || len(d.order) != maxDepartures {
		t.Errorf("%d kept in %d places", len(d.byID), len(d.order))
	}
	if d.take("again") != again {
		t.Error("one that came again is forgotten with its first departure")
	}
	if d.take("3") != nil || d.take(fmt.Sprint(maxDepartures)) == nil {
		t.Error("not the oldest were forgotten")
	}
}

// TestSlowFlag: a client that does not read is called slow, for QoS 0 at the first message dropped, for QoS 1 after a second,
// and not any more 10 s after it has read.
func TestSlowFlag(t *testing.T) {
	for qos := range byte(2) {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			in(t, func(t *testing.T) { // a socket takes more than a pipe
				r := (&rig{limits: Limits{OutBytes: 4096, WriteTimeout: -1}}).start(t)
				slow := r.dial()
				defer slow.Close()
				send := func(p packets.Packet) {
					if _, err := slow.Write(p.Append(nil, packets.V4)); err != nil {
						t.Fatal(err)
					}
				}
				read := func(n int) {
					if _, err := io.ReadFull(slow, make([]byte, n)); err != nil {
						t.Fatal(err)
					}
				}
				send(&packets.Connect{Version: packets.V4, ClientID: "slow", CleanStart: true})
				read(4) // CONNACK
				send(&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "t", QoS: qos}}})
				read(5) // SUBACK
				pub := r.client(packets.V5, "pub", true)
				isSlow := func() bool { i, _ := r.clientInfo("slow"); return i.Slow }
				if isSlow() {
					t.Error("slow before anything was sent")
				}
				const n, size = 20, 2000
				for range n {
					pub.Publish(&packets.Publish{Topic: "t", QoS: qos, Payload: make([]byte, size)})
				}
				synctest.Wait()
				i, _ := r.clientInfo("slow")
				if i.OutboxBytes == 0 || i.OutboxBytes > 3*(size+8) || (i.Dropped > 0) != (qos == 0) || (i.Queued > 0) != (qos == 1) {
					t.Errorf("while it does not read: %+v", i)
				}
				pass(slowAfter)
				if !isSlow() || r.Server.Stats().Slow != 1 {
					t.Error("not called slow")
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					io.Copy(io.Discard, slow)
				}()
				pass(slowFor - time.Second)
				if qos == 1 && !isSlow() { // since it was unblocked just now
					t.Error("called slow no longer than it was")
				}
				pass(time.Second)
				if isSlow() {
					t.Error("called slow for ever")
				}
				slow.Close()
				<-done
			})
		})
	}
}

// TestClientTraffic is what the page tells of one connection.
func TestClientTraffic(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		c.Connect("c", true)
		c.Subscribe("a", 2)
		c.Publish(&packets.Publish{Topic: "a", QoS: 1, Payload: []byte("123")})
		c.Acknowledge(brokertest.Expect[*packets.Publish](c))
		r.quiet()
		i, _ := r.clientInfo("c")
		if i.Received.Messages != [3]uint64{0, 1, 0} || i.Received.Packets != 4 || i.Received.PayloadBytes != 3 ||
			i.Sent.Messages != [3]uint64{0, 1, 0} || i.Sent.Packets != 4 || i.Sent.PayloadBytes != 3 ||
			i.Receiving != 0 || i.OutboxBytes != 0 || len(i.Subscriptions) != 1 || i.Slow {
			t.Errorf("%+v", i)
		}
	})
}
