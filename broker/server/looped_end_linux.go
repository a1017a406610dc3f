package server

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker"
	"edge/broker/packets"
)

// endNow ends the session's part of the connection. In a shutdown that waits for all others, and a will may be for many: then a goroutine does.
func (w *looped) endNow(err error) {
	if w.stage != live {
		return
	}
	if w.rest != nil { // what was taken over is done first
		if w.ended == nil {
			w.ended = err
			w.watch(func(e uint32) uint32 { return e &^ unix.EPOLLIN })
		}
		return
	}
	reason, last := w.reasonFor(err)
	if reason == broker.ReasonShutdown || w.leavesWill() && w.server.router.Many() {
		w.stage = ending
		w.watch(func(e uint32) uint32 { return e &^ unix.EPOLLIN })
		w.startEnd(reason, last, err)
		return
	}
	w.finish(reason, last, err)
	w.leaveAt(lastWrite)
}

// leavesWill tells whether the end of the connection may publish a will.
func (c *conn) leavesWill() bool {
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	s := c.client.session
	return s != nil && s.Will() != nil && !c.withdrawn
}

// startEnd ends the session's part on a goroutine of its own.
func (w *looped) startEnd(reason broker.Reason, last *packets.Disconnect, err error) {
	go func() {
		w.finish(reason, last, err)
		w.post(postEnded)
	}()
}

// leaveUnknown ends a connection that has not logged in. It is given time to read why, if it was told.
func (w *looped) leaveUnknown() {
	w.in.free()
	w.server.reading.Done()
	w.out.mu.Lock()
	w.lingers = w.out.closing && !w.out.aborted
	w.out.closing, w.out.aborted = true, !w.lingers
	w.out.mu.Unlock()
	w.leaveAt(lingering)
}

// leaveAt has the connection closed once what is left is written, or after so long.
func (w *looped) leaveAt(after time.Duration) {
	w.stage = leaving
	w.closeBy = time.Now().Add(after)
	delete(w.loop.conns, w)
	w.loop.leaving[w] = struct{}{}
	w.out.mu.Lock()
	w.done = true
	w.out.mu.Unlock()
	if w.leave(); w.stage == closed { // mostly nothing is left
		return
	}
	w.watch(func(e uint32) uint32 {
		if w.lingers { // a login on a goroutine had stopped reading
			return e | unix.EPOLLIN
		}
		return e &^ unix.EPOLLIN
	})
	w.post(postClosing)
}

// leave closes the connection if nothing is left to be written or the time is over.
func (w *looped) leave() {
	o := &w.out
	o.mu.Lock()
	over := o.aborted || !time.Now().Before(w.closeBy)
	left := !o.nothingLocked() || len(w.unsent) > 0
	if w.writing || left && !over {
		o.mu.Unlock()
		return
	}
	if w.lingers && !over { // it reads, and then closes, too
		o.mu.Unlock()
		if !w.told {
			w.told = true
			unix.Shutdown(w.fd, unix.SHUT_WR)
		}
		return
	}
	fd := w.fd
	w.fd = -1
	o.aborted = true
	o.mu.Unlock()
	w.stage = closed
	delete(w.loop.leaving, w)
	w.loop.remove(fd)
	w.server.dismiss(&w.conn)
}

// discard reads what a connection that is being closed still sends: else the kernel would reset its last bytes away.
func (w *looped) discard() {
	n, err := readNow(w.fd, w.loop.buf)
	if n > 0 || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	w.stopWriting()
	w.leave()
}

// lookAtDeadlines ends the connection if its client has let a deadline pass.
func (w *looped) lookAtDeadlines() {
	now, reads := w.loop.now, w.endPause()
	w.out.mu.Lock()
	limit, stuck := w.server.limits.WriteTimeout, w.stuck
	w.out.mu.Unlock()
	passed := func(until time.Time) bool { return !until.IsZero() && !now.Before(until) }
	switch {
	case limit > 0 && !stuck.IsZero() && now.Sub(stuck) >= limit:
		w.slow()
	case w.stage == entering && passed(w.loginDeadline()):
		w.lost(os.ErrDeadlineExceeded)
	case w.stage == live && reads && !w.yielded && passed(w.readDeadline()): // one that yielded is not looked at yet
		w.endNow(w.explain(os.ErrDeadlineExceeded))
	}
}

// slow ends the connection of a client that does not read.
func (w *looped) slow() {
	if !w.stopWriting() {
		w.kickFirst(broker.ReasonSlow, nil)
		w.refused(RefuseSlow, os.ErrDeadlineExceeded)
	}
	w.endNow(os.ErrDeadlineExceeded)
}
