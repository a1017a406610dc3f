package server

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flush writes what has gathered, as far as the kernel takes it. Whoever ends a turn calls it, on whatever goroutine.
func (w *looped) flush() {
	w.out.mu.Lock()
	w.out.dirty = false
	if w.writing || !w.stuck.IsZero() || w.fd < 0 {
		w.out.mu.Unlock()
		return
	}
	w.write()
}

// writable goes on where the kernel took no more.
func (w *looped) writable() {
	if w.loop.wrote.Load() >= writtenPerTurn {
		return // the event comes again
	}
	w.out.mu.Lock()
	if w.writing || w.fd < 0 {
		w.out.mu.Unlock()
		return
	}
	w.stuck = time.Time{}
	w.write()
}

// writesAtOnce is how often one goroutine writes for a connection that others fill meanwhile: its own connections wait.
const writesAtOnce = 8

// write writes until nothing is left or the kernel takes no more. It is called with out.mu held and returns without.
func (w *looped) write() {
	o := &w.out
	w.writing = true
	writes := 0
	for ; w.stuck.IsZero() && !o.aborted && w.moreLocked(); writes++ {
		if writes == writesAtOnce {
			w.post(postWrite)
			break
		}
		o.mu.Unlock()
		n, err := writeNow(w.fd, w.unsent)
		w.loop.wrote.Add(int64(n))
		o.mu.Lock()
		w.wroteLocked(n, err)
	}
	w.writing = false
	w.countOutLocked()
	w.roomLocked()
	w.watchLocked(w.watched&^unix.EPOLLOUT | w.waitsLocked())
	over := w.done && writes > 0 && (o.aborted || w.stuck.IsZero()) // else leave has been there
	o.mu.Unlock()
	switch {
	case over:
		w.post(postClosing)
	case w.client != nil && w.client.blocked.Load():
		w.post(postPump)
	}
}

// moreLocked makes unsent what is to be written next; false: nothing is.
func (w *looped) moreLocked() bool {
	if len(w.unsent) > 0 {
		return true
	}
	if w.out.nothingLocked() {
		return false
	}
	buf, large := w.out.takeLocked()
	w.mem, w.unsent = buf, appendPieces(w.piece[:0], buf, large)
	return true
}

// wroteLocked takes account of a write that the kernel took n bytes of.
func (w *looped) wroteLocked(n int, err error) {
	w.out.size -= n
	for n > 0 {
		if p := w.unsent[0]; n < len(p) {
			w.unsent[0] = p[n:]
			break
		}
		n -= len(w.unsent[0])
		w.unsent[0] = nil
		w.unsent = w.unsent[1:]
	}
	switch {
	case err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
		w.out.closing, w.out.aborted = true, true
		w.post(postCut)
	case len(w.unsent) > 0 && !errors.Is(err, unix.EINTR):
		w.stuck = w.server.now()
	case len(w.unsent) == 0:
		w.server.buffers.give(w.mem)
		w.mem, w.unsent = nil, nil
	}
}

// waitsLocked is what to look for while the kernel takes nothing.
func (w *looped) waitsLocked() uint32 {
	if w.stuck.IsZero() || w.out.aborted {
		return 0
	}
	return unix.EPOLLOUT
}

// pauseReading reads no more from a client that is full; roomLocked goes on.
func (w *looped) pauseReading() {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	if w.fullLocked() && !w.gone {
		w.full, w.pausedAt = true, w.loop.now
		w.watchLocked(w.watched &^ unix.EPOLLIN)
	}
}

// hungUp has what a client sent before it was gone handled, though it takes no answers.
func (w *looped) hungUp() {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	w.gone = true
	if w.full {
		w.full = false
		w.post(postMore)
	}
}

func (w *looped) isFull() bool {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	return w.full
}

// endPause takes account of a pause that is over. False: it is not.
func (w *looped) endPause() bool {
	if w.pausedAt.IsZero() {
		return true
	}
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	if w.full {
		return false
	}
	w.in.pausedFor(w.loop.now.Sub(w.pausedAt))
	w.pausedAt = time.Time{}
	return true
}

func (w *looped) roomLocked() {
	if w.full && !w.fullLocked() {
		w.full = false
		w.post(postMore)
		w.watchLocked(w.watched | unix.EPOLLIN)
	}
}

// watch changes what epoll looks for.
func (w *looped) watch(change func(events uint32) uint32) {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	w.watchLocked(change(w.watched))
}

// watchLocked has epoll look for events. With none the descriptor is taken out: epoll would report its end again and again.
func (w *looped) watchLocked(events uint32) {
	if events == w.watched || w.fd < 0 {
		return
	}
	op := unix.EPOLL_CTL_MOD
	switch {
	case events == 0:
		op = unix.EPOLL_CTL_DEL
	case w.watched == 0:
		op = unix.EPOLL_CTL_ADD
	}
	w.watched = events
	if err := w.loop.control(op, w.fd, events, w.generation); err != nil {
		w.server.log.Error("connection cut", "part", "broker", "remote", w.remote, "err", err)
		w.out.closing, w.out.aborted = true, true
		w.post(postCut)
	}
}

// refuse answers a login that failed; leaveUnknown follows.
func (w *looped) refuse(last []byte) {
	w.out.mu.Lock()
	w.out.readyLocked(&w.server.buffers, len(last))
	w.out.buf = append(w.out.buf, last...)
	w.out.size += len(last)
	w.out.closing = true
	w.out.mu.Unlock()
	w.flush()
}

// readNow reads what has come without waiting, and without telling the scheduler of a call that does not wait.
func readNow(fd int, b []byte) (n int, err error) {
	r, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// writeNow writes what the kernel takes without waiting.
func writeNow(fd int, pieces [][]byte) (n int, err error) {
	if len(pieces) > 1 {
		return writevNow(fd, pieces)
	}
	b := pieces[0]
	r, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// maxPieces is how many pieces one writev takes.
const maxPieces = 64

func writevNow(fd int, pieces [][]byte) (n int, err error) {
	n, err = unix.Writev(fd, pieces[:min(len(pieces), maxPieces)])
	return max(n, 0), err
}
