package historian

import (
	"context"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// Latest returns the newest sample of every series that has one of the last month, ascending by series: live ones, historical ones
// where there is no other. Its Quality is Stale when its node or device died since. A metric whose datatype changed has several.
//
// The first call after Open looks into the newest blocks for what did not come since, group by group; later ones copy a table.
// The bytes of text are the store's: they are not to be changed.
func (s *Store) Latest(ctx context.Context) ([]journal.Sample, error) {
	all := s.catalog.all()
	if err := s.lookUp(ctx, all); err != nil {
		return nil, err
	}
	out := make([]journal.Sample, 0, len(all))
	groups := make([]uint32, 0, len(all))
	s.mu.RLock()
	for _, e := range all {
		if v := e.newest(); v.Series != 0 {
			out, groups = append(out, v), append(groups, e.group)
		}
	}
	s.mu.RUnlock()
	dead := make(map[uint32]bool)
	for i := range out {
		g := groups[i]
		is, known := dead[g]
		if !known {
			var err error
			if is, err = s.isDead(ctx, s.catalog.ownerOf(out[i].Series)); err != nil {
				return nil, err
			}
			dead[g] = is
		}
		if is && out[i].Quality != journal.Bad {
			out[i].Quality = journal.Stale
		}
	}
	return out, nil
}

// newest is what counts of a series: a live sample before a historical one; Series is 0 if there is none. The store's mu is held.
func (e *series) newest() journal.Sample {
	live, old, past := e.live(), e.old, e.past
	switch {
	case live.Series != 0 && (old == nil || old.Historical || old.At <= live.At):
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

// lookUp finds the newest samples in the files of series that were not looked for yet.
func (s *Store) lookUp(ctx context.Context, list []*series) error {
	groups := make(map[uint32][]*series)
	s.mu.RLock()
	for _, e := range list {
		if !e.looked {
			groups[e.group] = append(groups[e.group], e)
		}
	}
	s.mu.RUnlock()
	for g, list := range groups {
		found, err := s.newestIn(ctx, g, list)
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, e := range list {
			if v, ok := found[e.id]; ok {
				e.old = &v
			}
			e.looked = true
		}
		s.mu.Unlock()
	}
	return nil
}

// newestIn goes back through the blocks of a group: to the first live sample of each series, at most three days, or to any
// sample of the last month.
func (s *Store) newestIn(ctx context.Context, g uint32, list []*series) (map[journal.SeriesID]journal.Sample, error) {
	found := make(map[journal.SeriesID]journal.Sample)
	sc := s.newScan(nil)
	p := &part{groups: []uint32{g}}
	now := s.now()
	spans := s.spans(max(0, now-10*lookBack), now+2*farFuture)
	for _, sp := range slices.Backward(spans) {
		open := slices.DeleteFunc(slices.Clone(list), func(e *series) bool {
			v, ok := found[e.id]
			return ok && (!v.Historical || sp.to < now-lookBack)
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
			return sc.newestOfDay(ctx, tx, sp, p, open, found)
		})
		if err := s.survive(err); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// newestOfDay goes back through a day, hour by hour.
func (sc *scan) newestOfDay(ctx context.Context, tx *bolt.Tx, sp span, p *part, open []*series, found map[journal.SeriesID]journal.Sample) error {
	o, err := sc.open(tx, sp, p)
	if err != nil {
		return err
	}
	var buf []journal.Sample
	for end := sp.to; end > sp.from && len(open) > 0; end = floorTo(end-1, hourMillis) {
		if err := ctx.Err(); err != nil {
			return err
		}
		blocks, err := sc.parse(o, floorTo(end-1, hourMillis), end)
		if err != nil {
			return err
		}
		left := open[:0]
		for _, e := range open {
			v, ok := found[e.id]
			for _, b := range blocks {
				i, has := b.Find(e.id)
				if !has || ok && !v.Historical && b.Entries[i].Last < v.At {
					continue
				}
				if buf, err = b.Decode(buf[:0], i); err != nil {
					sc.s.reportDamage(sc.s.days.path(sp.day), err)
					continue
				}
				for k := range buf {
					if w := &buf[k]; !ok || outdoes(w, &v) {
						v, ok = *w, true
					}
				}
			}
			if ok {
				found[e.id] = v
			}
			if !ok || v.Historical {
				left = append(left, e)
			}
		}
		open = left
	}
	return nil
}

// outdoes says that a counts and not b: live before historical, then later, then the last to arrive.
func outdoes(a, b *journal.Sample) bool {
	if a.Historical != b.Historical {
		return b.Historical
	}
	return a.At > b.At || a.At == b.At && a.Index > b.Index
}
