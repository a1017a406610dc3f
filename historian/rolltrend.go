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
	has := s.hasTrend(day)
	if !st.trended || !has {
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
	}, bucketMinute)
	if err != nil {
		return err
	}
	month := monthOf(dayStart(day))
	t := s.trends.get(month)
	err = t.update(func(tx *bolt.Tx) error {
		if has && !st.trended { // of a file of the day that is no more
			if err := keepHours(tx, &s.rolls, day, blocks); err != nil {
				return err
			}
		}
		return putTrend(tx, day, blocks, leads)
	})
	if isDamage(err) {
		return s.mendMonth(t, err) // the caller comes again
	}
	if err != nil {
		return err
	}
	t.wrote = wrote{from: dayStart(day), to: dayStart(day + 1)}
	s.trends.exists(t)
	return d.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		for _, g := range st.trends {
			if err := remove(meta, bucketMeta, trendKey(g)); err != nil {
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
	}, bucketHour)
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

// keepHours adds to the new blocks of a day the hours that the trend file has of it and they do not have, or of fewer samples:
// those were in a file that was removed or damaged, and the day began anew.
func keepHours(tx *bolt.Tx, e *chunk.RollupEncoder, day int64, blocks map[uint32][]byte) error {
	for _, g := range sortedGroups(blocks) {
		old := parseRollups(tx, bucketHour, hourKey(dayStart(day), g))
		if old.block == nil {
			continue
		}
		byID := make(map[journal.SeriesID]*chunk.Rollups)
		mergeHours(byID, old)
		mergeHours(byID, &rollupReader{block: mustParse(blocks[g])})
		var err error
		span := chunk.Span{Start: dayStart(day), Step: hourMillis, Steps: 24}
		if blocks[g], err = e.Encode(span, ascending(slices.Collect(maps.Values(byID)))); err != nil {
			return err
		}
	}
	return nil
}

// mergeHours takes the rows of a block, but of an hour that is there of more samples. What holds at the end goes with the last row.
func mergeHours(byID map[journal.SeriesID]*chunk.Rollups, r *rollupReader) {
	if r.block == nil {
		return
	}
	for i := range r.block.Len() {
		if err := r.block.Read(i, &r.rows); err != nil {
			continue
		}
		s := byID[r.rows.Series]
		if s == nil {
			s = &chunk.Rollups{Series: r.rows.Series}
			byID[s.Series] = s
		}
		for n := range r.rows.Rows {
			row := &r.rows.Rows[n]
			at, found := slices.BinarySearchFunc(s.Rows, row.At, func(x Rollup, at journal.Millis) int { return cmp.Compare(x.At, at) })
			switch {
			case !found:
				s.Rows = slices.Insert(s.Rows, at, *row)
			case row.Count >= s.Rows[at].Count:
				s.Rows[at] = *row
			default:
				continue
			}
			if at == len(s.Rows)-1 && n == len(r.rows.Rows)-1 {
				s.Holds, s.Quality = r.rows.Holds, r.rows.Quality
			}
		}
	}
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
	write := func(group uint32, data []byte) error {
		k := hourKey(dayStart(day), group)
		if data == nil {
			return remove(b, bucketHour, k)
		}
		for _, l := range leads[group] {
			for _, e := range l.epochs {
				if !known(rows, e) {
					if err := put(rows, bucketSeries, big4(uint32(e.id)), appendSeries(nil, e)); err != nil {
						return err
					}
				}
			}
		}
		return put(b, bucketHour, k, data)
	}
	for _, g := range sortedGroups(blocks) {
		if err := write(g, blocks[g]); err != nil {
			return err
		}
	}
	return put(b, bucketHour, hourKey(dayStart(day), 0), binary.AppendUvarint(nil, 24))
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
