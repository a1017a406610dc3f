package historian

import (
	"context"
	"math"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// A setpoint may not change for weeks. Rollups carry it from hour to hour without an end, samples are looked for in the last three
// days only: what has none there goes on from what the rollups hold, so that every zoom shows the same. Where those are not made yet, or are
// to be made again, its last sample is looked for in the days that have one.

// heldLong finds what metrics without a sample in the lookBack before a time hold there.
func (sc *scan) heldLong(ctx context.Context, tracks []*track, at journal.Millis, found map[*track]*carried) error {
	h := &longHold{sc: sc, at: at, floor: max(0, at-lookBack), found: found, ended: make(map[owner]bool)}
	groups := make(map[uint32][]*track)
	for _, t := range tracks {
		r := &rollRead{q: &query{s: sc.s, owner: t.owner, epochs: t.epochs}}
		switch r.inMemory(); {
		case t.isHurt(h.floor, at):
		case r.isTouched(0, h.floor):
			h.open = append(h.open, t)
		default:
			g := firstOf(t.epochs).group
			groups[g] = append(groups[g], t)
		}
	}
	for g, list := range groups {
		held, since, known, err := sc.s.rowsHold(g, list, h.floor, at)
		if err != nil {
			return err
		}
		if !known {
			h.open = append(h.open, list...)
		} else if err := h.takeRows(ctx, list, held, since); err != nil {
			return err
		}
	}
	return h.inSamples(ctx)
}

// longHold looks for what holds at a time since before floor.
type longHold struct {
	sc        *scan
	at, floor journal.Millis
	found     map[*track]*carried
	open      []*track // that rows do not tell of
	ended     map[owner]bool
}

// takeRows takes what rows hold at a time.
func (h *longHold) takeRows(ctx context.Context, list []*track, held map[journal.SeriesID]held, since journal.Millis) error {
	clear(h.ended)
	for _, t := range list {
		x := held[firstOf(t.epochs).id]
		if !x.on {
			continue
		}
		end, asked := h.ended[t.owner]
		if !asked {
			var err error
			if end, err = h.ends(ctx, t.owner, since-1); err != nil {
				return err
			}
			h.ended[t.owner] = end
		}
		if !end {
			h.found[t].take(x.carried(since - 1))
		}
	}
	return nil
}

// ends says that what an owner's metrics held after a time does not hold any more.
func (h *longHold) ends(ctx context.Context, o owner, after journal.Millis) (bool, error) {
	gaps, err := h.sc.s.gaps(ctx, o, max(0, after), h.at)
	return nextEdge(Edges(gaps), after) < h.at, err
}

// inSamples goes back through the days, and reads those that have samples of what is open; what none has, the rows before them tell.
func (h *longHold) inSamples(ctx context.Context) error {
	if len(h.open) == 0 {
		return nil
	}
	s := h.sc.s
	low := dayStart(dayOf(h.floor) + 1)
	for _, day := range slices.Backward(s.sampled(0, dayOf(h.floor))) {
		if err := ctx.Err(); err != nil || len(h.open) == 0 {
			return err
		}
		low = dayStart(day)
		has, err := s.samplesOf(day)
		if err != nil { // of what is damaged nobody knows
			return s.survive(err)
		}
		open := h.open
		h.open = nil
		for _, t := range open {
			if !slices.ContainsFunc(t.epochs, func(e *series) bool { return has[e.id] }) {
				h.open = append(h.open, t)
			} else if err := h.inDay(ctx, t, day); err != nil {
				return err
			}
		}
	}
	groups := make(map[uint32][]*track)
	for _, t := range h.open {
		g := firstOf(t.epochs).group
		groups[g] = append(groups[g], t)
	}
	for g, list := range groups {
		held, since, err := s.carriedBefore(low, g)
		if err != nil {
			return err
		}
		if err := h.takeRows(ctx, list, held, since); err != nil {
			return err
		}
	}
	return nil
}

// inDay looks for a metric's last sample in a day. What is not there either stays open.
func (h *longHold) inDay(ctx context.Context, t *track, day int64) error {
	q := &query{s: h.sc.s, owner: t.owner, epochs: t.epochs}
	v, ok := q.before(ctx, min(h.floor, dayStart(day+1)), dayStart(day), func(journal.Sample) bool { return true })
	switch {
	case q.hidden: // nobody knows
		return ctx.Err()
	case !ok:
		h.open = append(h.open, t)
		return ctx.Err()
	}
	end, err := h.ends(ctx, t.owner, v.At)
	if err == nil && !end {
		r := h.sc.reader.reading(&v)
		r.index = 1
		h.found[t].take(carriedOf([]reading{r}))
	}
	return err
}

// sampled are the days between two (both inclusive) that have samples, in memory or in a file, oldest first. It looks at memory first: what
// moves to a file meanwhile is then not missed.
func (s *Store) sampled(first, last int64) []int64 {
	out := append(s.daysInMemory(first, last), slices.DeleteFunc(s.days.existing(first, last), s.days.isThin)...)
	slices.Sort(out)
	return slices.Compact(out)
}

// samplesOf are the series that a day has samples of.
func (s *Store) samplesOf(day int64) (has map[journal.SeriesID]bool, err error) {
	has = make(map[journal.SeriesID]bool)
	s.mu.RLock()
	for _, h := range s.heads() {
		for k, c := range h.cells {
			if dayOf(k.window) != day {
				continue
			}
			for _, m := range c.members {
				if m.series != nil {
					has[m.series.id] = true
				}
			}
		}
	}
	s.mu.RUnlock()
	err = s.days.get(day).view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketSeries).ForEach(func(k, _ []byte) error {
			if len(k) == 4 {
				has[journal.SeriesID(be4(k))] = true
			}
			return nil
		})
	}, bucketSeries)
	return has, err
}

// carried is what holds as a reading of a time.
func (h held) carried(at journal.Millis) (c carried) {
	c.last = reading{at: at, index: 1, num: math.NaN(), quality: h.quality}
	if h.ok {
		c.last.num = h.f
		c.usable = c.last
	}
	return c
}

// isHurt says that a part of a range could not be read.
func (t *track) isHurt(from, to journal.Millis) bool {
	return slices.ContainsFunc(t.damage, func(g Gap) bool { return g.To > from && g.From < to })
}

// rowsHold is what metrics of a group held at the end of the last hour before a time that is rolled up, and when that was. Nothing, if
// between it and floor there are samples that no row tells of. known: these rows are true.
func (s *Store) rowsHold(group uint32, list []*track, floor, at journal.Millis) (out map[journal.SeriesID]held, until journal.Millis, known bool, err error) {
	out = make(map[journal.SeriesID]held)
	for _, day := range slices.Backward(s.days.existing(0, dayOf(at))) {
		start := dayStart(day)
		end := min(floorTo(at, hourMillis), dayStart(day+1))
		if end <= start {
			continue
		}
		changed := false
		err := s.days.get(day).view(func(tx *bolt.Tx) error {
			st := readRolled(tx.Bucket(bucketMeta), day)
			until = min(end, st.until)
			for _, m := range st.marks {
				changed = changed || m.hour < until && (m.group == 0 || m.group == group)
			}
			rows := parseRollups(tx, bucketMinute, hourKey(until-hourMillis, group))
			for _, t := range list {
				id := firstOf(t.epochs).id
				if h := heldAtEnd(rows.find(id), until); h.on {
					out[id] = h
				}
			}
			return nil
		}, bucketMeta, bucketMinute)
		switch {
		case err != nil:
			return nil, 0, false, s.survive(err)
		case until <= start && start >= floor: // its samples were looked at
			clear(out)
			continue
		case changed || until < min(end, floor):
			return nil, 0, false, nil
		}
		ok, err := s.allRolled(day-1, group)
		return out, until, ok, err
	}
	out, until, err = s.carriedInTrend(dayStart(dayOf(at)), group)
	return out, until, true, err
}

// allRolled says that no hour up to a day is to be rolled up again, from which one that is could hold something else.
func (s *Store) allRolled(last int64, group uint32) (all bool, err error) {
	all = true
	for _, day := range s.days.existing(0, last) {
		if s.isTrended(day) || s.days.isThin(day) {
			continue
		}
		err := s.days.get(day).view(func(tx *bolt.Tx) error {
			st := readRolled(tx.Bucket(bucketMeta), day)
			all = all && st.until == dayStart(day+1)
			for _, m := range st.marks {
				all = all && m.group != 0 && m.group != group
			}
			return nil
		}, bucketMeta)
		if err != nil {
			return false, s.survive(err)
		}
	}
	return all, nil
}
