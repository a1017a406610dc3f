package historian

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// Latest returns the newest sample of every series that has one of the last month, or had one when retention took it, ascending by
// series: live ones, historical ones where there is no other. Its Quality is Stale when its node or device died since. A metric whose datatype changed has several.
//
// Run looks into the newest blocks for what did not come since Open, group by group; a call that comes before it is done does the
// rest of it, later ones copy a table. They are appended to dst, whose memory is used. The bytes of text are the store's: they are not to be changed.
func (s *Store) Latest(ctx context.Context, dst []journal.Sample) ([]journal.Sample, error) {
	all := s.catalog.all()
	if err := s.lookUp(ctx, all); err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, len(all))
	at := len(dst)
	s.mu.RLock()
	for _, e := range all {
		if e.latest.have || e.beside {
			dst = append(dst, e.newest())
		}
	}
	s.mu.RUnlock()
	return dst, s.markStale(ctx, all, dst[at:])
}

// markStale marks those whose node or device died. Both lists are in order of the series' numbers.
func (s *Store) markStale(ctx context.Context, all []*series, list []journal.Sample) error {
	group, dead, k := uint32(0), false, 0
	for i := range list {
		for all[k].id < list[i].Series {
			k++
		}
		if g := all[k].group; g != group { // its series have one owner, and mostly follow one another
			var err error
			if dead, err = s.isDead(ctx, s.catalog.ownerOf(list[i].Series)); err != nil {
				return err
			}
			group = g
		}
		if dead && list[i].Quality != journal.Bad {
			list[i].Quality = journal.Stale
		}
	}
	return nil
}

// lookUpAll finds what Latest answers before it is asked. What goes wrong, who asks is told.
func (s *Store) lookUpAll(ctx context.Context) { _ = s.lookUp(ctx, s.catalog.all()) }

// newest is what counts of a series: a live sample before a historical one; Series is 0 if there is none. The store's mu is held.
func (e *series) newest() journal.Sample {
	live := e.live()
	if !e.beside { // details are another line of the cache
		return live
	}
	old, past := e.old, e.past
	switch {
	case live.Series != 0 && (old == nil || !outdoes(old, &live)):
		return live
	case old != nil && (!old.Historical || past == nil || !outdoes(past, old)):
		return *old
	case past != nil:
		return *past
	}
	return live
}

// all lists the series by id. Nobody changes the list.
func (c *catalog) all() []*series {
	c.mu.RLock()
	list := c.sorted
	fresh := len(list) == len(c.byID)
	c.mu.RUnlock()
	if fresh {
		return list
	}
	list = c.list(func(*series) bool { return true })
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(list) > len(c.sorted) {
		c.sorted = list
	}
	return list
}

func (c *catalog) ownerOf(id journal.SeriesID) owner {
	k := c.get(id).key
	return owner{k.Group, k.Node, k.Device}
}

// isDead tells whether a node or device died and did not come back.
func (s *Store) isDead(ctx context.Context, o owner) (bool, error) {
	s.mu.RLock()
	dead, known := s.dead[o]
	turn := s.lifeTurns
	s.mu.RUnlock()
	if known {
		return dead, nil
	}
	now := s.now()
	gaps, err := s.gaps(ctx, o, now, now+2*farFuture)
	if err != nil {
		return false, err
	}
	dead = slices.ContainsFunc(gaps, func(g Gap) bool { return g.To == 0 })
	s.mu.Lock()
	if s.lifeTurns == turn { // else something came meanwhile
		s.dead[o] = dead
	}
	s.mu.Unlock()
	return dead, nil
}

// turned forgets what is known of a node's life: an event changes it. The store's mu is held.
func (s *Store) turned(e *journal.Event) {
	s.lifeTurns++
	for o := range s.dead {
		if o.group == e.Group && o.node == e.Node {
			delete(s.dead, o)
		}
	}
}

// unlooked are the series to look up for some: all of their groups, which are read together, or none.
func (c *catalog) unlooked(s *Store, epochs []*series) (out []*series) {
	s.mu.RLock()
	fresh := slices.ContainsFunc(epochs, func(e *series) bool { return !e.looked })
	s.mu.RUnlock()
	if !fresh {
		return nil
	}
	for _, e := range c.all() {
		if slices.ContainsFunc(epochs, func(x *series) bool { return x.group == e.group }) {
			out = append(out, e)
		}
	}
	return out
}

// lookUp finds the newest samples in the files of series that were not looked for yet, group by group.
func (s *Store) lookUp(ctx context.Context, list []*series) error {
	groups := make(map[uint32][]*series)
	s.mu.RLock()
	for _, e := range list {
		if !e.looked {
			groups[e.group] = append(groups[e.group], e)
		}
	}
	s.mu.RUnlock()
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		if err := s.lookUpGroup(ctx, g, groups[g]); err != nil {
			return err
		}
	}
	return nil
}

// lookUpGroup looks for one group's. One caller at a time does; who waits finds that the other looked for the same.
func (s *Store) lookUpGroup(ctx context.Context, g uint32, list []*series) error {
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.RLock()
	list = slices.DeleteFunc(list, func(e *series) bool { return e.looked })
	live := make(map[journal.SeriesID]journal.Millis, len(list))
	for _, e := range list {
		if e.latest.have {
			live[e.id] = e.latest.at
		}
	}
	s.mu.RUnlock()
	if len(list) == 0 {
		return nil
	}
	now := s.now()
	n, err := s.newestIn(ctx, g, list, live, max(0, now-10*lookBack), now+2*farFuture)
	if err == nil {
		err = s.recall(list, n.found, now+2*farFuture)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	for _, e := range list {
		if v, ok := n.found[e.id]; ok {
			e.old, e.beside = &v, true
		}
		e.filled = max(e.filled, n.filled[e.id])
		e.looked = true
	}
	s.mu.Unlock()
	return nil
}

// newestIn goes back through the blocks of a group, from one time to another: to the first live sample of each series, of the last three
// days, or to any sample. live says since when a series has one in memory: what is older is not looked at.
func (s *Store) newestIn(ctx context.Context, g uint32, list []*series, live map[journal.SeriesID]journal.Millis, from, to journal.Millis) (*lastValues, error) {
	n := &lastValues{sc: s.newScan(nil), live: live, found: make(map[journal.SeriesID]journal.Sample), filled: make(map[journal.SeriesID]journal.Millis)}
	defer n.sc.end()
	p := &part{groups: []uint32{g}}
	now := s.now()
	spans := s.spans(from, to)
	for _, sp := range slices.Backward(spans) {
		open := slices.DeleteFunc(slices.Clone(list), func(e *series) bool {
			at, has := live[e.id]
			v, ok := n.found[e.id]
			return has && at >= sp.to || ok && (!v.Historical && surely(&v) >= sp.to || v.Historical && sp.to < now-lookBack)
		})
		if len(open) == 0 {
			break
		}
		err := s.days.get(sp.day).view(func(tx *bolt.Tx) error {
			rows := tx.Bucket(bucketSeries)
			open = slices.DeleteFunc(open, func(e *series) bool { return !known(rows, e) })
			if len(open) == 0 {
				return nil
			}
			return n.day(ctx, tx, sp, p, open)
		}, bucketSeries, bucketBlock, bucketLate)
		if err := s.survive(err); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// lastValues looks for the newest sample of each series of a group.
type lastValues struct {
	sc      *scan
	live    map[journal.SeriesID]journal.Millis
	found   map[journal.SeriesID]journal.Sample
	filled  map[journal.SeriesID]journal.Millis // of the newest that does not count
	columns chunk.Columns
}

// day goes back through a day, hour by hour.
func (n *lastValues) day(ctx context.Context, tx *bolt.Tx, sp span, p *part, open []*series) error {
	o, err := n.sc.open(tx, sp, p)
	if err != nil {
		return err
	}
	for end := sp.to; end > sp.from && len(open) > 0; end = floorTo(end-1, hourMillis) {
		if err := ctx.Err(); err != nil {
			return err
		}
		from := floorTo(end-1, hourMillis)
		blocks, err := n.sc.parse(o, from, end)
		if err != nil {
			return err
		}
		slices.SortStableFunc(blocks, func(a, b *stored) int { return cmp.Compare(b.Last, a.Last) })
		for _, b := range blocks {
			for _, e := range open {
				if err := n.block(b, e.id); err != nil {
					n.sc.s.reportDamage(n.sc.s.days.path(sp.day), err)
				}
			}
		}
		open = slices.DeleteFunc(open, func(e *series) bool {
			at, has := n.live[e.id]
			v, ok := n.found[e.id]
			return has && at >= from || ok && !v.Historical && surely(&v) >= from
		})
	}
	return nil
}

// block looks for a series in a block that may have a newer sample than was found.
func (n *lastValues) block(b *stored, id journal.SeriesID) error {
	i, has := b.Find(id)
	if !has {
		return nil
	}
	v, ok := n.found[id]
	if at, has := n.live[id]; has && b.Entries[i].Last < at || ok && !v.Historical && b.Entries[i].Last < surely(&v) {
		return nil
	}
	line, err := n.sc.line(entry{&b.Entries[i], b, i})
	if err != nil {
		return err
	}
	if err := b.Complete(i, line, &n.columns); err != nil {
		return err
	}
	best := -1
	for k, at := range n.columns.At {
		w := journal.Sample{At: at, Received: n.columns.Received[k], Index: n.columns.Index[k], Historical: n.columns.Flags[k]&chunk.Historical != 0}
		if w.Historical {
			n.filled[id] = max(n.filled[id], at)
		}
		switch {
		case !ok:
			v, ok, best = w, true, k
		case outdoes(&w, &v):
			n.filled[id] = max(n.filled[id], v.At)
			v, best = w, k
		case at > v.At:
			n.filled[id] = max(n.filled[id], at)
		}
	}
	if best >= 0 {
		n.found[id] = n.columns.Sample(best)
	}
	return nil
}

// outdoes says that a counts and not b: live before historical, then later, then the last to arrive. A live sample that is stamped ahead
// of its arrival counts until one arrives that is stamped later than that: the device's clock was set right.
func outdoes(a, b *journal.Sample) bool {
	switch {
	case a.Historical != b.Historical:
		return b.Historical
	case !a.Historical && a.At < b.At:
		return a.Index > b.Index && a.At >= surely(b)
	case !a.Historical && a.At > b.At:
		return a.Index > b.Index || b.At < surely(a)
	}
	return a.At > b.At || a.At == b.At && a.Index > b.Index
}

// surely is when a live sample was true at the latest: its device's clock may be up to a day ahead.
func surely(v *journal.Sample) journal.Millis {
	if ahead := v.At - v.Received; ahead > 0 && ahead <= clockLeap {
		return v.Received
	}
	return v.At
}
