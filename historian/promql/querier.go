package promql

import (
	"context"
	"fmt"
	"slices"
	"time"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// querier gives the engine the series of one query. The engine uses it from one goroutine.
type querier struct {
	store     Store
	catalog   *catalog
	maxSeries int
	lookback  journal.Millis // of this query
	steady    bool           // each selector is looked at when the query is: there is no subquery
	now       journal.Millis
	to        journal.Millis // no selector of the query looks at it or later
	gaps      map[owned]known
	ahead     ahead
}

// owned names a node or device.
type owned struct{ group, node, device string }

// known are the edges of an owner's gaps at and after a time.
type known struct {
	from  journal.Millis
	edges []journal.Millis
}

// Querier implements storage.Queryable.
func (q *querier) Querier(_, maxt int64) (storage.Querier, error) {
	q.to = journal.Millis(maxt) + 1
	return q, nil
}

// Close implements storage.LabelQuerier.
func (q *querier) Close() error { return nil }

// Select implements storage.Querier. It looks nothing up before the set is asked.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return &seriesSet{q: q, ctx: ctx, sorted: sorted, hints: *hints, matchers: matchers, at: -1}
}

type seriesSet struct {
	q        *querier
	ctx      context.Context
	sorted   bool
	hints    storage.SelectHints
	matchers []*labels.Matcher
	list     []series
	at       int
	ahead    int // series before it were read ahead
	rows     leftovers
	err      error
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	if s.at < 0 {
		s.err = s.find()
	}
	s.at++
	return s.err == nil && s.at < len(s.list)
}

// find lists the series.
func (s *seriesSet) find() error {
	var b labels.ScratchBuilder
	over := false
	err := s.q.catalog.match(s.ctx, s.matchers, func(r ref) bool {
		if s.hints.Limit > 0 && len(s.list) >= s.hints.Limit {
			return false
		}
		if len(s.list) >= s.q.maxSeries {
			over = true
			return false
		}
		s.list = append(s.list, series{set: s, ref: r, labels: r.labels(&b)})
		return true
	})
	if err != nil {
		return err
	}
	if over {
		return tooManySeries(s.q.maxSeries)
	}
	if s.sorted {
		slices.SortFunc(s.list, func(a, b series) int { return labels.Compare(a.labels, b.labels) })
	}
	for i := range s.list {
		s.list[i].at = i
	}
	return nil
}

func tooManySeries(limit int) error {
	return fmt.Errorf("a selector matches more than %d series: name a group, node, device or metric", limit)
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return &s.list[s.at] }

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return s.err }

// Warnings implements storage.SeriesSet.
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// series is one series over the range of its Select.
type series struct {
	set    *seriesSet
	at     int // in the set
	ref    ref
	labels labels.Labels
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series. The engine has done with the iterator that it gives back.
func (s *series) Iterator(back chunkenc.Iterator) chunkenc.Iterator {
	if it, ok := back.(*iterator); ok {
		it.free()
	}
	q, h := s.set.q, &s.set.hints
	it := &iterator{ctx: s.set.ctx, from: journal.Millis(h.Start), to: journal.Millis(h.End), now: q.now}
	switch {
	case h.Range == 0:
		it.repeat, it.slack = max(1, q.lookback/2), q.lookback
		it.once = h.End-h.Start < int64(q.lookback)
	case h.Func == "count_over_time" || h.Func == "sum_over_time":
	default:
		it.repeat = max(1, journal.Millis(h.Range)/60)
	}
	if s.ref.metric == "" {
		it.source = &lifeSource{store: q.store, of: owned{s.ref.group, s.ref.node, s.ref.device}, to: it.to + 1}
		return it
	}
	points, err := s.set.left(s.at)
	if err == nil {
		it.source, err = s.source(it.from, it.to+1)
	}
	if err != nil {
		return failed(err)
	}
	if len(points) > 0 {
		it.source = &leftSource{source: it.source, points: points}
	}
	return it
}

// source is what knows of a metric's samples.
func (s *series) source(from, to journal.Millis) (source, error) {
	of := owned{s.ref.group, s.ref.node, s.ref.device}
	known := valueSource{q: s.set.q, of: of}
	column, err := s.set.column(s.at)
	if err != nil {
		return nil, err
	}
	if column != nil {
		return &columnSource{valueSource: known, column: column, from: from, to: to, metric: s.ref.metric, damage: historian.Edges(column.Damage)}, nil
	}
	known.cursor, err = s.set.q.store.Cursor(s.ref.group, s.ref.node, s.ref.device, s.ref.metric, from, to)
	return &known, err
}

// edges are the beginnings and ends of an owner's gaps from a time on, ascending. One answer serves all series of an owner.
func (q *querier) edges(ctx context.Context, of owned, from journal.Millis) ([]journal.Millis, error) {
	k, ok := q.gaps[of]
	if ok && k.from <= from {
		return k.edges, nil
	}
	gaps, err := q.store.Gaps(ctx, of.group, of.node, of.device, from, q.to)
	if err != nil {
		return nil, err
	}
	k = known{from: from, edges: historian.Edges(gaps)}
	q.gaps[of] = k
	return k.edges, nil
}

func millis(d time.Duration) journal.Millis { return journal.Millis(d.Milliseconds()) }
