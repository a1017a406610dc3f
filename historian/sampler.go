package historian

import (
	"cmp"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// sampler reads one metric's samples as they were sent, a stretch of a day at a time: what Read, Cursor and Rows answer with.
type sampler struct {
	s      *Store
	epochs []*series
	hurt   bool // part of the last stretch cannot be read
}

const (
	stepSamples = 1 << 16 // a stretch that would hold more is halved, down to a second
	stepTexts   = 1 << 10 // the same for samples with text or bytes, which may be long
)

// found is what a stretch came to.
type found int

const (
	inFull   found = iota
	tooMany        // and the stretch may be shorter
	fileGone       // only what is in memory: the day has no file, or one without samples
)

// read appends the samples with from <= At < to, all of one day, ascending, of several with one time stamp the last to arrive. They
// have no Index: for it the other series of a block would have to be read. tooMany comes only if narrower is set.
func (p *sampler) read(dst []journal.Sample, day int64, from, to journal.Millis, narrower bool) ([]journal.Sample, found, error) {
	at, most := len(dst), p.most()
	p.hurt = false
	dst = p.inMemory(dst, from, to) // before the files: what moves there meanwhile is then seen twice, not never
	if len(dst)-at > most && narrower {
		return dst[:at], tooMany, nil
	}
	got := fileGone
	if len(p.s.days.existing(day, day)) > 0 {
		m := p.s.takeScratch()
		defer p.s.giveScratch(m)
		err := p.s.days.get(day).view(func(tx *bolt.Tx) error { // not called when the file is gone
			if tx.Bucket(bucketMeta).Get(metaThin) != nil {
				return nil
			}
			got = inFull
			r := &stretch{p, m, day, from, to, at}
			list, err := r.blocks(tx)
			if err != nil {
				return err
			}
			if narrower && r.exceeds(len(dst)-at, list, most) {
				got = tooMany
				return nil
			}
			dst, err = r.decode(dst, list)
			return err
		}, bucketBlock, bucketLate)
		if isDamage(err) {
			p.damaged(day, err)
			err = p.s.survive(err)
		}
		if err != nil || got == tooMany {
			return dst[:at], got, err
		}
	}
	return dst[:at+len(lastOfEach(dst[at:]))], got, nil
}

// most is how many samples are gathered at once.
func (p *sampler) most() int {
	for _, e := range p.epochs {
		if width(e.kind) == 0 {
			return stepTexts
		}
	}
	return stepSamples
}

func (p *sampler) damaged(day int64, err error) {
	p.hurt = true
	p.s.reportDamage(p.s.days.path(day), err)
}

func (p *sampler) inMemory(dst []journal.Sample, from, to journal.Millis) []journal.Sample {
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	for _, h := range p.s.heads() {
		for _, e := range p.epochs {
			dst = h.series(dst, e, from, to)
		}
	}
	return dst
}

// stretch is one stretch that is read from a file.
type stretch struct {
	*sampler
	m        *scratch
	day      int64
	from, to journal.Millis
	at       int // where in the list its samples begin
}

// blocks finds the metric in the blocks of the stretch, in order of time.
func (r *stretch) blocks(tx *bolt.Tx) (list []entry, err error) {
	blk, late := tx.Bucket(bucketBlock), tx.Bucket(bucketLate)
	objects := objectsOf(tx, func(err error) { r.s.reportDamage(r.s.days.path(r.day), err) }) // the sample tells of it
	n := 0
	for _, e := range r.epochs {
		err := eachBlockIn(blk, late, e.group, r.from, r.to, func(_, v []byte) error {
			b := r.m.block(n)
			if err := b.Reset(v); err != nil {
				r.damaged(r.day, err)
				return nil
			}
			if i, ok := b.Find(e.id); ok && b.Entries[i].Last >= r.from && b.Entries[i].First < r.to {
				b.Objects, b.lined = objects, false
				list = append(list, entry{&b.Entries[i], b, i})
				n++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(a.First, b.First) })
	return list, nil
}

// exceeds says that memory and some blocks have more samples of the stretch than are gathered at once. One block may.
func (r *stretch) exceeds(inMemory int, list []entry, most int) bool {
	count := inMemory
	for _, e := range list {
		count += e.Count
	}
	return count > most && (inMemory > 0 || len(list) > 1)
}

// decode appends the samples that lie in the stretch. Their indices are set only where samples that lie apart may have one time:
// they tell which came last.
func (r *stretch) decode(dst []journal.Sample, list []entry) ([]journal.Sample, error) {
	indices, count := len(dst) > r.at || overlap(list), 0
	for _, e := range list {
		count += e.Count
	}
	dst = slices.Grow(dst, min(count, stepSamples))
	for _, e := range list {
		line, err := e.in.timeline()
		if err == nil {
			read := e.in.Arrived
			if indices {
				read = e.in.Complete
			}
			err = read(e.i, line, &r.m.reader.columns)
		}
		if isDamage(err) {
			r.damaged(r.day, err)
			continue
		}
		if err != nil {
			return dst, err
		}
		dst = r.m.reader.columns.Samples(dst, r.from, r.to)
	}
	return dst, nil
}

// overlap says that entries, which are in order of time, share a stretch of it.
func overlap(list []entry) bool {
	last := journal.Millis(-1)
	for _, e := range list {
		if e.First <= last {
			return true
		}
		last = max(last, e.Last)
	}
	return false
}

// lastOfEach sorts by time and keeps of each stamp the last to arrive: of those without an index the last in the list. What it
// returns has none.
func lastOfEach(list []journal.Sample) []journal.Sample {
	order := func(a, b *journal.Sample) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Index, b.Index)) }
	sorted := true
	for i := 1; i < len(list) && sorted; i++ { // mostly it is
		sorted = order(&list[i-1], &list[i]) <= 0
	}
	if !sorted {
		slices.SortStableFunc(list, func(a, b journal.Sample) int { return order(&a, &b) })
	}
	n := 0
	for i := range list {
		if n > 0 && list[n-1].At == list[i].At {
			n--
		}
		if n < i {
			list[n] = list[i]
		}
		list[n].Index = 0
		n++
	}
	return list[:n]
}

// scratch is what a question reads blocks into. The next question uses it again.
type scratch struct {
	reader columnReader
	pool   []*stored
	list   []reading
	cells  []interval
}

// block is the n-th of the pool.
func (m *scratch) block(n int) *stored {
	if n == len(m.pool) {
		m.pool = append(m.pool, &stored{})
	}
	return m.pool[n]
}

// intervals are n of them, whatever is in them.
func (m *scratch) intervals(n int) []interval {
	m.cells = slices.Grow(m.cells[:0], n)[:n]
	return m.cells
}

// What the memory of one question keeps for the next.
const (
	maxPool      = 64      // blocks: an hour of some groups
	maxPoolCells = 200_000 // intervals: 18 MB
)

func (s *Store) takeScratch() *scratch {
	if m, ok := s.scratches.Get().(*scratch); ok {
		return m
	}
	return &scratch{}
}

// giveScratch takes memory back. Nothing in it points into a file any more: the file may be closed.
func (s *Store) giveScratch(m *scratch) {
	m.reader.columns.Release()
	m.reader.numbersOnly = false
	if cap(m.cells) > maxPoolCells {
		m.cells = nil
	}
	m.pool = slices.Delete(m.pool, min(maxPool, len(m.pool)), len(m.pool))
	for _, b := range m.pool {
		b.Release()
		b.line.Release()
	}
	s.scratches.Put(m)
}
