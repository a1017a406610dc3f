package session

import (
	"sync"
	"sync/atomic"

	"edge/broker"
)

// Budget bounds the bytes of all sessions that share it. A nil Budget has no bound, nor has one with MaxBytes 0.
type Budget struct {
	MaxBytes int64
	used     atomic.Int64

	mu    sync.Mutex
	large map[*broker.Message]holding
}

// holding is a large message that sessions hold.
type holding struct {
	sessions int
	bytes    int64 // counted
}

// countedOnce is from where on a message is counted once, however many sessions hold it: they share its memory. For smaller ones to
// know that would cost more than it is worth.
const countedOnce = 1 << 20

// Used returns the bytes held now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Room tells whether n more bytes fit. Who asks and then adds may, with others at the same moment, pass the bound by so much.
func (b *Budget) Room(n int64) bool {
	return b == nil || b.MaxBytes <= 0 || b.used.Load()+n <= b.MaxBytes
}

// take counts n bytes if they fit.
func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.MaxBytes && b.MaxBytes > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

// add counts n bytes whether they fit or not.
func (b *Budget) add(n int64) {
	if b != nil {
		b.used.Add(n)
	}
}

func (b *Budget) give(n int64) { b.add(-n) }

// takeMessage counts m, of that cost, if it fits or is held by another session.
func (b *Budget) takeMessage(m *broker.Message, cost int64) bool {
	if b == nil || cost < countedOnce {
		return b.take(cost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.large[m].sessions == 0 && !b.take(cost) {
		return false
	}
	b.holdLocked(m, cost)
	return true
}

// addMessage counts m whether it fits or not.
func (b *Budget) addMessage(m *broker.Message, cost int64) {
	if b == nil || cost < countedOnce {
		b.add(cost)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.large[m].sessions == 0 {
		b.add(cost)
	}
	b.holdLocked(m, cost)
}

func (b *Budget) holdLocked(m *broker.Message, cost int64) {
	if b.large == nil {
		b.large = make(map[*broker.Message]holding)
	}
	h := b.large[m]
	if h.sessions == 0 {
		h.bytes = cost
	}
	h.sessions++
	b.large[m] = h
}

// giveMessage undoes one of the two.
func (b *Budget) giveMessage(m *broker.Message, cost int64) {
	if b == nil || cost < countedOnce {
		b.give(cost)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.large[m]
	if h.sessions--; h.sessions > 0 {
		b.large[m] = h
		return
	}
	delete(b.large, m)
	b.give(h.bytes)
}

// roomFor tells whether takeMessage would count m.
func (b *Budget) roomFor(m *broker.Message, cost int64) bool {
	if b == nil || cost < countedOnce {
		return b.Room(cost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.large[m].sessions > 0 || b.Room(cost)
}
