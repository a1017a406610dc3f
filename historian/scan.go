package historian

import (
	"cmp"
	"context"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// pieceRows ends a read transaction: after so many samples, at the end of an hour of one group, it is closed and a new one
// goes on. Such a piece takes some tens of milliseconds, and nothing is sent to anybody meanwhile. What a commit frees while a
// transaction is open cannot be used again; so a file grows on account of a reader by what the flushes of one such piece
// write: one window.
const pieceRows = 1 << 20

// scan reads the numbers of several metrics, in order of time each: memory once, then the files day by day, of a day group
// by group, of a group hour by hour. Each block is read once for all metrics that are in it.
type scan struct {
	s      *Store
	tracks []*track
	parts  []*part
	groups map[uint32]bool
	byID   map[journal.SeriesID]*track
	usable bool    // the last sample that counts is carried in, too
	left   *budget // samples that may still be read
	piece  int     // rows after which a read transaction ends
	work   work
	viewed int // rows in the present transaction

	*scratch // to be given back with end
}

// work counts what a question cost.
type work struct {
	Views    int // read transactions
	ViewRows int // samples read in the longest of them
	Blocks   int // blocks whose head was read
	Lines    int // time lines
	Rows     int // samples read
	Skipped  int // samples for which a block's statistics stood
	Rollups  int // rows of rollups

	RollBlocks int // blocks of rollups whose head was read
}

// track is one metric of a scan.
type track struct {
	owner  owner
	epochs []*series
	memory []reading  // not yet handed out, ascending
	into   *intervals // take what is read, or
	column *Column    // takes it
	gaps   []Gap      // of its owner, since lookBack before the range
	damage []Gap
	source Source
}

// part is what is read together: the tracks of one block group. The epochs of a metric may lie in several groups; then it is
// a part of its own.
type part struct {
	groups []uint32 // ascending
	tracks []*track
}

// stored is one block of an hour.
type stored struct {
	chunk.Block
	line  chunk.Timeline
	lined bool
}

// timeline is the block's time line, read once.
func (b *stored) timeline() (*chunk.Timeline, error) {
	if !b.lined {
		if err := b.Timeline(&b.line); err != nil {
			return nil, err
		}
		b.lined = true
	}
	return &b.line, nil
}

// entry is one series in a block.
type entry struct {
	*chunk.Entry
	in *stored
	i  int
}

// newScan begins one, which its caller ends.
func (s *Store) newScan(tracks []*track) *scan { return s.scanWith(tracks, s.takeScratch()) }

func (s *Store) scanWith(tracks []*track, m *scratch) *scan {
	sc := &scan{s: s, tracks: tracks, groups: make(map[uint32]bool), byID: make(map[journal.SeriesID]*track), left: newBudget(maxRows),
		piece: s.pieceRows, scratch: m}
	for _, t := range tracks {
		var groups []uint32
		for _, e := range t.epochs {
			sc.byID[e.id] = t
			sc.groups[e.group] = true
			groups = append(groups, e.group)
		}
		slices.Sort(groups)
		sc.partOf(slices.Compact(groups), t)
	}
	slices.SortFunc(sc.parts, func(a, b *part) int { return slices.Compare(a.groups, b.groups) })
	return sc
}

// end gives back what was used.
func (sc *scan) end() {
	sc.s.giveScratch(sc.scratch)
	sc.scratch = nil
}

func (sc *scan) partOf(groups []uint32, t *track) {
	i := slices.IndexFunc(sc.parts, func(p *part) bool { return slices.Equal(p.groups, groups) })
	if i < 0 {
		i = len(sc.parts)
		sc.parts = append(sc.parts, &part{groups: groups})
	}
	sc.parts[i].tracks = append(sc.parts[i].tracks, t)
}

// span is a part of one day that is to be read.
type span struct {
	day      int64
	from, to journal.Millis
}

// spans cuts a range at the days that have a file with samples.
func (s *Store) spans(from, to journal.Millis) (out []span) {
	if from >= to {
		return nil
	}
	for _, day := range slices.DeleteFunc(s.days.existing(dayOf(from), dayOf(to-1)), s.days.isThin) {
		out = append(out, span{day, max(from, dayStart(day)), min(to, dayStart(day+1))})
	}
	return out
}

// files hands out what the files have of a range, and what memory has between it.
func (sc *scan) files(ctx context.Context, from, to journal.Millis) error {
	for _, sp := range sc.s.spans(from, to) {
		for at, p := sp.from, 0; p < len(sc.parts); {
			var err error
			if at, p, err = sc.view(ctx, sp, at, p); err != nil {
				return err
			}
		}
	}
	for _, t := range sc.tracks {
		sc.release(t, to)
	}
	return nil
}

// view reads, in one transaction, from a time of a part on; it returns where to go on.
func (sc *scan) view(ctx context.Context, sp span, at journal.Millis, p int) (journal.Millis, int, error) {
	sc.viewed = 0
	sc.work.Views++
	gone := true
	err := sc.s.days.get(sp.day).view(func(tx *bolt.Tx) error {
		gone = false
		for ; p < len(sc.parts) && sc.viewed < sc.piece; at, p = sp.from, p+1 {
			o, err := sc.open(tx, sp, sc.parts[p])
			if err != nil {
				return err
			}
			for at < sp.to {
				end := min(sp.to, floorTo(at, hourMillis)+hourMillis)
				if err := sc.hour(ctx, o, at, end); err != nil {
					return err
				}
				if at = end; sc.viewed >= sc.piece && at < sp.to {
					return nil
				}
			}
		}
		return nil
	}, bucketBlock, bucketLate)
	sc.work.ViewRows = max(sc.work.ViewRows, sc.viewed)
	if isDamage(err) {
		for _, rest := range sc.parts[p:] {
			rest.note(at, sp.to)
			at = sp.from
		}
		gone, err = true, sc.s.survive(err)
	}
	if gone {
		return sp.to, len(sc.parts), err
	}
	return at, p, err
}

// openPart reads a part's blocks of one day, hour by hour.
type openPart struct {
	*part
	sp     span
	blocks *bolt.Cursor
	late   [][]byte // blocks that touch the span, in order of arrival
}

func (sc *scan) open(tx *bolt.Tx, sp span, p *part) (*openPart, error) {
	o := &openPart{part: p, sp: sp, blocks: tx.Bucket(bucketBlock).Cursor()}
	for _, g := range p.groups {
		err := eachLate(tx.Bucket(bucketLate).Cursor(), g, func(_, v []byte) error {
			b, err := chunk.Parse(v)
			if isDamage(err) {
				sc.damaged(o, sp.from, sp.to, err)
				return nil
			}
			if b.Last >= sp.from && b.First < sp.to {
				o.late = append(o.late, v)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// hour hands out one hour, or a part of it. No block reaches over the end of an hour.
func (sc *scan) hour(ctx context.Context, o *openPart, from, to journal.Millis) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	blocks, err := sc.parse(o, from, to)
	if err != nil {
		return err
	}
	for _, t := range o.tracks {
		if err := sc.track(o, t, blocks, from, to); err != nil {
			return err
		}
	}
	if c := o.tracks[0].column; c != nil {
		return cmp.Or(sc.left.over(), c.room.over())
	}
	return sc.left.over()
}

// parse reads the heads of an hour's blocks.
func (sc *scan) parse(o *openPart, from, to journal.Millis) (out []*stored, err error) {
	n := 0
	objects := objectsOf(o.blocks.Bucket().Tx(), func(err error) { sc.s.reportDamage(sc.s.days.path(o.sp.day), err) })
	add := func(_, v []byte) error {
		b := sc.block(n)
		if err := b.Reset(v); err != nil {
			sc.damaged(o, from, to, err)
			return nil
		}
		sc.work.Blocks++
		if b.Last >= from && b.First < to {
			b.Objects, b.lined = objects, false
			n++
		}
		return nil
	}
	first, end := unitsOf(from, to)
	for _, g := range o.groups {
		if err := eachUnit(o.blocks, g, first, end, add); err != nil {
			return nil, err
		}
	}
	for _, v := range o.late {
		if err := add(nil, v); err != nil {
			return nil, err
		}
	}
	return sc.pool[:n], nil
}

// damaged notes that a part of a group's time cannot be read.
func (sc *scan) damaged(o *openPart, from, to journal.Millis, err error) {
	o.note(from, to)
	sc.s.reportDamage(sc.s.days.path(o.sp.day), err)
}

func (p *part) note(from, to journal.Millis) {
	for _, t := range p.tracks {
		t.note(from, to)
	}
}

// note remembers that part of the range could not be read. Nothing is carried over where it begins and ends.
func (t *track) note(from, to journal.Millis) {
	t.into.cut(from, to)
	if n := len(t.damage); n > 0 && t.damage[n-1].To >= from && t.damage[n-1].From <= to {
		t.damage[n-1].From = min(t.damage[n-1].From, from)
		t.damage[n-1].To = max(t.damage[n-1].To, to)
		return
	}
	t.damage = append(t.damage, Gap{From: from, To: to, Cause: damageCause})
}

// track hands out one metric's samples of an hour. Series that lie alone in their time, and ascend, go as they are: that is
// nearly all. What overlaps is merged by time and arrival.
func (sc *scan) track(o *openPart, t *track, blocks []*stored, from, to journal.Millis) error {
	var space [16]entry
	list := t.entries(space[:0], blocks, from, to)
	for len(list) > 0 {
		if len(list) > 1 && t.column.outdone(list[0].Entry, list[1].Entry) {
			sc.work.Skipped += list[0].Count
			list = list[1:]
			continue
		}
		n, last := 1, list[0].Last
		for n < len(list) && list[n].First <= last {
			last = max(last, list[n].Last)
			n++
		}
		sc.release(t, max(from, list[0].First))
		overlap := len(t.memory) > 0 && t.memory[0].at <= last
		var err error
		if n == 1 && list[0].Ascending && !overlap {
			err = sc.one(t, list[0], from, to)
		} else {
			err = sc.merge(t, list[:n], from, to, last)
		}
		if isDamage(err) {
			t.note(max(from, list[0].First), min(to, last+1))
			sc.s.reportDamage(sc.s.days.path(o.sp.day), err)
			err = nil
		}
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// add hands readings out.
func (t *track) add(p points) {
	if t.column != nil {
		t.column.add(p)
		return
	}
	t.into.add(p)
}

// statistics takes those of a block, if they will do.
func (t *track) statistics(e *chunk.Entry) bool {
	if t.column != nil {
		return t.column.statistics(e)
	}
	return t.into.statistics(e)
}

// entries finds the metric in the blocks of an hour, in order of time.
func (t *track) entries(list []entry, blocks []*stored, from, to journal.Millis) []entry {
	for _, b := range blocks {
		for _, e := range t.epochs {
			if i, ok := b.Find(e.id); ok && b.Entries[i].Last >= from && b.Entries[i].First < to {
				list = append(list, entry{&b.Entries[i], b, i})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(a.First, b.First) })
	return list
}

// inMemoryBefore is how many readings memory has before a time.
func (t *track) inMemoryBefore(at journal.Millis) int {
	n, _ := slices.BinarySearchFunc(t.memory, at, func(r reading, at journal.Millis) int { return cmp.Compare(r.at, at) })
	return n
}

// release hands out what memory has before a time.
func (sc *scan) release(t *track, before journal.Millis) {
	n := t.inMemoryBefore(before)
	if n == 0 {
		return
	}
	t.add(sc.reader.toPoints(t.memory[:n]))
	t.memory = t.memory[n:]
}

// one hands out a series of one block.
func (sc *scan) one(t *track, e entry, from, to journal.Millis) error {
	if e.First >= from && e.Last < to && t.statistics(e.Entry) {
		sc.work.Skipped += e.Count
		return nil
	}
	line, err := sc.line(e)
	if err != nil {
		return err
	}
	p, err := sc.reader.points(&e.in.Block, e.i, line)
	if err != nil {
		return err
	}
	t.add(p.between(from, to))
	return nil
}

// line is the block's time line, read once.
func (sc *scan) line(e entry) (*chunk.Timeline, error) {
	sc.work.Rows += e.Count
	sc.viewed += e.Count
	sc.left.take(e.Count)
	if !e.in.lined {
		sc.work.Lines++
	}
	return e.in.timeline()
}

// gather reads a metric's samples of several blocks into list. damage tells of those that cannot be read; the others still count.
func (sc *scan) gather(entries []entry) (damage error) {
	sc.list = sc.list[:0]
	for _, e := range entries {
		line, err := sc.line(e)
		if err == nil {
			sc.list, err = sc.reader.readings(sc.list, &e.in.Block, e.i, line)
		}
		if err != nil {
			damage = err
		}
	}
	return damage
}

// merge hands out the samples of several blocks, and of memory, that share a stretch of time which ends with last.
func (sc *scan) merge(t *track, entries []entry, from, to, last journal.Millis) (damage error) {
	damage = sc.gather(entries)
	n := t.inMemoryBefore(min(to, last+1))
	sc.list = append(sc.list, t.memory[:n]...)
	t.memory = t.memory[n:]
	p := sc.reader.toPoints(lastReadings(sc.list))
	t.add(p.between(from, to))
	return damage
}
