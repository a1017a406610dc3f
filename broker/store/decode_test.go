package store

import (
	"fmt"
	"strings"
	"testing"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

// TestMemoryIsBounded reads ever new names, and long ones: only some are kept, and all are right.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	for i := range 3 * maxNames {
		id := fmt.Sprint("client", i)
		if i%2 == 1 {
			id += strings.Repeat("x", maxName)
		}
		changes, _, err := m.decodeRecord(encodeChanges([]session.Change{{Kind: session.EntryDone, ClientID: id, PacketID: uint16(i)}}))
		if err != nil || len(changes) != 1 || changes[0].ClientID != id || changes[0].PacketID != uint16(i) {
			t.Fatalf("%d: %+v %v", i, changes, err)
		}
		if len(m.names) > maxNames || len(m.names[id]) > maxName {
			t.Fatalf("%d names are kept, of %d bytes", len(m.names), len(m.names[id]))
		}
	}
}

// TestLoadedMessagesAreTheirOwn: what Load returns lives for long, and may not keep the commits of the journal in memory.
func TestLoadedMessagesAreTheirOwn(t *testing.T) {
	m := message("topic", "payload")
	m.Properties = &packets.PublishProperties{CorrelationData: []byte("correlation")}
	w := newWorld(nil)
	w.keeps = true
	for _, record := range [][]byte{
		encodeChanges([]session.Change{{Kind: session.Created, ClientID: "c"},
			{Kind: session.Enqueued, ClientID: "c", Entry: &session.Entry{Seq: 1, QoS: 1, Message: m}},
			{Kind: session.WillSet, ClientID: "c", Will: &session.Will{Message: m}}}),
		encodeRetained(m),
	} {
		if err := w.apply(record); err != nil {
			t.Fatal(err)
		}
		clear(record)
	}
	c := w.sessions["c"]
	for _, got := range []*broker.Message{c.Entries[0].Message, c.Will.Message, w.retained["topic"]} {
		if string(got.Payload) != "payload" || string(got.Properties.CorrelationData) != "correlation" {
			t.Errorf("%+v %+v", got, got.Properties)
		}
	}
}
