package server

import (
	"errors"
	"fmt"
	"testing"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestSharedIsFair gives each of three members a third, whatever they read with.
func TestSharedIsFair(t *testing.T) {
	for name, expiry := range map[string]uint32{"in memory": 0, "on disk": 3600} {
		for qos := range byte(3) {
			t.Run(fmt.Sprint(name, " QoS ", qos), func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
					var members []*brokertest.Client
					for i := range 3 {
						c := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: fmt.Sprint("m", i), SessionExpiry: expiry})
						c.Subscribe("$share/g/#", qos)
						members = append(members, c)
					}
					pub := r.client(packets.V5, "pub", true)
					for range 30 {
						pub.Publish(&packets.Publish{Topic: "t", QoS: 2})
					}
					r.quiet()
					for _, c := range members {
						for range 10 {
							c.Acknowledge(brokertest.Expect[*packets.Publish](c))
						}
						c.ExpectNothing()
					}
				})
			})
		}
	}
}

// TestHandOverNotStored lets the store fail while a member leaves: what it holds stays with it.
func TestHandOverNotStored(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		a, b := r.client(packets.V5, "a", false), r.client(packets.V5, "b", false)
		a.Subscribe("$share/g/t", 1)
		r.client(packets.V5, "pub", true).Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: []byte("x")})
		first := brokertest.Expect[*packets.Publish](a)
		b.Subscribe("$share/g/t", 1)
		r.store.Fail(errors.New("disk full"))
		a.Close()
		r.until("the end and the hand-over have failed", func() bool { return r.Server.counters.storeErrors.Load() == 2 })
		r.quiet()
		b.ExpectNothing()
		r.store.Fail(nil)
		a = r.client(packets.V5, "a", false)
		if again := brokertest.Expect[*packets.Publish](a); !again.Dup || again.PacketID != first.PacketID {
			t.Errorf("got %s", brokertest.Describe(again))
		}
		a.Close()
		brokertest.Expect[*packets.Publish](b)
		r.quiet()
		crashed := r.crash(t)
		if p := brokertest.Expect[*packets.Publish](crashed.client(packets.V5, "b", false)); !p.Dup {
			t.Errorf("after a crash: %s", brokertest.Describe(p))
		}
		crashed.client(packets.V5, "a", false).ExpectNothing()
	})
}

// TestChosenHasGone: a member on disk that was chosen, and then leaves or is filled by others, does not get the message; another does,
// on disk or in memory, and in one record with what else it changes.
func TestChosenHasGone(t *testing.T) {
	for name, change := range map[string]func(*rig, *brokertest.Client){
		"left": func(_ *rig, a *brokertest.Client) { a.Close() },
		"full": func(r *rig, _ *brokertest.Client) {
			pub := r.client(packets.V5, "pub", true)
			for range 2 {
				pub.Publish(&packets.Publish{Topic: "own", QoS: 1})
			}
		},
		"session gone": func(r *rig, a *brokertest.Client) {
			a.Send(&packets.Disconnect{SessionExpiry: packets.Some[uint32](0)})
			a.ExpectClosed()
		},
	} {
		for where, expiry := range map[string]uint32{"in memory": 0, "on disk": 3600} {
			t.Run(name+", another "+where, func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{store: &brokertest.Store{}, limits: Limits{QueueMessages: 1}}).over(way).start(t)
					a := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "a", SessionExpiry: 3600, ReceiveMaximum: 1})
					a.Subscribe("own", 1)
					a.Subscribe("$share/g/t", 1)
					m := &broker.Message{Topic: "t", QoS: 1, From: "p"}
					d := delivering{server: r.Server, now: r.Server.now()}
					to := r.router.Share("$share/g/t").Member(m, 0)
					d.stored = append(d.stored, d.storedFor(m, &to))
					b := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "b", SessionExpiry: expiry})
					b.Subscribe("$share/g/t", 1)
					to.Share = r.router.Share("$share/g/t")
					change(r, a)
					r.quiet()
					if _, err := d.deliverStored(m); err != nil {
						t.Fatal(err)
					}
					d.turn.flush()
					brokertest.Expect[*packets.Publish](b)
					if d.took != 1 || d.full != 0 {
						t.Errorf("%d took it, %d were full", d.took, d.full)
					}
				})
			})
		}
	}
}
