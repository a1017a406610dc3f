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
	r := &rollRead{q: q, step: step, now: millis(q.s.o.Clock()), lead: firstOf(q.epochs), f: f}
	r.inMemory()
	if err := r.lookBack(ctx); err != nil {
		return err
	}
	for at := q.from; at < q.to && !r.ended; {
		if err := ctx.Err(); err != nil {
			return err
		}
		day := dayOf(at)
		end := min(q.to, dayStart(day+1))
		if err := r.day(day, at, end); err != nil {
			return err
		}
		at = end
	}
	r.flush()
	return nil
}

// rollRead is one answer in rows.
type rollRead struct {
	q     *query
	step  journal.Millis
	now   journal.Millis
	lead  *series
	f     func(rollPart) bool
	ended bool

	touched []journal.Millis // hours that memory has something for, ascending
	stale   bool             // what the next hour took over may be another now: it is known again behind a sample
	part    rollPart         // not handed out yet
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
func (r *rollRead) lookBack(ctx context.Context) error {
	from := floorTo(r.q.from, hourMillis)
	for day := dayOf(max(0, from-lookBack)); day <= dayOf(from); day++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end := dayStart(day), min(from, dayStart(day+1))
		if start >= end || !r.stale && !r.isTouched(start, end) && r.q.s.isTrended(day) {
			continue
		}
		if r.q.s.days.isThin(day) {
			continue
		}
		if len(r.q.s.days.existing(day, day)) == 0 {
			r.stale = r.stale || r.isTouched(start, end)
			continue
		}
		err := r.view(day, func(tx *bolt.Tx, st rolled) {
			for hour := start; hour < end; hour += hourMillis {
				r.hour(tx, st, hour)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rollRead) view(day int64, f func(*bolt.Tx, rolled)) error {
	s := r.q.s
	err := s.days.get(day).view(func(tx *bolt.Tx) error {
		f(tx, readRolled(tx.Bucket(bucketMeta), day))
		return nil
	})
	return s.survive(err)
}

// day hands out the part from at to end of one day.
func (r *rollRead) day(day int64, at, end journal.Millis) error {
	s := r.q.s
	there, thin := len(s.days.existing(day, day)) > 0, s.days.isThin(day)
	if r.step == hourMillis && !r.stale && end <= r.now && !r.isTouched(dayStart(day), end) && (!there || thin || s.isTrended(day)) {
		rows, known, err := r.ofTrend(day)
		if err != nil {
			return err
		}
		if known {
			r.add(at, end, true, rows)
			return nil
		}
	}
	if !there && r.isTouched(dayStart(day), end) {
		r.stale = true
	}
	var parts []rollPart
	last := at
	err := r.view(day, func(tx *bolt.Tx, st rolled) {
		for hour := floorTo(at, hourMillis); hour < end; hour += hourMillis {
			p := rollPart{From: max(at, hour), To: min(end, hour+hourMillis)}
			p.Rows, p.holds, p.Known = r.hour(tx, st, hour)
			if thin { // there is nothing else
				r.stale, p.Known = false, hour < st.until || len(p.Rows) > 0
			}
			if p.Known && r.step == minuteMillis {
				p.minutes(hour, thin)
			} else if p.Known && len(p.Rows) > 0 {
				p.Rows = []Rollup{hourOf(hour, p.Rows)}
			}
			parts, last = append(parts, p), p.To
		}
	})
	for _, p := range parts { // not while the file is read: f may take its time
		r.add(p.From, p.To, p.Known, p.Rows)
	}
	r.add(last, end, false, nil)
	return err
}

// hour reads the rows of an hour that are stored, minutes or one, and whether something holds at its end; known: they are true.
func (r *rollRead) hour(tx *bolt.Tx, st rolled, hour journal.Millis) (rows []Rollup, holds, known bool) {
	changed := hour >= st.until || hour+hourMillis > r.now || r.isTouched(hour, hour+hourMillis)
	for _, m := range st.marks {
		changed = changed || m.hour == hour && (m.group == 0 || m.group == r.lead.group)
	}
	block := parseRollups(tx, bucketMinute, hourKey(hour, r.lead.group))
	found := block.find(r.lead.id)
	if found != nil {
		rows, holds = slices.Clone(found.Rows), found.Holds != chunk.HoldsNothing
	}
	switch {
	case changed || block.err != nil:
		r.stale = true
		return rows, holds, false
	case r.stale:
		r.stale = counted(rows) == 0
		return rows, holds, false
	}
	return rows, holds, true
}

// ofTrend reads a day's hours from its trend file; known is false when they are not there.
func (r *rollRead) ofTrend(day int64) (rows []Rollup, known bool, err error) {
	s := r.q.s
	start := dayStart(day)
	month := monthOf(start)
	if len(s.trends.existing(month, month)) == 0 {
		return nil, false, nil
	}
	err = s.trends.get(month).view(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketHour).Get(hourKey(start, 0)) == nil {
			return nil
		}
		block := parseRollups(tx, bucketHour, hourKey(start, r.lead.group))
		found := block.find(r.lead.id)
		known = block.err == nil
		if found != nil {
			rows = slices.Clone(found.Rows)
		}
		return nil
	})
	return rows, known, s.survive(err)
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

// partRows is from how many rows on a part is handed out, though the next stretch is of the same kind.
const partRows = 4096

func (r *rollRead) put(from, to journal.Millis, known bool, rows []Rollup) {
	if from >= to || r.ended {
		return
	}
	p := &r.part
	if p.To > p.From && (p.Known != known || len(p.Rows) >= partRows) {
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
