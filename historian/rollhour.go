package historian

import (
	"context"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// lead is a metric as rollups know it: under its first epoch.
type lead struct {
	id     journal.SeriesID
	epochs []*series
}

// hourRoll computes the rows of one hour, group after group. Its memory serves all of them.
type hourRoll struct {
	s     *Store
	from  journal.Millis
	leads map[uint32][]lead // by the group of the first epoch; ascending
	count int               // samples read
	next  map[uint32]map[journal.SeriesID]held

	roller roller
	pool   []*stored // the first found of them are blocks of the hour
	found  int
	cols   chunk.Columns
	floats []float64
	points []point
	index  []journal.Index
}

// hourBlock is what one group comes to.
type hourBlock struct {
	group   uint32
	data    []byte // nil: no rows
	changed bool   // what the next hour takes over is not what it was
}

// rollHour computes an hour and writes it: the next one of the day, or one that is marked.
func (s *Store) rollHour(ctx context.Context, day int64, st rolled, hour journal.Millis, budget *int) error {
	fresh := hour == st.until
	r := &hourRoll{s: s, from: hour, leads: s.catalog.leads(), next: make(map[uint32]map[journal.SeriesID]held)}
	groups := st.groupsAt(hour, r.leads)
	d := s.days.get(day)
	var out []hourBlock
	for _, g := range groups {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := r.group(ctx, d, g, fresh)
		if err != nil {
			return err
		}
		out = append(out, b)
	}
	*budget -= r.count + 1024
	if fresh {
		st.until = hour + hourMillis
	}
	if hour+hourMillis == dayStart(day+1) {
		if err := s.rollOver(day, out, fresh); err != nil {
			return err
		}
	}
	s.carry = carry{}
	if err := d.update(func(tx *bolt.Tx) error { return putHour(tx, day, st, hour, out, fresh) }); err != nil || !fresh {
		return err
	}
	s.carry = carry{hour + hourMillis, r.next}
	return nil
}

// carry is what an hour takes over, of each group, so that it need not be read again.
type carry struct {
	hour   journal.Millis
	groups map[uint32]map[journal.SeriesID]held
}

// groupsAt are the groups to compute in an hour, ascending.
func (st *rolled) groupsAt(hour journal.Millis, leads map[uint32][]lead) (out []uint32) {
	all := hour == st.until
	for _, m := range st.marks {
		if m.hour == hour {
			all = all || m.group == 0
			out = append(out, m.group)
		}
	}
	if all {
		out = out[:0]
		for g := range leads {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// putHour writes an hour's blocks, and what is then to be done.
func putHour(tx *bolt.Tx, day int64, st rolled, hour journal.Millis, list []hourBlock, fresh bool) error {
	b, meta := tx.Bucket(bucketMinute), tx.Bucket(bucketMeta)
	if fresh {
		b.FillPercent = 1
	}
	next := make(map[hourMark]bool)
	for _, x := range list {
		k := hourKey(hour, x.group)
		var err error
		if x.data != nil {
			err = put(b, bucketMinute, k, x.data)
		} else { // one may be there of a day that was saved
			err = remove(b, bucketMinute, k)
		}
		if err != nil {
			return err
		}
		if st.trended {
			if err := put(meta, bucketMeta, trendKey(x.group), nil); err != nil {
				return err
			}
		}
		if x.changed && hour+hourMillis < st.until {
			next[hourMark{hour + hourMillis, x.group}] = true
		}
	}
	for _, m := range st.marks {
		if m.hour == hour {
			if err := remove(meta, bucketMeta, m.key()); err != nil {
				return err
			}
		}
	}
	if err := putMarks(meta, next); err != nil {
		return err
	}
	return st.put(meta, day)
}

// rollOver marks the first hour of the next day that has a file where its last hour changed. When the last hour is rolled up for the
// first time, what the next day took over is not known: the hour is marked for all.
func (s *Store) rollOver(day int64, list []hourBlock, fresh bool) error {
	next, ok := s.nextDay(day)
	if !ok {
		return nil
	}
	groups := []uint32{0}
	if !fresh {
		groups = nil
		for _, x := range list {
			if x.changed {
				groups = append(groups, x.group)
			}
		}
	}
	if len(groups) == 0 {
		return nil
	}
	_, err := s.markDay(next, dayStart(next), groups)
	return err
}

// group computes the rows of a group's metrics.
func (r *hourRoll) group(ctx context.Context, d *storeFile, group uint32, fresh bool) (out hourBlock, err error) {
	out.group = group
	leads := r.leads[group]
	if len(leads) == 0 {
		return out, nil
	}
	carried, since, err := r.s.carriedInto(r.from, group)
	if err != nil {
		return out, err
	}
	key := leads[0].epochs[0].key
	gaps, err := r.s.gaps(ctx, owner{key.Group, key.Node, key.Device}, max(0, since-1), r.from+hourMillis)
	if err != nil {
		return out, err
	}
	edges := Edges(gaps)
	if e := nextEdge(edges, since-1); e < r.from {
		carried = nil
	}
	err = d.view(func(tx *bolt.Tx) error {
		defer r.release()
		if err := r.read(tx, d, leads); err != nil {
			return err
		}
		old := parseRollups(tx, bucketMinute, hourKey(r.from, group))
		next, rolls := make(map[journal.SeriesID]held, len(leads)), &r.s.rolls
		rolls.Begin(hourSpan(r.from))
		for _, l := range leads {
			row, n, err := r.lead(l, carried[l.id], edges)
			if err != nil {
				return err
			}
			if was := old.find(l.id); was != nil && counted(was.Rows) > n {
				row = *was // samples that it tells of are no more
			}
			if len(row.Rows) == 0 {
				continue
			}
			if err := rolls.Add(&row); err != nil {
				return err
			}
			if h := heldAtEnd(&row, r.from+hourMillis); h.on {
				next[l.id] = h
			}
		}
		out.data, r.next[group] = rolls.End(), next
		if !fresh {
			out.changed = !sameCarried(old, &rollupReader{block: mustParse(out.data)}, leads)
		}
		return nil
	}, bucketBlock, bucketLate, bucketMinute)
	return out, err
}

func hourSpan(from journal.Millis) chunk.Span {
	return chunk.Span{Start: from, Step: minuteMillis, Steps: 60}
}

// read finds the blocks that have samples of the hour. They are the file's memory: release forgets them.
func (r *hourRoll) read(tx *bolt.Tx, d *storeFile, leads []lead) error {
	var groups []uint32
	for _, l := range leads {
		for _, e := range l.epochs {
			if !slices.Contains(groups, e.group) {
				groups = append(groups, e.group)
			}
		}
	}
	r.found = 0
	visit := func(_, v []byte) error {
		err := r.block(v)
		if isDamage(err) {
			r.s.reportDamage(d.path, err)
			return nil
		}
		return err
	}
	for _, g := range groups {
		if err := eachBlockIn(tx.Bucket(bucketBlock), tx.Bucket(bucketLate), g, r.from, r.from+hourMillis, visit); err != nil {
			return err
		}
	}
	return nil
}

// block takes a block if it has samples of the hour. What large values are is not asked.
func (r *hourRoll) block(data []byte) error {
	if r.found == len(r.pool) {
		r.pool = append(r.pool, &stored{})
	}
	b := r.pool[r.found]
	if err := b.Reset(data); err != nil {
		return err
	}
	if b.Last < r.from || b.First >= r.from+hourMillis {
		return nil
	}
	if err := b.Timeline(&b.line); err != nil {
		return err
	}
	r.found++
	return nil
}

func (r *hourRoll) blocks() []*stored { return r.pool[:r.found] }

func (r *hourRoll) release() {
	for _, b := range r.pool {
		b.Release()
		b.line.Release()
	}
	r.found = 0
}
