package server

import (
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// rounds is clients that a test answers and lets send.
type rounds struct {
	hurry
	t   *testing.T
	now time.Time
}

// commit answers clients that waited for n acknowledgements each.
func (p *rounds) commit(n int, clients ...*clock) {
	p.begin()
	for _, k := range clients {
		p.answered(k, n, p.now)
	}
}

// send lets each client send until it waits for n acknowledgements, and wants exactly the last one to hurry the commit, or none.
func (p *rounds) send(n int, hurries bool, clients ...*clock) {
	p.t.Helper()
	for i, k := range clients {
		for have := 1; have <= n; have++ {
			want := hurries && i == len(clients)-1 && have == n
			if got := p.waits(k, have, p.now); got != want {
				p.t.Errorf("client %d waits for %d: hurries %t, want %t", i, have, got, want)
			}
		}
	}
}

func TestHurry(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		run  func(p *rounds, a, b, c *clock)
	}{
		{"all who were answered wait again", func(p *rounds, a, b, c *clock) {
			p.send(3, true, a, b, c)
		}},
		{"one is still to come", func(p *rounds, a, b, c *clock) {
			p.send(3, false, a, b)
			p.send(2, false, c)
		}},
		{"one stays away, and is not waited for any more", func(p *rounds, a, b, c *clock) {
			p.send(3, false, a, b)
			p.now = p.now.Add(10 * time.Millisecond)
			p.commit(3, a, b)
			p.send(3, true, a, b)
		}},
		{"one that sends when it measures is not waited for", func(p *rounds, a, b, c *clock) {
			p.send(3, false, a, b)
			p.now = p.now.Add(5 * time.Millisecond)
			p.send(1, true, c) // late: how much it will send is not known any more
			p.commit(3, a, b, c)
			p.send(3, true, a, b)
			p.send(3, false, c)
		}},
		{"a window that has become smaller", func(p *rounds, a, b, c *clock) {
			p.send(1, false, a, b, c)
			for range 2 {
				p.now = p.now.Add(10 * time.Millisecond)
				p.commit(1, a, b, c)
			}
			p.send(1, true, a, b, c)
		}},
		{"a commit in between", func(p *rounds, a, b, c *clock) {
			p.send(3, false, a, b)
			p.commit(3, a)
			p.send(3, false, c) // was answered by the commit before
			p.send(3, true, a)
		}},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			p := &rounds{t: t, now: start}
			var a, b, c clock
			all := []*clock{&a, &b, &c}
			p.send(3, false, all...) // nobody was answered yet
			p.commit(3, all...)
			p.now = p.now.Add(time.Millisecond)
			p.send(3, false, all...) // now they are known to be clocked
			p.commit(3, all...)
			p.now = p.now.Add(time.Millisecond)
			x.run(p, &a, &b, &c)
		})
	}
}

// TestHurriesWhenAllWait: two publishers that send when they are answered have the journal commit as soon as both wait; a third,
// which sends when it likes, does not.
func TestHurriesWhenAllWait(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		r.client(packets.V5, "away", false).Subscribe("a", 1)
		one, two, slow := r.client(packets.V5, "one", true), r.client(packets.V4, "two", true), r.client(packets.V5, "slow", true)
		r.quiet() // for the commits so far
		r.store.Hold()
		say := func(c *brokertest.Client) (last bool) {
			t.Helper()
			_, before := r.store.Awaited()
			c.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: 1})
			r.quiet()
			awaited, hurried := r.store.Awaited()
			if awaited != broker.Index(r.Server.saved.Load()) {
				t.Errorf("%d is awaited, %d was saved", awaited, r.Server.saved.Load())
			}
			return hurried > before
		}
		answered := func(all ...*brokertest.Client) {
			t.Helper()
			r.store.Commit()
			for _, c := range all {
				c.Expect(&packets.Puback{PacketID: 1})
			}
		}
		for round := range 4 {
			if round%2 == 0 {
				r.pass(time.Second)
				if say(slow) {
					t.Errorf("round %d: a slow client hurries", round)
				}
				answered(slow)
				continue
			}
			for range 3 {
				say(one)
				say(two)
				answered(one, two)
			}
			if say(one) || !say(two) {
				t.Errorf("round %d: two clients that wait for each other do not hurry", round)
			}
			answered(one, two)
		}
	})
}

// TestHurriesForASubscriber: a subscriber of QoS 2 that answers at once has the journal commit as soon as all that it may be sent is held.
func TestHurriesForASubscriber(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, limits: Limits{Inflight: 2}}).over(way).start(t)
		sub := r.client(packets.V4, "sub", false)
		sub.Subscribe("a", 2)
		sub.Close()
		pub := r.client(packets.V5, "pub", true)
		for id := range uint16(8) {
			pub.Publish(&packets.Publish{Topic: "a", QoS: 2, PacketID: id + 1})
		}
		r.quiet()
		r.store.Hold()
		sub = r.client(packets.V4, "sub", false)
		hurries := 0
		for range 4 { // windows of two messages: PUBLISH, PUBREC, PUBREL, PUBCOMP
			for _, answer := range []func(packets.Packet) packets.Packet{
				func(p packets.Packet) packets.Packet { return &packets.Pubrec{PacketID: p.(*packets.Publish).PacketID} },
				func(p packets.Packet) packets.Packet { return &packets.Pubcomp{PacketID: p.(*packets.Pubrel).PacketID} },
			} {
				r.quiet()
				_, before := r.store.Awaited()
				r.store.Commit()
				for range 2 {
					p, err := sub.Next()
					if err != nil {
						t.Fatal(err)
					}
					sub.Send(answer(p))
				}
				r.quiet()
				if _, hurried := r.store.Awaited(); hurried > before {
					hurries++
				}
			}
		}
		if hurries < 5 { // all but the first, which tell that it answers at once, and the last, behind which nothing is held
			t.Errorf("%d of 8 turns hurried", hurries)
		}
	})
}
