package server

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker/packets"
)

// TestOptionsOfEarlyConnections: who connects between listening and accepting, as all do after a restart, gets the same options
// as who comes later: without them its messages wait for its acknowledgements, 40 ms at a time.
func TestOptionsOfEarlyConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connect := func(id string) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write((&packets.Connect{Version: packets.V4, ClientID: id, CleanStart: true}).Append(nil, packets.V4))
		if id != "early" {
			io.ReadFull(c, make([]byte, 4))
		}
	}
	connect("early")
	r := (&rig{}).start(t)
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(t.Context(), Listener{Listener: l, Anonymous: true}) }()
	t.Cleanup(func() { <-served })
	connect("late") // accepted behind the early one
	r.Server.mu.Lock()
	defer r.Server.mu.Unlock()
	for c := range r.Server.conns {
		w := c.wire.(*looped)
		for name, option := range map[string][2]int{"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}} {
			w.out.mu.Lock()
			set, err := unix.GetsockoptInt(w.fd, option[0], option[1])
			w.out.mu.Unlock()
			if err != nil || set == 0 {
				t.Errorf("%s: %s is %d %v", c.remote, name, set, err)
			}
		}
	}
	if len(r.Server.conns) != 2 {
		t.Errorf("%d connections", len(r.Server.conns))
	}
}
