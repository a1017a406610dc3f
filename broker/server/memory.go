package server

import (
	"container/list"
	"sync"

	"edge/broker"
	"edge/broker/packets"
)

// What one connection may hold is bounded, and by that what a thousand of them may. But a thousand times a megabyte is more than
// an edge computer has to spare for strangers: so there is a bound for all, and who holds most, or longest, gives way.

// halfPackets are the large packets that are not whole yet. When they take more memory than they may, the one that was begun first
// is given up with its connection: who goes on sending is through before that.
type halfPackets struct {
	mu    sync.Mutex
	limit int64 // bytes; 0: none
	bytes int64
	begun list.List // of *halfPacket
	of    map[*conn]*list.Element
}

type halfPacket struct {
	c     *conn
	bytes int
}

// set says how much of a packet c holds, 0 when it is whole or gone.
func (u *halfPackets) set(c *conn, bytes int) {
	for _, late := range u.change(c, bytes) {
		late.refused(RefuseHalf, errHalfPackets)
		late.kick(broker.ReasonQuota, packets.QuotaExceeded)
	}
}

var errHalfPackets = &packets.Error{Code: packets.QuotaExceeded, Section: "4.13", Detail: "large packets that are not finished take as much memory as they may"}

// change returns the connections that have to go.
func (u *halfPackets) change(c *conn, bytes int) (late []*conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e := u.of[c]
	switch {
	case e == nil && bytes > 0:
		if u.of == nil {
			u.of = make(map[*conn]*list.Element)
		}
		e = u.begun.PushBack(&halfPacket{c: c})
		u.of[c] = e
	case e == nil:
		return nil
	}
	p := e.Value.(*halfPacket)
	u.bytes += int64(bytes - p.bytes)
	p.bytes = bytes
	if bytes == 0 {
		u.removeLocked(e)
	}
	for first := u.begun.Front(); first != nil && u.limit > 0 && u.bytes > u.limit; first = u.begun.Front() {
		other := first.Value.(*halfPacket)
		if other.c == c {
			break // one alone may be as large as a packet may be
		}
		u.bytes -= int64(other.bytes)
		u.removeLocked(first)
		late = append(late, other.c)
	}
	return late
}

func (u *halfPackets) removeLocked(e *list.Element) {
	delete(u.of, e.Value.(*halfPacket).c)
	u.begun.Remove(e)
}

// count tells the server what buf holds, after a change. Up to largeBuffer it does not matter, nor before the login, where a
// packet is small.
func (in *inbox) count() {
	bytes := cap(in.buf)
	if bytes <= largeBuffer || in.conn == nil || in.conn.client == nil {
		bytes = 0
	}
	if bytes != in.counted {
		in.counted = bytes
		in.conn.server.half.set(in.conn, bytes)
	}
}

// An outbox is counted into Server.outBytes when it has changed by outStep; below that it does not matter.
const outStep = 32 << 10

// crowdedOut is what a connection's outbox may hold while all together hold more than they may: who reads holds less.
const crowdedOut = 64 << 10

func (c *conn) countOutLocked() {
	o := &c.out
	if d := o.size - o.counted; d >= outStep || d <= -outStep || o.size == 0 && d != 0 {
		c.server.outBytes.Add(int64(d))
		o.counted = o.size
	}
}

// forgetOut counts out what a connection that is closed has not written.
func (c *conn) forgetOut() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.server.outBytes.Add(int64(-c.out.counted))
	c.out.counted = 0
}

// outLimit is how many bytes of messages may wait for the connection now.
func (c *conn) outLimit() int {
	limit, all := c.server.limits.OutBytes, c.server.limits.TotalOutBytes
	if all > 0 && c.server.outBytes.Load() > all {
		return min(limit, crowdedOut)
	}
	return limit
}
