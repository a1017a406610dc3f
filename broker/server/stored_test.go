package server

import (
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestWhatIsStored counts the records that one message costs, and looks whether its acknowledgement waits for the disk: only what
// somebody was promised does.
func TestWhatIsStored(t *testing.T) {
	persistent, absent, memory := "persistent", "absent", "memory"
	tests := []struct {
		name    string
		message packets.Publish
		to      string
		subQoS  byte
		records int
		waits   bool
	}{
		{"QoS 0 to nobody", packets.Publish{}, "", 0, 0, false},
		{"QoS 0 to a session in memory", packets.Publish{}, memory, 2, 0, false},
		{"QoS 0 to a session on disk", packets.Publish{}, persistent, 2, 0, false},
		{"QoS 0 to a session on disk that is away", packets.Publish{}, absent, 2, 0, false},
		{"QoS 0, retained: kept, and nobody waits", packets.Publish{Retain: true, Payload: []byte("x")}, persistent, 2, 1, false},
		{"QoS 1 to nobody", packets.Publish{QoS: 1}, "", 0, 0, false},
		{"QoS 1 to a session in memory", packets.Publish{QoS: 1}, memory, 1, 0, false},
		{"QoS 1 to a session on disk that asked for QoS 0", packets.Publish{QoS: 1}, persistent, 0, 0, false},
		{"QoS 1 to a session on disk", packets.Publish{QoS: 1}, persistent, 1, 1, true},
		{"QoS 1 to a session on disk that is away", packets.Publish{QoS: 1}, absent, 1, 1, true},
		{"QoS 1, retained, to nobody", packets.Publish{QoS: 1, Retain: true, Payload: []byte("x")}, "", 0, 1, true},
		{"QoS 2 to a session on disk that is away", packets.Publish{QoS: 2}, absent, 2, 1, true},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
				if x.to != "" {
					sub := r.client(packets.V5, "sub", x.to == memory)
					sub.Subscribe("a", x.subQoS)
					if x.to == absent {
						sub.Close()
					}
				}
				pub := r.client(packets.V5, "pub", true)
				r.quiet()
				r.store.Hold()
				before := len(r.store.Changes()) + len(r.store.Retained())
				awaitedBefore, _ := r.store.Awaited()
				x.message.Topic, x.message.PacketID = "a", 1
				if x.message.QoS == 0 {
					x.message.PacketID = 0
				}
				pub.Send(&x.message)
				r.quiet()
				if n := len(r.store.Changes()) + len(r.store.Retained()) - before; n != x.records {
					t.Errorf("%d records, want %d", n, x.records)
				}
				if awaited, _ := r.store.Awaited(); awaited > awaitedBefore != x.waits {
					t.Errorf("awaited up to %d, before %d", awaited, awaitedBefore)
				}
				if x.waits {
					pub.ExpectNothing()
					r.store.Commit()
				}
				switch x.message.QoS {
				case 1:
					brokertest.Expect[*packets.Puback](pub)
				case 2:
					brokertest.Expect[*packets.Pubrec](pub)
				}
			})
		})
	}
}
