package promql

import (
	"context"
	"errors"
	"math"
	"slices"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/value"
)

// The engine takes series after series. Those of one selector are read ahead, some hundred at a time, because they lie in the same
// blocks: a query holds half of its samples' limit of them at most. What does not fit is read series by series, with a cursor.

// Series that are read ahead together: at first and at most. They become fewer where they do not fit.
const (
	firstAhead = 128
	mostAhead  = 512
)

// ahead is what a query has read ahead.
type ahead struct {
	limit   int                 // samples that it may hold
	held    int                 // samples in columns that nobody has done with
	width   int                 // series to read together next
	set     *seriesSet          // of the columns
	first   int                 // series in it that the first column is of
	columns []*historian.Column // nil: it was taken
}

// dense says that all of the range is looked at, or nearly so.
func (s *seriesSet) dense() bool {
	h := &s.hints
	if h.Range == 0 && h.End-h.Start < int64(s.q.lookback) {
		return false
	}
	return h.Step-max(h.Range, int64(s.q.lookback)) < int64(longRead)
}

// column takes the column of a series, and reads it and those behind it if need be. It returns nil where a cursor does better.
func (s *seriesSet) column(i int) (*historian.Column, error) {
	a := &s.q.ahead
	if i >= s.ahead && s.dense() {
		if err := s.readAhead(i); err != nil {
			return nil, err
		}
	}
	n := i - a.first
	if a.set != s || n < 0 || n >= len(a.columns) {
		return nil, nil
	}
	c := a.columns[n]
	a.columns[n] = nil
	return c, nil
}

func (s *seriesSet) readAhead(i int) error {
	a := &s.q.ahead
	a.drop()
	for a.width > 0 && a.limit-a.held > a.limit/4 {
		names := s.names(i, a.width)
		list, err := s.q.store.Columns(s.ctx, names, journal.Millis(s.hints.Start), journal.Millis(s.hints.End)+1, s.looks(), a.limit-a.held)
		if errors.Is(err, historian.ErrTooMuch) {
			a.width = min(a.width, len(names)) / 2
			continue
		}
		if err != nil {
			return err
		}
		a.take(s, i, list)
		s.ahead = i + len(list)
		return nil
	}
	return nil
}

// looks is when the engine looks at the series, if what it does not see may be left out.
func (s *seriesSet) looks() *historian.Looks {
	h := &s.hints
	l := &historian.Looks{First: journal.Millis(h.Start+h.Range) - 1, Step: journal.Millis(h.Step), Width: journal.Millis(h.Range)}
	switch {
	case !s.q.steady:
		return nil
	case h.Range == 0:
		l.First += s.q.lookback
		return l
	case h.Func == "min_over_time", h.Func == "max_over_time", h.Func == "last_over_time", h.Func == "present_over_time":
		return l
	}
	return nil
}

// names are those of at most n metrics from a series on, up to the next that is none.
func (s *seriesSet) names(i, n int) (out []historian.Metric) {
	for ; len(out) < n && i < len(s.list) && s.list[i].ref.metric != ""; i++ {
		r := &s.list[i].ref
		out = append(out, historian.Metric{Group: r.group, Node: r.node, Device: r.device, Name: r.metric})
	}
	return out
}

func (a *ahead) take(s *seriesSet, first int, list []historian.Column) {
	a.set, a.first = s, first
	before := a.held
	for i := range list {
		a.columns = append(a.columns, &list[i])
		a.held += len(list[i].At)
	}
	if 4*(a.held-before) < a.limit {
		a.width = min(2*a.width, mostAhead)
	}
}

// drop forgets the columns that nobody took.
func (a *ahead) drop() {
	for _, c := range a.columns {
		if c != nil {
			a.held -= len(c.At)
		}
	}
	a.set, a.columns = nil, nil
}

// columnSource is a metric that was read ahead.
type columnSource struct {
	valueSource // with a cursor from when one is needed
	column      *historian.Column
	from, to    journal.Millis // of the column
	metric      string
	damage      []journal.Millis
}

func (s *columnSource) read(ctx context.Context, from, to journal.Millis) ([]point, journal.Millis, journal.Millis, error) {
	edges, err := s.q.edges(ctx, s.of, from)
	if err != nil {
		return nil, to, never, err
	}
	s.buf = s.buf[:0]
	for i, end := s.below(from), s.below(to); i < end; i++ {
		p := s.point(i)
		p.edge = min(after(edges, p.at), after(s.damage, p.at))
		s.buf = append(s.buf, p)
	}
	return s.buf, to, after(s.damage, from-1), ctx.Err()
}

func (s *columnSource) held(ctx context.Context, t, floor journal.Millis) (point, bool, error) {
	i := s.below(t)
	switch {
	case len(s.damage) > 0 || i == 0 && floor < s.from: // what lies far back, a cursor finds
		return s.lookBack(ctx, t, floor)
	case i == 0 || s.column.At[i-1] < floor:
		return point{}, false, nil
	}
	p := s.point(i - 1)
	edges, err := s.q.edges(ctx, s.of, p.at)
	p.edge = after(edges, p.at)
	return p, err == nil, err
}

func (s *columnSource) lookBack(ctx context.Context, t, floor journal.Millis) (point, bool, error) {
	if s.cursor == nil {
		c, err := s.q.store.Cursor(s.of.group, s.of.node, s.of.device, s.metric, s.from, s.to)
		if err != nil {
			return point{}, false, err
		}
		s.cursor = c
	}
	return s.valueSource.held(ctx, t, floor)
}

func (s *columnSource) point(i int) point {
	p := point{at: s.column.At[i]}
	if s.column.Unknown != nil && s.column.Unknown[i] {
		return p
	}
	if p.f, p.known = s.column.Num[i], true; math.IsNaN(p.f) {
		p.f = math.Float64frombits(value.NormalNaN)
	}
	return p
}

// below is how many samples are before t.
func (s *columnSource) below(t journal.Millis) int {
	i, _ := slices.BinarySearch(s.column.At, t)
	return i
}

// free tells that the engine has done with a series.
func (s *columnSource) free() {
	s.q.ahead.held -= len(s.column.At)
	*s.column = historian.Column{}
}
