package server

import "time"

const loopsHere = true

// loopsAreQuiet has each event loop look at its connections; written is how many bytes they are to have read.
func (r *rig) loopsAreQuiet(written map[string]int64) bool {
	s := r.Server
	s.mu.Lock()
	loops, quiet := s.loops, true
	s.mu.Unlock()
	s.waitMu.Lock()
	held := s.next != nil && r.store != nil && r.store.Holding() // a login waits for the store, which waits for the test
	s.waitMu.Unlock()
	for _, l := range loops {
		l.do(func() {
			quiet = quiet && len(l.leaving) == 0
			for w := range l.conns {
				if n, ours := written[w.remote]; ours {
					quiet = quiet && w.isQuiet(n, held)
				}
			}
			l.looked = time.Time{} // deadlines are looked at now and then
		})
		l.do(func() {}) // and at the end of a turn
	}
	return quiet
}

// do has f done on the loop and waits for that.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.call(func() {
		f()
		close(done)
	})
	select {
	case <-done:
	case <-l.ended:
	}
}

func (w *looped) isQuiet(written int64, held bool) bool {
	w.loop.mu.Lock()
	posted := w.posted
	w.loop.mu.Unlock()
	if posted != 0 {
		return false
	}
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	switch {
	case w.writing || w.out.dirty || w.stuck.IsZero() && w.out.size > 0:
		return false
	case w.stage == waiting:
		return held
	case w.full:
		return true
	}
	return w.stage != ending && written == int64(w.received.bytes.Load())
}
