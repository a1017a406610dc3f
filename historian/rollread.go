package historian

import (
	"context"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// rollPart is a stretch of an answer in rows. Known: Rows are all there is to tell of it; what they leave out is empty. Else the
// samples have to be asked.
type rollPart struct {
	From, To journal.Millis
	Known    bool
	Rows     []Rollup // ascending; f's until it returns

	holds bool // of an hour: something holds at its end
}

// rollups hands out a metric's rows of one minute or one hour (step) from q.from to q.to, part after part and without a gap between them, until f
// returns false. A row lies in its part; it is an hour long where minutes were asked for and nothing finer is kept any more.
// What is not known is: what is not rolled up yet, what samples or events that came late have changed until it is rolled up again, the
// minutes of an hour with few samples, the ends of the range that are no whole rows, days without a file.
func (q *query) rollups(ctx context.Context, step journal.Millis, f func(rollPart) bool) error {
	return (&rollReads{s: q.s, step: step, list: []*rollRead{{q: q, f: f}}}).run(ctx, q.from, q.to)
}

// rollReads are answers in rows about several metrics over one range: each block is read once for all that are in it.
type rollReads struct {
	s      *Store
	step   journal.Millis
	list   []*rollRead
	blocks int // whose head was read

	now    journal.Millis
	few    int // rows of one metric from which on a part is handed out, though the next stretch is of the same kind
	parsed map[uint32]*rollupReader
	rows   []Rollup // of one transaction
}

// rollRead is the answer about one metric.
type rollRead struct {
	q     *query
	f     func(rollPart) bool
	step  journal.Millis
	few   int
	lead  *series
	ended bool

	touched []journal.Millis // hours that memory has something for, ascending
	stale   bool             // what the next hour took over may be another now: it is known again behind a sample
	part    rollPart         // not handed out yet
}

const (
	partRows = 4096    // that are gathered, of all metrics
	leastFew = 60      // of one
	viewRows = 1 << 16 // after which a read transaction ends
)

// run answers, until one of them ends.
func (g *rollReads) run(ctx context.Context, from, to journal.Millis) error {
	g.now, g.few = millis(g.s.o.Clock()), max(leastFew, partRows/max(1, len(g.list)))
	for _, r := range g.list {
		r.step, r.few, r.lead = g.step, g.few, firstOf(r.q.epochs)
		r.inMemory()
	}
	if err := g.lookBack(ctx, from); err != nil {
		return err
	}
	for at := from; at < to; {
		if err := ctx.Err(); err != nil {
			return err
		}
		day := dayOf(at)
		end := min(to, dayStart(day+1))
		if err := g.day(day, at, end); err != nil || g.ended() {
			return err
		}
		at = end
	}
	for _, r := range g.list {
		r.flush()
	}
	return nil
}

func (g *rollReads) ended() bool {
	return slices.ContainsFunc(g.list, func(r *rollRead) bool { return r.ended })
}

// inMemory finds the hours that are changed by what is not in a file yet.
func (r *rollRead) inMemory() {
	who := concerns(r.q.owner)
	s := r.q.s
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for k, c := range h.cells {
			for _, e := range r.q.epochs {
				if k.group == e.group && c.has(e) {
					r.touched = append(r.touched, floorTo(k.window, hourMillis))
				}
			}
		}
		for _, e := range h.events {
			if isLife(e.Kind) && slices.Contains(who, owner{e.Group, e.Node, e.Device}) {
				for _, at := range lifeTimes(e) {
					if s.days.about(dayOf(at)).there { // else its rows in the trend file are all there is
						r.touched = append(r.touched, floorTo(at, hourMillis))
					}
				}
			}
		}
	}
	slices.Sort(r.touched)
	r.touched = slices.Compact(r.touched)
}

func (r *rollRead) isTouched(from, to journal.Millis) bool {
	i, _ := slices.BinarySearch(r.touched, from)
	return i < len(r.touched) && r.touched[i] < to
}

// lookBack finds what changed before the range and is still taken over into it.
func (g *rollReads) lookBack(ctx context.Context, from journal.Millis) error {
	from = floorTo(from, hourMillis)
	for day := dayOf(max(0, from-lookBack)); day <= dayOf(from); day++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end := dayStart(day), min(from, dayStart(day+1))
		if start >= end || g.s.days.isThin(day) {
			continue
		}
		list := slices.Clone(g.list)
		if g.s.isTrended(day) {
			list = slices.DeleteFunc(list, func(r *rollRead) bool { return !r.stale && !r.isTouched(start, end) })
		}
		if len(g.s.days.existing(day, day)) == 0 {
			for _, r := range list {
				r.stale = r.stale || r.isTouched(start, end)
			}
			continue
		}
		if len(list) == 0 {
			continue
		}
		err := g.view(day, func(tx *bolt.Tx, st rolled) {
			for hour := start; hour < end; hour += hourMillis {
				g.rows = g.rows[:0]
				clear(g.parsed)
				for _, r := range list {
					g.hour(r, tx, st, hour)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *rollReads) view(day int64, f func(*bolt.Tx, rolled)) error {
	g.parsed, g.rows = make(map[uint32]*rollupReader), g.rows[:0]
	err := g.s.days.get(day).view(func(tx *bolt.Tx) error {
		f(tx, readRolled(tx.Bucket(bucketMeta), day))
		return nil
	}, bucketMeta, bucketMinute)
	return g.s.survive(err)
}

// day hands out the part from at to end of one day.
func (g *rollReads) day(day int64, at, end journal.Millis) error {
	there, thin := len(g.s.days.existing(day, day)) > 0, g.s.days.isThin(day)
	list := slices.Clone(g.list)
	if g.step == hourMillis && end <= g.now && (!there || thin || g.s.isTrended(day)) {
		var err error
		if list, err = g.ofTrend(day, at, end, list); err != nil {
			return err
		}
	}
	for _, r := range list {
		r.stale = r.stale || !there && r.isTouched(dayStart(day), end)
	}
	for at < end && len(list) > 0 {
		var err error
		if at, err = g.hours(day, at, end, list, thin); err != nil {
			return err
		}
	}
	return nil
}

// hours hands out what one transaction reads of a day, and returns where to go on.
func (g *rollReads) hours(day int64, at, end journal.Millis, list []*rollRead, thin bool) (next journal.Millis, err error) {
	parts := make([]rollPart, 0, 24*len(list))
	next = at
	err = g.view(day, func(tx *bolt.Tx, st rolled) {
		for hour := floorTo(at, hourMillis); hour < end && len(g.rows) < viewRows; hour += hourMillis {
			clear(g.parsed)
			for _, r := range list {
				p := rollPart{From: max(at, hour), To: min(end, hour+hourMillis)}
				p.Rows, p.holds, p.Known = g.hour(r, tx, st, hour)
				if thin { // there is nothing else
					r.stale, p.Known = false, hour < st.until || len(p.Rows) > 0
				}
				if p.Known && g.step == minuteMillis {
					p.minutes(hour, thin)
				} else if p.Known && len(p.Rows) > 0 {
					p.Rows = []Rollup{hourOf(hour, p.Rows)}
				}
				parts, next = append(parts, p), p.To
			}
		}
	})
	for i, p := range parts { // not while the file is read: f may take its time
		list[i%len(list)].add(p.From, p.To, p.Known, p.Rows)
	}
	if err == nil && next == at { // the file has gone, or is damaged
		for _, r := range list {
			r.add(at, end, false, nil)
		}
		next = end
	}
	return next, err
}

// hour reads the rows of an hour that are stored, minutes or one, and whether something holds at its end; known: they are true.
func (g *rollReads) hour(r *rollRead, tx *bolt.Tx, st rolled, hour journal.Millis) (rows []Rollup, holds, known bool) {
	changed := hour >= st.until || hour+hourMillis > g.now || r.isTouched(hour, hour+hourMillis)
	for _, m := range st.marks {
		changed = changed || m.hour == hour && (m.group == 0 || m.group == r.lead.group)
	}
	found, err := g.find(tx, bucketMinute, hour, r.lead)
	if found != nil {
		rows, holds = g.keep(found.Rows), found.Holds != chunk.HoldsNothing
	}
	switch {
	case changed || err != nil:
		r.stale = true
		return rows, holds, false
	case r.stale:
		r.stale = counted(rows) == 0
		return rows, holds, false
	}
	return rows, holds, true
}

// find reads a series' rows, and the head of its block once for all metrics. They are good until the next call.
func (g *rollReads) find(tx *bolt.Tx, bucket []byte, at journal.Millis, e *series) (*chunk.Rollups, error) {
	b := g.parsed[e.group]
	if b == nil {
		b = parseRollups(tx, bucket, hourKey(at, e.group))
		g.parsed[e.group] = b
		g.blocks++
	}
	found, err := b.find(e.id), b.err
	if b.block != nil { // it was this series'
		b.err = nil
	}
	return found, err
}

// keep copies rows to where they stay until the next transaction.
func (g *rollReads) keep(rows []Rollup) []Rollup {
	n := len(g.rows)
	g.rows = append(g.rows, rows...)
	return g.rows[n:len(g.rows):len(g.rows)]
}

// ofTrend hands out a day's hours of the metrics whose trend file has them, and returns the others.
func (g *rollReads) ofTrend(day int64, at, end journal.Millis, list []*rollRead) (rest []*rollRead, err error) {
	start := dayStart(day)
	month := monthOf(start)
	if len(g.s.trends.existing(month, month)) == 0 {
		return list, nil
	}
	var hours [][]Rollup
	g.parsed, g.rows = make(map[uint32]*rollupReader), g.rows[:0]
	err = g.s.trends.get(month).view(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketHour).Get(hourKey(start, 0)) == nil {
			return nil
		}
		for _, r := range list {
			var rows []Rollup
			if !r.stale && !r.isTouched(start, end) {
				switch found, err := g.find(tx, bucketHour, start, r.lead); {
				case found != nil:
					rows = g.keep(found.Rows)
				case err == nil:
					rows = []Rollup{}
				}
			}
			hours = append(hours, rows)
		}
		return nil
	}, bucketHour)
	if err != nil || len(hours) < len(list) {
		return list, g.s.survive(err)
	}
	for i, r := range list {
		if hours[i] == nil {
			rest = append(rest, r)
			continue
		}
		r.add(at, end, true, hours[i])
	}
	return rest, nil
}

// minutes makes minutes of an hour that has one row, if one value held all the while. With few samples its row is the answer only when the
// samples are no more.
func (p *rollPart) minutes(hour journal.Millis, thin bool) {
	if len(p.Rows) != 1 || p.Rows[0].Until-p.Rows[0].At != hourMillis {
		return
	}
	row := p.Rows[0]
	if row.Count > 0 || !p.holds {
		p.Known = thin && p.To-p.From == hourMillis
		return
	}
	p.Rows = make([]Rollup, 60)
	for i := range p.Rows {
		m := row
		m.At = hour + journal.Millis(i)*minuteMillis
		m.Until = m.At + minuteMillis
		m.GoodMs, m.Integral = row.GoodMs/60, row.Integral/60
		p.Rows[i] = m
	}
}

// add puts a stretch behind what was gathered. Of a known one the ends that are no whole rows are not known.
func (r *rollRead) add(from, to journal.Millis, known bool, rows []Rollup) {
	low, high := to, to
	if known {
		low, high = floorTo(from+r.step-1, r.step), floorTo(to, r.step)
	}
	if low >= high {
		r.put(from, to, false, nil)
		return
	}
	first, last := 0, len(rows)
	for first < last && rows[first].At < low {
		first++
	}
	for first < last && rows[last-1].Until > high {
		last--
	}
	r.put(from, low, false, nil)
	r.put(low, high, true, rows[first:last])
	r.put(high, to, false, nil)
}

func (r *rollRead) put(from, to journal.Millis, known bool, rows []Rollup) {
	if from >= to || r.ended {
		return
	}
	p := &r.part
	if p.To > p.From && (p.Known != known || len(p.Rows) >= r.few) {
		r.flush()
	}
	if p.To == p.From {
		*p = rollPart{From: from, Known: known, Rows: p.Rows[:0]}
	}
	p.To = to
	p.Rows = append(p.Rows, rows...)
}

func (r *rollRead) flush() {
	if p := r.part; p.To > p.From && !r.ended {
		r.ended = !r.f(p)
	}
	r.part = rollPart{Rows: r.part.Rows[:0]}
}
