package server

import (
	"syscall"
	"time"
)

// A turn writes itself what the kernel takes at once, where that is cheaper than to wake a writer: to few connections, and
// not to one that is written to all the time, where waking lets more gather for one write.
const (
	writeFew   = 4
	writeApart = 100 * time.Microsecond
)

// direct is a TCP connection's file descriptor, for writes that do not wait.
type direct struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // made once: it does not allocate
	buf   []byte                // what to write; guarded by outbox.writing
	n     int                   // what was written
}

func newDirect(c syscall.Conn) *direct {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.write = func(fd uintptr) bool {
		d.n, _ = syscall.Write(int(fd), d.buf) // an error shows again in writeLoop
		return true                            // never wait
	}
	return d
}

// try writes what the kernel takes of buf.
func (d *direct) try(buf []byte) int {
	d.buf, d.n = buf, 0
	d.raw.Write(d.write) // fails when the write deadline has passed: writeLoop sets a new one
	d.buf = nil
	return max(d.n, 0)
}

// flush writes what has gathered, or wakes writeLoop to do it.
func (c *conn) flush(few bool) {
	o := &c.out
	o.mu.Lock()
	o.dirty = false
	if !few || c.direct == nil || o.writing || o.closing || len(o.buf) == 0 || len(o.rest) > 0 || len(o.large) > 0 {
		o.mu.Unlock()
		c.signal()
		return
	}
	now := time.Now()
	apart := now.Sub(o.written) >= writeApart
	o.written = now
	if !apart {
		o.mu.Unlock()
		c.signal()
		return
	}
	buf := o.buf
	o.buf, o.spare, o.writing = o.spare, nil, true
	o.mu.Unlock()
	c.flushed(buf, c.direct.try(buf))
}

// flushed ends a turn's write; writeLoop goes on with what is left or has come since.
func (c *conn) flushed(buf []byte, n int) {
	o := &c.out
	if n == len(buf) {
		c.wrote(buf, n)
	} else {
		o.mu.Lock()
		o.size -= n
		o.rest, o.writing = buf[n:], false
		o.mu.Unlock()
	}
	o.mu.Lock()
	more := len(o.buf) > 0 || len(o.rest) > 0 || o.closing
	o.mu.Unlock()
	if more {
		c.signal()
	}
	c.client.roomAgain(c)
}
