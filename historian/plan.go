package historian

import (
	"cmp"
	"context"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

const (
	rawRows    = 4 << 20       // samples: what is estimated to have no more is read raw
	denseHour  = minuteSamples // samples of an hour from which on its minutes have rows
	hourWidth  = 2 * hourMillis
	hourLength = 3 * dayMillis
)

// plan is how a question is answered.
//
//	columns of 2 h and more, over more than 3 days                    hours
//	columns of a minute and more, over 4 M samples by estimate        minutes for metrics that have them, else samples
//	else                                                              samples
//
// Where a column's edges would cut a row they are moved down to a whole minute or hour; T tells. Both ends of the range stay, and
// the numbers are those of the columns as they are then. What rollups do not know (the ends, what is not rolled up yet or
// changed since) is read raw. Where retention left nothing finer than a row that is longer than a column, its time is spread evenly over the
// columns that it touches, and its samples count in the first.
type plan struct {
	step   journal.Millis // of rows; 0: raw
	joint  []*track       // read raw, all together
	rolled []*track       // read as rows where there are any
}

// plan chooses for columns of one width.
func (a *asked) plan(ctx context.Context, width journal.Millis) (p plan, err error) {
	all := a.scan.tracks
	lacking := a.s.LacksSamples(a.from, a.to)
	switch {
	case width >= hourWidth && a.to-a.from > hourLength:
		return plan{hourMillis, nil, all}, nil
	case lacking:
		return plan{step: minuteMillis, rolled: all}, nil
	case width < minuteMillis:
		return plan{joint: all}, nil
	}
	hours := float64(a.to-a.from) / float64(hourMillis)
	if float64(len(all))*hours*3600 <= float64(a.s.rawRows) {
		return plan{joint: all}, nil // unless they come faster than once a second
	}
	rates, err := a.rates(ctx)
	if err != nil {
		return p, err
	}
	rows := 0.0
	for _, t := range all {
		rows += hours * float64(rates[t])
		if rates[t] >= denseHour {
			p.rolled = append(p.rolled, t)
		} else {
			p.joint = append(p.joint, t)
		}
	}
	if rows <= float64(a.s.rawRows) {
		return plan{joint: all}, nil
	}
	p.step = minuteMillis
	return p, nil
}

// rates counts each metric's samples in one hour: of the range's middle day that has a file, the hour before its noon.
func (a *asked) rates(ctx context.Context) (map[*track]int, error) {
	out := make(map[*track]int)
	spans := a.s.spans(a.from, a.to)
	if len(spans) == 0 {
		return out, nil
	}
	day := spans[len(spans)/2].day
	noon := dayStart(day) + dayMillis/2
	sp := span{day, noon - hourMillis, noon}
	for _, p := range a.scan.parts {
		err := a.s.days.get(day).view(func(tx *bolt.Tx) error {
			o, err := a.scan.open(tx, sp, &part{groups: p.groups})
			if err != nil {
				return err
			}
			blocks, err := a.scan.parse(o, sp.from, sp.to)
			for _, t := range p.tracks {
				for _, e := range t.entries(nil, blocks, sp.from, sp.to) {
					out[t] += e.Count
				}
			}
			return err
		}, bucketBlock, bucketLate)
		if err := a.s.survive(err); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// align moves the inner edges of columns down to whole rows, if a row is no longer than a column.
func align(bounds []journal.Millis, step, width journal.Millis) {
	if step == 0 || step > width {
		return
	}
	for k := 1; k+1 < len(bounds); k++ {
		bounds[k] = floorTo(bounds[k], step)
	}
}

// carryOut reads what was asked, as planned.
func (a *asked) carryOut(ctx context.Context, p plan) error {
	if len(p.joint) > 0 {
		if len(p.joint) < len(a.scan.tracks) {
			a.rescan(p.joint)
		}
		if err := a.read(ctx); err != nil {
			return err
		}
	}
	if len(p.rolled) == 0 {
		return nil
	}
	return a.readRolled(ctx, p.rolled, p.step)
}

// rescan goes on with some of the tracks. What may be read yet, and what was counted, stays.
func (a *asked) rescan(tracks []*track) {
	next := a.s.scanWith(tracks, a.scan.scratch)
	next.left, next.work, next.usable = a.scan.left, a.scan.work, a.scan.usable
	a.scan = next
}

// readRolled reads metrics as rows, and raw what they do not tell. Of days that are gone only hours are left.
func (a *asked) readRolled(ctx context.Context, tracks []*track, step journal.Millis) error {
	from, to := max(a.from, a.s.oldest()), min(a.to, a.now+2*farFuture)
	if days := a.s.days.existing(0, 1<<40); step == minuteMillis && len(days) > 0 && from < dayStart(days[0]) {
		gone := min(to, dayStart(days[0]))
		if err := a.readRows(ctx, tracks, hourMillis, from, gone); err != nil {
			return err
		}
		from = gone
	}
	if err := a.readRows(ctx, tracks, step, from, to); err != nil {
		return err
	}
	for _, t := range tracks {
		t.into.finish()
	}
	return nil
}

func (a *asked) readRows(ctx context.Context, tracks []*track, step, from, to journal.Millis) error {
	g := &rollReads{s: a.s, step: step}
	parts := make([]rolledTrack, len(tracks))
	for i, t := range tracks {
		p := &parts[i]
		*p = rolledTrack{asked: a, track: t}
		q := &query{s: a.s, owner: t.owner, epochs: t.epochs, from: from, to: to}
		g.list = append(g.list, &rollRead{q: q, f: func(r rollPart) bool { return p.take(ctx, r) }})
	}
	err := g.run(ctx, from, to)
	a.scan.work.RollBlocks += g.blocks
	for i := range parts {
		err = cmp.Or(parts[i].failed, err)
	}
	return err
}

// rolledTrack is a metric that is read as rows.
type rolledTrack struct {
	*asked
	*track
	before *Rollup // the row that ends where the next part begins
	failed error
}

func (t *rolledTrack) take(ctx context.Context, p rollPart) bool {
	before := t.before
	t.before = nil
	if !p.Known {
		t.rescan([]*track{t.track})
		t.failed = t.rawPart(ctx, t.track, p.From, p.To, before)
		return t.failed == nil
	}
	t.into.rows(p.From, p.Rows)
	t.scan.work.Rollups += len(p.Rows)
	if n := len(p.Rows); n > 0 {
		row := p.Rows[n-1]
		if t.source = t.source.coarser(row.Until - row.At); row.Until == p.To {
			t.before = &row
		}
	}
	return true
}

// rawPart reads a stretch of samples between rows. before is the row that ends where it begins, if there is one.
func (a *asked) rawPart(ctx context.Context, t *track, from, to journal.Millis, before *Rollup) error {
	t.memory = nil
	a.scan.memory(max(0, from-lookBack), to)
	if err := a.scan.carry(ctx, from); err != nil {
		return err
	}
	// Of a day that retention left without samples, its last row tells what holds.
	if !t.into.holds && before != nil && before.Last == before.Last {
		t.into.carry(from, reading{at: before.Until - 1, index: 1, num: before.Last, quality: journal.Good}, reading{})
	}
	return a.scan.files(ctx, from, to)
}

// oldest is where the first day begins that anything is kept of.
func (s *Store) oldest() journal.Millis {
	oldest := s.now()
	for _, day := range append(s.daysInMemory(0, 1<<40), s.days.existing(0, 1<<40)...) {
		oldest = min(oldest, dayStart(day))
	}
	if months := s.trends.existing(0, 1<<40); len(months) > 0 {
		oldest = min(oldest, monthStart(months[0]))
	}
	return max(0, oldest)
}

// coarser is the source when a row of some length was used too.
func (s Source) coarser(length journal.Millis) Source {
	switch {
	case length >= hourMillis:
		return SourceHour
	case s == SourceHour:
		return s
	}
	return SourceMinute
}

// rows takes rollups of a stretch from a time on: all that there is to tell of it.
func (c *intervals) rows(from journal.Millis, rows []Rollup) {
	c.reach(from)
	c.holds = false
	for i := range rows {
		r := &rows[i]
		if r.Until <= c.bounds[0] || r.At >= c.end() {
			continue
		}
		c.reach(max(r.At, c.bounds[0]))
		if r.Until <= c.bounds[c.k+1] {
			c.list[c.k].row(r, r.GoodMs, 1)
			continue
		}
		c.spread(r)
	}
}

// row adds a row, or a share of what held in it.
func (b *interval) row(r *Rollup, goodMs journal.Millis, share float64) {
	if b.good == 0 {
		b.first = r.First
	}
	if r.Good > 0 {
		b.min, b.max, b.last = fmin(b.min, r.Min), fmax(b.max, r.Max), r.Last
	}
	if b.count == 0 && r.Count == 0 && r.GoodMs > 0 {
		b.carried = r.Last
		if b.carried != b.carried {
			b.carried = r.Integral / float64(r.GoodMs)
		}
	}
	b.count, b.good, b.sum = b.count+r.Count, b.good+r.Good, b.sum+r.Sum
	b.integral += r.Integral * share
	b.goodMs += goodMs
	b.quality = worse(b.quality, r.Quality)
}

// spread divides a row's time over the intervals that it touches.
func (c *intervals) spread(r *Rollup) {
	rest := *r
	for k := c.k; k < len(c.list) && c.bounds[k] < r.Until; k++ {
		in := min(r.Until, c.bounds[k+1]) - max(r.At, c.bounds[k])
		share := float64(in) / float64(r.Until-r.At)
		c.list[k].row(&rest, journal.Millis(share*float64(r.GoodMs)), share)
		rest.Count, rest.Good, rest.Sum = 0, 0, 0
		rest.First, rest.Last = rest.Last, r.Integral/max(1, float64(r.GoodMs))
	}
}
