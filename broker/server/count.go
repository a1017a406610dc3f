package server

import (
	"sync/atomic"

	"edge/broker"
)

// received counts what one connection has read. Its reader alone writes it, so that no line of memory is shared
// between connections; Stats adds all of them up.
type received struct {
	messages [3]atomic.Uint64 // by QoS
	payload  atomic.Uint64    // bytes of them
	others   atomic.Uint64    // packets of other types
	bytes    atomic.Uint64
}

func (r *received) message(qos byte, payload int) {
	r.messages[qos].Add(1)
	r.payload.Add(uint64(payload))
}

func (r *received) traffic() (t broker.Traffic) {
	for qos := range t.Messages {
		t.Messages[qos] = r.messages[qos].Load()
	}
	t.Packets = t.Publishes() + r.others.Load()
	t.Bytes, t.PayloadBytes = r.bytes.Load(), r.payload.Load()
	return t
}

// sent counts what was appended to one outbox, under its lock.
type sent struct {
	messages [3]uint64
	payload  uint64
	others   uint64
	bytes    uint64
}

func (s *sent) message(qos byte, payload, size int) {
	s.messages[qos]++
	s.payload += uint64(payload)
	s.bytes += uint64(size)
}

func (s *sent) packet(size int) {
	s.others++
	s.bytes += uint64(size)
}

// traffic returns what has been written, and how many bytes wait to be.
func (o *outbox) traffic() (t broker.Traffic, waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t = broker.Traffic{Messages: o.sent.messages, Bytes: o.sent.bytes - uint64(o.size), PayloadBytes: o.sent.payload}
	t.Packets = t.Publishes() + o.sent.others
	return t, o.size
}

// totals is the traffic of all connections, ended ones included.
type totals struct {
	received, sent broker.Traffic
	waiting        int64 // bytes in outboxes
}

func (t *totals) add(c *conn) {
	out, waiting := c.out.traffic()
	t.received.Add(c.received.traffic())
	t.sent.Add(out)
	t.waiting += int64(waiting)
}
