package historian

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

const (
	defaultLimit = 10_000
	maxLimit     = 1_000_000
)

// Read returns the samples of one metric, oldest first. Of several samples with one time stamp the last to arrive counts.
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
	err = q.walk(ctx, func(list []journal.Sample) bool {
		out.Samples = append(out.Samples, list...)
		return len(out.Samples) <= limit
	})
	if err != nil {
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

// now is the present time. A clock that fell back hides nothing.
func (s *Store) now() journal.Millis {
	return max(millis(s.o.Clock()), journal.Millis(s.late.Load()))
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

// walk hands out the samples in order of time, an hour's worth at most at a time, until f returns false.
func (q *query) walk(ctx context.Context, f func([]journal.Sample) bool) error {
	for _, day := range q.daysWithData() {
		start, end := max(q.from, dayStart(day)), min(q.to, dayStart(day+1))
		for start < end {
			list, stop, err := q.ahead(ctx, day, start, min(end, floorTo(start, hourMillis)+hourMillis))
			if err != nil {
				return err
			}
			if len(list) > 0 && !f(list) {
				return nil
			}
			start = stop
		}
	}
	return nil
}

// errWide says that a range holds more samples than are gathered at once.
var errWide = errors.New("more samples than are gathered at once")

// ahead collects from <= At < stop, where stop is to or, as often as there are too many samples, half way to it.
func (q *query) ahead(ctx context.Context, day int64, from, to journal.Millis) (list []journal.Sample, stop journal.Millis, err error) {
	for {
		list, err = q.collect(ctx, day, from, to)
		if !errors.Is(err, errWide) {
			return list, to, err
		}
		to = from + (to-from)/2
	}
}

// behind collects start <= At < to, where start is from or, as often as there are too many samples, half way to it.
func (q *query) behind(ctx context.Context, day int64, from, to journal.Millis) (list []journal.Sample, start journal.Millis, err error) {
	for {
		list, err = q.collect(ctx, day, from, to)
		if !errors.Is(err, errWide) {
			return list, from, err
		}
		from = to - (to-from)/2
	}
}

// daysWithData are the days of the range that have something in memory or a file, oldest first. It looks at memory first:
// what moves to a file meanwhile is then not missed.
func (q *query) daysWithData() []int64 {
	if q.from >= q.to {
		return nil
	}
	first, last := dayOf(q.from), dayOf(q.to-1)
	out := append(q.s.daysInMemory(first, last), q.s.days.existing(first, last)...)
	slices.Sort(out)
	return slices.Compact(out)
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

// collect returns the samples with from <= At < to, all of one day, sorted, each stamp once. It returns errWide for more than
// stepSamples of them, unless the range is a second or less.
func (q *query) collect(ctx context.Context, day int64, from, to journal.Millis) ([]journal.Sample, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	most, told := math.MaxInt, slices.Clone(q.damage)
	if to-from > 1000 {
		most = stepSamples
	}
	list := q.inMemory(from, to) // before the files: what moves there meanwhile is then seen twice, not never
	if len(list) > most {
		return nil, errWide
	}
	if len(q.s.days.existing(day, day)) > 0 {
		err := q.s.days.get(day).view(func(tx *bolt.Tx) error {
			for _, e := range q.epochs {
				var err error
				if list, err = q.inFile(list, tx, e, from, to, most); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, errWide) {
			q.damage = told // it is asked again
		}
		if isDamage(err) {
			q.note(from, to, err)
			err = q.s.survive(err)
		}
		if err != nil {
			return nil, err
		}
	}
	return lastOfEach(list), nil
}

func (q *query) inMemory(from, to journal.Millis) (list []journal.Sample) {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	for _, h := range q.s.heads() {
		for _, e := range q.epochs {
			list = h.series(list, e, from, to)
		}
	}
	return list
}

func (q *query) inFile(list []journal.Sample, tx *bolt.Tx, e *series, from, to journal.Millis, most int) ([]journal.Sample, error) {
	var buf []journal.Sample
	err := eachBlock(tx.Bucket(bucketBlock), tx.Bucket(bucketLate), e.group, from, to, func(b *chunk.Block) error {
		i, ok := b.Find(e.id)
		if !ok || b.Entries[i].Last < from || b.Entries[i].First >= to {
			return nil
		}
		var err error
		if buf, err = b.Decode(buf[:0], i); err != nil {
			return err
		}
		for _, v := range buf {
			if v.At >= from && v.At < to {
				list = append(list, v)
			}
		}
		if len(list) > most {
			return errWide
		}
		return nil
	}, func(_ []byte, err error) {
		if !errors.Is(err, errObject) { // then the sample tells of it
			q.note(from, to, err)
		}
		q.s.reportDamage(q.s.days.path(dayOf(from)), err)
	})
	return list, err
}

// damageCause is the cause of a gap that damaged bytes leave.
const damageCause = "stored samples are damaged"

// note remembers that part of the range could not be read.
func (q *query) note(from, to journal.Millis, err error) {
	if n := len(q.damage); n > 0 && q.damage[n-1].To >= from {
		q.damage[n-1].To = to
		return
	}
	q.damage = append(q.damage, Gap{From: from, To: to, Cause: damageCause})
}

// lastOfEach sorts by time and keeps of each stamp the last to arrive: of those without an index the last in the list.
func lastOfEach(list []journal.Sample) []journal.Sample {
	order := func(a, b journal.Sample) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Index, b.Index)) }
	if !slices.IsSortedFunc(list, order) { // mostly it is
		slices.SortStableFunc(list, order)
	}
	n := 0
	for i := range list {
		if n > 0 && list[n-1].At == list[i].At {
			n--
		}
		list[n] = list[i]
		n++
	}
	return list[:n]
}

// isDamage says that an error is about stored bytes, not about the question.
func isDamage(err error) bool {
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

// Last is the newest sample of a metric, of the last month; historical ones count only where there is no other. Its Quality is
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
