package server

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
)

// A crash here is the last commit: what was saved behind it is gone. These tests show that nothing goes to a client that
// would be wrong after it.

// TestRepeatedBeforeDurable lets a client come back before what it did is durable: what it repeats is answered, and what it has to get
// again is sent, only then.
func TestRepeatedBeforeDurable(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		c := r.client(packets.V5, "c", false)
		c.Subscribe("a", 2)
		c.Send(&packets.Publish{Topic: "b", QoS: 2, PacketID: 5})
		c.Expect(&packets.Pubrec{PacketID: 5, Code: packets.NoMatchingSubscribers})
		r.quiet()
		r.store.Hold()
		r.client(packets.V5, "pub", true).Send(&packets.Publish{Topic: "a", QoS: 2, PacketID: 1})
		r.quiet() // or the commit below may come before it
		c.Send(&packets.Pubrel{PacketID: 5})
		c.ExpectNothing()
		c.Close()

		back := r.client(packets.V5, "c", false)
		back.Send(&packets.Pubrel{PacketID: 5})
		back.ExpectNothing()
		r.store.Commit()
		got := map[packets.Type]int{}
		for range 2 {
			p, err := back.Next()
			if err != nil {
				t.Fatal(err)
			}
			got[p.Type()]++
		}
		if got[packets.TypePublish] != 1 || got[packets.TypePubcomp] != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// TestCleanStartBeforeDurable ends a session by Clean Start: CONNACK says so when the end is durable, or a crash would bring the session
// back under a client that has begun another.
func TestCleanStartBeforeDurable(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		r.client(packets.V4, "c", false).Send(&packets.Publish{Topic: "b", QoS: 2, PacketID: 5})
		r.quiet()
		r.store.Hold()
		c := brokertest.NewClient(t, r.dial(), packets.V4)
		c.Send(&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true})
		r.quiet()
		if i, _ := r.Server.Client("c"); i.Connected {
			t.Error("answered before the end of the old session is durable")
		}
		r.store.Commit()
		brokertest.Expect[*packets.Connack](c)
	})
}

// TestTooManyUnacknowledged: the QoS 2 message that broke Receive Maximum was not taken over; when it comes again it is new.
func TestTooManyUnacknowledged(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, limits: Limits{ReceiveMaximum: 1}}).over(way).start(t)
		sub := r.client(packets.V5, "sub", true)
		sub.Subscribe("a", 0)
		pub := r.client(packets.V5, "pub", false)
		second := &packets.Publish{Topic: "a", QoS: 2, PacketID: 2, Payload: []byte("second")}
		pub.Send(&packets.Publish{Topic: "b", QoS: 2, PacketID: 1}, second)
		r.quiet()
		pub.Close()
		pub = r.client(packets.V5, "pub", false)
		pub.Send(second)
		if got := brokertest.Expect[*packets.Publish](sub); string(got.Payload) != "second" {
			t.Errorf("got %s", brokertest.Describe(got))
		}
	})
}

// TestConnectNotStored: a CONNECT that the store refuses leaves the session as it was, its will included.
func TestConnectNotStored(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		host := r.client(packets.V5, "host", false)
		host.Subscribe("#", 1)
		c := connectWithWill(t, r, packets.V5, "c", &packets.Will{Topic: "w", Payload: []byte("gone"), QoS: 1, Delay: 30}, 3600)
		c.Subscribe("a", 1)
		c.Close()
		r.quiet()
		r.store.Fail(errors.New("disk full"))
		refused := brokertest.NewClient(t, r.dial(), packets.V5)
		refused.Send(&packets.Connect{Version: packets.V5, ClientID: "c"}) // would end with its connection
		if got := brokertest.Expect[*packets.Connack](refused); got.Code != packets.ServerUnavailable {
			t.Fatalf("CONNACK %s", got.Code)
		}
		r.store.Fail(nil)
		r.pass(31 * time.Second)
		if got := brokertest.Expect[*packets.Publish](host); got.Topic != "w" {
			t.Errorf("got %s", got.Topic)
		}
		back := brokertest.NewClient(t, r.dial(), packets.V5)
		if !back.Connect("c", false).SessionPresent {
			t.Error("the session is gone")
		}
	})
}

// TestNotStoredIsOwed lets the store fail while QoS 2 messages go on: when it is well again it learns what it missed, before the
// client sees anything that depends on it.
func TestNotStoredIsOwed(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		c := r.client(packets.V5, "c", false)
		c.Subscribe("a", 2)
		c.Send(&packets.Publish{Topic: "b", QoS: 2, PacketID: 5})
		c.Expect(&packets.Pubrec{PacketID: 5, Code: packets.NoMatchingSubscribers})
		r.client(packets.V5, "pub", true).Publish(&packets.Publish{Topic: "a", QoS: 2, PacketID: 1})
		m := brokertest.Expect[*packets.Publish](c)
		r.store.Fail(errors.New("disk full"))
		c.Send(&packets.Pubrec{PacketID: m.PacketID}) // ends the connection
		c.ExpectClosed()
		r.store.Fail(nil)

		c = r.client(packets.V5, "c", false)
		c.Expect(&packets.Pubrel{PacketID: m.PacketID})
		r.store.Fail(errors.New("disk full"))
		c.Send(&packets.Pubrel{PacketID: 5})
		c.ExpectClosed()
		r.store.Fail(nil)
		c = r.client(packets.V5, "c", false)
		c.Expect(&packets.Pubrel{PacketID: m.PacketID})

		crashed := &rig{store: &brokertest.Store{}, clock: r.clock}
		crashed.store.SaveSession(r.store.Changes())
		crashed.over(way).start(t)
		back := crashed.client(packets.V5, "c", false)
		back.Expect(&packets.Pubrel{PacketID: m.PacketID}) // not PUBLISH again
		back.Send(&packets.Pubrel{PacketID: 5})
		back.Expect(&packets.Pubcomp{PacketID: 5, Code: packets.PacketIdentifierNotFound})
	})
}

// TestTooLargeLeavesItsPlace fills the window with QoS 2 messages that the client does not take: those behind them go on.
func TestTooLargeLeavesItsPlace(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", SessionExpiry: 3600, ReceiveMaximum: 1, MaximumPacketSize: 100})
		brokertest.Expect[*packets.Connack](c)
		c.Subscribe("a", 2)
		r.quiet()
		r.store.Hold()
		r.client(packets.V5, "pub", true).Send(
			&packets.Publish{Topic: "a", QoS: 2, PacketID: 1, Payload: make([]byte, 200)},
			&packets.Publish{Topic: "a", QoS: 2, PacketID: 2, Payload: []byte("small")})
		r.quiet()
		r.store.Commit()
		r.quiet()
		r.store.Commit()
		if got := brokertest.Expect[*packets.Publish](c); string(got.Payload) != "small" {
			t.Errorf("got %s", brokertest.Describe(got))
		}
	})
}

// TestRetainedAcrossConnections cuts the connection between two retained messages: a client that comes back does not subscribe again,
// and gets the rest.
func TestRetainedAcrossConnections(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}, limits: Limits{Inflight: 1}}).over(way).start(t)
				pub := r.client(v, "pub", true)
				for _, topic := range []string{"a/1", "a/2", "a/3"} {
					pub.Publish(&packets.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte("x")})
				}
				c := r.client(v, "c", false)
				c.Subscribe("a/#", 1)
				c.Acknowledge(brokertest.Expect[*packets.Publish](c))
				brokertest.Expect[*packets.Publish](c)
				c.Close()
				c = r.client(v, "c", false)
				for _, want := range []string{"a/2", "a/3"} {
					got := brokertest.Expect[*packets.Publish](c)
					if got.Topic != want || !got.Retain {
						t.Errorf("got %s, want %s", brokertest.Describe(got), want)
					}
					c.Acknowledge(got)
				}
				c.ExpectNothing()
			})
		})
	}
}

// TestCrashTwice: a will with a delay and the expiry of a session run from the first crash, not from the last.
func TestCrashTwice(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		connectWithWill(t, r, packets.V5, "c", &packets.Will{Topic: "w", Payload: []byte("gone"), Delay: 30}, 40)
		r.quiet()
		for range 2 {
			crashed := &rig{store: &brokertest.Store{}, clock: r.clock}
			crashed.store.SaveSession(r.store.Changes())
			r = crashed.over(way).start(t)
			r.pass(16 * time.Second)
		}
		var will int
		for _, c := range r.store.Changes() {
			if c.Kind == session.WillCleared {
				will++
			}
		}
		if will != 1 {
			t.Errorf("%d wills published after 32 s", will)
		}
		r.pass(9 * time.Second)
		if n := r.Server.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions after 41 s", n)
		}
	})
}

// between is a Deliverer that lets something happen between matching and delivery.
type between struct {
	*Server
	happen func()
}

func (b between) Deliver(m *broker.Message, to []router.Delivery, also router.Elsewhere) (broker.Index, error) {
	b.happen()
	return b.Server.Deliver(m, to, also)
}

// TestMatchedForTheSessionBefore: what was matched for a session that has ended does not reach the next of that client identifier.
func TestMatchedForTheSessionBefore(t *testing.T) {
	for qos := range byte(3) {
		for name, expiry := range map[string]uint32{"in memory": 0, "on disk": 3600} {
			t.Run(fmt.Sprint("QoS ", qos, " ", name), func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
					r.client(packets.V5, "c", false).Subscribe("a", qos)
					var c *brokertest.Client
					_, err := r.router.Route(&broker.Message{Topic: "a", QoS: qos, From: "p"}, between{r.Server, func() {
						c = connectWithWill(t, r, packets.V5, "c", nil, expiry) // Clean Start
					}})
					if err != nil {
						t.Fatal(err)
					}
					c.ExpectNothing()
				})
			})
		}
	}
}

// crash returns a server that begins with what the store of r has, while r goes on and is forgotten.
func (r *rig) crash(t *testing.T) *rig {
	crashed := &rig{store: &brokertest.Store{}, limits: r.limits}
	crashed.store.SaveSession(r.store.Changes())
	for _, m := range r.store.Retained() {
		crashed.store.SaveRetained(m)
	}
	return crashed.start(t)
}

// TestRetainedAcrossCrash ends the program between SUBACK and the last retained message, at each of them: a session that is kept gets
// what is left once, and one that had got all, or unsubscribed, gets nothing.
func TestRetainedAcrossCrash(t *testing.T) {
	topics := []string{"a/1", "a/2", "a/3"}
	for name, v := range versions {
		for got := range len(topics) + 1 {
			for _, unsubscribe := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " after ", got, " unsubscribed ", unsubscribe), func(t *testing.T) {
					both(t, func(t *testing.T, way path) {
						r := (&rig{store: &brokertest.Store{}, limits: Limits{Inflight: 1}}).over(way).start(t)
						pub := r.client(v, "pub", true)
						for _, topic := range topics {
							pub.Publish(&packets.Publish{Topic: topic, QoS: 2, Retain: true, Payload: []byte("x")})
						}
						c := r.client(v, "c", false)
						c.Subscribe("a/#", 2)
						for range got {
							c.Acknowledge(brokertest.Expect[*packets.Publish](c))
						}
						if got < len(topics) {
							brokertest.Expect[*packets.Publish](c) // begun: it is sent again
						}
						if unsubscribe {
							c.Send(&packets.Unsubscribe{PacketID: 99, Filters: []string{"a/#"}})
							brokertest.Expect[*packets.Unsuback](c)
						}
						r.quiet()
						left := topics[got:]
						if unsubscribe && len(left) > 1 {
							left = left[:1] // [MQTT-3.10.4-3]
						}
						c = r.crash(t).client(v, "c", false)
						for _, want := range left {
							p := brokertest.Expect[*packets.Publish](c)
							if p.Topic != want || !p.Retain || p.QoS != 2 {
								t.Errorf("got %s, want %s", brokertest.Describe(p), want)
							}
							c.Acknowledge(p)
						}
						c.ExpectNothing()
					})
				})
			}
		}
	}
}
