package historian

import (
	"context"
	"math"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// A setpoint may not change for weeks. Rollups carry it from hour to hour without an end, samples are looked for in the last three
// days only: what has none there goes on from what the rollups hold, so that every zoom shows the same.

// heldInRows finds what metrics without a sample in the lookBack before a time hold there.
func (sc *scan) heldInRows(ctx context.Context, tracks []*track, at journal.Millis, found map[*track]*carried) error {
	floor := max(0, at-lookBack)
	groups := make(map[uint32][]*track)
	for _, t := range tracks {
		r := &rollRead{q: &query{s: sc.s, owner: t.owner, epochs: t.epochs}}
		if r.inMemory(); r.isTouched(0, floor) || t.isHurt(floor, at) {
			continue
		}
		g := firstOf(t.epochs).group
		groups[g] = append(groups[g], t)
	}
	ended := make(map[owner]bool)
	for g, list := range groups {
		held, since, err := sc.s.rowsHold(g, list, floor, at)
		if err != nil {
			return err
		}
		for _, t := range list {
			h := held[firstOf(t.epochs).id]
			if !h.on {
				continue
			}
			end, asked := ended[t.owner]
			if !asked {
				gaps, err := sc.s.gaps(ctx, t.owner, max(0, since-1), at)
				if err != nil {
					return err
				}
				end = nextEdge(Edges(gaps), since-1) < at
				ended[t.owner] = end
			}
			if !end {
				found[t].take(h.carried(since - 1))
			}
		}
	}
	return nil
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
// between it and floor there are samples that no row tells of.
func (s *Store) rowsHold(group uint32, list []*track, floor, at journal.Millis) (out map[journal.SeriesID]held, until journal.Millis, err error) {
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
			return nil, 0, s.survive(err)
		case until <= start && start >= floor: // its samples were looked at
			clear(out)
			continue
		case changed || until < min(end, floor):
			return nil, 0, nil
		}
		if ok, err := s.allRolled(day-1, group); !ok || err != nil {
			return nil, 0, err
		}
		return out, until, nil
	}
	return s.carriedInTrend(dayStart(dayOf(at)), group)
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
