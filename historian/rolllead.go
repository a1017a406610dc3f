package historian

import (
	"cmp"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// lead rolls up a metric's n samples.
func (r *hourRoll) lead(l lead, carried held, edges []journal.Millis) (row chunk.Rollups, n int, err error) {
	if n, ok := r.inOrder(l); ok {
		r.begin(n, carried, edges)
		if err := r.columns(l); !isDamage(err) {
			return r.end(l.id), n, err
		}
	}
	if err := r.samples(l); err != nil {
		return row, 0, err
	}
	r.begin(len(r.points), carried, edges)
	r.roller.addAll(r.points)
	return r.end(l.id), len(r.points), nil
}

// inOrder says that a metric's blocks follow one another and have no stamp twice, and how many samples they have. Their columns
// are then rolled up as they are.
func (r *hourRoll) inOrder(l lead) (n int, ok bool) {
	last := r.from - 1
	for _, b := range r.blocks() {
		for _, e := range l.epochs {
			i, there := b.Find(e.id)
			if !there || b.Entries[i].Last < r.from || b.Entries[i].First >= r.from+hourMillis {
				continue
			}
			x := &b.Entries[i]
			if !x.Ascending || x.First <= last || x.Last >= r.from+hourMillis {
				return 0, false
			}
			last = x.Last
			n += x.Count
		}
	}
	return n, true
}

// columns adds a metric's blocks, which are in order, to the rows. After damage what it added is worth nothing.
func (r *hourRoll) columns(l lead) error {
	for _, b := range r.blocks() {
		for _, e := range l.epochs {
			i, ok := b.Find(e.id)
			if !ok || b.Entries[i].Last < r.from || b.Entries[i].First >= r.from+hourMillis {
				continue
			}
			var err error
			if r.floats, err = b.Numbers(i, &b.line, &r.cols, r.floats[:0]); err != nil {
				return err
			}
			if len(r.cols.Quality) > 0 {
				r.points = r.points[:0]
				last := journal.Millis(-1)
				r.take(&last, false)
				r.roller.addAll(r.points)
				continue
			}
			r.roller.addGood(r.cols.At, r.floats)
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
	for _, b := range r.blocks() {
		for _, e := range l.epochs {
			i, ok := b.Find(e.id)
			if !ok || b.Entries[i].Last < r.from || b.Entries[i].First >= r.from+hourMillis {
				continue
			}
			if indices {
				err = b.Complete(i, &b.line, &r.cols)
			} else {
				err = b.Columns(i, &b.line, &r.cols)
			}
			if isDamage(err) {
				r.s.reportDamage(r.s.days.path(dayOf(r.from)), err)
				continue
			}
			if err != nil {
				return false, err
			}
			r.floats = r.cols.Floats(r.floats[:0])
			sorted = r.take(&last, indices) && sorted
		}
	}
	return sorted, nil
}

// take appends what the columns, and floats, hold of the hour.
func (r *hourRoll) take(last *journal.Millis, indices bool) (sorted bool) {
	sorted = true
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

// begin makes ready for the rows of n samples.
func (r *hourRoll) begin(n int, carried held, edges []journal.Millis) {
	r.count += n
	if n >= minuteSamples {
		r.roller.begin(r.from, minuteMillis, 60, carried, edges)
	} else {
		r.roller.begin(r.from, hourMillis, 1, carried, edges)
	}
}

// end returns the rows that say anything. They are the roller's.
func (r *hourRoll) end(id journal.SeriesID) chunk.Rollups {
	list, out := r.roller.end()
	n := 0
	for i := range list {
		if list[i].Empty() {
			continue
		}
		if n < i {
			list[n] = list[i]
		}
		n++
	}
	rows := chunk.Rollups{Series: id, Rows: list[:n], Quality: journal.Good}
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
