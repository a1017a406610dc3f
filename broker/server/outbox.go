package server

import (
	"net"
	"sync"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

// outbox is what waits to be written to one connection.
type outbox struct {
	// Owned by writeLoop.
	armed  time.Time // the write deadline that is set on the connection
	pieces net.Buffers

	mu      sync.Mutex
	buf     []byte    // encoded packets
	spare   []byte    // memory for the next buf
	large   []payload // payloads that are not copied into buf
	size    int       // bytes in buf and large, and those being written
	sent    sent
	dirty   bool      // some turn will flush it
	writing bool      // writeLoop or a turn is writing
	rest    []byte    // what a turn's write left over: goes before buf
	written time.Time // when a turn wrote last
	closing bool      // nothing is taken any more; writeLoop writes the rest and closes
	aborted bool      // the rest is not written
	room    sync.Cond // size went down, or closing

	// Acknowledgements and QoS 2 packets that wait until the journal is durable, each in their order [MQTT-4.6.0-2].
	acks      []ack
	held      []heldSend
	listed    bool // in Server.waiting
	receiving int  // QoS 1 and 2 messages of the client that are not acknowledged, see Receive Maximum
}

// payload belongs behind buf[:at].
type payload struct {
	at    int
	bytes []byte
}

// ack is one acknowledgement; it goes out when index is durable.
type ack struct {
	index  broker.Index
	kind   packets.Type
	code   packets.ReasonCode
	id     uint16
	packet packets.Packet // SUBACK and UNSUBACK
}

type heldSend struct {
	index broker.Index
	send  session.Send
}

// copyBelow is the payload size up to which copying is cheaper than a piece of its own in writev.
const copyBelow = 2 << 10

// appendLocked appends one PUBLISH.
func (o *outbox) appendLocked(shared *packets.Shared, d *packets.Delivery, size int) {
	if p := shared.Payload(); len(p) < copyBelow {
		o.buf = shared.Append(o.buf, d)
	} else {
		o.buf = shared.AppendHead(o.buf, d)
		o.large = append(o.large, payload{len(o.buf), p})
	}
	o.size += size
	o.sent.message(d.QoS, len(shared.Payload()), size)
}

// outcome is what became of a PUBLISH.
type outcome uint8

const (
	taken  outcome = iota
	noRoom         // the connection has too much waiting
	gone           // the connection is closing
)

// sendShared appends a PUBLISH. Unless must is set it is left out when the connection has no room for it.
func (c *conn) sendShared(shared *packets.Shared, d *packets.Delivery, size int, must bool, t *turn) outcome {
	o := &c.out
	o.mu.Lock()
	switch {
	case o.closing:
		o.mu.Unlock()
		return gone
	case !must && o.size > 0 && o.size+size > c.server.limits.OutBytes:
		o.mu.Unlock()
		return noRoom
	}
	o.appendLocked(shared, d, size)
	c.unlockAndMark(t)
	return taken
}

// unlockAndMark ends a change of the outbox; the turn flushes it.
func (c *conn) unlockAndMark(t *turn) {
	first := !c.out.dirty
	c.out.dirty = true
	c.out.mu.Unlock()
	if first {
		t.conns = append(t.conns, c)
	}
}

// sendPacket appends a packet that answers one of the client's.
func (c *conn) sendPacket(p packets.Packet) {
	o := &c.out
	o.mu.Lock()
	c.appendPacketLocked(p)
	c.unlockAndMark(&c.deliver.turn)
}

func (c *conn) appendPacketLocked(p packets.Packet) {
	o := &c.out
	if o.closing {
		return
	}
	before := len(o.buf)
	o.buf, _ = packets.AppendWithin(o.buf, c.version, p, c.maxPacket)
	if size := len(o.buf) - before; size > 0 {
		o.size += size
		o.sent.packet(size)
	}
}

// freeRoom returns how many bytes of messages the connection takes now.
func (c *conn) freeRoom() int64 {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closing {
		return 0
	}
	return int64(c.server.limits.OutBytes - c.out.size)
}

// waitForRoom keeps readLoop from reading more from a client that does not read what it caused: answers, or, in
// 3.1.1, which has no Receive Maximum, acknowledgements that wait for the disk.
func (c *conn) waitForRoom() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closing && c.reasonKicked() == "" && (o.size > c.server.limits.OutBytes || len(o.acks) > c.server.limits.ReceiveMaximum) {
		o.room.Wait()
	}
}

// closeOut appends a last packet (nil: none; 3.1.1 has none [MQTT-3.14.0-1]) and lets writeLoop write the rest and close.
func (c *conn) closeOut(last *packets.Disconnect) {
	o := &c.out
	o.mu.Lock()
	if last != nil && c.version == packets.V5 && last.Code.Listed(packets.TypeDisconnect) {
		c.appendPacketLocked(last)
	}
	o.closing = true
	o.room.Broadcast()
	o.mu.Unlock()
	c.net.SetWriteDeadline(time.Now().Add(lastWrite))
	c.signal()
}

// lastWrite is how long the last bytes may take: another connection may be waiting for this session.
const lastWrite = time.Second

// abort lets writeLoop end at once.
func (c *conn) abort() {
	c.out.mu.Lock()
	c.out.closing, c.out.aborted = true, true
	c.out.room.Broadcast()
	c.out.mu.Unlock()
	c.net.Close()
	c.signal()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // writeLoop is about to look anyway
	}
}

// startWriting starts writeLoop; serve waits for it.
func (c *conn) startWriting() { go c.writeLoop() }

// writeLoop writes all that has gathered at each wake-up, by one write, until the connection is closed.
func (c *conn) writeLoop() {
	defer close(c.written)
	defer c.net.Close()
	o := &c.out
	for {
		o.mu.Lock()
		for o.writing || len(o.buf) == 0 && len(o.rest) == 0 && !o.closing {
			o.mu.Unlock()
			<-c.wake
			o.mu.Lock()
		}
		buf, large := o.rest, []payload(nil)
		if o.rest = nil; len(buf) == 0 {
			buf, large = o.buf, o.large
			o.buf, o.large, o.spare = o.spare, nil, nil
		}
		stop := o.aborted || len(buf) == 0
		o.writing = !stop
		o.mu.Unlock()
		if stop {
			return
		}
		n, err := c.write(buf, large)
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.wrote(buf, n)
		c.client.roomAgain(c)
	}
}

// wrote ends a write of buf, of which n bytes are on their way.
func (c *conn) wrote(buf []byte, n int) {
	o := &c.out
	o.mu.Lock()
	o.size -= n
	o.writing = false
	if cap(buf) <= largeBuffer {
		o.spare = buf[:0]
	}
	o.room.Broadcast()
	o.mu.Unlock()
}

// write writes buf with the large payloads at their places.
func (c *conn) write(buf []byte, large []payload) (n int, err error) {
	c.armWrite()
	if len(large) == 0 {
		return c.net.Write(buf)
	}
	pieces, at := c.out.pieces[:0], 0
	for _, p := range large {
		if p.at > at {
			pieces = append(pieces, buf[at:p.at])
			at = p.at
		}
		pieces = append(pieces, p.bytes)
	}
	if at < len(buf) {
		pieces = append(pieces, buf[at:])
	}
	c.out.pieces = pieces // WriteTo moves its receiver; this keeps the memory
	written, err := pieces.WriteTo(c.net)
	clear(c.out.pieces[:cap(c.out.pieces)])
	return int(written), err
}

// armWrite sets the write deadline when less than half of the time is left.
func (c *conn) armWrite() {
	limit := c.server.limits.WriteTimeout
	if limit <= 0 {
		return
	}
	now := time.Now()
	if c.out.armed.Sub(now) >= limit/2 {
		return
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if !c.out.closing { // closeOut has set an earlier one
		c.out.armed = now.Add(limit)
		c.net.SetWriteDeadline(c.out.armed)
	}
}

// writeFailed ends the connection of a client that does not read or is gone.
func (c *conn) writeFailed(err error) {
	o := &c.out
	o.mu.Lock()
	wasClosing := o.closing
	o.closing, o.aborted = true, true
	o.room.Broadcast()
	o.mu.Unlock()
	if !wasClosing && isTimeout(err) {
		c.kickMu.Lock()
		if c.kicked == "" {
			c.kicked = broker.ReasonSlow
		}
		c.kickMu.Unlock()
		c.server.counters.refused(RefuseSlow)
	}
	c.net.Close()
}

// turn is what one goroutine has to do when it has handled what it had: with no client's lock held.
type turn struct {
	conns   []*conn // something was appended to their outbox and not flushed yet
	release *Server // a commit may have released something while a lock was held
}

// flush wakes the writers.
func (t *turn) flush() {
	if s := t.release; s != nil {
		t.release = nil
		s.release()
	}
	few := len(t.conns) <= writeFew
	for i, c := range t.conns {
		c.flush(few)
		t.conns[i] = nil
	}
	t.conns = t.conns[:0]
}
