package server

import (
	"fmt"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestHalfPacketsGiveWay: clients that begin large packets and do not finish them are closed, the first to have begun first, when
// they hold more than all together may; who finishes is let.
func TestHalfPacketsGiveWay(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{TotalPacketBytes: 6 << 20}}).over(way).start(t)
		watcher := r.client(packets.V5, "watcher", true)
		watcher.Subscribe("whole", 0)
		const n = 10
		half := append([]byte{0x30, 0xF0, 0xFF, 0x3F, 0, 1, 'a', 0}, make([]byte, 400<<10)...)
		var all []*brokertest.Client
		for i := range n {
			c := r.client(packets.V5, fmt.Sprint("half", i), true)
			c.SendRaw(half)
			all = append(all, c)
			whole := r.client(packets.V5, "whole", true)
			whole.Publish(&packets.Publish{Topic: "whole", Payload: make([]byte, 900<<10)})
			brokertest.Expect[*packets.Publish](watcher)
			whole.Close()
			r.quiet()
			if bytes, _ := r.Server.half.held(); bytes > 6<<20 {
				t.Fatalf("%d bytes held", bytes)
			}
		}
		closed := int(r.Server.Refusals()[RefuseHalf])
		if closed < 4 || closed > 6 {
			t.Errorf("%d of %d closed", closed, n)
		}
		for i, c := range all {
			if i < closed {
				if code := c.ExpectClosed(); code != packets.QuotaExceeded {
					t.Errorf("%d: told %v", i, code)
				}
			}
			c.Close()
		}
		r.quiet()
		if bytes, packets := r.Server.half.held(); bytes != 0 || packets != 0 {
			t.Errorf("left behind: %d bytes, %d packets", bytes, packets)
		}
	})
}

// TestOutboxesGiveWay: when all that waits to be written is too much, those who do not read get no more than a little each, and
// who reads gets all.
func TestOutboxesGiveWay(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{TotalOutBytes: 1 << 20}}).over(way).start(t)
		const n = 20
		for i := range n {
			conn := r.dial()
			defer conn.Close()
			conn.Write((&packets.Connect{Version: packets.V4, ClientID: fmt.Sprint("deaf", i), CleanStart: true}).Append(nil, packets.V4))
			conn.Read(make([]byte, 4))
			conn.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "a", QoS: byte(i % 2)}}}).Append(nil, packets.V4))
			conn.Read(make([]byte, 5))
		}
		good := r.client(packets.V5, "good", true)
		good.Subscribe("a", 1)
		pub := r.client(packets.V5, "pub", true)
		for range 1000 {
			pub.Publish(&packets.Publish{Topic: "a", QoS: 1, Payload: make([]byte, 1000)})
			good.Acknowledge(brokertest.Expect[*packets.Publish](good))
		}
		r.quiet()
		if held := r.Server.Stats().OutboxBytes; held > 1<<20+n*(crowdedOut+outStep) {
			t.Errorf("%d bytes wait to be written", held)
		}
		r.stop()
		if left := r.Server.outBytes.Load(); left != 0 {
			t.Errorf("%d bytes counted when all have gone", left)
		}
	})
}

// TestDiskHasMuchToDo: who publishes retained messages of QoS 0, which nobody acknowledges, is not read from while the disk is
// behind; others are served.
func TestDiskHasMuchToDo(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		floods, other := r.client(packets.V5, "floods", true), r.client(packets.V5, "other", true)
		r.store.Hold()
		r.store.SetCrowded(true)
		floods.Send(&packets.Publish{Topic: "a", Retain: true, Payload: []byte("x")})
		r.quiet()
		read := func() uint64 { i, _ := r.clientInfo("floods"); return i.Received.Bytes }
		before, write := read(), make(chan error)
		go func() { write <- floods.TrySendRaw([]byte{0xC0, 0}) }()
		r.quiet()
		if read() != before {
			t.Error("the client is read from while the disk is behind")
		}
		other.Publish(&packets.Publish{Topic: "b", QoS: 1})
		r.store.Commit()
		if err := <-write; err != nil {
			t.Fatal(err)
		}
		floods.Expect(&packets.Pingresp{})
	})
}

// TestFastIsHeldBack: who is acknowledged from memory, and sends more than the disk takes, is not read from while it is behind. What came
// before is acknowledged meanwhile.
func TestFastIsHeldBack(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, fast: true}).over(way).start(t)
		away := r.client(packets.V5, "away", false)
		away.Subscribe("a", 2)
		away.Close()
		r.quiet()
		floods := r.client(packets.V5, "floods", true)
		r.store.Hold()
		for i, q := range []byte{1, 2, 1} {
			if code := floods.Publish(&packets.Publish{Topic: "a", QoS: q}); code != packets.Success {
				t.Fatalf("message %d of QoS %d: %v", i, q, code)
			}
		}
		r.store.SetCrowded(true)
		if code := floods.Publish(&packets.Publish{Topic: "a", QoS: 1}); code != packets.Success {
			t.Fatal(code)
		}
		saved, write := len(r.store.Changes()), make(chan error)
		next := (&packets.Publish{Topic: "a", QoS: 1, PacketID: 77}).Append(nil, packets.V5)
		go func() { write <- floods.TrySendRaw(next) }()
		r.quiet()
		if more := len(r.store.Changes()) - saved; more > 0 {
			t.Errorf("%d changes while the disk is behind", more)
		}
		if index, _ := r.store.Awaited(); index == 0 {
			t.Error("nobody waits for a commit")
		}
		r.store.SetCrowded(false)
		r.store.Commit()
		if err := <-write; err != nil {
			t.Fatal(err)
		}
		floods.Expect(&packets.Puback{PacketID: 77})
	})
}

func (u *halfPackets) held() (bytes int64, packets int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes, max(len(u.of), u.begun.Len())
}
