package server

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"edge/broker/packets"
)

// TestFlushInPart has turns write to a TCP client that reads nothing until the kernel takes only a part: writeLoop goes on
// behind it, and the client gets every packet whole and in order.
func TestFlushInPart(t *testing.T) {
	r := (&rig{limits: Limits{OutBytes: 1 << 28}}).start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Server.Serve(ctx, Listener{Listener: l, Anonymous: true}) })
	defer wg.Wait()
	defer cancel()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(time.Minute))
	peer.Write((&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true, KeepAlive: 60}).Append(nil, packets.V4))
	io.ReadFull(peer, make([]byte, 4))

	r.Server.mu.Lock()
	var c *conn
	for c = range r.Server.conns {
	}
	r.Server.mu.Unlock()
	const n = 20000 // times 1 KB: more than the kernel holds
	var turn turn
	inPart := false
	for i := range n {
		payload := make([]byte, 1024)
		binary.BigEndian.PutUint32(payload, uint32(i))
		shared := packets.Share(packets.V4, "t", nil, payload)
		c.sendShared(&shared, &packets.Delivery{}, shared.Size(&packets.Delivery{}), true, &turn)
		if i%7 == 0 {
			c.out.mu.Lock()
			c.out.written = time.Time{} // as if it had been quiet
			c.out.mu.Unlock()
			turn.flush()
			c.out.mu.Lock()
			inPart = inPart || len(c.out.rest) > 0 || c.out.writing
			c.out.mu.Unlock()
		}
	}
	turn.flush()
	if !inPart {
		t.Error("the kernel took everything: nothing is shown")
	}
	packet := make([]byte, 3+3+1024)
	for i := range n {
		if _, err := io.ReadFull(peer, packet); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(packet[6:]); packet[0] != 0x30 || got != uint32(i) {
			t.Fatalf("packet %d is %x, number %d", i, packet[:6], got)
		}
	}
}
