package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestLongPacketsTakeTurns: what one packet asks for is done over many turns of the loop, each of which does a bounded part of it and
// then looks what others have brought.
func TestLongPacketsTakeTurns(t *testing.T) {
	r := bombRig().over(overLoops).start(t)
	sub, pub := r.client(packets.V5, "sub", true), r.client(packets.V5, "pub", true)
	filters := bombFilters()
	list := &packets.Unsubscribe{PacketID: 2}
	for _, f := range filters {
		list.Filters = append(list.Filters, f.Filter)
	}
	const looks = 2<<bombLevels - 1 + 1<<bombLevels // nodes and subscriptions, in portions of 16
	for _, step := range []struct {
		name string
		take func()
		most int // portions
	}{
		{"SUBSCRIBE", func() {
			sub.Send(&packets.Subscribe{PacketID: 1, Filters: filters})
			brokertest.Expect[*packets.Suback](sub)
		}, len(filters) / filtersAtOnce},
		{"PUBLISH", func() {
			pub.Send(&packets.Publish{Topic: bombTopic, QoS: 1, PacketID: 1})
			brokertest.Expect[*packets.Puback](pub)
		}, looks / 17},
		{"UNSUBSCRIBE", func() {
			sub.Send(list)
			for {
				if _, ok := brokertest.Expect[packets.Packet](sub).(*packets.Unsuback); ok {
					return
				}
			}
		}, len(filters) / filtersAtOnce},
	} {
		before := r.turns()
		step.take()
		if took := int(r.turns() - before); took < step.most {
			t.Errorf("%s: %d turns for %d portions", step.name, took, step.most)
		}
	}
}

// TestFanOutTakesTurns: a message for many connections is written to a bounded number of them in one turn; all get it, and the publisher
// is not read from before.
func TestFanOutTakesTurns(t *testing.T) {
	r := (&rig{limits: Limits{ConnectionsPerAddress: -1}}).over(overLoops).start(t)
	var subs []*brokertest.Client
	const many = 600
	for i := range many {
		c := r.client(packets.V4, fmt.Sprint("sub", i), true)
		c.Subscribe("all", 0)
		subs = append(subs, c)
	}
	pub := r.client(packets.V4, "pub", true)
	l := r.Server.loops[0]
	before := r.turns()
	pub.Send(&packets.Publish{Topic: "all", Payload: []byte("1")})
	pub.Send(&packets.Publish{Topic: "all", Payload: []byte("2")})
	pub.ExpectNothing()
	took := r.turns() - before
	const perTurn = flushesPerTurn + behindPerTurn*flushPortion
	if took < many/perTurn+1 {
		t.Errorf("%d turns for %d writes, of which one may do %d", took, many, perTurn)
	}
	for _, c := range subs {
		for _, want := range []string{"1", "2"} {
			if p := brokertest.Expect[*packets.Publish](c); string(p.Payload) != want {
				t.Fatalf("got %q, not %q", p.Payload, want)
			}
		}
	}
	l.do(func() {
		if n := len(l.behind) + len(l.rests); n > 0 {
			t.Errorf("%d connections have something left", n)
		}
	})
}

// TestManySessionsTakeTurns: a message for many sessions on disk is given to a bounded number of them in one turn; a will, on a goroutine of its own.
func TestManySessionsTakeTurns(t *testing.T) {
	const many, goes = 300, 4
	r := (&rig{store: &brokertest.Store{}, goes: goes, limits: Limits{ConnectionsPerAddress: -1, AcceptsPerSecond: -1}}).over(overLoops).start(t)
	for i := range many {
		c := r.client(packets.V4, fmt.Sprint("sub", i), false)
		c.Subscribe("all", 1)
		c.Close()
	}
	pub := brokertest.NewClient(t, r.dial(), packets.V4)
	pub.Send(&packets.Connect{Version: packets.V4, ClientID: "pub", CleanStart: true, Will: &packets.Will{Topic: "all", QoS: 1, Payload: []byte("gone")}})
	brokertest.Expect[*packets.Connack](pub)
	r.quiet()
	before := r.turns()
	pub.Send(&packets.Publish{Topic: "all", QoS: 1, PacketID: 1, Payload: []byte("1")})
	brokertest.Expect[*packets.Puback](pub)
	if took := r.turns() - before; took < many/goes {
		t.Errorf("%d turns for %d sessions, of which one may do %d", took, many, goes)
	}
	pub.Close()
	r.quiet()
	for _, s := range r.sessions() {
		if len(s.Entries) != 2 || string(s.Entries[1].Message.Payload) != "gone" {
			t.Fatalf("%s has %d messages", s.ClientID, len(s.Entries))
		}
	}
}

// TestManyFloodsShareTurns: however many connections bring much at once, a turn does little of each and goes on with few of them, and a client that
// has little to say is answered meanwhile.
func TestManyFloodsShareTurns(t *testing.T) {
	tap := turnTap{most: make(map[uint64]int)}
	r := (&rig{taps: []broker.Tap{&tap}, loops: 1, limits: Limits{ConnectionsPerAddress: -1}}).over(overLoops).start(t)
	good := r.client(packets.V4, "good", true)
	l := r.Server.loops[0]
	l.do(func() { tap.loop = l })
	var flood []byte
	const floods, each = 60, 30 // 0.18 s of work
	for range each {
		flood = (&packets.Publish{Topic: "flood", Payload: []byte("x")}).Append(flood, packets.V4)
	}
	var all []net.Conn
	for i := range floods {
		nc := r.dial()
		nc.Write(connectPacket(packets.V4, fmt.Sprint("flood", i)))
		nc.Read(make([]byte, 4))
		all = append(all, nc)
	}
	for _, nc := range all {
		nc.Write(flood)
	}
	for tap.n.Load() < floods*each {
		good.ExpectNothing()
	}
	const perTurn = 3 * (floods + behindPerTurn) // a packet of each takes longer than its slice, and the clock is looked at behind the second
	if worst := tap.worst(); worst > perTurn {
		t.Errorf("%d packets of the floods were handled in one turn, of which a few of each may be, %d in all", worst, perTurn)
	}
}

// TestLongPacketsTakeBoundedMemory: while messages that wait for their turn hold as many bytes as they may, no large packet is read to its
// end; small ones are, and the large one once there is room.
func TestLongPacketsTakeBoundedMemory(t *testing.T) {
	r := bombRig().over(overLoops).start(t)
	sub, small, large := r.client(packets.V5, "sub", true), r.client(packets.V5, "small", true), r.client(packets.V5, "large", true)
	sub.Send(&packets.Subscribe{PacketID: 1, Filters: bombFilters()})
	brokertest.Expect[*packets.Suback](sub)
	l := r.Server.loops[0]
	l.do(func() { l.restBytes += maxRestBytes }) // as if others waited
	const size = 900 << 10
	packet := (&packets.Publish{Topic: bombTopic, QoS: 1, PacketID: 1, Payload: make([]byte, size)}).Append(nil, packets.V5)
	sent := make(chan error)
	go func() { sent <- large.TrySendRaw(packet) }()
	held := func() (bytes int) {
		l.do(func() {
			for w := range l.conns {
				if w.client != nil && w.client.id == "large" {
					bytes = len(w.in.waiting())
				}
			}
		})
		return bytes
	}
	r.until("the packet has begun", func() bool { return held() >= largeBuffer })
	for range 50 {
		small.Publish(&packets.Publish{Topic: "b", QoS: 1})
	}
	if n := held(); n == 0 || n >= size {
		t.Errorf("%d bytes of the packet are held", n)
	}
	l.do(func() { l.restBytes -= maxRestBytes })
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	large.Expect(&packets.Puback{PacketID: 1})
	l.do(func() {
		if l.restBytes != 0 {
			t.Errorf("%d bytes left", l.restBytes)
		}
	})
}

// TestLongPacketsAreNotSilence: a client whose packets wait for their turn is not silent, however long that takes.
func TestLongPacketsAreNotSilence(t *testing.T) {
	r := bombRig()
	begun, held := make(begunTap), make(begunTap)
	r.taps = []broker.Tap{begun, held}
	r.over(overLoops).start(t)
	sub := r.client(packets.V5, "sub", true)
	sub.Send(&packets.Subscribe{PacketID: 1, Filters: bombFilters()})
	brokertest.Expect[*packets.Suback](sub)
	pub := brokertest.NewClient(t, r.dial(), packets.V5)
	pub.Send(&packets.Connect{Version: packets.V5, ClientID: "pub", CleanStart: true, KeepAlive: 10})
	brokertest.Expect[*packets.Connack](pub)
	sent := (&packets.Publish{Topic: bombTopic, QoS: 1, PacketID: 1}).Append(nil, packets.V5)
	pub.SendRaw((&packets.Pingreq{}).Append(sent, packets.V5))
	<-begun
	r.clock.add(20 * time.Second)
	<-held
	brokertest.Expect[*packets.Puback](pub)
	brokertest.Expect[*packets.Pingresp](pub)
}
