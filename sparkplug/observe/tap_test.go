package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge/broker/packets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// echo is a server that sends back what it gets, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// A Tap passes packets on byte by byte and shows both directions; what is not MQTT ends the connection, and so does Cut.
func TestTap(t *testing.T) {
	w := NewWire(WireOptions{})
	tap, err := w.Tap("s", "127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	first := connect(packets.V5, death(5)).Append(nil, packets.V5)
	aliased := &packets.Publish{Topic: "a/b", TopicAlias: 3, Payload: []byte("1")}
	again := &packets.Publish{TopicAlias: 3, Payload: []byte("2")}
	talk := again.Append(aliased.Append(first, packets.V5), packets.V5)
	end := func(c net.Conn) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("the connection has not ended: %v", err)
		}
		_ = c.Close()
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", tap.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(talk); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, len(talk))
		if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(back, talk) {
			t.Fatalf("% x came back of % x: %v", back, talk, err)
		}
		return c
	}
	c := dial()
	if _, err := c.Write([]byte{0x00, 0x00}); err != nil { // no packet type
		t.Fatal(err)
	}
	end(c)
	c = dial()
	tap.Cut()
	end(c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = w.Wait(ctx, func(log []Entry) bool {
		ends, topics := 0, 0
		for _, e := range log {
			if e.Packet == nil {
				ends++
			}
			if p, ok := e.Packet.(*packets.Publish); ok && p.Topic == "a/b" && e.Server == "s" {
				topics++
			}
		}
		return ends == 2 && topics == 8 // two messages, there and back, twice
	})
	if err != nil {
		t.Errorf("%v: %d entries", err, len(w.Log()))
	}
}

// FuzzWire: no packet that decodes makes a Wire panic, whoever sends it.
func FuzzWire(f *testing.F) {
	var whole []byte
	for _, s := range nodeLife() {
		if s.p != nil {
			whole = s.p.Append(whole, packets.V5)
		}
	}
	f.Add(whole, uint64(0xffffffff))
	f.Add(whole, uint64(0b1110000111101110001))
	f.Fuzz(func(t *testing.T, stream []byte, directions uint64) {
		w := NewWire(WireOptions{PrimaryHost: "scada", Servers: 2, Devices: []string{"D"}})
		c := w.Open("s")
		for n := 0; n < 64; n++ {
			length, complete, err := packets.FrameLength(stream, 0)
			if err != nil || !complete {
				break
			}
			if p, err := packets.Decode(packets.V5, stream[:length]); err == nil {
				c.Packet(directions>>n&1 == 1, p)
			}
			stream = stream[length:]
		}
		c.Closed()
	})
}
