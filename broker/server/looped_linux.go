package server

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
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
	yielded    bool         // something is left of what was read: the others come first, and nothing more is read
	queued     bool         // in loop.behind
	restBytes  int64        // in loop.restBytes
	writesMore bool         // more is left than one turn writes
	caused     []*conn      // to be flushed: more than one turn does
	ended      error        // the connection is to end with it, when what is left of a packet is done; nil: it is not

	posted post // guarded by loop.mu

	// Guarded by out.mu.
	fd      int       // -1 once closed
	watched uint32    // the events that epoll looks for
	full    bool      // reading waits for room
	gone    bool      // the client is: reading does not wait any more
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
			w.hungUp()
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
	if own && len(w.in.waiting()) >= largeBuffer && l.restBytes >= maxRestBytes {
		w.in.heard = l.now
		return // the event comes again
	}
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
	before := len(w.deliver.turn.conns)
	rest, err = w.takeSlice(b)
	if w.stage == live { // another goroutine may have what a login causes
		w.spread(before)
	}
	return rest, err
}

func (w *looped) takeSlice(b []byte) (rest []byte, err error) {
	var began time.Time
	work := w.deliver.work
	for n := 0; len(b) > 0; n++ {
		switch { // most reads bring one packet, which costs no look at the clock
		case n == 1:
			began = time.Now()
		case w.stage == live && n > 1 && (n == 2 || n%8 == 0 || w.deliver.work-work > workUnseen):
			work = w.deliver.work
			if w.yielded = time.Since(began) > w.loop.slice; w.yielded {
				w.loop.queue(w)
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
			if err = w.handle(frame); w.rest != nil {
				w.loop.queueRest(w)
				return b, nil
			}
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

// workUnseen is how many deliveries are made between two looks at the clock, about.
const workUnseen = 64

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
