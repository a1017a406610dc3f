package store

import (
	"testing"

	"edge/broker/session"
)

// BenchmarkReplay applies the records of a message's life, queued for two sessions and done there: what a checkpoint and a start
// do with what the journal holds. One operation is one message.
func BenchmarkReplay(b *testing.B) {
	var records [][]byte
	for _, id := range []string{"line-1", "line-2"} {
		records = append(records, encodeChanges([]session.Change{{Kind: session.Created, ClientID: id, Protocol: 5, Expiry: session.Never}}))
	}
	start := len(records)
	const window = 50
	for seq := range uint64(1000) {
		m := message("plant/press/temperature", string(make([]byte, 128)))
		var queued []session.Change
		for _, id := range []string{"line-1", "line-2"} {
			queued = append(queued, session.Change{Kind: session.Enqueued, ClientID: id,
				Entry: &session.Entry{Seq: seq + 1, QoS: 1, State: session.Sent, PacketID: uint16(seq + 1), Message: m}})
		}
		records = append(records, encodeChanges(queued))
		if seq >= window {
			for _, id := range []string{"line-1", "line-2"} {
				records = append(records, encodeChanges([]session.Change{{Kind: session.EntryDone, ClientID: id, PacketID: uint16(seq + 1 - window)}}))
			}
		}
	}
	w := newWorld(nil)
	for _, r := range records[:start] {
		w.apply(r)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, r := range records[start:] {
			if err := w.apply(r); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		for _, s := range w.sessions {
			s.Entries = nil
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/message")
}

// BenchmarkEncode is the record of one message for two sessions.
func BenchmarkEncode(b *testing.B) {
	m := message("plant/press/temperature", string(make([]byte, 128)))
	changes := []session.Change{
		{Kind: session.Enqueued, ClientID: "line-1", Entry: &session.Entry{Seq: 1, QoS: 1, State: session.Sent, PacketID: 1, Message: m}},
		{Kind: session.Enqueued, ClientID: "line-2", Entry: &session.Entry{Seq: 1, QoS: 1, State: session.Sent, PacketID: 1, Message: m}},
	}
	b.ReportAllocs()
	for b.Loop() {
		encodeChanges(changes)
	}
}
