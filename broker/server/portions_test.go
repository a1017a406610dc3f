package server

import (
	"fmt"
	"strings"
	"testing"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// bombLevels is how deep bombFilters branch.
const bombLevels = 10

// bombFilters are all filters of a and + over ten levels: 1,024, which bombTopic is selected by.
func bombFilters() (list []packets.Subscription) {
	for bits := range 1 << bombLevels {
		f := make([]string, bombLevels)
		for i := range f {
			f[i] = []string{"a", "+"}[bits>>i&1]
		}
		list = append(list, packets.Subscription{Filter: strings.Join(f, "/"), QoS: 2})
	}
	return list
}

var bombTopic = "a" + strings.Repeat("/a", bombLevels-1)

func bombRig() *rig {
	return &rig{store: &brokertest.Store{}, portion: 16, limits: Limits{Subscriptions: -1, TotalFilterBytes: -1}}
}

// TestLongPacketsKeepTheirOrder: a SUBSCRIBE and messages that take many portions are answered once, with a code for each filter, and each
// before what came behind it. What one message needs to be saved with is not saved with another.
func TestLongPacketsKeepTheirOrder(t *testing.T) {
	for _, v := range []packets.Version{packets.V4, packets.V5} {
		both(t, func(t *testing.T, way path) {
			r := bombRig().over(way).start(t)
			sub, pub := r.client(v, "sub", false), r.client(v, "pub", false)
			filters := bombFilters()
			sub.Send(&packets.Subscribe{PacketID: 1, Filters: filters})
			if ack := brokertest.Expect[*packets.Suback](sub); len(ack.Codes) != len(filters) || ack.PacketID != 1 {
				t.Fatalf("SUBACK %d with %d codes", ack.PacketID, len(ack.Codes))
			}
			var sent []byte
			const n = 8
			for i := range n {
				p := &packets.Publish{Topic: bombTopic, QoS: byte(1 + i%2), PacketID: uint16(i + 1), Payload: fmt.Append(nil, i)}
				sent = p.Append(sent, v)
			}
			pub.SendRaw(sent)
			for i := range n {
				p := brokertest.Expect[*packets.Publish](sub)
				if string(p.Payload) != fmt.Sprint(i) {
					t.Fatalf("message %q in place %d", p.Payload, i)
				}
			}
			for i := range n {
				switch i % 2 {
				case 0:
					if id := brokertest.Expect[*packets.Puback](pub).PacketID; id != uint16(i+1) {
						t.Errorf("PUBACK %d for message %d", id, i)
					}
				case 1:
					if id := brokertest.Expect[*packets.Pubrec](pub).PacketID; id != uint16(i+1) {
						t.Errorf("PUBREC %d for message %d", id, i)
					}
				}
			}
			for _, s := range r.sessions() { // as after a crash
				want := 0
				if s.ClientID == "pub" {
					want = n / 2
				}
				if len(s.Received) != want {
					t.Errorf("%s: %d messages of QoS 2 are begun, not %d", s.ClientID, len(s.Received), want)
				}
			}
			list := &packets.Unsubscribe{PacketID: 2}
			for _, f := range filters {
				list.Filters = append(list.Filters, f.Filter)
			}
			sub.Send(list)
			unsuback := brokertest.Expect[*packets.Unsuback](sub)
			if v == packets.V5 && (len(unsuback.Codes) != len(filters) || unsuback.Codes[len(filters)-1] != packets.Success) {
				t.Errorf("UNSUBACK %v", unsuback.Codes)
			}
			pub.Send(&packets.Publish{Topic: bombTopic, Payload: []byte("nobody")})
			pub.ExpectNothing()
			sub.ExpectNothing()
		})
	}
}

// begunTap tells that a message is being routed.
type begunTap chan struct{}

func (b begunTap) Message(*broker.Message) (broker.Index, error) { b <- struct{}{}; return 0, nil }
func (begunTap) Session(broker.SessionEvent)                     {}

// TestLongPacketsAreSavedWithTheirOwn: what one publisher's message is to be saved with stays its own, whatever others send meanwhile.
func TestLongPacketsAreSavedWithTheirOwn(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := bombRig()
		begun := make(begunTap)
		r.taps = []broker.Tap{begun}
		r.over(way).start(t)
		sub, long, short := r.client(packets.V5, "sub", false), r.client(packets.V5, "long", false), r.client(packets.V5, "short", false)
		sub.Send(&packets.Subscribe{PacketID: 1, Filters: bombFilters()})
		brokertest.Expect[*packets.Suback](sub)
		long.Send(&packets.Publish{Topic: bombTopic, QoS: 2, PacketID: 11})
		short.Send(&packets.Publish{Topic: "short", QoS: 2, PacketID: 22})
		<-begun // and the other is there, to be read before the next portion
		<-begun
		brokertest.Expect[*packets.Pubrec](short)
		brokertest.Expect[*packets.Pubrec](long)
		for _, s := range r.sessions() { // as after a crash
			want := map[string]string{"sub": "[]", "long": "[11]", "short": "[22]"}[s.ClientID]
			if got := fmt.Sprint(s.Received); got != want {
				t.Errorf("%s: messages %s of QoS 2 are begun, not %s", s.ClientID, got, want)
			}
		}
	})
}

// TestEndDuringLongPacket: a client that goes, or whose session is taken over, right behind a message that takes long has sent it: it is
// delivered once, before its will. A stop waits for it.
func TestEndDuringLongPacket(t *testing.T) {
	for name, end := range map[string]func(r *rig, c *brokertest.Client){
		"closes":   func(_ *rig, c *brokertest.Client) { c.Close() },
		"taken":    func(r *rig, _ *brokertest.Client) { r.client(packets.V5, "pub", true).Close() },
		"kicked":   func(r *rig, _ *brokertest.Client) { r.Server.Disconnect("pub", "test") },
		"malforms": func(_ *rig, c *brokertest.Client) { c.SendRaw([]byte{0, 0}) },
		"stop":     func(r *rig, _ *brokertest.Client) { r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := bombRig()
				begun := make(begunTap, 10)
				r.taps = []broker.Tap{begun}
				r.over(way).start(t)
				sub := r.client(packets.V5, "sub", true)
				sub.Send(&packets.Subscribe{PacketID: 1, Filters: append(bombFilters(), packets.Subscription{Filter: "will"})})
				brokertest.Expect[*packets.Suback](sub)
				pub := brokertest.NewClient(t, r.dial(), packets.V5)
				pub.Send(&packets.Connect{Version: packets.V5, ClientID: "pub", CleanStart: true, Will: &packets.Will{Topic: "will"}})
				brokertest.Expect[*packets.Connack](pub)
				pub.Send(&packets.Publish{Topic: bombTopic, QoS: 2, PacketID: 1, Payload: []byte("last")})
				<-begun
				end(r, pub)
				if p := brokertest.Expect[*packets.Publish](sub); string(p.Payload) != "last" {
					t.Errorf("got %q on %s", p.Payload, p.Topic)
				}
				if p := brokertest.Expect[*packets.Publish](sub); p.Topic != "will" {
					t.Errorf("got %q on %s", p.Payload, p.Topic)
				}
			})
		})
	}
}
