package uplink

import (
	"testing"
	"time"
)

func TestBarrier(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var b barrier
	if b.due(now, 512, time.Second) {
		t.Error("due with nothing written")
	}
	for range 511 {
		b.wrote(now)
	}
	if b.due(now, 512, time.Second) || !b.room(512) {
		t.Error("due before the group is full")
	}
	if !b.due(now.Add(time.Second), 512, time.Second) {
		t.Error("not due after a second")
	}
	b.wrote(now)
	b.covers(span{1, 9, 5})
	if !b.due(now, 512, time.Second) || b.room(512) {
		t.Error("not due when the group is full")
	}
	b.pinged(now)
	if !b.room(512) || b.msgs() != 0 {
		t.Error("no room in the next group")
	}
	for range 512 {
		b.wrote(now)
	}
	b.covers(span{10, 20, 7})
	if b.due(now.Add(time.Hour), 512, time.Second) || b.room(512) {
		t.Error("a third group may be written while the first is not confirmed")
	}
	if n := b.unconfirmed(); n != 12 {
		t.Errorf("%d unconfirmed, want 12", n)
	}
	if g := b.taken(1); len(g) != 1 || g[0].samples != 5 || g[0].msgs != 512 {
		t.Errorf("taken %+v", g)
	}
	if g := b.taken(1); len(g) != 0 {
		t.Error("one PINGRESP taken twice")
	}
	if g := b.taken(5); len(g) != 0 { // more PINGRESPs than PINGREQs prove nothing
		t.Errorf("taken %+v", g)
	}
	if n := b.unconfirmed(); n != 7 {
		t.Errorf("%d unconfirmed, want 7", n)
	}
}

// A few messages with many samples do not wait for the full count.
func TestBarrierCountsSamples(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var b barrier
	b.wrote(now)
	b.covers(span{1, 2000, barrierSamples})
	if !b.due(now, 512, time.Second) {
		t.Error("not due")
	}
	b.pinged(now)
	b.wrote(now)
	b.covers(span{2001, 4000, barrierSamples})
	if b.room(512) {
		t.Error("room for more than two groups of samples")
	}
}
