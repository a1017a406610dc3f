package historian

import (
	"cmp"
	"context"
	"math"
	"slices"

	"edge/historian/journal"
)

// Cursor reads one metric piece by piece, stitched over its type epochs, so that who looks at years holds an hour of it.
// It is for one goroutine.
type Cursor struct {
	q    *query
	days []int64 // that have something in the range, ascending
}

// Cursor returns a cursor over from <= At < to of a metric. It returns ErrNoSeries for an unknown one.
func (s *Store) Cursor(group, node, device, metric string, from, to journal.Millis) (*Cursor, error) {
	q, err := s.query(Range{Group: group, Node: node, Device: device, Metric: metric, From: from, To: to})
	if err != nil {
		return nil, err
	}
	return &Cursor{q: q, days: q.daysWithData()}, nil
}

// Read returns samples with from <= At < next, oldest first; next <= to is where to go on. It reads an hour at most, and skips
// days that have nothing. Of several samples with one time stamp the last to arrive counts.
func (c *Cursor) Read(ctx context.Context, from, to journal.Millis) (list []journal.Sample, next journal.Millis, err error) {
	from = max(from, c.q.from)
	end := min(to, c.q.to)
	for _, day := range c.days {
		start := max(from, dayStart(day))
		if start >= min(end, dayStart(day+1)) {
			continue
		}
		return c.q.ahead(ctx, nil, day, start, min(end, dayStart(day+1), floorTo(start, hourMillis)+hourMillis))
	}
	return nil, to, ctx.Err()
}

// Held returns the last sample with floor <= At < at: what holds there, unless a gap began or ended in between. With floor 0 it
// goes back however long: what holds for more than three days may come as a Double, of a later time at which it held. What damage may hide
// comes back as a Bad sample.
func (c *Cursor) Held(ctx context.Context, at, floor journal.Millis) (v journal.Sample, ok bool, err error) {
	live, filled, err := c.newest(ctx)
	if err != nil {
		return v, false, err
	}
	known := live.Series != 0 && live.At < at && live.At >= floor
	if known && filled < live.At {
		return live, true, nil
	}
	since := floor
	if floor == 0 {
		since = at - lookBack
	}
	if known { // unless one came later that tells of a time since
		since = max(since, live.At)
	}
	back := &query{s: c.q.s, owner: c.q.owner, epochs: c.q.epochs, from: max(0, since), to: at}
	v, ok = back.before(ctx, at, back.from, func(journal.Sample) bool { return true })
	switch {
	case back.hidden:
		return journal.Sample{At: at - 1, Quality: journal.Bad}, true, ctx.Err()
	case ok || ctx.Err() != nil:
		return v, ok, ctx.Err()
	}
	if floor == 0 && (!known || live.At < since) {
		v, ok, err = c.heldLong(ctx, at)
	}
	if !ok && known {
		return live, true, err
	}
	return v, ok, err
}

// heldLong is what holds at a time since more than three days.
func (c *Cursor) heldLong(ctx context.Context, at journal.Millis) (v journal.Sample, ok bool, err error) {
	t := &track{owner: c.q.owner, epochs: c.q.epochs}
	sc := c.q.s.newScan([]*track{t})
	defer sc.end()
	sc.reader.numbersOnly = true
	found := map[*track]*carried{t: {}}
	err = sc.heldLong(ctx, sc.tracks, at, found)
	r := found[t].last
	v = journal.Sample{Series: firstOf(t.epochs).id, At: r.at, Quality: r.quality, Value: journal.Value{Type: 10, Num: math.Float64bits(r.num)}}
	return v, r.index != 0, err
}

// newest is the live sample that counts, whose Series is 0 if there is none of the last month, and the time of the newest other one,
// if that may be later.
func (c *Cursor) newest(ctx context.Context) (last journal.Sample, filled journal.Millis, err error) {
	s := c.q.s
	if err := s.lookUp(ctx, s.catalog.unlooked(s, c.q.epochs)); err != nil {
		return last, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range c.q.epochs {
		if v := e.newest(); v.Series != 0 && !v.Historical && (last.Series == 0 || outdoes(&v, &last)) {
			last = v
		}
		filled = max(filled, e.filled)
		if e.beside && e.old != nil && e.latest.have && e.old.At > e.latest.at { // though it may not count
			filled = max(filled, e.old.At)
		}
	}
	return last, filled, nil
}

// Damage tells of the stretches that Read found unreadable so far. Nothing is carried over where one begins or ends.
func (c *Cursor) Damage() []Gap { return c.q.damage }

// Gaps returns the stretches of from <= t < to without truth for the metrics of a device, or with device empty of a node,
// oldest first. Nothing is carried over where one begins or ends.
func (s *Store) Gaps(ctx context.Context, group, node, device string, from, to journal.Millis) ([]Gap, error) {
	return s.gaps(ctx, owner{group, node, device}, max(0, from), to)
}

// SeriesCount tells how many series there are and the highest number that was given: while both stay, Metrics answers the same.
func (s *Store) SeriesCount() (n int, last journal.SeriesID) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	return len(s.catalog.byID), s.catalog.lastID
}

// Turn is when a node or device came to life or died.
type Turn struct {
	At    journal.Millis
	Alive bool
}

// Life returns the turns of from <= At < to of a device, or with device empty of a node, oldest first, and before them the last
// one earlier if there is one.
func (s *Store) Life(ctx context.Context, group, node, device string, from, to journal.Millis) ([]Turn, error) {
	o := owner{group, node, device}
	list, err := s.turns(ctx, o, max(0, from), to)
	if err != nil {
		return nil, err
	}
	var out []Turn
	if first := slices.IndexFunc(list, func(e loggedEvent) bool { return turnOf(o, e.Kind) != turnNone }); first >= 0 {
		out = append(out, Turn{list[first].At, turnOf(o, list[first].Kind) == turnBirth})
	}
	for _, g := range deadSpans(o, slices.DeleteFunc(list, func(e loggedEvent) bool { return e.Kind == journal.GapEvent })) {
		out = append(out, Turn{g.From, false})
		if g.To != 0 {
			out = append(out, Turn{g.To, true})
		}
	}
	slices.SortStableFunc(out, func(a, b Turn) int { return cmp.Compare(a.At, b.At) })
	out = slices.CompactFunc(out, func(a, b Turn) bool { return a.Alive == b.Alive })
	for len(out) > 1 && out[1].At < from {
		out = out[1:]
	}
	return slices.DeleteFunc(out, func(t Turn) bool { return t.At >= to }), nil
}
