package sparkplug

import (
	"slices"
	"time"
)

// bucket bounds the requests to all nodes together: a host that starts beside a thousand nodes must not have a
// thousand births at once.
type bucket struct {
	perSecond int
	left      float64
	filled    time.Time
}

// take takes one token if there is one.
func (b *bucket) take(now time.Time) bool {
	rate := float64(b.perSecond)
	if b.filled.IsZero() {
		b.left = rate
	}
	b.left = min(rate, b.left+rate*max(0, now.Sub(b.filled).Seconds()))
	b.filled = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// RequestRebirth asks a node for its births on behalf of an operator, even where the host itself never asks. The
// debounce and the global cap hold here too: the request may go out at a later tick. ok is false for an unknown node.
func (h *Host) RequestRebirth(n NodeRef, reason string, now time.Time) (out Output, ok bool) {
	node := h.nodes[n]
	if node == nil {
		return Output{}, false
	}
	s := h.begin(now)
	s.expire()
	s.want(node, reason)
	return s.out, true
}

// wantRebirth asks for a cause of the host's own.
func (s *step) wantRebirth(n *node, reason string) {
	if !s.h.o.NoRebirths {
		s.want(n, reason)
	}
}

// want asks now, or when the debounce since the last request ends. Further causes until then are one with the first.
func (s *step) want(n *node, reason string) {
	if n.want != "" || s.silent {
		return
	}
	n.want, n.wantAt = reason, s.now
	if !n.askedAt.IsZero() {
		n.wantAt = latest(s.now, n.askedAt.Add(s.h.o.RebirthDebounce))
	}
	s.ask(n)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask sends the request if its time has come and the cap allows it.
func (s *step) ask(n *node) {
	switch {
	case n.wantAt.After(s.now):
	case !s.h.asks.take(s.now):
		n.wantAt = s.now.Add(time.Second / time.Duration(s.h.o.RebirthsPerSec))
	default:
		reason := n.want
		n.want, n.askedAt, n.awaiting = "", s.now, true
		n.asked++
		if n.unanswered++; n.unanswered == 1 {
			n.firstAsk = s.now
		}
		n.askedFor = reason
		s.h.stats.RebirthsAsked++
		s.event(Event{Kind: RebirthAsked, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: reason, BdSeq: n.bdSeq})
		s.out.Publish = append(s.out.Publish, RebirthRequest(n.ref, s.now))
		s.touch(n)
	}
	s.schedule(n)
}

// rebirthDone closes a request when an NBIRTH comes, whatever its cause was.
func (s *step) rebirthDone(n *node) {
	if n.awaiting {
		n.answered++
		s.event(Event{Kind: RebirthDone, At: s.now, Group: n.ref.Group, Node: n.ref.Node, BdSeq: n.bdSeq})
	}
	n.awaiting, n.want, n.unanswered, n.askedFor = false, "", 0, ""
}

// deadline returns the node's earliest, zero if it has none.
func (n *node) deadline() time.Time {
	t := earliest(n.reorder, n.gone)
	if n.want != "" {
		t = earliest(t, n.wantAt)
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
	if n.deadline().IsZero() {
		delete(s.h.waiting, n)
	} else {
		s.h.waiting[n] = struct{}{}
	}
}

// NextTick returns when Step wants to be called without input at the latest; zero: it is waiting for nothing.
func (h *Host) NextTick() time.Time {
	var next time.Time
	for n := range h.waiting {
		next = earliest(next, n.deadline())
	}
	return next
}

// expire does what is due, node after node in the order of their names.
func (s *step) expire() {
	var due []*node
	for n := range s.h.waiting {
		if !n.deadline().After(s.now) {
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
		if n.want != "" && !n.wantAt.After(s.now) {
			s.ask(n)
		}
	}
}
