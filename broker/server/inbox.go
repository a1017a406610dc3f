package server

import (
	"bytes"
	"time"

	"edge/broker/packets"
)

// inbox is the bytes read and not yet handled. It grows with the bytes that have come, never with a length
// that a client claims, and holds no memory while nothing is there.
type inbox struct {
	conn    *conn    // whose it is
	mem     *buffers // where buf comes from
	buf     []byte   // buf[r:w] is not handled yet
	r, w    int
	counted int       // bytes of buf, in Server.half
	need    int       // length of the packet that is not whole yet; 0 while that is not known
	given   bool      // buf[:r] belongs to a message
	heard   time.Time // when bytes came last
	begun   time.Time // when the first bytes of a packet came that is not whole yet; zero if none is
}

// smallBuffer is what a connection begins with, keepBuffer what it keeps after a larger packet has passed, largeBuffer from where on a
// packet is large, partBuffer how much output gathers to be written at once, and fullPart from where on it is a part: the next small
// packet would have it copied.
const (
	smallBuffer = 4 << 10
	keepBuffer  = 16 << 10
	largeBuffer = 64 << 10
	partBuffer  = 32 << 10
	fullPart    = partBuffer - copyBelow
)

// free gives the memory back; what was not handled is forgotten.
func (in *inbox) free() {
	in.change(nil)
	in.r, in.w, in.need = 0, 0, 0
	in.count()
}

// change puts buf in the place of in.buf, which somebody else may use from now on unless it was given away.
func (in *inbox) change(buf []byte) {
	if in.buf != nil && !in.given {
		in.mem.give(in.buf)
	}
	in.buf, in.given = buf, false
}

// space returns where to read to, making room first.
func (in *inbox) space() []byte {
	if in.given {
		in.leave()
	}
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
		if len(in.buf) > keepBuffer || in.buf == nil {
			in.change(in.mem.space(smallBuffer))
		}
	case in.r > 0 && in.w == len(in.buf):
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.buf) {
		longer := in.mem.space(lengthFor(len(in.buf), in.need))
		copy(longer, in.buf)
		in.change(longer)
	}
	in.count()
	return in.buf[in.w:]
}

// lengthFor is how long a buffer is made that have bytes fill: twice as long, or just as long as a large packet is once a quarter
// of it has come, or as the buffers that are used again, if that fills most of one. So nobody is given more than four times what he has
// sent, and a packet is copied little on its way in.
func lengthFor(have, need int) int {
	if need <= largeBuffer || need > 4*have {
		return 2 * have
	}
	if n := smallBuffer << classOf(need); need >= n/4*3 && n > have {
		return n
	}
	return max(need, have+1)
}

// own returns the payload of frame as memory that stays: a copy, or, for a large frame that fills most of the memory which it was
// read into, that memory itself, which the inbox gives up.
func (in *inbox) own(frame, payload []byte) []byte {
	if len(frame) <= largeBuffer || len(frame) < cap(in.buf)/4*3 || !in.holds(frame) {
		return bytes.Clone(payload)
	}
	in.given = true
	return payload
}

// holds tells whether b is a part of buf, with all behind it in its capacity.
func (in *inbox) holds(b []byte) bool {
	return cap(in.buf) > 0 && cap(b) > 0 && &in.buf[:cap(in.buf)][cap(in.buf)-1] == &b[:cap(b)][cap(b)-1]
}

// leave moves what is not handled yet to other memory.
func (in *inbox) leave() {
	rest := in.buf[in.r:in.w]
	in.change(in.mem.space(max(len(rest), smallBuffer)))
	in.r, in.w = 0, copy(in.buf, rest)
}

// keep takes over bytes that lie in memory which is about to be used again.
func (in *inbox) keep(b []byte) {
	for len(b) > 0 {
		n := copy(in.space(), b)
		in.w += n
		b = b[n:]
	}
}

// pausedFor takes account of a time in which nothing was read, because the client was full: it is not to blame for that.
func (in *inbox) pausedFor(d time.Duration) {
	in.heard = in.heard.Add(d)
	if !in.begun.IsZero() {
		in.begun = in.begun.Add(d)
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
		in.begun, in.need = time.Time{}, 0
		return b[:n], b[n:], nil
	}
	in.need = n
	if len(b) > 0 && in.begun.IsZero() {
		in.begun = in.heard
	}
	return nil, b, nil
}
