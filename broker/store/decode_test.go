package store

import (
	"fmt"
	"strings"
	"testing"

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
