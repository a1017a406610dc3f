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
// before it or in their months, and those with older ones, for they may hold. It looks at what days have samples of, not at samples: it may
// name a metric too many and leaves none out. all: the range is longer than a month, and every metric counts.
func (s *Store) Active(ctx context.Context, from, to journal.Millis) (list map[Metric]bool, all bool, err error) {
	from, to = max(0, from), min(to, s.now()+2*farFuture) // nothing is later
	if to-from > longActive {
		return nil, true, nil
	}
	if from >= to {
		return nil, false, nil
	}
	a := &active{s: s, found: make(map[Metric]bool), rest: slices.Clone(s.catalog.all())}
	since := max(0, from-lookBack)
	if err := a.between(ctx, since, to); err != nil {
		return nil, false, err
	}
	return a.found, false, a.older(ctx, since, from, to)
}

// active looks for series; rest are those that were not found yet.
type active struct {
	s     *Store
	found map[Metric]bool
	rest  []*series
}

// between takes what has something there.
func (a *active) between(ctx context.Context, from, to journal.Millis) error {
	a.memory(from, to)
	for _, units := range [...]struct {
		of          *fileSet
		first, last int64
	}{{a.s.days, dayOf(from), dayOf(to - 1)}, {a.s.trends, monthOf(from), monthOf(to - 1)}} {
		for _, unit := range slices.Backward(units.of.existing(units.first, units.last)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.file(units.of.get(unit)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *active) take(is func(*series) bool) {
	a.rest = slices.DeleteFunc(a.rest, func(e *series) bool {
		m := metricOf(e)
		if !a.found[m] && !is(e) {
			return false
		}
		a.found[m] = true
		return true
	})
}

func metricOf(e *series) Metric {
	k := &e.key
	return Metric{k.Group, k.Node, k.Device, k.Metric}
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

// file takes what has samples in a day, or rollups in a month.
func (a *active) file(d *storeFile) error {
	if len(a.rest) == 0 {
		return nil
	}
	err := d.view(func(tx *bolt.Tx) error {
		rows := tx.Bucket(bucketSeries)
		a.take(func(e *series) bool { return known(rows, e) })
		return nil
	}, bucketSeries)
	return a.s.survive(err)
}

// older takes what has something before since, or was looked up, if its node or device was not dead for all of the range.
func (a *active) older(ctx context.Context, since, from, to journal.Millis) error {
	if len(a.rest) == 0 {
		return nil
	}
	if err := a.s.lookUp(ctx, a.rest); err != nil {
		return err
	}
	old := &active{s: a.s, found: make(map[Metric]bool), rest: slices.Clone(a.rest)}
	a.s.mu.RLock()
	old.take(func(e *series) bool {
		v := e.newest()
		return v.Series != 0 && v.At < to
	})
	a.s.mu.RUnlock()
	if since > 0 {
		if err := old.between(ctx, 0, since); err != nil {
			return err
		}
	}
	dead := make(map[owner]bool)
	for m := range old.found {
		o := owner{m.Group, m.Node, m.Device}
		if _, asked := dead[o]; asked {
			continue
		}
		gaps, err := a.s.gaps(ctx, o, from, to)
		if err != nil {
			return err
		}
		dead[o] = slices.ContainsFunc(gaps, func(g Gap) bool { return g.From <= from && (g.To == 0 || g.To >= to) })
	}
	a.take(func(e *series) bool {
		m := metricOf(e)
		return old.found[m] && !dead[owner{m.Group, m.Node, m.Device}]
	})
	return nil
}
