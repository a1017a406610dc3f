package server

import (
	"math/bits"
	"sync"
)

// buffers are the memory of packets that are not whole yet and of outboxes that have something to write; quiet connections have none. It
// is used again, or a client that makes others of it all the time, and more of them than messages, would keep the garbage collector
// at work for everyone. The zero value works; nil keeps nothing.
type buffers struct {
	mu   sync.Mutex
	free [classes][][]byte // by classOf
	size int               // of all that are free, at most keepBuffers
}

const (
	keepBuffers = 8 << 20
	classes     = 10 // the largest has 2 MiB
)

// classOf is the class of the smallest buffers that have n bytes: those of class c have smallBuffer<<c.
func classOf(n int) int { return bits.Len(uint((n - 1) / smallBuffer)) }

// take returns an empty buffer with room for n bytes at least.
func (p *buffers) take(n int) []byte {
	class := classOf(n)
	if p != nil && class < classes {
		if b := p.kept(class); b != nil {
			return b
		}
	}
	if n <= partBuffer {
		n = smallBuffer << class
	}
	return make([]byte, 0, n)
}

// kept returns a free buffer of that class, or, rather than none, of one that is larger and still small; nil: there is none.
func (p *buffers) kept(class int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := class; c < classes && (c == class || smallBuffer<<c <= partBuffer); c++ {
		if last := len(p.free[c]) - 1; last >= 0 {
			b := p.free[c][last]
			p.free[c][last] = nil
			p.free[c] = p.free[c][:last]
			p.size -= cap(b)
			return b
		}
	}
	return nil
}

// space returns a buffer of n bytes. What is in it is anything.
func (p *buffers) space(n int) []byte { return p.take(n)[:n] }

// give takes a buffer back that nobody has any more, unless there is enough.
func (p *buffers) give(b []byte) {
	if p == nil {
		return
	}
	class := classOf(cap(b))
	if class >= classes || cap(b) != smallBuffer<<class {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size+cap(b) <= keepBuffers {
		p.free[class] = append(p.free[class], b[:0])
		p.size += cap(b)
	}
}
