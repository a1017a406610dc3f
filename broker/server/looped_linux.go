package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker"
	"edge/broker/packets"
)

// looped is a connection of an event loop.
type looped struct {
	conn // who it is and what it does with packets

	// Set by addConn, never changed.
	loop *loop

	// Owned by the loop.
	stage      stage
	generation int32
	pausedAt   time.Time    // when reading was paused; zero once the pause has been taken account of
	closeBy    time.Time    // while leaving
	lingers    bool         // while leaving: the client is to close first
	told       bool         // and has been told that we are through
	again      func() error // the login, to be done by a goroutine
	yielded    bool         // whole packets lie in the inbox: the others come first

	posted post // guarded by loop.mu

	// Guarded by out.mu.
	fd      int       // -1 once closed
	watched uint32    // the events that epoll looks for
	full    bool      // reading waits for room
	writing bool      // someone is in write
	done    bool      // to be closed when what is left is written
	stuck   time.Time // since when the kernel takes nothing; zero while it does

	// Owned by who has set writing.
	unsent [][]byte // pieces of mem, and large payloads
	mem    []byte
	piece  [1][]byte // memory of unsent, which mostly is one
}

// stage is how far a connection has come.
type stage uint8

const (
	entering stage = iota // CONNECT is to come
	waiting               // a goroutine carries the login out
	live
	ending  // a goroutine carries the end out
	leaving // the session's part has ended
	closed  // so is the descriptor
)

// post is what other goroutines, and write, want done on the loop.
type post uint16

const (
	postInterrupt post = 1 << iota // conn.kicked was set
	postClosing                    // out.closing was set
	postCut                        // out.aborted was set
	postWrite                      // more is left than one turn writes
	postPump                       // there is room, and something waits for it
	postEntered                    // the login has succeeded
	postRefused                    // the login has failed
	postEnded                      // the session's part has ended
	postMore                       // what lies in the inbox may be handled now
)

// addConn takes a connected descriptor over, on the loop.
func (l *loop) addConn(fd int, remote string, listener *Listener) {
	w := &looped{loop: l, fd: fd}
	if !l.server.admit(&w.conn, w, &l.delivering, remote, listener) {
		unix.Close(fd)
		return
	}
	l.conns[w] = struct{}{}
	if err := w.register(); err != nil {
		l.server.log.Error("connection not taken", "part", "broker", "remote", remote, "err", err)
		w.stopWriting()
		w.leaveUnknown()
	}
}

// register has the descriptor's events come.
func (w *looped) register() (err error) {
	w.watched = unix.EPOLLIN
	w.generation, err = w.loop.add(w.fd, w.watched, w.ready)
	return err
}

// ready takes the descriptor's events.
func (w *looped) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		w.writable()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	switch w.stage {
	case entering, live:
		if !w.yielded {
			w.readable()
		} else if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 { // what came before the end is handled before it
			w.loop.slice = time.Hour
			w.takeKept()
		}
	case leaving:
		w.discard()
	default: // a goroutine has it; what cannot be left out of what is watched would come again and again
		w.watch(func(uint32) uint32 { return 0 })
	}
}

// readable reads once, what the kernel has or what the buffer holds, and handles it: the other connections wait.
func (w *looped) readable() {
	w.endPause()
	l := w.loop
	space, own := l.buf, len(w.in.waiting()) > 0
	if own { // the beginning of a packet lies there
		space = w.in.space()
	}
	n, err := readNow(w.fd, space)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case n == 0 && err == nil:
		err = io.EOF
		fallthrough
	case err != nil:
		w.lost(err)
		return
	}
	w.received.bytes.Add(uint64(n))
	w.in.heard = l.now
	if own {
		w.in.w += n
		w.takeKept()
		return
	}
	rest, err := w.take(space[:n])
	if err == nil {
		w.in.keep(rest)
	}
	w.taken(err)
}

// takeKept handles what lies in the inbox.
func (w *looped) takeKept() {
	rest, err := w.take(w.in.waiting())
	if err == nil {
		if len(rest) == 0 {
			w.in.free()
		} else {
			w.in.r = w.in.w - len(rest)
		}
	}
	w.taken(err)
}

// take handles the whole packets in b and returns what is behind them.
//
// A client that sends much has its slice of the loop's turn, and what is left waits for the next: a flood of one does not keep the
// others waiting for longer than that.
func (w *looped) take(b []byte) (rest []byte, err error) {
	w.yielded = false
	var began time.Time
	for n := 0; len(b) > 0; n++ {
		switch { // most reads bring one packet, which costs no look at the clock
		case n == 1:
			began = time.Now()
		case w.stage == live && (n == 2 || n > 0 && n%8 == 0):
			if w.yielded = time.Since(began) > w.loop.slice; w.yielded {
				w.post(postMore)
				return b, nil
			}
		}
		limit, err := w.limit(b)
		if err != nil {
			return nil, err
		}
		frame, rest, err := w.in.next(b, limit)
		if err != nil || frame == nil {
			return rest, err
		}
		b = rest
		switch {
		case w.stage == live:
			err = w.handle(frame)
		case w.enhanced != nil:
			w.converse(w.continueLogin(frame))
		default:
			err = w.enterNow(frame)
		}
		switch {
		case err != nil || w.stage == leaving:
			return nil, err
		case w.stage == waiting: // the rest is kept until the login has come to its end
			return rest, nil
		}
	}
	return nil, nil
}

// limit is the largest packet that is taken now; an error is one that must not come now.
func (w *looped) limit(b []byte) (int, error) {
	switch {
	case w.stage == live:
		return w.server.limits.PacketBytes, nil
	case w.enhanced != nil:
		return maxAuthPacket, mayBeAuth(b)
	}
	return w.server.limits.ConnectPacketBytes, mayBeConnect(b)
}

// taken ends the handling of a read.
func (w *looped) taken(err error) {
	switch {
	case err != nil && w.stage == entering:
		w.lost(err)
	case err != nil:
		w.endNow(err)
	case w.stage == live:
		w.pauseReading()
	case w.stage == waiting:
		w.startLogin()
	}
}

// lost ends a connection whose other side is gone.
func (w *looped) lost(err error) {
	if w.stage == entering {
		if w.enhanced != nil {
			w.conn.refuse(notFinished(err))
		} else {
			w.refuseMalformed(err)
		}
		w.leaveUnknown()
		return
	}
	w.endNow(err)
}

// enterNow carries out a login that does not have to wait; others get a goroutine. An error is a CONNECT that is none.
func (w *looped) enterNow(frame []byte) error {
	p, err := w.decodeConnect(frame)
	if err != nil {
		return err
	}
	w.connectCame(p, len(frame))
	if p.AuthMethod != "" {
		w.converse(w.beginLogin(p))
		return nil
	}
	again := *p // enter may change it
	err = w.enter(context.Background(), &again, mustGoOn)
	w.entered(err, func() error { return w.enter(context.Background(), p, mayWait) })
	return nil
}

// converse carries on a login that names an authentication method.
func (w *looped) converse(more *packets.Auth, err error) {
	if err == nil && more != nil {
		w.sendPacket(more)
		return
	}
	if err == nil {
		err = w.connectEnhanced(context.Background(), mustGoOn)
	}
	w.entered(err, func() error { return w.connectEnhanced(context.Background(), mayWait) })
}

// entered ends a login as err says, or has it done again by a goroutine, which may wait.
func (w *looped) entered(err error, again func() error) {
	switch {
	case err == nil:
		w.stage = live
		w.welcome()
	case errors.Is(err, errMustWait):
		w.stage = waiting
		w.watch(func(e uint32) uint32 { return e &^ unix.EPOLLIN })
		w.again = again
	default:
		w.conn.refuse(err)
		w.leaveUnknown()
	}
}

// startLogin carries the login out on a goroutine of its own, which tells the loop how it went.
func (w *looped) startLogin() {
	enter := w.again
	w.again = nil
	go func() {
		d := delivering{server: w.server}
		w.deliver = &d
		err := enter()
		if err == nil {
			w.welcome()
		} else {
			w.conn.refuse(err)
		}
		d.turn.flush()
		if err == nil {
			w.post(postEntered)
		} else {
			w.post(postRefused)
		}
	}()
}

// endNow ends the session's part of the connection. In a shutdown that waits for all others: then a goroutine does.
func (w *looped) endNow(err error) {
	if w.stage != live {
		return
	}
	reason, last := w.reasonFor(err)
	if reason == broker.ReasonShutdown {
		w.stage = ending
		w.watch(func(e uint32) uint32 { return e &^ unix.EPOLLIN })
		w.startEnd(reason, last, err)
		return
	}
	w.finish(reason, last, err)
	w.leaveAt(lastWrite)
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
	w.watch(func(e uint32) uint32 {
		if w.lingers { // a login on a goroutine had stopped reading
			return e | unix.EPOLLIN
		}
		return e &^ unix.EPOLLIN
	})
	w.out.mu.Lock()
	w.done = true
	w.out.mu.Unlock()
	w.post(postClosing)
}

// leave closes the connection if nothing is left to be written or the time is over.
func (w *looped) leave() {
	o := &w.out
	o.mu.Lock()
	over := o.aborted || !time.Now().Before(w.closeBy)
	left := len(o.buf) > 0 || len(w.unsent) > 0
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
	case w.stage == live && reads && passed(w.readDeadline()):
		w.endNow(w.explain(os.ErrDeadlineExceeded))
	}
}

// slow ends the connection of a client that does not read.
func (w *looped) slow() {
	if !w.stopWriting() {
		w.kickFirst(broker.ReasonSlow)
		w.refused(RefuseSlow, os.ErrDeadlineExceeded)
	}
	w.endNow(os.ErrDeadlineExceeded)
}

// post has something done on the loop.
func (w *looped) post(p post) {
	l := w.loop
	l.mu.Lock()
	if w.posted == 0 {
		l.posts = append(l.posts, w)
	}
	w.posted |= p
	l.mu.Unlock()
	l.wake()
}

// takePost does what was posted, on the loop.
func (w *looped) takePost() {
	w.loop.mu.Lock()
	p := w.posted
	w.posted = 0
	w.loop.mu.Unlock()
	if p&postRefused != 0 {
		w.deliver = &w.loop.delivering
		w.leaveUnknown()
	}
	if p&postEntered != 0 {
		w.deliver = &w.loop.delivering
		w.stage = live
		w.watch(func(e uint32) uint32 { return e | unix.EPOLLIN })
		if w.reasonKicked() == "" {
			w.takeKept()
		}
	}
	if p&postEnded != 0 {
		w.leaveAt(lastWrite)
	}
	if p&(postInterrupt|postCut) != 0 || p&postEntered != 0 && w.reasonKicked() != "" {
		w.interrupted()
	}
	if p&postMore != 0 && w.yielded && w.stage == live && !w.isFull() {
		w.endPause()
		w.in.heard = w.loop.now // its bytes came before, and were not looked at
		w.takeKept()
	}
	if p&(postPump|postEntered) != 0 && w.stage == live { // one that came during the login was too early
		w.client.roomAgain(&w.conn)
	}
	if p&(postClosing|postWrite) != 0 {
		w.flush() // what the client is told last belongs to no turn
	}
	if w.stage == leaving {
		w.leave()
	}
}

// interrupted ends reading because of a kick.
func (w *looped) interrupted() {
	switch w.stage {
	case entering:
		w.stopWriting()
		w.leaveUnknown()
	case live:
		w.endNow(os.ErrDeadlineExceeded)
	}
}

// yield gives the loop's other connections their turn.
func (w *looped) yield() bool {
	w.post(postPump)
	return true
}

func (w *looped) interrupt() { w.post(postInterrupt) }
func (w *looped) closing()   { w.post(postClosing) }
func (w *looped) cut()       { w.post(postCut) }

// tls returns nil: an event loop has plain connections only.
func (w *looped) tls() *tls.ConnectionState { return nil }
