package sparkplug

import (
	"slices"
	"time"
)

// deadline returns the node's earliest, zero if it has none. A request that is due waits for its place in the pace.
func (h *Host) deadline(n *node) time.Time {
	t := earliest(n.reorder, n.gone)
	if n.want != "" {
		t = earliest(t, latest(n.wantAt, h.asks.next))
	}
	return t
}

// earliest returns the earlier of two times of which zero means none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// schedule enters or removes a node among those that wait for the clock.
func (s *step) schedule(n *node) {
	t := s.h.deadline(n)
	if t.IsZero() {
		delete(s.h.waiting, n)
		return
	}
	s.h.waiting[n] = struct{}{}
	s.h.due = earliest(s.h.due, t)
}

// NextTick returns when Step wants to be called without input at the latest; zero: it is waiting for nothing.
func (h *Host) NextTick() time.Time {
	next := earliest(h.state.deadline(), h.files.Due())
	for n := range h.waiting {
		next = earliest(next, h.deadline(n))
	}
	return next
}

// expire does what is due: node after node in the order of their names, then the request that waits for longest.
func (s *step) expire() {
	h := s.h
	if h.due.IsZero() || h.due.After(s.now) {
		return
	}
	var due []*node
	for n := range h.waiting { // most only wait for their place in the pace
		if t := earliest(n.reorder, n.gone); !t.IsZero() && !t.After(s.now) {
			due = append(due, n)
		}
	}
	slices.SortFunc(due, func(a, b *node) int { return compareNodes(a.ref, b.ref) })
	for _, n := range due {
		if !n.reorder.IsZero() && !n.reorder.After(s.now) {
			s.giveUp(n)
		}
		if !n.gone.IsZero() && !n.gone.After(s.now) {
			s.endSession(n, s.noWillWhy(n))
		}
	}
	s.lateFiles()
	s.askNext()
	s.expireStates()
	h.due = h.NextTick()
}

// longestWanted returns the node whose request has been due for longest; nil if none is.
func (h *Host) longestWanted(now time.Time) *node {
	var first *node
	for n := range h.waiting {
		if n.want != "" && !n.wantAt.After(now) && (first == nil || n.wantAt.Before(first.wantAt) ||
			n.wantAt.Equal(first.wantAt) && compareNodes(n.ref, first.ref) < 0) {
			first = n
		}
	}
	return first
}
