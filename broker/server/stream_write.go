package server

import (
	"net"
	"time"

	"edge/broker"
)

// flush wakes writeLoop.
func (w *stream) flush() {
	w.conn.out.mu.Lock()
	w.conn.out.dirty = false
	w.conn.out.mu.Unlock()
	w.signal()
}

func (w *stream) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // writeLoop is about to look anyway
	}
}

// startWriting starts writeLoop; serve waits for it.
func (w *stream) startWriting() { go w.writeLoop() }

// writeLoop writes all that has gathered at each wake-up, by one write, until the connection is closed.
func (w *stream) writeLoop() {
	defer close(w.written)
	defer w.net.Close()
	c, o := w.conn, &w.conn.out
	for {
		o.mu.Lock()
		for o.nothingLocked() && !o.closing {
			o.mu.Unlock()
			<-w.wake
			o.mu.Lock()
		}
		buf, large := o.takeLocked()
		aborted := o.aborted
		o.mu.Unlock()
		if aborted {
			return
		}
		if len(buf) == 0 {
			w.hangUp()
			return
		}
		n, err := w.write(buf, large)
		if err != nil {
			w.writeFailed(err)
			return
		}
		w.wrote(buf, n)
		c.client.roomAgain(c)
	}
}

// wrote ends a write of buf, of which n bytes are on their way.
func (w *stream) wrote(buf []byte, n int) {
	o := &w.conn.out
	o.mu.Lock()
	o.size -= n
	w.conn.countOutLocked()
	w.roomLocked()
	o.mu.Unlock()
	w.conn.server.buffers.give(buf)
}

// write writes buf with the large payloads at their places.
func (w *stream) write(buf []byte, large []payload) (n int, err error) {
	if len(large) == 0 {
		w.armWrite()
		return w.net.Write(buf)
	}
	w.pieces = appendPieces(w.pieces[:0], buf, large)
	for left := w.pieces; len(left) > 0 && err == nil; {
		w.armWrite()
		var written int64
		if len(left[0]) > writeAtOnce {
			var part int
			part, err = w.net.Write(left[0][:writeAtOnce])
			left[0], written = left[0][part:], int64(part)
		} else {
			several := left[:fewPieces(left)]
			left = left[len(several):]
			written, err = several.WriteTo(w.net)
		}
		n += int(written)
	}
	clear(w.pieces)
	return n, err
}

// writeAtOnce is how many bytes one write deadline is for: a client that takes a large packet slowly is not one that takes nothing.
const writeAtOnce = 1 << 20

// fewPieces returns how many pieces, the first in any case, have at most writeAtOnce bytes.
func fewPieces(pieces net.Buffers) (n int) {
	size := 0
	for n < len(pieces) && (n == 0 || size+len(pieces[n]) <= writeAtOnce) {
		size += len(pieces[n])
		n++
	}
	return n
}

// armWrite sets the write deadline when less than half of the time is left.
func (w *stream) armWrite() {
	limit := w.conn.server.limits.WriteTimeout
	if limit <= 0 {
		return
	}
	now := time.Now()
	if w.writeUntil.Sub(now) >= limit/2 {
		return
	}
	w.conn.out.mu.Lock()
	defer w.conn.out.mu.Unlock()
	if !w.conn.out.closing { // closing has set an earlier one
		w.writeUntil = now.Add(limit)
		w.net.SetWriteDeadline(w.writeUntil)
	}
}

// writeFailed ends the connection of a client that does not read or is gone.
func (w *stream) writeFailed(err error) {
	if !w.conn.stopWriting() && isTimeout(err) {
		w.conn.kickFirst(broker.ReasonSlow, nil)
		w.conn.refused(RefuseSlow, err)
	}
	closeNow(w.net)
}
