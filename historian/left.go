package historian

import (
	"context"
	"fmt"
	"slices"

	"edge/historian/journal"
)

// Left is what is left of a metric in From <= t < To, whose samples retention took: Rows, ascending, are all there is to tell of it. Of
// what they leave out nothing is known.
type Left struct {
	From, To journal.Millis
	Rows     []Rollup
}

// left is a stretch without samples. gone: it has no days either, only hours.
type left struct {
	from, to journal.Millis
	gone     bool
}

// lefts are the stretches of from <= t < to whose samples retention took, ascending.
func (s *Store) lefts(from, to journal.Millis) (out []left) {
	if from >= to {
		return nil
	}
	all := s.days.existing(0, 1<<40)
	months := s.trends.existing(0, monthOf(to-1))
	if len(months) > 0 {
		begin, end := max(from, monthStart(months[0])), to
		if len(all) > 0 {
			end = min(to, dayStart(all[0]))
		}
		if begin < end {
			out = append(out, left{begin, end, true})
		}
	}
	for _, day := range all {
		begin, end := max(from, dayStart(day)), min(to, dayStart(day+1))
		switch n := len(out); {
		case begin >= end || !s.days.isThin(day):
		case n > 0 && out[n-1].to == begin && !out[n-1].gone:
			out[n-1].to = end
		default:
			out = append(out, left{begin, end, false})
		}
	}
	return out
}

// LacksSamples says that retention took samples of from <= t < to of which rollups may tell.
func (s *Store) LacksSamples(from, to journal.Millis) bool {
	return len(s.lefts(max(0, from), min(to, s.now()))) > 0
}

// Left hands out what rollups tell of several metrics where retention took the samples of from <= t < to, which is widened to whole hours:
// of each metric, which f gets by its place, in order of time. Rows are of a minute or, with hours or where nothing finer is left, of an
// hour; they are f's until it returns, and its error ends it. It returns ErrNoSeries for an unknown metric.
func (s *Store) Left(ctx context.Context, metrics []Metric, from, to journal.Millis, hours bool, f func(metric int, l Left) error) error {
	epochs := make([][]*series, len(metrics))
	for i, m := range metrics {
		if epochs[i] = s.catalog.epochs(metric{m.Group, m.Node, m.Device, m.Name}); len(epochs[i]) == 0 {
			return fmt.Errorf("%w: %s/%s/%s %s", ErrNoSeries, m.Group, m.Node, m.Device, m.Name)
		}
	}
	from, to = floorTo(max(0, from), hourMillis), floorTo(min(to, s.now())+hourMillis-1, hourMillis)
	for _, l := range s.lefts(from, to) {
		step := minuteMillis
		if hours || l.gone {
			step = hourMillis
		}
		var failed error
		g := &rollReads{s: s, step: step}
		for i, m := range metrics {
			q := &query{s: s, owner: owner{m.Group, m.Node, m.Device}, epochs: epochs[i], from: l.from, to: l.to}
			g.list = append(g.list, &rollRead{q: q, f: func(p rollPart) bool {
				if !p.Known {
					p.Rows = nil
				}
				failed = f(i, Left{p.From, p.To, slices.Clip(p.Rows)})
				return failed == nil
			}})
		}
		if err := g.run(ctx, l.from, l.to); err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}
