package historian

import (
	"cmp"
	"context"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// carried is what a track has before a range.
type carried struct {
	last   reading // with index 0: none
	usable reading // the last that counts
}

func (c *carried) take(o carried) {
	later := func(a, b reading) bool {
		return a.index != 0 && (a.at > b.at || a.at == b.at && a.index > b.index || b.index == 0)
	}
	if later(o.last, c.last) {
		c.last = o.last
	}
	if later(o.usable, c.usable) {
		c.usable = o.usable
	}
}

func carriedOf(list []reading) (c carried) {
	for _, r := range list {
		c.last = r
		if counts(r.num, r.quality) {
			c.usable = r
		}
	}
	return c
}

// carry finds for each track what holds at a time: the last reading before, at most lookBack ago, or what holds for longer; and if
// scan.usable is set also the last that counts. Its memory is what lies at or after that time then.
func (sc *scan) carry(ctx context.Context, at journal.Millis) error {
	return sc.carrySince(ctx, max(0, at-lookBack), at)
}

// carrySince is carry that looks back to floor.
func (sc *scan) carrySince(ctx context.Context, floor, at journal.Millis) error {
	found := make(map[*track]*carried, len(sc.tracks))
	for _, t := range sc.tracks {
		c := carriedOf(t.memory[:t.inMemoryBefore(at)])
		found[t] = &c
	}
	for _, p := range sc.parts {
		if err := sc.carryPart(ctx, p, floor, at, found); err != nil {
			return err
		}
	}
	var silent []*track
	for _, t := range sc.tracks {
		if t.column == nil && found[t].last.index == 0 {
			silent = append(silent, t)
		}
	}
	if err := sc.heldLong(ctx, silent, at, found); err != nil {
		return err
	}
	for _, t := range sc.tracks {
		t.memory = t.memory[t.inMemoryBefore(at):]
		if t.column != nil {
			t.column.carry(found[t].last)
		} else {
			t.into.carry(at, found[t].last, found[t].usable)
		}
	}
	return nil
}

// complete says that nothing in a file before a time can change what is known.
func (sc *scan) complete(c *carried, before journal.Millis) bool {
	return c.last.index != 0 && c.last.at >= before && (!sc.usable || c.usable.index != 0 && c.usable.at >= before)
}

// carryPart goes back hour by hour until every track of a part has a reading that nothing in a file can be later than.
func (sc *scan) carryPart(ctx context.Context, p *part, floor, at journal.Millis, found map[*track]*carried) error {
	spans := sc.s.spans(floor, at)
	open := append([]*track(nil), p.tracks...)
	for i := len(spans) - 1; i >= 0 && len(open) > 0; i-- {
		sp := spans[i]
		sc.work.Views++
		sc.viewed = 0
		err := sc.s.days.get(sp.day).view(func(tx *bolt.Tx) error {
			o, err := sc.open(tx, sp, p)
			for end := sp.to; err == nil && end > sp.from && len(open) > 0; {
				from := max(sp.from, floorTo(end-1, hourMillis))
				open, err = sc.carryHour(ctx, o, open, from, end, found)
				end = from
			}
			return err
		}, bucketBlock, bucketLate)
		sc.work.ViewRows = max(sc.work.ViewRows, sc.viewed)
		if isDamage(err) {
			p.note(sp.from, sp.to)
			err = sc.s.survive(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// carryHour looks for what is open in one hour, and returns what still is.
func (sc *scan) carryHour(ctx context.Context, o *openPart, open []*track, from, to journal.Millis, found map[*track]*carried) ([]*track, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	blocks, err := sc.parse(o, from, to)
	if err != nil {
		return nil, err
	}
	left := open[:0]
	for _, t := range open {
		c, err := sc.lastIn(t, blocks, from, to)
		if isDamage(err) {
			t.note(from, to)
			sc.s.reportDamage(sc.s.days.path(o.sp.day), err)
		} else if err != nil {
			return nil, err
		}
		if found[t].take(c); !sc.complete(found[t], from) {
			left = append(left, t)
		}
	}
	return left, nil
}

// lastIn is what a metric's samples in an hour's blocks carry out of it.
func (sc *scan) lastIn(t *track, blocks []*stored, from, to journal.Millis) (c carried, damage error) {
	var space [16]entry
	list := t.entries(space[:0], blocks, from, to)
	if len(list) == 0 {
		return c, nil
	}
	newest := list[0]
	for _, e := range list {
		if e.Last > newest.Last {
			newest = e
		}
	}
	alone := newest.Stats != nil && newest.Last < to && !sc.hasInMemory(t, newest.Last)
	for _, e := range list {
		alone = alone && (e.Entry == newest.Entry || e.Last < newest.Last)
	}
	if alone {
		r := reading{newest.Last, newest.in.LastIndex, newest.Stats.Last, journal.Good}
		return carried{r, r}, nil
	}
	damage = sc.gather(list)
	sc.list = append(sc.list, t.memory[:t.inMemoryBefore(to)]...) // of one stamp the last to arrive counts
	all := lastReadings(sc.list)
	n, _ := slices.BinarySearchFunc(all, to, func(r reading, at journal.Millis) int { return cmp.Compare(r.at, at) })
	return carriedOf(all[:n]), damage
}

// hasInMemory says that memory has a sample of the same time: then its index tells which came later.
func (sc *scan) hasInMemory(t *track, at journal.Millis) bool {
	n := t.inMemoryBefore(at)
	return n < len(t.memory) && t.memory[n].at == at
}
