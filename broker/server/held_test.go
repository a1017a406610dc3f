package server

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestFailedMessageIsForgotten: what was encoded of a message that the store did not take reaches nobody, though the next message
// of the same client is encoded in the same memory.
func TestFailedMessageIsForgotten(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		member := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "m", SessionExpiry: 3600, MaximumPacketSize: 1000})
		member.Subscribe("$share/g/secret", 1)
		other := r.client(packets.V5, "other", true)
		other.Subscribe("open", 0)
		pub := r.client(packets.V5, "pub", true)
		r.quiet()
		r.store.Fail(errors.New("disk full"))
		if code := pub.Publish(&packets.Publish{Topic: "secret", QoS: 1, Payload: []byte("for m")}); !code.Failed() {
			t.Fatalf("taken: %v", code)
		}
		pub.Publish(&packets.Publish{Topic: "open", Payload: []byte("for all")})
		if p := brokertest.Expect[*packets.Publish](other); p.Topic != "open" || string(p.Payload) != "for all" {
			t.Errorf("got %s", brokertest.Describe(p))
		}
		r.store.Fail(nil)
	})
}

// TestRepeatedPubrec: a client that says PUBREC again and again while the journal is behind has no more read, and is served
// when it has caught up.
func TestRepeatedPubrec(t *testing.T) {
	in(t, func(t *testing.T) {
		const inflight, hundreds = 10, 100
		r := (&rig{store: &brokertest.Store{}, limits: Limits{Inflight: inflight}}).start(t)
		sub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", SessionExpiry: 3600})
		sub.Subscribe("a", 2)
		pub := r.client(packets.V5, "pub", true)
		for range 2 {
			pub.Publish(&packets.Publish{Topic: "a", QoS: 2})
		}
		one := brokertest.Expect[*packets.Publish](sub).PacketID
		brokertest.Expect[*packets.Publish](sub)
		synctest.Wait()
		r.store.Hold()
		flood := make(chan error)
		go func() {
			for range hundreds {
				if err := sub.TrySendRaw([]byte(strings.Repeat(string([]byte{0x50, 2, byte(one >> 8), byte(one)}), 100))); err != nil {
					flood <- err
				}
			}
			close(flood)
		}()
		<-time.After(time.Second)
		r.Server.mu.Lock()
		c := r.Server.clients["sub"].conn
		r.Server.mu.Unlock()
		c.out.mu.Lock()
		if n := len(c.out.held); n > inflight+smallBuffer {
			t.Errorf("%d packets are held", n)
		}
		c.out.mu.Unlock()
		r.store.Commit()
		for range 100 * hundreds {
			brokertest.Expect[*packets.Pubrel](sub)
		}
		if err := <-flood; err != nil {
			t.Error(err)
		}
	})
}

// TestLongAnswersWait: the answers to long SUBSCRIBE that wait for the disk take no more memory than what waits to be written may.
func TestLongAnswersWait(t *testing.T) {
	in(t, func(t *testing.T) {
		const filters, packetsSent = 1000, 50
		r := (&rig{store: &brokertest.Store{}, limits: Limits{OutBytes: 10_000}}).start(t)
		c := r.client(packets.V5, "c", false)
		synctest.Wait()
		r.store.Hold()
		flood := make(chan error, 1)
		go func() {
			var b []byte
			for id := range uint16(packetsSent) {
				p := &packets.Subscribe{PacketID: id + 1}
				for i := range filters {
					p.Filters = append(p.Filters, packets.Subscription{Filter: string(rune('a' + i%26))})
				}
				b = p.Append(b, packets.V5)
			}
			flood <- c.TrySendRaw(b)
		}()
		<-time.After(time.Second)
		r.Server.mu.Lock()
		conn := r.Server.clients["c"].conn
		r.Server.mu.Unlock()
		conn.out.mu.Lock()
		if n := len(conn.out.acks); n == 0 || n > 10_000/filters+2 {
			t.Errorf("%d answers wait", n)
		}
		conn.out.mu.Unlock()
		for id := uint16(0); id < packetsSent; id++ {
			for synctest.Wait(); conn.out.waits() > 0; synctest.Wait() {
				r.store.Commit()
			}
			if p := brokertest.Expect[*packets.Suback](c); p.PacketID != id+1 || len(p.Codes) != filters {
				t.Fatalf("SUBACK %d of %d", p.PacketID, len(p.Codes))
			}
		}
		if err := <-flood; err != nil {
			t.Error(err)
		}
	})
}

func (o *outbox) waits() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acks)
}
