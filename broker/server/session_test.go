package server

import (
	"fmt"
	"sync"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

var versions = map[string]packets.Version{"3.1.1": packets.V4, "5.0": packets.V5}

func connectWithWill(t *testing.T, r *rig, v packets.Version, id string, will *packets.Will, expiry uint32) *brokertest.Client {
	t.Helper()
	c := brokertest.NewClient(t, r.dial(), v)
	c.Send(&packets.Connect{Version: v, ClientID: id, CleanStart: true, Will: will, SessionExpiry: expiry})
	if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.Success {
		t.Fatal(ack.Code)
	}
	return c
}

// TestTakeOverStorm connects one client identifier from many sides at once: one survives, each of the others is
// told and leaves one will [MQTT-3.1.4-3].
func TestTakeOverStorm(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		var p recorder
		r := &rig{limits: Limits{Clients: 10}}
		p.into(r)
		r.over(way).start(t)
		const n = 100
		var wg sync.WaitGroup
		ended := make(chan packets.ReasonCode, n)
		for range n {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			wg.Go(func() {
				connect := &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, Will: &packets.Will{Topic: "w"}}
				c.TrySendRaw(connect.Append(nil, packets.V5))
				for {
					got, err := c.Next()
					if d, ok := got.(*packets.Disconnect); ok {
						ended <- d.Code
					}
					if err != nil {
						return
					}
				}
			})
		}
		if way == overLoops { // quiet does not wait for a login that waits for the one before to end
			r.until("one is left, and all others have read why", func() bool { return len(ended) == n-1 && r.Server.Stats().Clients == 1 })
		}
		r.quiet()
		if st := r.Server.Stats(); st.Clients != 1 || st.Sessions != 1 {
			t.Errorf("%+v", st)
		}
		if len(ended) != n-1 {
			t.Errorf("%d of %d were told", len(ended), n-1)
		}
		wills, in := 0, 0
		for _, line := range p.of("c") {
			switch line {
			case "c w ":
				wills++
			case "c connected":
				if in++; in > 1 {
					t.Fatal("connected while connected")
				}
			default:
				in--
			}
		}
		if wills != n-1 {
			t.Errorf("%d wills of %d connections", wills, n-1)
		}
		r.stop()
		wg.Wait()
	})
}

// TestSessionBelongsToItsUser refuses another user the session, connected or not, and its queue; the refusal does not tell that
// there is one [MQTT-3.2.2-6] [v3 MQTT-3.2.2-4].
func TestSessionBelongsToItsUser(t *testing.T) {
	for name, v := range versions {
		t.Run(name+" connected", func(t *testing.T) { sessionBelongsToItsUser(t, v, true) })
		t.Run(name+" away", func(t *testing.T) { sessionBelongsToItsUser(t, v, false) })
	}
}

func sessionBelongsToItsUser(t *testing.T, v packets.Version, connected bool) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		as := func(user string, clean bool) (*brokertest.Client, *packets.Connack) {
			c := brokertest.NewClient(t, r.dial(), v)
			c.Send(&packets.Connect{Version: v, ClientID: "c", CleanStart: clean, SessionExpiry: 100, HasUsername: true, Username: user})
			return c, brokertest.Expect[*packets.Connack](c)
		}
		alice, _ := as("alice", false)
		alice.Subscribe("secret", 1)
		if !connected {
			alice.Close()
			r.quiet()
		}
		for _, clean := range []bool{true, false} {
			if _, ack := as("mallory", clean); ack.Code != packets.NotAuthorized || ack.SessionPresent {
				t.Errorf("clean %v: %v, session present %v", clean, ack.Code, ack.SessionPresent)
			}
		}
		if connected {
			alice.ExpectNothing()
		}
		if _, ack := as("alice", false); !ack.SessionPresent {
			t.Error("alice's session is gone")
		}
		if n := r.Server.Refusals()[RefuseOtherUser]; n != 2 {
			t.Errorf("counted %d", n)
		}
	})
}

// TestRetainedStorm subscribes to more retained messages than queue, window and outbox hold: all come, once.
func TestRetainedStorm(t *testing.T) {
	for qos := byte(0); qos <= 2; qos++ {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{limits: Limits{QueueMessages: 10, Inflight: 5, OutBytes: 1000}}).over(way).start(t)
				pub := r.client(packets.V5, "pub", true)
				const n = 1000
				for i := range n {
					pub.Publish(&packets.Publish{Topic: fmt.Sprint("r/", i), QoS: 1, Retain: true, Payload: []byte("0123456789")})
				}
				sub := r.client(packets.V5, "sub", true)
				sub.Subscribe("r/+", qos)
				seen := make(map[string]bool)
				for range n {
					p := sub.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
					if seen[p.Topic] || !p.Retain {
						t.Fatalf("%s", brokertest.Describe(p))
					}
					seen[p.Topic] = true
					sub.Acknowledge(p)
				}
				sub.ExpectNothing()
			})
		})
	}
}

// TestLargeMessages mixes payloads that are copied with such that are not, in their order.
func TestLargeMessages(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		sub := r.client(packets.V5, "sub", true)
		sub.Subscribe("a", 1)
		pub := brokertest.NewClient(t, brokertest.InPieces(r.dial(), 1000), packets.V5)
		pub.Connect("pub", true)
		sizes := []int{0, 1, copyBelow - 1, copyBelow, 100000, 10, 900000, 3}
		for i, n := range sizes {
			payload := make([]byte, n)
			for j := range payload {
				payload[j] = byte(i + j)
			}
			pub.Send(&packets.Publish{Topic: "a", QoS: byte(i % 2), PacketID: uint16(i%2) * uint16(i), Payload: payload})
		}
		for i, n := range sizes {
			p := brokertest.Expect[*packets.Publish](sub)
			if len(p.Payload) != n || n > 0 && (p.Payload[0] != byte(i) || p.Payload[n-1] != byte(i+n-1)) {
				t.Errorf("message %d has %d bytes, want %d", i, len(p.Payload), n)
			}
			sub.Acknowledge(p)
		}
	})
}

// TestByteByByte sends a whole conversation one byte at a time.
func TestByteByByte(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				c := brokertest.NewClient(t, brokertest.InPieces(r.dial(), 1), v)
				c.Connect("c", true)
				c.Subscribe("a/#", 2)
				for qos := byte(0); qos <= 2; qos++ {
					c.Publish(&packets.Publish{Topic: "a/b", QoS: qos, Payload: []byte("hello")})
					p := c.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
					c.Acknowledge(p)
				}
				c.ExpectNothing()
			})
		})
	}
}

// TestResubscribeLosesNothing subscribes to the same filter again and again while messages come: each arrives, in
// order [MQTT-3.8.4-4] [v3 MQTT-3.8.4-3]; an older retained message never follows a newer one.
func TestResubscribeLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{OutBytes: 1 << 20}}).over(way).start(t)
		sub := r.client(packets.V5, "sub", true)
		sub.Subscribe("a", 1)
		pub := r.client(packets.V5, "pub", true)
		const n = 300
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 1; i <= n; i++ {
				b := (&packets.Publish{Topic: "a", QoS: 0, Retain: true, Payload: []byte{byte(i >> 8), byte(i)}}).Append(nil, packets.V5)
				pub.TrySendRaw(b)
			}
		})
		live, last := 0, 0
		for i := 0; live < n; i++ {
			if i < 100 {
				sub.Send(&packets.Subscribe{PacketID: uint16(i + 1), Filters: []packets.Subscription{{Filter: "a", QoS: 1}}})
			}
			p := sub.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
			got := int(p.Payload[0])<<8 | int(p.Payload[1])
			if got < last || !p.Retain && got != live+1 {
				t.Fatalf("got %d (retained %v) after %d, live %d", got, p.Retain, last, live)
			}
			last = got
			if !p.Retain {
				live++
			}
		}
		wg.Wait()
	})
}
