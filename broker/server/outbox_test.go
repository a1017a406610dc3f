package server

import (
	"bytes"
	"testing"

	"edge/broker/packets"
)

// TestOutboxParts: what gathers for a client that does not read lies in parts of bounded size, none of which is copied to grow further,
// and comes out in its order, also when the last packet is one that the client does not take.
func TestOutboxParts(t *testing.T) {
	var mem buffers
	var o outbox
	var want []byte
	for i := range 5000 {
		payload := bytes.Repeat([]byte{byte(i)}, 1+i%300)
		if i%100 == 0 {
			payload = bytes.Repeat([]byte{byte(i)}, copyBelow+i)
		}
		shared := packets.Share(packets.V4, "a", nil, payload)
		o.appendLocked(&mem, &shared, &packets.Delivery{}, shared.Size(&packets.Delivery{}))
		want = shared.Append(want, &packets.Delivery{})
	}
	for len(o.buf) < fullPart { // the next packet begins a part
		o.buf = packets.AppendPlainAck(o.buf, packets.TypePuback, 1)
		want = packets.AppendPlainAck(want, packets.TypePuback, 1)
	}
	o.readyLocked(&mem, plainAck) // and is not appended
	var got []byte
	for !o.nothingLocked() {
		buf, large := o.takeLocked()
		if cap(buf) > 4*partBuffer {
			t.Errorf("a part of %d bytes", cap(buf))
		}
		for _, piece := range appendPieces(nil, buf, large) {
			got = append(got, piece...)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came out, %d went in, or not in their order", len(got), len(want))
	}
}
