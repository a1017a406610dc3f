package historian

import (
	"context"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// longActive is the span over which Active tells nobody apart: a file would have to be opened for each of its days.
const longActive = 31 * dayMillis

// Active lists the metrics that may have something to tell of from <= t < to: those with samples in the range or in the three days
// before it, and those whose newest sample is older and holds. It looks at what days have samples of, not at samples: it may name a
// metric too many and leaves none out. all: the range is longer than a month, and every metric counts.
func (s *Store) Active(ctx context.Context, from, to journal.Millis) (list map[Metric]bool, all bool, err error) {
	from, to = max(0, from), min(to, s.now()+2*farFuture) // nothing is later
	if to-from > longActive {
		return nil, true, nil
	}
	a := &active{s: s, found: make(map[Metric]bool), rest: slices.Clone(s.catalog.all())}
	since := max(0, from-lookBack)
	a.memory(since, to)
	for _, sp := range slices.Backward(s.spans(since, to)) {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if err := a.day(sp.day); err != nil {
			return nil, false, err
		}
	}
	return a.found, false, a.holding(ctx, from, to)
}

// active looks for series; rest are those that were not found yet.
type active struct {
	s     *Store
	found map[Metric]bool
	rest  []*series
}

func (a *active) take(is func(*series) bool) {
	a.rest = slices.DeleteFunc(a.rest, func(e *series) bool {
		k := &e.key
		m := Metric{k.Group, k.Node, k.Device, k.Metric}
		if !a.found[m] && !is(e) {
			return false
		}
		a.found[m] = true
		return true
	})
}

// memory takes what has samples in memory.
func (a *active) memory(from, to journal.Millis) {
	in := make(map[journal.SeriesID]bool)
	a.s.mu.RLock()
	for _, h := range a.s.heads() {
		for k, c := range h.cells {
			if k.window >= to || k.window+h.window <= from {
				continue
			}
			for _, m := range c.members {
				if m.series != nil {
					in[m.series.id] = true
				}
			}
		}
	}
	a.s.mu.RUnlock()
	a.take(func(e *series) bool { return in[e.id] })
}

// day takes what has samples in a day's file.
func (a *active) day(day int64) error {
	if len(a.rest) == 0 {
		return nil
	}
	err := a.s.days.get(day).view(func(tx *bolt.Tx) error {
		rows := tx.Bucket(bucketSeries)
		a.take(func(e *series) bool { return known(rows, e) })
		return nil
	}, bucketSeries)
	return a.s.survive(err)
}

// holding takes what has its newest sample before the range, if its node or device was not dead for all of it.
func (a *active) holding(ctx context.Context, from, to journal.Millis) error {
	if len(a.rest) == 0 || from >= to {
		return nil
	}
	if err := a.s.lookUp(ctx, a.rest); err != nil {
		return err
	}
	dead := make(map[owner]bool)
	for _, e := range a.rest {
		o := owner{e.key.Group, e.key.Node, e.key.Device}
		if _, asked := dead[o]; asked {
			continue
		}
		gaps, err := a.s.gaps(ctx, o, from, to)
		if err != nil {
			return err
		}
		dead[o] = slices.ContainsFunc(gaps, func(g Gap) bool { return g.From <= from && (g.To == 0 || g.To >= to) })
	}
	a.s.mu.RLock()
	defer a.s.mu.RUnlock()
	a.take(func(e *series) bool {
		v := e.newest()
		return v.Series != 0 && v.At < to && !dead[owner{e.key.Group, e.key.Node, e.key.Device}]
	})
	return nil
}
