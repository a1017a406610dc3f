package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/value"
)

// Where retention took the samples, rollups are left: a row says how many samples a minute or an hour had, the first and the last, the
// smallest and the largest, and what the value came to over time, but not when. A row is told where it ends, as if the metric had been
// scraped then: what held at that moment is what it said last. Between two rows the first holds, to a minute or an hour.

// telling is what of a row a function wants to know.
type telling int

const (
	tellLast     telling = iota // what held at its end
	tellExtremes                // its smallest and its largest too
	tellMean                    // its mean over time, from its beginning on
	tellSum                     // the sum of its samples
	tellCount                   // its samples, at any times in it
)

func tellingOf(function string) telling {
	switch function {
	case "min_over_time", "max_over_time":
		return tellExtremes
	case "avg_over_time":
		return tellMean
	case "sum_over_time":
		return tellSum
	case "count_over_time":
		return tellCount
	}
	return tellLast
}

// Of rows a query reads so many series together at most, and takes hours for longer ranges and steps.
const (
	leftAhead  = 256
	hourSteps  = 2 * 60 * 60 * 1000      // of an instant vector
	hourRanges = 24 * 60 * 60 * 1000     // of a range vector
	hourSpans  = 3 * 24 * 60 * 60 * 1000 // of the whole query
)

// leftovers are what rollups tell of the series of a set.
type leftovers struct {
	asked  bool
	lacks  bool // there are days without samples
	hours  bool
	width  int // series to read together next
	first  int // series that the first list is of
	points [][]point
}

// left is what rollups tell of a series, if there are days without samples.
func (s *seriesSet) left(i int) ([]point, error) {
	l, h := &s.rows, &s.hints
	if !l.asked {
		l.asked, l.width = true, leftAhead
		l.lacks = s.q.store.LacksSamples(journal.Millis(h.Start), journal.Millis(h.End)+1)
		l.hours = h.End-h.Start > hourSpans && (h.Range == 0 && h.Step >= hourSteps || h.Range >= hourRanges)
	}
	if !l.lacks {
		return nil, nil
	}
	for i < l.first || i >= l.first+len(l.points) {
		err := s.readLeft(i)
		if err == nil {
			break
		}
		read := len(l.points)
		l.points = nil
		switch {
		case !errors.Is(err, errManyRows):
			return nil, err
		case read > 1:
			l.width = read / 2
		case !l.hours:
			l.hours = true
		default:
			return nil, err
		}
	}
	return l.points[i-l.first], nil
}

var errManyRows = fmt.Errorf("%w: one series has more hours and minutes than a query may hold: ask for a shorter range", historian.ErrTooMuch)

// readLeft reads rows of a series and of those behind it.
func (s *seriesSet) readLeft(i int) error {
	l, h := &s.rows, &s.hints
	names := s.names(i, l.width)
	l.first, l.points = i, make([][]point, len(names))
	tell := make([]*teller, len(names))
	room := s.q.ahead.limit / 2
	// What holds where the range begins, the rows of the hour before tell.
	from := max(0, journal.Millis(h.Start)-longRead)
	for n, m := range names {
		edges, err := s.q.edges(s.ctx, owned{m.Group, m.Node, m.Device}, from-longRead)
		if err != nil {
			return err
		}
		tell[n] = &teller{what: tellingOf(h.Func), edges: edges, room: &room}
	}
	err := s.q.store.Left(s.ctx, names, from, journal.Millis(h.End)+1, l.hours, func(n int, x historian.Left) error {
		tell[n].take(&x)
		if room < 0 {
			return errManyRows
		}
		return s.ctx.Err()
	})
	for n, t := range tell {
		t.end()
		l.points[n] = t.points
	}
	return err
}

// teller turns rows of a series into points.
type teller struct {
	what   telling
	edges  []journal.Millis
	points []point
	room   *int // points that all tellers of a query may still make
	until  journal.Millis
	last   *historian.Rollup // the row that ends there
}

func (t *teller) take(x *historian.Left) {
	if t.until != x.From {
		t.end()
		t.until = x.From
	}
	for i := range x.Rows {
		row := x.Rows[i]
		if t.until < row.At {
			t.unknown(t.until)
		}
		t.row(&row)
		t.until, t.last = row.Until, &row
	}
	if t.until < x.To {
		t.unknown(t.until)
		t.until, t.last = x.To, nil
	}
}

// row tells a row.
func (t *teller) row(r *historian.Rollup) {
	length := r.Until - r.At
	switch {
	case t.what == tellMean:
		t.put(point{at: r.At + 1, f: r.Integral / float64(r.GoodMs), known: r.GoodMs > 0, edge: r.At + 1 + r.GoodMs})
	case t.what == tellSum && r.Good > 0:
		t.put(point{at: r.Until - 1, f: r.Sum, known: true})
	case t.what == tellCount:
		for k := range journal.Millis(min(r.Good, int(length))) {
			t.put(point{at: r.At + 1 + k*(length-1)/journal.Millis(r.Good), known: true})
		}
	case t.what == tellSum:
	case r.Count == 0: // what held before goes on
		t.put(point{at: r.At, f: r.Last, known: r.GoodMs > 0, edge: after(t.edges, r.At)})
	default:
		if t.what == tellExtremes && r.Good > 0 {
			t.put(point{at: r.Until - 3, f: r.Min, known: true, edge: r.Until - 2})
			t.put(point{at: r.Until - 2, f: r.Max, known: true, edge: r.Until - 1})
		}
		t.tail(r)
	}
}

// tail tells what holds at the end of a row with samples.
func (t *teller) tail(r *historian.Rollup) {
	t.put(point{at: r.Until - 1, f: r.Last, known: holds(r, t.edges), edge: after(t.edges, r.Until-1)})
}

// holds says that the last usable value of a row holds at its end. Of one with bad samples, or with a death in it, nobody may know.
func holds(r *historian.Rollup, edges []journal.Millis) bool {
	switch {
	case r.GoodMs == r.Until-r.At:
		return true
	case r.Good == 0 || r.Good < r.Count || r.Quality == journal.Bad || r.Quality == journal.Stale:
		return false
	}
	i, _ := slices.BinarySearch(edges, r.Until)
	return i == 0 || edges[i-1] < r.At || r.GoodMs > edges[i-1]-r.At // else it may have come before the edge
}

// end tells, after means, what samples go on from.
func (t *teller) end() {
	if t.what == tellMean && t.last != nil {
		t.tail(t.last)
	}
	t.last = nil
}

func (t *teller) unknown(at journal.Millis) {
	if n := len(t.points); n > 0 && t.points[n-1].known {
		t.put(point{at: at})
	}
}

func (t *teller) put(p point) {
	if math.IsNaN(p.f) {
		p.f = math.Float64frombits(value.NormalNaN)
	}
	if p.edge == 0 {
		p.edge = never
	}
	t.points = append(t.points, p)
	*t.room--
}

// leftSource is a metric of which rollups tell some of the time.
type leftSource struct {
	source
	points []point // ascending
	buf    []point
}

func (s *leftSource) read(ctx context.Context, from, to journal.Millis) ([]point, journal.Millis, journal.Millis, error) {
	list, next, broken, err := s.source.read(ctx, from, to)
	rows := s.points[s.below(from):s.below(next)]
	if len(rows) == 0 || err != nil {
		return list, next, broken, err
	}
	s.buf = append(s.buf[:0], rows...)
	for _, p := range list { // that came since the day lost its samples, if any
		i, same := slices.BinarySearchFunc(s.buf, p.at, atTime)
		if same {
			s.buf[i] = p
		} else {
			s.buf = slices.Insert(s.buf, i, p)
		}
	}
	return s.buf, next, broken, nil
}

func (s *leftSource) held(ctx context.Context, t, floor journal.Millis) (point, bool, error) {
	i := s.below(t)
	if i > 0 && i < len(s.points) && s.points[i-1].at >= floor && s.points[i].at-s.points[i-1].at <= 2*longRead { // no samples are in between
		return s.points[i-1], true, nil
	}
	p, ok, err := s.source.held(ctx, t, floor)
	if i > 0 && s.points[i-1].at >= floor && (!ok || s.points[i-1].at > p.at) {
		return s.points[i-1], true, err
	}
	return p, ok, err
}

// below is how many points are before t.
func (s *leftSource) below(t journal.Millis) int {
	i, _ := slices.BinarySearchFunc(s.points, t, atTime)
	return i
}

func atTime(p point, t journal.Millis) int {
	switch {
	case p.at < t:
		return -1
	case p.at > t:
		return 1
	}
	return 0
}
