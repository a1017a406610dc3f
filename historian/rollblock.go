package historian

import (
	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// rollupReader reads series of a rollup block; without a block, or of a damaged one, there are none.
type rollupReader struct {
	block *chunk.RollupBlock
	err   error // what is wrong with the block
	rows  chunk.Rollups
}

// parseRollups reads the head of a block in a bucket that may not be there.
func parseRollups(tx *bolt.Tx, bucket, key []byte) *rollupReader {
	r := &rollupReader{}
	if b := tx.Bucket(bucket); b != nil {
		if data := b.Get(key); data != nil {
			r.block, r.err = chunk.ParseRollups(data)
		}
	}
	return r
}

func mustParse(data []byte) *chunk.RollupBlock {
	if data == nil {
		return nil
	}
	b, err := chunk.ParseRollups(data)
	if err != nil {
		panic("BUG: a rollup block that was just encoded: " + err.Error())
	}
	return b
}

// find reads a series, nil if it is not there. The rows are good until the next call.
func (r *rollupReader) find(id journal.SeriesID) *chunk.Rollups {
	if r.block == nil {
		return nil
	}
	i, ok := r.block.Find(id)
	if !ok {
		return nil
	}
	if err := r.block.Read(i, &r.rows); err != nil {
		r.err = err
		return nil
	}
	return &r.rows
}

// heldAtEnd is what holds when the series' block ends.
func heldAtEnd(s *chunk.Rollups, end journal.Millis) (h held) {
	if s == nil || s.Holds == chunk.HoldsNothing || len(s.Rows) == 0 {
		return h
	}
	h = held{point{at: end - 1, quality: s.Quality}, true}
	if s.Holds == chunk.HoldsLast {
		h.f, h.ok = s.Rows[len(s.Rows)-1].Last, true
	}
	return h
}

// sameCarried tells whether the next hour takes over the same from both blocks.
func sameCarried(a, b *rollupReader, leads []lead) bool {
	for _, l := range leads {
		if heldAtEnd(a.find(l.id), 0) != heldAtEnd(b.find(l.id), 0) {
			return false
		}
	}
	return true
}

// all reads what every series of a block hands on.
func (r *rollupReader) allHeld(into map[journal.SeriesID]held) {
	if r.block == nil {
		return
	}
	for i := range r.block.Len() {
		if err := r.block.Read(i, &r.rows); err != nil {
			r.err = err
			continue
		}
		if h := heldAtEnd(&r.rows, r.block.End()); h.on {
			into[r.rows.Series] = h
		}
	}
}

// carriedInto is what an hour that is rolled up takes over.
func (s *Store) carriedInto(hour journal.Millis, group uint32) (out map[journal.SeriesID]held, since journal.Millis, err error) {
	if s.carry.hour == hour {
		return s.carry.groups[group], hour, nil
	}
	return s.carriedBefore(hour, group)
}

// carriedBefore is what the metrics of a group hold at the end of the last hour before one, and when that hour ended. It looks into
// the hour's own file, then into that of the last day before it that has one, then into the trend files.
func (s *Store) carriedBefore(hour journal.Millis, group uint32) (out map[journal.SeriesID]held, since journal.Millis, err error) {
	day, last := dayOf(hour), hour-hourMillis
	if hour == dayStart(day) {
		list := s.days.existing(0, day-1)
		if len(list) == 0 {
			return s.carriedInTrend(hour, group)
		}
		day = list[len(list)-1]
		last = dayStart(day+1) - hourMillis
	}
	out = make(map[journal.SeriesID]held)
	err = s.days.get(day).view(func(tx *bolt.Tx) error {
		parseRollups(tx, bucketMinute, hourKey(last, group)).allHeld(out)
		return nil
	}, bucketMinute)
	return out, last + hourMillis, s.survive(err)
}

// carriedInTrend looks for the last day before in the trend files of its month and the one before that.
func (s *Store) carriedInTrend(before journal.Millis, group uint32) (out map[journal.SeriesID]held, since journal.Millis, err error) {
	out, since = make(map[journal.SeriesID]held), before
	month := monthOf(before - 1)
	list := s.trends.existing(month-1, month)
	for i := len(list) - 1; i >= 0; i-- {
		found := false
		err := s.trends.get(list[i]).view(func(tx *bolt.Tx) error {
			c := tx.Bucket(bucketHour).Cursor()
			for k, _ := lastBelow(c, hourKey(before, 0)); len(k) == 8 && !found; k, _ = c.Prev() {
				if found = be4(k[4:]) == 0; found {
					day := journal.Millis(be4(k)) * 1000
					parseRollups(tx, bucketHour, hourKey(day, group)).allHeld(out)
					since = day + dayMillis
				}
			}
			return nil
		}, bucketHour)
		if err := s.survive(err); err != nil || found {
			return out, since, err
		}
	}
	return out, since, nil
}
