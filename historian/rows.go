package historian

import (
	"cmp"
	"context"
	"io"
	"slices"

	"edge/historian/journal"
)

// Selection says of which metrics and of what time an export is. A pattern is a name, in which * stands for any characters.
type Selection struct {
	Group, Node, Device string   // patterns; empty: all, and of devices the nodes' own metrics too
	Metrics             []string // patterns of names or of paths group/node/device/name (group/node/name); empty: all
	From, To            journal.Millis
}

// Row is a sample of a metric, without its Index, or a gap in what is known of it.
type Row struct {
	journal.Sample
	Gap *Gap // not nil: a gap; it keeps its own bounds, which may lie outside the selection. Sample is zero
}

// Piece is the next rows of one metric, in order of time. It is the cursor's until the next call of Next.
type Piece struct {
	Group, Node, Device, Metric string
	Rows                        []Row
}

// Rows is a cursor over the samples and gaps of many metrics: metric by metric in order of group, node, device and name, each
// in order of time, as Read would answer. It belongs to one goroutine and needs no closing. Its memory does not depend on
// the span: a piece holds an hour of one metric at most, and not more than stepSamples but in one block. Between two calls
// nothing of the store is held: no transaction, no lock.
//
// It reads what the store has when it comes there. A day that retention removes meanwhile is a gap.
type Rows struct {
	s        *Store
	metrics  []metric // to come
	from, to journal.Millis
	files    []int64 // days that had samples in a file when the cursor was made

	// Of the metric at hand.
	q     *query
	days  []int64 // to come, the first in part
	at    journal.Millis
	width journal.Millis // of the next step
	told  journal.Millis // up to here a gap tells of damage
	lost  []Gap          // of the step at hand, beside gaps
	owner owner
	spans []Gap // of owner, by From
	gaps  []Gap // of those the ones to come

	// Used again.
	samples []journal.Sample
	piece   Piece
}

const leastStep = journal.Millis(1000)

// Rows makes a cursor. It returns ErrNoSeries when nothing has a name that the selection asks for.
func (s *Store) Rows(sel Selection) (*Rows, error) {
	r := &Rows{s: s, from: max(0, sel.From), to: max(0, sel.To), metrics: s.catalog.matching(&sel)}
	if len(r.metrics) == 0 {
		return nil, ErrNoSeries
	}
	if r.to == 0 {
		r.to = s.now()
	}
	r.to = min(r.to, s.now()+2*farFuture) // nothing is later
	if r.from < r.to {
		r.files = slices.DeleteFunc(s.days.existing(dayOf(r.from), dayOf(r.to-1)), s.days.isThin)
	}
	return r, nil
}

// Metrics is how many metrics are still to come, with the one at hand.
func (r *Rows) Metrics() int { return len(r.metrics) }

// Load tells how busy the store is: the journal index up to which it has read, and whether it writes a window to its files.
func (r *Rows) Load() (taken journal.Index, writing bool) {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return r.s.applied, r.s.flushing != nil
}

// Next returns the next rows, at least one, or io.EOF behind the last. It does one step of work and looks at ctx before it: a
// step that finds nothing returns an empty piece, so that its caller may pause or end.
func (r *Rows) Next(ctx context.Context) (*Piece, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.piece.Rows = r.piece.Rows[:0]
	if r.q == nil {
		if len(r.metrics) == 0 || r.from >= r.to {
			return nil, io.EOF
		}
		return &r.piece, r.begin(ctx)
	}
	if len(r.days) == 0 {
		r.put(nil, r.gaps) // the rest
		r.q, r.metrics = nil, r.metrics[1:]
		return &r.piece, nil
	}
	return &r.piece, r.step()
}

// begin turns to the next metric.
func (r *Rows) begin(ctx context.Context) error {
	m := r.metrics[0]
	r.q = &query{s: r.s, owner: owner{m.group, m.node, m.device}, epochs: r.s.catalog.epochs(m), from: r.from, to: r.to}
	r.piece.Group, r.piece.Node, r.piece.Device, r.piece.Metric = m.group, m.node, m.device, m.name
	r.at, r.width, r.told = r.from, hourMillis, 0
	r.days = append(r.q.daysWithData(), r.files...)
	slices.Sort(r.days)
	r.days = slices.Compact(r.days)
	if r.spans == nil || r.owner != r.q.owner { // metrics of one device share its gaps
		var err error
		if r.spans, err = r.s.allGaps(ctx, r.q.owner, r.from, r.to); err != nil {
			return err
		}
		r.owner = r.q.owner
	}
	r.gaps = r.spans
	return nil
}

// allGaps is gaps, and where there are more events than one answer looks at, it says so with a gap of its own.
func (s *Store) allGaps(ctx context.Context, o owner, from, to journal.Millis) ([]Gap, error) {
	out, err := s.gaps(ctx, o, from, to)
	if err != nil {
		return nil, err
	}
	list, err := s.lifeBetween(ctx, o, max(0, from-lookBack), to)
	if err != nil {
		return nil, err
	}
	if len(list) >= maxLife {
		last := slices.MaxFunc(list, func(a, b loggedEvent) int { return cmp.Compare(a.At, b.At) })
		out = append(out, Gap{From: max(from, floorTo(last.At, dayMillis)), To: to,
			Cause: "too many births and deaths before: from here gaps are missing; ask for a shorter span"})
	}
	slices.SortStableFunc(out, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	return append([]Gap{}, out...), nil // never nil
}

// step reads what lies in the next stretch of time of the metric at hand.
func (r *Rows) step() error {
	day := r.days[0]
	end := min(r.to, dayStart(day+1))
	r.at = max(r.at, dayStart(day))
	stop := min(end, floorTo(r.at, r.width)+r.width)
	clear(r.samples) // texts of the step before
	p := sampler{s: r.s, epochs: r.q.epochs}
	list, found, err := p.read(r.samples[:0], day, r.at, stop, r.width/2 >= leastStep)
	r.samples = list
	if err != nil {
		return err
	}
	if found == tooMany {
		r.width /= 2
		return nil
	}
	if p.hurt {
		r.damaged()
	}
	if (found == fileGone || r.s.days.isThin(day)) && slices.Contains(r.files, day) {
		stop = end
		r.lost = append(r.lost, Gap{From: r.at, To: end, Cause: "the day was removed while it was exported"})
	}
	n, _ := slices.BinarySearchFunc(r.gaps, stop, func(g Gap, t journal.Millis) int { return cmp.Compare(g.From, t) })
	due := r.gaps[:n]
	r.gaps = r.gaps[n:]
	if len(r.lost) > 0 {
		due = append(slices.Clone(due), r.lost...)
		r.lost = nil
	}
	r.put(list, due)
	if r.at = stop; r.at >= end {
		r.days, r.width = r.days[1:], hourMillis
	}
	return nil
}

// put merges samples and gaps into the piece; of one time the gap comes first.
func (r *Rows) put(list []journal.Sample, gaps []Gap) {
	for i := range list {
		for len(gaps) > 0 && gaps[0].From <= list[i].At {
			r.piece.Rows = append(r.piece.Rows, Row{Gap: &gaps[0]})
			gaps = gaps[1:]
		}
		r.piece.Rows = append(r.piece.Rows, Row{Sample: list[i]})
	}
	for i := range gaps {
		r.piece.Rows = append(r.piece.Rows, Row{Gap: &gaps[i]})
	}
}

// damaged tells of stored samples that cannot be read: the hour is a gap, once.
func (r *Rows) damaged() {
	if r.at >= r.told {
		r.told = min(r.to, floorTo(r.at, hourMillis)+hourMillis)
		r.lost = append(r.lost, Gap{From: r.at, To: r.told, Cause: damageCause})
	}
}
