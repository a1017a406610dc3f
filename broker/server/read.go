package server

import (
	"errors"
	"os"
	"sync"
	"time"

	"edge/broker/packets"
)

// inbox is the bytes read and not yet handled. It grows with the bytes that have come, never with a length
// that a client claims.
type inbox struct {
	buf      []byte // buf[r:w] is not handled yet
	r, w     int
	armed    time.Time // the read deadline that is set on the connection
	heard    time.Time // when bytes came last
	begun    time.Time // when the first bytes of a packet came that is not whole yet; zero if none is
	fallback *[]byte   // from the pool, kept while a larger buffer is in use
}

// smallBuffer is what a connection begins with, keepBuffer what it keeps after a larger packet has passed, and
// largeBuffer what it keeps to write from.
const (
	smallBuffer = 4 << 10
	keepBuffer  = 16 << 10
	largeBuffer = 64 << 10
)

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}

func (in *inbox) free() {
	if in.fallback != nil {
		smallBuffers.Put(in.fallback)
		in.fallback, in.buf = nil, nil
	}
}

// space returns where to read to, making room first.
func (in *inbox) space() []byte {
	if in.fallback == nil {
		in.fallback = smallBuffers.Get().(*[]byte)
		in.buf = *in.fallback
	}
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
		if len(in.buf) > keepBuffer {
			in.buf = *in.fallback
		}
	case in.r > 0 && in.w == len(in.buf):
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.buf) {
		in.buf = append(make([]byte, 0, 2*len(in.buf)), in.buf...)
		in.buf = in.buf[:cap(in.buf)]
	}
	return in.buf[in.w:]
}

// readFrame returns the next packet; it stays valid until the next call. between is called before waiting for bytes.
// limit is the largest packet taken and deadline says until when to wait.
func (c *conn) readFrame(limit int, between func() error, deadline func() time.Time) ([]byte, error) {
	in := &c.in
	for {
		n, whole, err := packets.FrameLength(in.buf[in.r:in.w], limit)
		if err != nil {
			return nil, err // also for a Remaining Length above the limit, before its body is read
		}
		if whole {
			frame := in.buf[in.r : in.r+n]
			in.r += n
			in.begun = time.Time{}
			return frame, nil
		}
		if in.r < in.w && in.begun.IsZero() {
			in.begun = in.heard
		}
		if err := between(); err != nil {
			return nil, err
		}
		if err := c.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// fill reads what has come, waiting until the deadline for the first byte. The deadline is set on the connection
// only when the one that is set would come too late; if it comes too early, fill waits on.
func (c *conn) fill(deadline func() time.Time) error {
	in := &c.in
	space := in.space()
	for {
		until := deadline()
		if !until.Equal(in.armed) && (in.armed.IsZero() || until.IsZero() || until.Before(in.armed) || !in.armed.After(c.server.now())) {
			if err := c.net.SetReadDeadline(until); err != nil {
				return err
			}
			in.armed = until
			if c.reasonKicked() != "" { // kick set a deadline that this one may have undone
				return os.ErrDeadlineExceeded
			}
		}
		n, err := c.net.Read(space)
		if n > 0 {
			in.w += n
			c.received.bytes.Add(uint64(n))
			in.heard = c.server.now()
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.reasonKicked() != "" {
			return err
		}
		if until = deadline(); !until.IsZero() && !c.server.now().Before(until) {
			return err
		}
	}
}

// readLoop reads, and handles what was read, until the connection ends. What one read caused to be written goes out
// in one write per connection when it has been handled.
func (c *conn) readLoop() error {
	defer c.deliver.turn.flush()
	c.deliver.now = c.server.now()
	between := func() error {
		c.deliver.turn.flush()
		c.waitForRoom()
		return nil
	}
	for {
		frame, err := c.readFrame(c.server.limits.PacketBytes, between, c.readDeadline)
		if err != nil {
			return c.explain(err)
		}
		c.deliver.now = c.in.heard
		if err := c.handle(frame); err != nil {
			return err
		}
	}
}

// readDeadline is one and a half times the keep alive after the last byte [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24], or the end
// of the time that a packet may take.
func (c *conn) readDeadline() time.Time {
	var until time.Time
	if c.keepAlive > 0 {
		until = c.in.heard.Add(c.keepAlive + c.keepAlive/2)
	}
	if limit := c.server.limits.PacketTimeout; limit > 0 && !c.in.begun.IsZero() {
		if end := c.in.begun.Add(limit); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return until
}

// explain turns a passed deadline into the reason for which it was set.
func (c *conn) explain(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.reasonKicked() != "" {
		return err
	}
	if !c.in.begun.IsZero() {
		c.server.counters.refused(RefusePacketTime)
		return &packets.Error{Code: packets.ProtocolError, Section: "4.13", Detail: "packet not finished in time"}
	}
	return errKeepAlive
}

// handle takes one packet.
func (c *conn) handle(frame []byte) error {
	t := packets.Type(frame[0] >> 4)
	if t == packets.TypePublish {
		return c.handlePublish(frame)
	}
	c.received.others.Add(1)
	p, err := packets.Decode(c.version, frame)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packets.Puback:
		return c.handlePuback(p)
	case *packets.Pubrec:
		return c.handlePubrec(p)
	case *packets.Pubrel:
		return c.handlePubrel(p)
	case *packets.Pubcomp:
		return c.handlePubcomp(p)
	case *packets.Subscribe:
		return c.handleSubscribe(p)
	case *packets.Unsubscribe:
		return c.handleUnsubscribe(p)
	case *packets.Pingreq:
		c.sendPacket(&packets.Pingresp{}) // [MQTT-3.12.4-1]
		return nil
	case *packets.Disconnect:
		return c.handleDisconnect(p)
	}
	// CONNECT a second time, AUTH without a method in CONNECT, and what only a server sends [MQTT-3.1.0-2]
	// [MQTT-4.12.0-7]
	return &packets.Error{Code: packets.ProtocolError, Section: "2.1.2", Detail: t.String() + " is not expected here"}
}
