package uplink

import (
	"sync"
	"time"
)

// A bucket is a token bucket that holds at most one second's worth. A taker may overdraw it once, so that what is
// larger than the bucket still passes, at the right average.
type bucket struct {
	perSecond float64 // 0 or less: no limit

	mu     sync.Mutex
	tokens float64 // guarded by mu
	last   time.Time
}

// wait returns how long until something may be taken; 0: now.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.perSecond <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(now)
	if b.tokens > 0 {
		return 0
	}
	return time.Duration((-b.tokens+1)/b.perSecond*float64(time.Second)) + time.Millisecond
}

// take takes n, at once.
func (b *bucket) take(now time.Time, n int) {
	if b.perSecond <= 0 {
		return
	}
	b.mu.Lock()
	b.fillLocked(now)
	b.tokens -= float64(n)
	b.mu.Unlock()
}

// reserve takes one and returns how long to wait before it counts.
func (b *bucket) reserve(now time.Time) time.Duration {
	if b.perSecond <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(now)
	b.tokens--
	return max(0, time.Duration(-b.tokens/b.perSecond*float64(time.Second)))
}

func (b *bucket) fillLocked(now time.Time) {
	full := max(1, b.perSecond)
	if b.last.IsZero() {
		b.tokens = full
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(full, b.tokens+d.Seconds()*b.perSecond)
	}
	b.last = now
}
