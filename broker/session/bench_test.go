package session

import (
	"testing"

	"edge/broker"
)

// BenchmarkApplyDrain replays a queue of 50,000 messages that is sent and acknowledged, 100 at a time: the cost of one
// change must not grow with the queue.
func BenchmarkApplyDrain(b *testing.B) {
	const queue, inflight = 50_000, 100
	m := &broker.Message{Topic: "a/b", Payload: []byte("hi"), QoS: 1}
	changes := 0
	for b.Loop() {
		var s Snapshot
		apply := func(c Change) { s.Apply(&c); changes++ }
		apply(Change{Kind: Created, ClientID: "c", Expiry: Never})
		for seq := uint64(1); seq <= queue; seq++ {
			apply(Change{Kind: Enqueued, Entry: &Entry{Seq: seq, Message: m, QoS: 1}})
		}
		for seq := uint64(1); seq <= queue+inflight; seq++ {
			if seq <= queue {
				apply(Change{Kind: EntrySent, Seq: seq, PacketID: uint16(seq%60_000 + 1)})
			}
			if seq > inflight {
				apply(Change{Kind: EntryDone, PacketID: uint16((seq-inflight)%60_000 + 1)})
			}
		}
		if len(s.Entries) != 0 {
			b.Fatalf("%d entries left", len(s.Entries))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(changes), "ns/change")
}
