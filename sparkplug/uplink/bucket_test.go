package uplink

import (
	"testing"
	"time"
)

func TestBucketKeepsTheRate(t *testing.T) {
	b := &bucket{perSecond: 1000}
	start := time.Unix(1_000_000, 0)
	now, taken := start, 0
	for now.Before(start.Add(10 * time.Second)) {
		if w := b.wait(now); w > 0 {
			now = now.Add(w)
			continue
		}
		b.take(now, 300)
		taken += 300
	}
	if taken < 10_000 || taken > 11_600 { // ten seconds, the full bucket at the start, one overdraft
		t.Errorf("%d taken in 10 s at 1000/s", taken)
	}
}

func TestBucketReservesInTurn(t *testing.T) {
	b := &bucket{perSecond: 10}
	now := time.Unix(1_000_000, 0)
	var last time.Duration
	for i := range 30 {
		last = b.reserve(now)
		if i < 10 && last != 0 {
			t.Fatalf("reservation %d waits %s, the bucket was full", i, last)
		}
	}
	if want := 2 * time.Second; last < want-time.Millisecond || last > want+time.Millisecond {
		t.Errorf("the thirtieth waits %s, want %s", last, want)
	}
	if w := b.reserve(now.Add(-time.Hour)); w < last {
		t.Errorf("a clock that steps back gave tokens: %s", w)
	}
}

func TestBucketWithoutLimit(t *testing.T) {
	b := &bucket{}
	b.take(time.Now(), 1<<30)
	if w := b.wait(time.Now()); w != 0 {
		t.Errorf("waits %s", w)
	}
}
