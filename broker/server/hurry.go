package server

import (
	"sync"
	"time"
)

// hurry finds out when a commit need not wait for its interval, because all who could add to it are waiting for it.
//
// A client that sends as soon as it is answered is clocked by its acknowledgements: with as many unacknowledged messages as it had
// before, it sends no more until the commit. Once that is true of all the clocked clients that the last commit answered, waiting
// longer gathers nothing. Others, such as devices that send when they measure, never hurry a commit: their messages share one write
// to the flash per interval. A subscriber of QoS 2 is the same: what it is sent waits for the journal, and it answers.
type hurry struct {
	mu       sync.Mutex
	round    uint64 // commits so far
	expected int    // clocked clients that the last commit answered and that have not sent as much again
}

// clock is what hurry knows of one connection. Guarded by outbox.mu.
type clock struct {
	answered time.Time // when a commit released something
	fresh    bool      // nothing came since
	clocked  bool
	window   int    // as many were unacknowledged when it was answered; a larger number is forgotten by halves
	round    uint64 // in which it was answered, 0 when it has sent as much again
}

// soon is how quickly a clocked client sends again: a round trip of a plant's network, and less than most scan times.
const soon = 2 * time.Millisecond

// begin begins the release of what a commit made durable.
func (h *hurry) begin() {
	h.mu.Lock()
	h.round++
	h.expected = 0
	h.mu.Unlock()
}

// answered notes that a client is sent acknowledgements, of n that it waited for.
func (h *hurry) answered(k *clock, n int, now time.Time) {
	k.answered, k.fresh, k.window = now, true, max(n, k.window/2)
	if !k.clocked {
		return
	}
	h.mu.Lock()
	k.round = h.round
	h.expected++
	h.mu.Unlock()
}

// waits notes that a client waits for n acknowledgements now. True: nobody is left of whom more is to be expected.
func (h *hurry) waits(k *clock, n int, now time.Time) bool {
	if k.fresh {
		k.fresh, k.clocked = false, now.Sub(k.answered) < soon
	}
	if k.round == 0 || k.clocked && n < k.window {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	late := k.round != h.round
	k.round = 0
	if late {
		return false
	}
	h.expected--
	return h.expected == 0
}
