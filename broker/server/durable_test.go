package server

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestAcknowledgedWhenDurable holds the journal back: no acknowledgement comes before its commit, then all come in
// the order of the messages [MQTT-4.6.0-2], while subscribers have the message already.
func TestAcknowledgedWhenDurable(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
				sub := r.client(v, "sub", false)
				sub.Subscribe("a", 1)
				pub := r.client(v, "pub", false)
				r.quiet() // for the commits so far
				r.store.Hold()
				for id := uint16(1); id <= 3; id++ {
					pub.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: id, Payload: []byte{byte(id)}})
				}
				pub.Send(&packets.Publish{Topic: "nobody", QoS: 2, PacketID: 4})
				pub.Send(&packets.Publish{Topic: "nobody", QoS: 1, PacketID: 5}) // needs nothing, but waits its turn
				for id := byte(1); id <= 3; id++ {
					if got := brokertest.Expect[*packets.Publish](sub); got.Payload[0] != id {
						t.Errorf("got %d, want %d", got.Payload[0], id)
					}
				}
				pub.ExpectNothing()
				r.store.Commit()
				for id := uint16(1); id <= 3; id++ {
					pub.Expect(&packets.Puback{PacketID: id})
				}
				nobody := packets.Success
				if v == packets.V5 {
					nobody = packets.NoMatchingSubscribers
				}
				pub.Expect(&packets.Pubrec{PacketID: 4, Code: nobody})
				pub.Expect(&packets.Puback{PacketID: 5, Code: nobody})
				pub.Send(&packets.Pubrel{PacketID: 4})
				pub.ExpectNothing() // PUBCOMP waits too: the identifier must not come back after a crash
				r.store.Commit()
				pub.Expect(&packets.Pubcomp{PacketID: 4})
				pub.Send(&packets.Subscribe{PacketID: 6, Filters: []packets.Subscription{{Filter: "x"}}})
				pub.ExpectNothing()
				r.store.Commit()
				brokertest.Expect[*packets.Suback](pub)
			})
		})
	}
}

// TestNothingToWaitFor: a login that waits for what is durable leaves nothing for the next commit to do.
func TestNothingToWaitFor(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		r.client(packets.V5, "c", false)
		r.quiet()
		if err := r.Server.waitDurable(t.Context(), r.store.Durable()); err != nil || r.Server.next != nil {
			t.Errorf("waits: %v, %t", err, r.Server.next != nil)
		}
	})
}

// TestExactlyOnceWaits shows that a QoS 2 message is begun for a session on disk only when its identifier is durable,
// and PUBREL sent only when it is durable that the message itself is done.
func TestExactlyOnceWaits(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		sub := r.client(packets.V5, "sub", false)
		sub.Subscribe("a", 2)
		r.quiet() // for the commits so far
		r.store.Hold()
		pub := r.client(packets.V5, "pub", true)
		pub.Send(&packets.Publish{Topic: "a", QoS: 2, PacketID: 1}, &packets.Publish{Topic: "a", QoS: 2, PacketID: 2})
		pub.ExpectNothing()
		sub.ExpectNothing()
		r.store.Commit()
		one := brokertest.Expect[*packets.Publish](sub)
		brokertest.Expect[*packets.Publish](sub)
		sub.Send(&packets.Pubrec{PacketID: one.PacketID})
		sub.ExpectNothing()
		r.store.Commit()
		sub.Expect(&packets.Pubrel{PacketID: one.PacketID})
	})
}

// TestStoreFails makes the journal refuse: the publisher is told (5.0) or cut off (3.1.1 [v3 MQTT-4.8.0-2]), nobody gets the
// message, and when the journal is well again the same packet is a new message [MQTT-4.3.3-9].
func TestStoreFails(t *testing.T) {
	for name, v := range versions {
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint(name, " QoS ", qos), func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
					sub, sub0 := r.client(v, "sub", false), r.client(v, "sub0", true)
					sub.Subscribe("a", 2)
					sub0.Subscribe("a", 0)
					pub := r.client(v, "pub", false)
					r.store.Fail(errors.New("disk full"))
					p := &packets.Publish{Topic: "a", QoS: qos, PacketID: 1, Payload: []byte("x")}
					pub.Send(p)
					if v == packets.V4 {
						pub.ExpectClosed()
						pub = nil
					} else if got, err := pub.Next(); err != nil || brokertest.Describe(got) != map[byte]string{1: "PUBACK", 2: "PUBREC"}[qos]+" unspecified error (0x80)" {
						t.Fatalf("%v %v", got, err)
					}
					sub.ExpectNothing()
					sub0.ExpectNothing()
					r.store.Fail(nil)
					if pub == nil {
						pub = brokertest.NewClient(t, r.dial(), v)
						pub.Connect("pub", false)
					}
					p.Dup = v == packets.V4
					pub.Send(p)
					pub.Next()
					for _, s := range []*brokertest.Client{sub, sub0} {
						if got := brokertest.Expect[*packets.Publish](s); string(got.Payload) != "x" || got.Dup {
							t.Errorf("%s", brokertest.Describe(got))
						}
					}
				})
			})
		}
	}
}

// TestCrash drops the server without a word and starts another from what the store has: wills of those who
// were connected are published before anyone connects, and sessions are there.
func TestCrash(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		host := r.client(packets.V5, "host", false)
		host.Subscribe("w/#", 1)
		will := func(name string, delay uint32) *packets.Will {
			return &packets.Will{Topic: "w/" + name, Payload: []byte("gone"), QoS: 1, Delay: delay}
		}
		connectWithWill(t, r, packets.V5, "clean", will("clean", 0), 0)
		connectWithWill(t, r, packets.V4, "old", will("old", 0), 0)
		connectWithWill(t, r, packets.V5, "later", will("later", 30), 60)
		connectWithWill(t, r, packets.V5, "left", will("left", 0), 0).Send(&packets.Disconnect{})
		r.quiet()

		crashed := &rig{store: &brokertest.Store{}, clock: r.clock}
		crashed.store.SaveSession(r.store.Changes())
		var p recorder
		p.into(crashed)
		crashed.over(way).start(t)
		if len(p.of("clean")) != 1 || len(p.of("old")) != 1 || len(p.of("later")) != 0 || len(p.of("left")) != 0 {
			t.Errorf("taps were told %q", p.lines)
		}
		if st := crashed.Server.Stats(); st.Sessions != 2 {
			t.Errorf("%d sessions, want host and later", st.Sessions)
		}
		back := brokertest.NewClient(t, crashed.dial(), packets.V5)
		if !back.Connect("host", false).SessionPresent {
			t.Error("no session")
		}
		for range 2 {
			brokertest.Expect[*packets.Publish](back)
		}
		crashed.pass(31 * time.Second)
		if got := brokertest.Expect[*packets.Publish](back); got.Topic != "w/later" {
			t.Errorf("got %s", got.Topic)
		}
	})
}

// lateStore commits while it is asked how far it has come, once told to, and answers what was so before.
type lateStore struct {
	*brokertest.Store
	late atomic.Bool
}

func (s *lateStore) Durable() broker.Index {
	before := s.Store.Durable()
	if s.late.CompareAndSwap(true, false) {
		s.Commit()
	}
	return before
}

// TestCommitDuringRelease: a commit that comes while connections are looked at that wait for it releases them.
func TestCommitDuringRelease(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		store := &lateStore{Store: &brokertest.Store{}}
		r := &rig{store: store.Store, durable: store}
		r.over(way).start(t)
		away := r.client(packets.V5, "away", false)
		away.Subscribe("a", 1)
		away.Close()
		pub := r.client(packets.V5, "pub", true)
		r.quiet()
		store.Hold()
		pub.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: 1})
		pub.ExpectNothing()
		store.late.Store(true)
		r.Server.release() // as by another connection, which saw an earlier commit
		if store.late.Load() {
			t.Fatal("the store was not asked")
		}
		pub.Expect(&packets.Puback{PacketID: 1})
	})
}
