package server

import (
	"crypto/tls"
	"os"

	"golang.org/x/sys/unix"
)

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
	if p&postWrite != 0 {
		w.writesMore = true
	}
	if p&(postMore|postWrite) != 0 {
		w.loop.queue(w)
	}
	if p&(postPump|postEntered) != 0 && w.stage == live { // one that came during the login was too early
		w.client.roomAgain(&w.conn)
	}
	if p&postClosing != 0 {
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
