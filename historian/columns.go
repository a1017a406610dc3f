package historian

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"edge/historian/journal"
)

// Column is what is known of one metric's numbers over a range, and before it the last one of the hour that comes before or of the
// one before that, if there is one: what holds where the range begins. Of several samples with one time stamp the last to arrive counts.
type Column struct {
	At      []journal.Millis // strictly ascending
	Num     []float64        // 0 or NaN where Unknown
	Unknown []bool           // Bad, Stale, null or no number; nil: none is
	Damage  []Gap            // what could not be read; nothing is carried over where one begins or ends

	looks *Looks         // nil: everything is wanted
	room  *budget        // of samples in columns
	cell  journal.Millis // of looks, that the last sample lies in
}

// Columns returns the samples with from <= At < to of several metrics, in their order; those of one node or device are read
// together, each block once. Of what is not needed for looks, if that is set, some is left out. It returns ErrNoSeries for an unknown
// metric, and ErrTooMuch where more than limit samples would be returned: a sample takes 16 bytes.
func (s *Store) Columns(ctx context.Context, metrics []Metric, from, to journal.Millis, looks *Looks, limit int) ([]Column, error) {
	list, _, err := s.columns(ctx, metrics, from, to, looks, limit)
	return list, err
}

func (s *Store) columns(ctx context.Context, metrics []Metric, from, to journal.Millis, looks *Looks, limit int) ([]Column, work, error) {
	from, to = max(0, from), min(to, s.now()+2*farFuture) // nothing is later
	out := make([]Column, len(metrics))
	tracks := make([]*track, len(metrics))
	room := newBudget(limit)
	for i, m := range metrics {
		epochs := s.catalog.epochs(metric{m.Group, m.Node, m.Device, m.Name})
		if len(epochs) == 0 {
			return nil, work{}, fmt.Errorf("%w: %s/%s/%s %s", ErrNoSeries, m.Group, m.Node, m.Device, m.Name)
		}
		out[i].looks, out[i].room = looks, room
		tracks[i] = &track{owner: owner{m.Group, m.Node, m.Device}, epochs: epochs, column: &out[i]}
	}
	sc := s.newScan(tracks)
	defer sc.end()
	sc.reader.numbersOnly = true
	if looks == nil { // what is read is returned, and what holds before
		sc.left = newBudget(limit)
		room.take(-len(metrics))
	}
	floor := max(0, floorTo(from, hourMillis)-hourMillis)
	sc.memory(floor, to)
	for _, t := range tracks {
		sc.left.take(len(t.memory))
	}
	if err := sc.left.over(); err != nil {
		return nil, sc.work, err
	}
	err := sc.inPieces(ctx, func(ctx context.Context, sc *scan) error {
		if err := sc.carrySince(ctx, floor, from); err != nil {
			return err
		}
		return sc.files(ctx, from, to)
	})
	if err = cmp.Or(err, room.over()); err != nil {
		return nil, sc.work, err
	}
	for i, t := range tracks {
		out[i].Damage = t.damage
	}
	return out, sc.work, nil
}

// add takes readings.
func (c *Column) add(p points) {
	switch {
	case c.looks == nil:
		c.put(p)
	case c.looks.Width == 0:
		c.addLasts(p)
	default:
		c.addExtremes(p)
	}
}

// put appends readings.
func (c *Column) put(p points) {
	if len(c.At) == cap(c.At) && len(c.At) > 0 { // the next hours mostly have as many as these
		c.At, c.Num = slices.Grow(c.At, 2*len(p.at)), slices.Grow(c.Num, 2*len(p.at))
	}
	before := len(c.At)
	c.At, c.Num = append(c.At, p.at...), append(c.Num, p.num...)
	c.room.take(len(p.at))
	if p.quality == nil && c.Unknown == nil {
		return
	}
	c.Unknown = append(c.Unknown, make([]bool, len(c.At)-len(c.Unknown))...)
	for i, q := range p.quality {
		c.Unknown[before+i] = !believed(q)
	}
}

// drop takes the last back.
func (c *Column) drop() {
	n := len(c.At) - 1
	c.At, c.Num = c.At[:n], c.Num[:n]
	if c.Unknown != nil {
		c.Unknown = c.Unknown[:n]
	}
	c.room.take(-1)
}

// carry takes what was there before the range.
func (c *Column) carry(r reading) {
	if r.index != 0 {
		c.add(points{[]journal.Millis{r.at}, []float64{r.num}, []journal.Quality{r.quality}})
	}
}
