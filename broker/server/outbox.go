package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

// outbox is what waits to be written to one connection.
type outbox struct {
	mu      sync.Mutex
	buf     []byte    // encoded packets; nil while there are none
	large   []payload // payloads that are not copied into buf
	parts   []part    // what gathered before buf, the earliest first
	size    int       // bytes in buf and large, and those being written
	counted int       // of size, in Server.outBytes
	sent    sent
	dirty   bool // some turn will flush it
	closing bool // nothing is taken any more; the rest is written and the connection closed
	aborted bool // the rest is not written

	// Acknowledgements, and QoS 2 packets with what comes behind them, that wait until the journal is durable, each in their order [MQTT-4.6.0-2].
	acks      []ack
	answers   int // bytes of the packets in acks, about
	held      []heldSend
	holding   atomic.Bool  // held is not empty
	disk      broker.Index // no more is read until this is durable
	listed    bool         // in Server.waiting
	clock     clock        // of acks
	heldClock clock        // of held
	receiving int          // QoS 1 and 2 messages of the client that are not acknowledged, see Receive Maximum
}

// part is what gathered before buf.
type part struct {
	buf   []byte
	large []payload
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
	why    string         // the Reason String, if the client wants to know
	packet packets.Packet // SUBACK and UNSUBACK
}

// bytes is about what the packet of a takes: a byte for each code.
func (a *ack) bytes() int {
	switch p := a.packet.(type) {
	case *packets.Suback:
		return len(p.Codes)
	case *packets.Unsuback:
		return len(p.Codes)
	}
	return 0
}

type heldSend struct {
	index broker.Index
	send  session.Send
}

// copyBelow is the payload size up to which copying is cheaper than a piece of its own in writev.
const copyBelow = 2 << 10

// lastWrite is how long the last bytes may take: another connection may be waiting for this session. lingering is how
// long a refused client has to read why.
const (
	lastWrite = time.Second
	lingering = lastWrite / 4
)

// readyLocked sees to it that there is a buffer with room for a packet of size bytes, or about that. One that has gathered a part is not
// made longer, which would copy it, for all the connections that do not read at about the same time: it waits as it is.
func (o *outbox) readyLocked(mem *buffers, size int) {
	if len(o.buf) >= fullPart {
		o.parts = append(o.parts, part{o.buf, o.large})
		o.buf, o.large = nil, nil
	}
	switch {
	case o.buf == nil && len(o.parts) > 0: // who has not read a part will hardly read what comes now
		o.buf = mem.take(partBuffer)
	case o.buf == nil:
		o.buf = mem.take(smallBuffer)
	case cap(o.buf)-len(o.buf) < size && cap(o.buf) < partBuffer:
		longer := append(mem.take(min(max(2*cap(o.buf), len(o.buf)+size), partBuffer)), o.buf...)
		mem.give(o.buf)
		o.buf = longer
	}
}

// nothingLocked tells that nothing waits for who writes.
func (o *outbox) nothingLocked() bool { return len(o.buf) == 0 && len(o.parts) == 0 }

// takeLocked hands a part of what has gathered over to who writes it, the earliest.
func (o *outbox) takeLocked() (buf []byte, large []payload) {
	if len(o.parts) > 0 {
		first := o.parts[0]
		o.parts[0] = part{}
		if o.parts = o.parts[1:]; len(o.parts) == 0 {
			o.parts = nil
		}
		return first.buf, first.large
	}
	buf, large = o.buf, o.large
	o.buf, o.large = nil, nil
	return buf, large
}

// appendPieces appends buf with the large payloads at their places, without copying either.
func appendPieces(pieces net.Buffers, buf []byte, large []payload) net.Buffers {
	at := 0
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
	return pieces
}

// appendLocked appends one PUBLISH.
func (o *outbox) appendLocked(mem *buffers, shared *packets.Shared, d *packets.Delivery, size int) {
	if p := shared.Payload(); len(p) < copyBelow {
		o.readyLocked(mem, size)
		o.buf = shared.Append(o.buf, d)
	} else {
		o.readyLocked(mem, size-len(p))
		o.buf = shared.AppendHead(o.buf, d)
		o.large = append(o.large, payload{len(o.buf), p})
	}
	o.size += size
	o.sent.message(d.QoS, len(shared.Payload()), size)
}

// outcome is what became of a PUBLISH.
type outcome uint8

const (
	taken    outcome = iota
	noRoom           // the connection has too much waiting
	gone             // the connection is closing
	tooLarge         // above the client's Maximum Packet Size
)

// sendShared appends a PUBLISH. Unless must is set it is left out when the connection has no room for it.
func (c *conn) sendShared(shared *packets.Shared, d *packets.Delivery, size int, must bool, t *turn) outcome {
	o := &c.out
	o.mu.Lock()
	switch {
	case o.closing:
		o.mu.Unlock()
		return gone
	case !must && !o.hasRoomLocked(size, c.outLimit()):
		o.mu.Unlock()
		c.traceMessage(shared, d, size, noRoom)
		return noRoom
	}
	o.appendLocked(&c.server.buffers, shared, d, size)
	c.traceMessage(shared, d, size, taken)
	c.unlockAndMark(t)
	return taken
}

// hasRoomLocked tells whether one more packet fits into limit. One that is larger than all of it has to wait for no more than another
// such, or it would hardly ever find the outbox empty.
func (o *outbox) hasRoomLocked(size, limit int) bool {
	return o.size+size <= limit || size > limit && o.size <= limit
}

// unlockAndMark ends a change of the outbox; the turn flushes it.
func (c *conn) unlockAndMark(t *turn) {
	c.countOutLocked()
	first := !c.out.dirty
	c.out.dirty = true
	t.large = t.large || len(c.out.buf) >= fullPart
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

// fits tells whether the client takes a packet of that size, without its reason string and user properties if need be [MQTT-3.1.2-24].
func (c *conn) fits(p packets.Packet) bool {
	if c.maxPacket == 0 {
		return true
	}
	_, ok := packets.AppendWithin(nil, c.version, p, c.maxPacket)
	return ok
}

func (c *conn) appendPacketLocked(p packets.Packet) {
	o := &c.out
	if o.closing {
		return
	}
	o.readyLocked(&c.server.buffers, aPacket)
	before := len(o.buf)
	o.buf, _ = packets.AppendWithin(o.buf, c.version, p, c.maxPacket)
	if size := len(o.buf) - before; size > 0 {
		o.size += size
		o.sent.packet(size)
		c.tracePacket(p, size)
	}
}

// appendPlainLocked appends one of PUBACK, PUBREC, PUBREL and PUBCOMP that says success.
func (c *conn) appendPlainLocked(t packets.Type, id uint16) {
	o := &c.out
	if o.closing || c.maxPacket > 0 && c.maxPacket < plainAck {
		return
	}
	o.readyLocked(&c.server.buffers, plainAck)
	o.buf = packets.AppendPlainAck(o.buf, t, id)
	o.size += plainAck
	o.sent.packet(plainAck)
	c.traceAck(t, id)
}

const (
	plainAck = 4   // bytes
	aPacket  = 128 // that most of the others have at most
)

// freeRoom returns how many bytes of messages the connection takes now.
func (c *conn) freeRoom() int64 {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closing {
		return 0
	}
	return int64(c.outLimit() - c.out.size)
}

// fullLocked tells whether no more is to be read from a client that does not read what it caused: answers, or, in
// 3.1.1, which has no Receive Maximum, acknowledgements that wait for the disk; or that has more sent to it, by saying PUBREC
// again, than its window has; or while the disk has much to do.
func (c *conn) fullLocked() bool {
	o, l := &c.out, &c.server.limits
	return !o.closing && (o.size+o.answers > l.OutBytes || len(o.acks) > l.ReceiveMaximum || len(o.held) > l.window() || o.disk > 0)
}

// closeOut appends a last packet (nil: none; 3.1.1 has none [MQTT-3.14.0-1]) and has the rest written and the connection closed.
func (c *conn) closeOut(last *packets.Disconnect) {
	o := &c.out
	o.mu.Lock()
	if last != nil && c.version == packets.V5 && last.Code.Listed(packets.TypeDisconnect) {
		c.appendPacketLocked(last)
	}
	o.closing = true
	c.wire.roomLocked()
	o.mu.Unlock()
	c.wire.closing()
}

// abort has the connection closed at once.
func (c *conn) abort() {
	c.stopWriting()
	c.wire.cut()
}

// stopWriting lets nothing be written any more; it tells whether that was settled before.
func (c *conn) stopWriting() (before bool) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	before = o.closing
	o.closing, o.aborted = true, true
	c.wire.roomLocked()
	return before
}

// turn is what one goroutine has to do when it has handled what it had: with no client's lock held.
type turn struct {
	conns   []*conn // something was appended to their outbox and not flushed yet
	large   bool    // one has gathered so much that a write is worth its while
	release *Server // a commit may have released something while a lock was held
}

// flush has everything written.
func (t *turn) flush() {
	if s := t.release; s != nil {
		t.release = nil
		s.release()
	}
	for i, c := range t.conns {
		t.conns[i] = nil
		c.wire.flush()
	}
	t.conns, t.large = t.conns[:0], false
}
