package server

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/session"
)

// TestManySessions: messages for many sessions on disk, in memory and by QoS 0 are delivered in portions; each gets each once and in order, the
// publisher one answer for each, and wills come whole.
func TestManySessions(t *testing.T) {
	const away, there, messages = 100, 20, 6
	both(t, func(t *testing.T, way path) {
		r := &rig{store: &brokertest.Store{}, goes: 8, limits: Limits{ConnectionsPerAddress: -1, AcceptsPerSecond: -1}}
		r.over(way).start(t)
		var subs []*brokertest.Client
		for i := range there {
			c := r.client(packets.V5, fmt.Sprint("there", i), true)
			c.Subscribe("a/#", byte(i%3))
			subs = append(subs, c)
		}
		for i := range away {
			c := r.client(packets.V4, fmt.Sprint("away", i), false)
			c.Subscribe("a/#", byte(1+i%2))
			c.Close()
		}
		pub := brokertest.NewClient(t, r.dial(), packets.V5)
		pub.Send(&packets.Connect{Version: packets.V5, ClientID: "pub", SessionExpiry: 3600,
			Will: &packets.Will{Topic: "a/will", QoS: 1, Payload: []byte("gone")}})
		brokertest.Expect[*packets.Connack](pub)
		var sent []byte
		want := []string{}
		for i := range messages {
			p := &packets.Publish{Topic: "a/b", QoS: byte(i % 3), PacketID: uint16(i + 1), Payload: fmt.Append(nil, i)}
			if p.QoS == 0 {
				p.PacketID = 0
			} else {
				want = append(want, fmt.Sprint(i))
			}
			sent = p.Append(sent, packets.V5)
		}
		pub.SendRaw(sent)
		for range messages / 3 {
			brokertest.Expect[*packets.Puback](pub)
			brokertest.Expect[*packets.Pubrec](pub)
		}
		pub.Close()
		want = append(want, "gone")
		for i, c := range subs {
			for got := -1; got < messages; {
				p := brokertest.Expect[*packets.Publish](c)
				if got++; got < messages && string(p.Payload) != fmt.Sprint(got) || got == messages && string(p.Payload) != "gone" {
					t.Fatalf("there%d: %q in place %d", i, p.Payload, got)
				}
				if p.QoS == 1 { // those of QoS 2 stay begun: each has its place in the window
					c.Send(&packets.Puback{PacketID: p.PacketID})
				}
			}
		}
		r.quiet()
		for _, s := range r.sessions() {
			if s.ClientID == "pub" {
				if len(s.Received) != messages/3 {
					t.Errorf("%d messages of QoS 2 are begun", len(s.Received))
				}
				continue
			}
			var has []string
			for _, e := range s.Entries {
				has = append(has, string(e.Message.Payload))
			}
			if !slices.Equal(has, want) {
				t.Errorf("%s has %q, not %q", s.ClientID, has, want)
			}
		}
	})
}

// TestPublisherIsSavedLast: what a publisher's session needs saved is in the record of those that get the message with QoS 2, behind all others;
// so is who of a shared subscription may be one of them. Else a crash in between would have it come to some of those twice, or to others never.
func TestPublisherIsSavedLast(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, goes: 4, limits: Limits{ConnectionsPerAddress: -1}}).over(way).start(t)
		const each = 15
		for i := range 2 * each {
			c := r.client(packets.V4, fmt.Sprint("sub", i), false)
			c.Subscribe("a", byte(1+i%2))
			c.Close()
		}
		member := r.client(packets.V5, "chosen later", false)
		member.Subscribe("$share/g/a", 2)
		member.Close()
		connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "takes little", MaximumPacketSize: 60}).Subscribe("$share/g/a", 1)
		r.quiet()
		before := len(r.store.Changes())
		d := delivering{server: r.Server, now: r.moment(), with: []session.Change{{Kind: session.Received, ClientID: "pub", PacketID: 1}}}
		m := &broker.Message{Topic: "a", Payload: make([]byte, 60), QoS: 2, From: "pub"}
		if _, err := r.router.Route(m, &d); err != nil {
			t.Fatal(err)
		}
		saved := r.store.Changes()[before:]
		at := slices.IndexFunc(saved, func(c session.Change) bool { return c.Kind == session.Received })
		if len(saved) != 2*each+2 || at != each/4*4 { // whole portions before the last
			t.Fatalf("%d changes, of the publisher %d", len(saved), at)
		}
		for i, c := range saved[:at] {
			if c.Entry.QoS == 2 {
				t.Errorf("change %d is of QoS 2, the publisher's is %d", i, at)
			}
		}
	})
}

// TestManySessionsSomeNotStored lets the store fail at each portion of a QoS 2 message in turn. The publisher is not told that it was taken, and
// sends it again: then all have it, those of QoS 2 once, and who got it twice, twice in a row.
func TestManySessionsSomeNotStored(t *testing.T) {
	const each, goes = 6, 2
	for fails := range each / goes {
		t.Run(fmt.Sprint("after ", fails), func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}, goes: goes, limits: Limits{ConnectionsPerAddress: -1}}).over(way).start(t)
				for i := range 2 * each {
					c := r.client(packets.V4, fmt.Sprint("sub", i), false)
					c.Subscribe("a", byte(1+i%2))
					c.Close()
				}
				pub := r.client(packets.V4, "pub", false)
				first := &packets.Publish{Topic: "a", QoS: 2, PacketID: 1, Payload: []byte("first")}
				r.quiet()
				r.store.FailAfter(fails, errPortionFails)
				pub.Send(first)
				pub.ExpectClosed()
				r.quiet()
				r.store.Fail(nil)
				pub = r.client(packets.V4, "pub", false)
				first.Dup = true
				pub.Send(first, &packets.Publish{Topic: "a", QoS: 2, PacketID: 2, Payload: []byte("second")})
				pub.Expect(&packets.Pubrec{PacketID: 1})
				pub.Expect(&packets.Pubrec{PacketID: 2})
				r.quiet()
				twice := 0
				for _, s := range r.sessions() {
					if s.ClientID == "pub" {
						continue
					}
					var has []string
					for _, e := range s.Entries {
						has = append(has, string(e.Message.Payload))
					}
					once := slices.Equal(has, []string{"first", "second"})
					if !once && (s.Entries[0].QoS == 2 || !slices.Equal(has, []string{"first", "first", "second"})) {
						t.Errorf("%s has %q", s.ClientID, has)
					}
					if !once {
						twice++
					}
				}
				if want := fails * goes; twice != want {
					t.Errorf("%d have it twice, want %d", twice, want)
				}
			})
		})
	}
}

var errPortionFails = errors.New("disk full")
