package historian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"
)

const (
	defaultLimit = 10_000
	maxLimit     = 1_000_000
	maxReadBytes = 16 << 20 // of text, bytes and structures in one answer; one that is larger comes alone
)

// Read returns the samples of one metric, oldest first, without their Index: as many as r.Limit says, fewer if they hold long texts or
// structures. Of several with one time stamp the last to arrive counts.
// It returns ErrNoSeries for an unknown metric. What a damaged block held is a Gap.
func (s *Store) Read(ctx context.Context, r Range) (Samples, error) {
	q, err := s.query(r)
	if err != nil {
		return Samples{}, err
	}
	limit := min(r.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
	var out Samples
	if out.Samples, limit, err = q.walk(ctx, limit); err != nil {
		return Samples{}, err
	}
	to := q.to
	if len(out.Samples) > limit {
		out.Next = out.Samples[limit].At
		to = out.Next
		clear(out.Samples[limit:])
		out.Samples = out.Samples[:limit]
	}
	if out.Gaps, err = s.gaps(ctx, q.owner, q.from, to); err != nil {
		return Samples{}, err
	}
	out.Gaps = append(out.Gaps, clip(q.damage, q.from, to)...)
	return out, nil
}

// now is the present time. A clock that fell back, or was never set, hides nothing.
func (s *Store) now() journal.Millis {
	return max(millis(s.o.Clock()), journal.Millis(s.late.Load()), journal.Millis(s.newest.Load()))
}

// query reads one metric over a range, step by step.
type query struct {
	s        *Store
	owner    owner
	epochs   []*series
	from, to journal.Millis
	damage   []Gap
	hidden   bool // before passed damage: there may be a later sample than the one it found
}

func (s *Store) query(r Range) (*query, error) {
	q := &query{s: s, owner: owner{r.Group, r.Node, r.Device}, from: max(0, r.From), to: max(0, r.To)}
	q.epochs = s.catalog.epochs(metric{r.Group, r.Node, r.Device, r.Metric})
	if len(q.epochs) == 0 {
		return nil, fmt.Errorf("%w: %s/%s/%s %s", ErrNoSeries, r.Group, r.Node, r.Device, r.Metric)
	}
	q.to = min(q.to, s.now()+2*farFuture) // nothing is later
	return q, nil
}

// walk collects the samples in order of time, an hour's worth at a time, until it has more than are to be answered: limit, or fewer
// that have maxReadBytes.
func (q *query) walk(ctx context.Context, limit int) (list []journal.Sample, fit int, err error) {
	counted, size := 0, 0
	for _, day := range q.daysWithData() {
		end := min(q.to, dayStart(day+1))
		for start := max(q.from, dayStart(day)); start < end; {
			if list, start, err = q.ahead(ctx, list, day, start, min(end, floorTo(start, hourMillis)+hourMillis)); err != nil {
				return nil, 0, err
			}
			for ; counted < min(len(list), limit); counted++ {
				if size += len(list[counted].Value.Bytes); size > maxReadBytes {
					limit = max(1, counted)
				}
			}
			if len(list) > limit {
				return list, limit, nil
			}
		}
	}
	return list, limit, nil
}

// errWide says that a range holds more samples than are gathered at once.
var errWide = errors.New("more samples than are gathered at once")

// ahead appends from <= At < stop, where stop is to or, as often as there are too many samples, half way to it.
func (q *query) ahead(ctx context.Context, dst []journal.Sample, day int64, from, to journal.Millis) (list []journal.Sample, stop journal.Millis, err error) {
	for {
		list, err = q.collect(ctx, dst, day, from, to)
		if !errors.Is(err, errWide) {
			return list, to, err
		}
		to = from + (to-from)/2
	}
}

// behind collects start <= At < to, where start is from or, as often as there are too many samples, half way to it.
func (q *query) behind(ctx context.Context, day int64, from, to journal.Millis) (list []journal.Sample, start journal.Millis, err error) {
	for {
		list, err = q.collect(ctx, nil, day, from, to)
		if !errors.Is(err, errWide) {
			return list, from, err
		}
		from = to - (to-from)/2
	}
}

// daysWithData are the days of the range that have samples, oldest first.
func (q *query) daysWithData() []int64 {
	if q.from >= q.to {
		return nil
	}
	return q.s.sampled(dayOf(q.from), dayOf(q.to-1))
}

func (s *Store) daysInMemory(first, last int64) (out []int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for k := range h.cells {
			if day := dayOf(k.window); day >= first && day <= last && !slices.Contains(out, day) {
				out = append(out, day)
			}
		}
	}
	return out
}

// collect appends the samples with from <= At < to, all of one day, sorted, each stamp once. It returns errWide for more than
// are gathered at once, unless the range is a second or less.
func (q *query) collect(ctx context.Context, dst []journal.Sample, day int64, from, to journal.Millis) ([]journal.Sample, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	p := sampler{s: q.s, epochs: q.epochs}
	dst, got, err := p.read(dst, day, from, to, to-from > 1000)
	switch {
	case err != nil:
		return dst, err
	case got == tooMany:
		return dst, errWide
	case p.hurt:
		q.note(from, to)
	}
	return dst, nil
}

// damageCause is the cause of a gap that damaged bytes leave.
const damageCause = "stored samples are damaged"

// note remembers that part of the range could not be read.
func (q *query) note(from, to journal.Millis) {
	if n := len(q.damage); n > 0 && q.damage[n-1].To >= from {
		q.damage[n-1].To = to
		return
	}
	q.damage = append(q.damage, Gap{From: from, To: to, Cause: damageCause})
}

// isDamage says that an error is about stored bytes, not about the question.
func isDamage(err error) bool {
	if err == nil {
		return false
	}
	var c *CorruptError
	return errors.Is(err, chunk.ErrDamaged) || errors.Is(err, chunk.ErrVersion) || errors.As(err, &c)
}

// survive reports damage and goes on; other errors are the caller's.
func (s *Store) survive(err error) error {
	var c *CorruptError
	if errors.As(err, &c) {
		s.reportDamage(c.File, err)
		return nil
	}
	return err
}

// reportDamage says once in the event log, for each file, that it has bytes that cannot be read.
func (s *Store) reportDamage(file string, err error) {
	s.mu.Lock()
	told := s.reported[file]
	s.reported[file] = true
	s.mu.Unlock()
	if told {
		return
	}
	s.o.Log.Error("stored samples are damaged", "part", "historian", "file", file, "err", err)
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("stored samples are damaged in %s: %v", file, err)})
}

// Last is the newest sample of a metric, of the last month or kept by retention; historical ones count only where there is no other. Its Quality is
// Stale when its node or device died since.
func (s *Store) Last(group, node, device, metric string) (journal.Sample, bool) {
	ctx := context.Background()
	q, err := s.query(Range{Group: group, Node: node, Device: device, Metric: metric})
	if err != nil || s.lookUp(ctx, s.catalog.unlooked(s, q.epochs)) != nil {
		return journal.Sample{}, false
	}
	var last journal.Sample
	s.mu.RLock()
	for _, e := range q.epochs {
		if v := e.newest(); v.Series != 0 && (last.Series == 0 || outdoes(&v, &last)) {
			last = v
		}
	}
	s.mu.RUnlock()
	if last.Series == 0 {
		return last, false
	}
	last.Value.Bytes = bytes.Clone(last.Value.Bytes)
	if dead, err := s.isDead(ctx, q.owner); err == nil && dead && last.Quality != journal.Bad {
		last.Quality = journal.Stale
	}
	return last, true
}

// before finds the last sample that is wanted with floor <= At < at, going back hour by hour.
func (q *query) before(ctx context.Context, at, floor journal.Millis, want func(journal.Sample) bool) (journal.Sample, bool) {
	q2 := &query{s: q.s, owner: q.owner, epochs: q.epochs, from: floor, to: at}
	list := q2.daysWithData()
	for i := len(list) - 1; i >= 0; i-- {
		day := list[i]
		stop, first := min(at, dayStart(day+1)), max(floor, dayStart(day))
		for stop > first {
			found, start, err := q2.behind(ctx, day, max(first, floorTo(stop-1, hourMillis)), stop)
			if err != nil {
				return journal.Sample{}, false
			}
			q.hidden = q.hidden || len(q2.damage) > 0
			for n := len(found) - 1; n >= 0; n-- {
				if want(found[n]) {
					return found[n], true
				}
			}
			stop = start
		}
	}
	return journal.Sample{}, false
}
