package promql

import (
	"context"
	"math"
	"slices"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/value"
)

// point is a value that begins to hold, or with known false the beginning of ignorance.
type point struct {
	at    journal.Millis
	f     float64
	known bool
	edge  journal.Millis // at which it ends, if no other point comes before
}

const never = journal.Millis(math.MaxInt64)

// source is what one series knows.
type source interface {
	// read returns points with from <= at < next, ascending; next <= to is where to go on. Nothing known before holds beyond broken.
	read(ctx context.Context, from, to journal.Millis) (list []point, next, broken journal.Millis, err error)
	// held returns the last point with floor <= at < t; with floor 0 it looks as far as is sensible.
	held(ctx context.Context, t, floor journal.Millis) (p point, ok bool, err error)
}

// valueSource is a metric.
type valueSource struct {
	q      *querier
	cursor *historian.Cursor
	of     owned
	buf    []point
}

func (s *valueSource) read(ctx context.Context, from, to journal.Millis) ([]point, journal.Millis, journal.Millis, error) {
	list, next, err := s.cursor.Read(ctx, from, to)
	if err != nil {
		return nil, next, never, err
	}
	edges, err := s.q.edges(ctx, s.of, from)
	if err != nil {
		return nil, next, never, err
	}
	damage := historian.Edges(s.cursor.Damage())
	s.buf = s.buf[:0]
	for i := range list {
		p := pointOf(&list[i])
		p.edge = min(after(edges, p.at), after(damage, p.at))
		s.buf = append(s.buf, p)
	}
	return s.buf, next, after(damage, from-1), nil
}

func (s *valueSource) held(ctx context.Context, t, floor journal.Millis) (point, bool, error) {
	v, ok, err := s.cursor.Held(ctx, t, floor)
	if !ok || err != nil {
		return point{}, false, err
	}
	edges, err := s.q.edges(ctx, s.of, min(v.At, t))
	p := pointOf(&v)
	p.edge = after(edges, p.at)
	return p, err == nil, err
}

// pointOf is a sample as PromQL sees it. NaN is a value; which one is not kept, for one of them is the stale marker.
func pointOf(v *journal.Sample) point {
	p := point{at: v.At}
	if v.Quality == journal.Bad || v.Quality == journal.Stale {
		return p
	}
	if p.f, p.known = v.Value.Float64(); math.IsNaN(p.f) {
		p.f = math.Float64frombits(value.NormalNaN)
	}
	return p
}

// after is the first edge later than t.
func after(edges []journal.Millis, t journal.Millis) journal.Millis {
	if i, _ := slices.BinarySearch(edges, t+1); i < len(edges) {
		return edges[i]
	}
	return never
}

// lifeSource is the life of a node or device: 1 and 0.
type lifeSource struct {
	store Store
	of    owned
	to    journal.Millis
	turns []point // from the first question's time on
	asked bool
}

func (s *lifeSource) read(ctx context.Context, from, to journal.Millis) ([]point, journal.Millis, journal.Millis, error) {
	if err := s.ask(ctx, from); err != nil {
		return nil, to, never, err
	}
	return s.turns[s.below(from):s.below(to)], to, never, nil
}

func (s *lifeSource) held(ctx context.Context, t, floor journal.Millis) (point, bool, error) {
	if err := s.ask(ctx, t); err != nil {
		return point{}, false, err
	}
	i := s.below(t)
	if i == 0 || s.turns[i-1].at < floor {
		return point{}, false, nil
	}
	return s.turns[i-1], true, nil
}

func (s *lifeSource) ask(ctx context.Context, from journal.Millis) error {
	if s.asked {
		return nil
	}
	list, err := s.store.Life(ctx, s.of.group, s.of.node, s.of.device, from, s.to)
	for _, t := range list {
		p := point{at: t.At, known: true, edge: never}
		if t.Alive {
			p.f = 1
		}
		s.turns = append(s.turns, p)
	}
	s.asked = err == nil
	return err
}

// below is how many turns are before t.
func (s *lifeSource) below(t journal.Millis) int {
	i, _ := slices.BinarySearchFunc(s.turns, t, func(p point, t journal.Millis) int { return int(p.at - t) })
	return i
}
