package historian

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// rollTrend writes a day's rows of hours to its month's trend file: of all groups once when the day is over, later of those that changed.
func (s *Store) rollTrend(day int64, st rolled) error {
	groups := st.trends
	leads := s.catalog.leads()
	if !st.trended || !s.hasTrend(day) {
		groups = nil
		for g := range leads {
			groups = append(groups, g)
		}
	}
	blocks := make(map[uint32][]byte, len(groups))
	d := s.days.get(day)
	err := d.view(func(tx *bolt.Tx) (err error) {
		for _, g := range groups {
			if blocks[g], err = dayBlock(tx, &s.rolls, day, g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	month := monthOf(dayStart(day))
	t := s.trends.get(month)
	err = t.update(func(tx *bolt.Tx) error { return putTrend(tx, day, blocks, leads) })
	if err != nil {
		return err
	}
	s.trends.setInfo(t, about{there: true})
	return d.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		for _, g := range st.trends {
			if err := meta.Delete(trendKey(g)); err != nil {
				return err
			}
		}
		st.trended = true
		return st.put(meta, day)
	})
}

// hasTrend tells whether a day is in its month's trend file: that may have been damaged and moved aside.
func (s *Store) hasTrend(day int64) (has bool) {
	month := monthOf(dayStart(day))
	if len(s.trends.existing(month, month)) == 0 {
		return false
	}
	err := s.trends.get(month).view(func(tx *bolt.Tx) error {
		has = tx.Bucket(bucketHour).Get(hourKey(dayStart(day), 0)) != nil
		return nil
	})
	return has && err == nil
}

// dayBlock gathers a group's hours of a day; nil if there are none.
func dayBlock(tx *bolt.Tx, e *chunk.RollupEncoder, day int64, group uint32) ([]byte, error) {
	start := dayStart(day)
	byID := make(map[journal.SeriesID]*chunk.Rollups)
	var list []*chunk.Rollups
	for hour := start; hour < start+dayMillis; hour += hourMillis {
		r := parseRollups(tx, bucketMinute, hourKey(hour, group))
		if r.block == nil {
			continue
		}
		for i := range r.block.Len() {
			if err := r.block.Read(i, &r.rows); err != nil {
				continue // its hour is told by samples, as long as they are there
			}
			s := byID[r.rows.Series]
			if s == nil {
				s = &chunk.Rollups{Series: r.rows.Series}
				byID[s.Series] = s
				list = append(list, s)
			}
			s.Rows = append(s.Rows, hourOf(hour, r.rows.Rows))
			if s.Holds, s.Quality = chunk.HoldsNothing, journal.Good; hour+hourMillis == start+dayMillis {
				s.Holds, s.Quality = r.rows.Holds, r.rows.Quality
			}
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return e.Encode(chunk.Span{Start: start, Step: hourMillis, Steps: 24}, ascending(list))
}

// hourOf puts the rows of an hour together.
func hourOf(hour journal.Millis, rows []Rollup) Rollup {
	out := chunk.NoRollup(hour, hour)
	for i := range rows {
		extend(&out, &rows[i])
	}
	out.Until = hour + hourMillis
	return out
}

// putTrend writes the blocks, and that the day is there: the row of group 0.
func putTrend(tx *bolt.Tx, day int64, blocks map[uint32][]byte, leads map[uint32][]lead) error {
	b, rows := tx.Bucket(bucketHour), tx.Bucket(bucketSeries)
	b.FillPercent = 0.9
	put := func(group uint32, data []byte) error {
		k := hourKey(dayStart(day), group)
		if data == nil {
			return b.Delete(k)
		}
		for _, l := range leads[group] {
			for _, e := range l.epochs {
				if !known(rows, e) {
					if err := rows.Put(big4(uint32(e.id)), appendSeries(nil, e)); err != nil {
						return err
					}
				}
			}
		}
		return b.Put(k, data)
	}
	for _, g := range sortedGroups(blocks) {
		if err := put(g, blocks[g]); err != nil {
			return err
		}
	}
	return b.Put(hourKey(dayStart(day), 0), binary.AppendUvarint(nil, 24))
}

func sortedGroups(blocks map[uint32][]byte) []uint32 { return slices.Sorted(maps.Keys(blocks)) }

func ascending(list []*chunk.Rollups) []chunk.Rollups {
	out := make([]chunk.Rollups, len(list))
	for i, s := range list {
		out[i] = *s
	}
	slices.SortFunc(out, func(a, b chunk.Rollups) int { return cmp.Compare(a.Series, b.Series) })
	return out
}
