package historian

import (
	"cmp"
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
	blocks []*chunk.Block
	lines  []chunk.Timeline
	cols   chunk.Columns
	floats []float64
	points []point
	index  []journal.Index
	arena  []Rollup
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
			err = b.Put(k, x.data)
		} else { // one may be there of a day that was saved
			err = b.Delete(k)
		}
		if err != nil {
			return err
		}
		if st.trended {
			if err := meta.Put(trendKey(x.group), nil); err != nil {
				return err
			}
		}
		if x.changed && hour+hourMillis < st.until {
			next[hourMark{hour + hourMillis, x.group}] = true
		}
	}
	for _, m := range st.marks {
		if m.hour == hour {
			if err := meta.Delete(m.key()); err != nil {
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
	return s.markDay(next, dayStart(next), groups)
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
	var list []chunk.Rollups
	err = d.view(func(tx *bolt.Tx) error {
		if err := r.read(tx, d, leads); err != nil {
			return err
		}
		old := parseRollups(tx, bucketMinute, hourKey(r.from, group))
		r.arena = r.arena[:0]
		for _, l := range leads {
			if err := r.samples(l); err != nil {
				return err
			}
			row := r.rows(l.id, carried[l.id], edges)
			if was := old.find(l.id); was != nil && counted(was.Rows) > len(r.points) {
				row = *was // samples that it tells of are no more
				row.Rows = slices.Clone(was.Rows)
			}
			if len(row.Rows) > 0 {
				list = append(list, row)
			}
		}
		if len(list) > 0 {
			var err error
			if out.data, err = r.s.rolls.Encode(hourSpan(r.from), list); err != nil {
				return err
			}
		}
		r.next[group] = make(map[journal.SeriesID]held, len(list))
		for i := range list {
			if h := heldAtEnd(&list[i], r.from+hourMillis); h.on {
				r.next[group][list[i].Series] = h
			}
		}
		if !fresh {
			out.changed = !sameCarried(old, &rollupReader{block: mustParse(out.data)}, leads)
		}
		return nil
	})
	return out, err
}

func hourSpan(from journal.Millis) chunk.Span {
	return chunk.Span{Start: from, Step: minuteMillis, Steps: 60}
}

// read finds the blocks that have samples of the hour.
func (r *hourRoll) read(tx *bolt.Tx, d *storeFile, leads []lead) error {
	r.blocks = r.blocks[:0]
	var groups []uint32
	for _, l := range leads {
		for _, e := range l.epochs {
			if !slices.Contains(groups, e.group) {
				groups = append(groups, e.group)
			}
		}
	}
	damaged := func(_ []byte, err error) { r.s.reportDamage(d.path, err) }
	for _, g := range groups {
		err := eachBlock(tx.Bucket(bucketBlock), tx.Bucket(bucketLate), g, r.from, r.from+hourMillis, func(b *chunk.Block) error {
			if len(r.lines) == len(r.blocks) {
				r.lines = append(r.lines, chunk.Timeline{})
			}
			if err := b.Timeline(&r.lines[len(r.blocks)]); err != nil {
				return err
			}
			r.blocks = append(r.blocks, b)
			return nil
		}, damaged)
		if err != nil {
			return err
		}
	}
	return nil
}

// samples gathers a metric's samples of the hour, each stamp once: of several the last to arrive.
func (r *hourRoll) samples(l lead) error {
	r.points = r.points[:0]
	if sorted, err := r.gather(l, false); sorted || err != nil {
		return err
	}
	r.points = r.points[:0]
	if _, err := r.gather(l, true); err != nil {
		return err
	}
	order := make([]int, len(r.points))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(r.points[a].at, r.points[b].at), cmp.Compare(r.index[a], r.index[b]))
	})
	out := make([]point, 0, len(order))
	for _, i := range order {
		if n := len(out); n > 0 && out[n-1].at == r.points[i].at {
			out = out[:n-1]
		}
		out = append(out, r.points[i])
	}
	r.points = append(r.points[:0], out...)
	return nil
}

// gather appends the samples block by block, with their indices if they are asked for. sorted: they ascend by time.
func (r *hourRoll) gather(l lead, indices bool) (sorted bool, err error) {
	sorted, r.index = true, r.index[:0]
	last := journal.Millis(-1)
	for k, b := range r.blocks {
		for _, e := range l.epochs {
			i, ok := b.Find(e.id)
			if !ok || b.Entries[i].Last < r.from || b.Entries[i].First >= r.from+hourMillis {
				continue
			}
			if indices {
				err = b.Complete(i, &r.lines[k], &r.cols)
			} else {
				err = b.Columns(i, &r.lines[k], &r.cols)
			}
			if isDamage(err) {
				r.s.reportDamage(r.s.days.path(dayOf(r.from)), err)
				continue
			}
			if err != nil {
				return false, err
			}
			sorted = r.take(&last, indices) && sorted
		}
	}
	return sorted, nil
}

// take appends what the columns hold of the hour.
func (r *hourRoll) take(last *journal.Millis, indices bool) (sorted bool) {
	sorted = true
	r.floats = r.cols.Floats(r.floats[:0])
	quality, run := journal.Good, len(r.floats)
	runs := r.cols.Quality
	if len(runs) > 0 {
		run = 0
	}
	for i, at := range r.cols.At {
		for run == 0 && len(runs) > 0 {
			quality, run, runs = runs[0].Quality, runs[0].Count, runs[1:]
		}
		run--
		if at < r.from || at >= r.from+hourMillis {
			continue
		}
		sorted = sorted && at > *last
		*last = at
		f := r.floats[i]
		r.points = append(r.points, point{at, f, f == f && believed(quality), quality})
		if indices {
			r.index = append(r.index, r.cols.Index[i])
		}
	}
	return sorted
}

// rows rolls up what was gathered.
func (r *hourRoll) rows(id journal.SeriesID, carried held, edges []journal.Millis) chunk.Rollups {
	r.count += len(r.points)
	step, n := hourMillis, 1
	if len(r.points) >= minuteSamples {
		step, n = minuteMillis, 60
	}
	r.roller.begin(r.from, step, n, carried, edges)
	r.roller.addAll(r.points)
	list, out := r.roller.end()
	at := len(r.arena)
	for i := range list {
		if !list[i].Empty() {
			r.arena = append(r.arena, list[i])
		}
	}
	rows := chunk.Rollups{Series: id, Rows: r.arena[at:len(r.arena):len(r.arena)], Quality: journal.Good}
	if out.on {
		rows.Holds, rows.Quality = chunk.HoldsUnusable, out.quality
		if out.ok {
			rows.Holds = chunk.HoldsLast
		}
	}
	return rows
}

func counted(rows []Rollup) (n int) {
	for i := range rows {
		n += rows[i].Count
	}
	return n
}
