package server

import (
	"sync"
	"time"

	"edge/broker/packets"
)

// inbox is the bytes read and not yet handled. It grows with the bytes that have come, never with a length
// that a client claims, and holds no memory while nothing is there.
type inbox struct {
	buf      []byte // buf[r:w] is not handled yet
	r, w     int
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

// free gives the memory back; what was not handled is forgotten.
func (in *inbox) free() {
	if in.fallback != nil {
		smallBuffers.Put(in.fallback)
		in.fallback, in.buf = nil, nil
	}
	in.r, in.w = 0, 0
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

// keep takes over bytes that lie in memory which is about to be used again.
func (in *inbox) keep(b []byte) {
	for len(b) > 0 {
		n := copy(in.space(), b)
		in.w += n
		b = b[n:]
	}
}

// waiting returns the bytes that are not handled yet.
func (in *inbox) waiting() []byte { return in.buf[in.r:in.w] }

// next returns the packet at the start of b, nil while it is not whole, and what is behind it. limit is the largest
// packet taken; a Remaining Length above it is an error before the body has come.
func (in *inbox) next(b []byte, limit int) (frame, rest []byte, err error) {
	n, whole, err := packets.FrameLength(b, limit)
	switch {
	case err != nil:
		return nil, b, err
	case whole:
		in.begun = time.Time{}
		return b[:n], b[n:], nil
	}
	if len(b) > 0 && in.begun.IsZero() {
		in.begun = in.heard
	}
	return nil, b, nil
}
