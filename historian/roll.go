package historian

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// Rolling up: when an hour is over and in its file, its rows are computed from the file's blocks, each group's in one block
// of rollups. A day that is rolled up goes to its month's trend file. What changes an hour after that marks it, in the transaction
// that changes it; it is rolled up again, and the hours behind it as long as what they take over from it is another.
//
//	flush ─► blk, late, life ─► rollHour ─► r1m, a block an hour and group ─► rollTrend ─► r1h, a block a day and group
//	  └── marks hours that are rolled up ──┘          └── marks the next hour
//
// Everything is derived: a crash loses nothing, for the state is committed with the rows it speaks of, and a mark is there before what it
// is for. It all runs in flushLoop.

// rollTurn is how many samples are read in one turn, before flushes and retention have theirs.
const rollTurn = 4 << 20

// minuteSamples is how many samples an hour needs to have rows for its minutes: 6 in each on average.
const minuteSamples = 360

// The rows of a day's meta that speak of its rollups. They stand there for their pages are small.
var (
	metaRolled   = []byte("rolled")   // uv: hours of the day that are rolled up, uv: 1 when they are in the trend file
	metaUnrolled = []byte("unrolled") // then u8 markTrend or markHour, and what that says
)

const (
	markHour  = 'h' // hour start u32 (s), group u32: the hour is to be rolled up again; group 0: of all groups
	markTrend = 't' // group u32: the group's rows in the trend file are old
)

// rolled is what a day file says of its rollups.
type rolled struct {
	until   journal.Millis // the hours before it are rolled up
	trended bool
	marks   []hourMark // ascending
	trends  []uint32   // groups whose rows in the trend file are old
}

type hourMark struct {
	hour  journal.Millis
	group uint32 // 0: all
}

func (m hourMark) key() []byte {
	return append(markOf(markHour), blockKey(uint32(m.hour/1000), m.group)...)
}

func trendKey(group uint32) []byte { return append(markOf(markTrend), big4(group)...) }

func markOf(kind byte) []byte { return append(bytes.Clone(metaUnrolled), kind) }

// hourKey is the key of an hour's or a day's block.
func hourKey(at journal.Millis, group uint32) []byte { return blockKey(uint32(at/1000), group) }

// readRolled reads the state of a day.
func readRolled(meta *bolt.Bucket, day int64) (r rolled) {
	r.until = dayStart(day)
	f := &fields{b: meta.Get(metaRolled)}
	if hours, trended := f.uvarint(), f.uvarint(); f.end() == nil && hours <= 24 {
		r.until += journal.Millis(hours) * hourMillis
		r.trended = trended != 0
	}
	c := meta.Cursor()
	for k, _ := c.Seek(metaUnrolled); bytes.HasPrefix(k, metaUnrolled); k, _ = c.Next() {
		switch k = k[len(metaUnrolled):]; {
		case len(k) == 9 && k[0] == markHour:
			r.marks = append(r.marks, hourMark{journal.Millis(be4(k[1:])) * 1000, be4(k[5:])})
		case len(k) == 5 && k[0] == markTrend:
			r.trends = append(r.trends, be4(k[1:]))
		}
	}
	return r
}

func (r *rolled) put(meta *bolt.Bucket, day int64) error {
	row := binary.AppendUvarint(nil, uint64((r.until-dayStart(day))/hourMillis))
	trended := uint64(0)
	if r.trended {
		trended = 1
	}
	return meta.Put(metaRolled, binary.AppendUvarint(row, trended))
}

// rollOn has one turn, and asks for the next one if there is more to do.
func (s *Store) rollOn(ctx context.Context) {
	s.lookAtClock() // else an hour that has just ended is not over by the last look
	if Space(s.space.Load()) < SpaceLow && s.rollUp(ctx) {
		s.askRoll()
	}
}

func (s *Store) askRoll() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// rollUp has one turn. It returns true when there is more to do at once. Marked hours are rolled up again once an hour: a trickle
// of late samples would else have the same hours read and written with every flush. Until then they are answered from samples.
func (s *Store) rollUp(ctx context.Context) (more bool) {
	budget := rollTurn
	hour := floorTo(max(0, millis(s.o.Clock())), hourMillis)
	again := !s.markRest || hour != s.remarked
	for _, day := range s.rollDays() {
		done, err := s.rollDay(ctx, day, again, &budget)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			_ = s.survive(err)
			s.o.Log.Warn("roll up", "part", "historian", "file", s.days.path(day), "err", err)
			delete(s.rolling, day) // the next flush of the day tries again
		case done:
			delete(s.rolling, day)
		}
		if budget <= 0 {
			return true
		}
	}
	s.remarked = hour
	return false
}

// rollDays are the days that may have something to do, oldest first: at the start all that have samples.
func (s *Store) rollDays() []int64 {
	if Space(s.space.Load()) >= SpaceLow {
		return nil
	}
	if s.rolling == nil {
		s.rolling = make(map[int64]bool)
		for _, day := range s.days.existing(0, 1<<40) {
			s.rolling[day] = true
		}
	}
	return slices.Sorted(maps.Keys(s.rolling))
}

// rollDay rolls a day up as far as it is over, with again its marked hours too. done: nothing more can come but by a flush.
func (s *Store) rollDay(ctx context.Context, day int64, again bool, budget *int) (done bool, err error) {
	if len(s.days.existing(day, day)) == 0 {
		return true, nil
	}
	limit := min(dayStart(day+1), floorTo(max(0, min(millis(s.o.Clock()), journal.Millis(s.early.Load()))-toMillis(windowGrace)), hourMillis))
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		st, err := s.rolledOf(day)
		if err != nil {
			return false, err
		}
		thin := s.days.isThin(day) // then there are no samples
		switch {
		case len(st.marks) > 0 && !thin && again:
			err = s.rollHour(ctx, day, st, st.marks[0].hour, budget)
		case st.until < limit && !thin:
			err = s.rollHour(ctx, day, st, st.until, budget)
		case len(st.marks) > 0 && !thin:
			return false, nil
		case st.until < dayStart(day+1):
			return thin, nil
		case !st.trended || len(st.trends) > 0 || !s.hasTrend(day):
			err = s.rollTrend(day, st)
		default:
			s.setTrended(day, true)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if *budget <= 0 {
			return false, nil
		}
	}
}

// rollBefore rolls a day up before its samples or all of it are removed.
func (s *Store) rollBefore(day int64) {
	if Space(s.space.Load()) >= SpaceLow || s.isTrended(day) {
		return
	}
	budget := math.MaxInt
	if _, err := s.rollDay(context.Background(), day, true, &budget); err != nil {
		s.o.Log.Warn("roll up", "part", "historian", "file", s.days.path(day), "err", err)
	}
}

func (s *Store) rolledOf(day int64) (r rolled, err error) {
	r.until = dayStart(day)
	err = s.days.get(day).view(func(tx *bolt.Tx) error {
		r = readRolled(tx.Bucket(bucketMeta), day)
		return nil
	})
	return r, err
}

// setTrended remembers that a day's rows are all in its trend file, so that a query need not open the day.
func (s *Store) setTrended(day int64, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.trended[day] = true
	} else {
		delete(s.trended, day)
	}
}

func (s *Store) isTrended(day int64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.trended[day]
}

// unroll marks, in a flush's transaction, the hours of its day that are rolled up and change by what it writes.
func (w *dayWriter) unroll(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	st := readRolled(meta, w.job.day)
	if st.until == dayStart(w.job.day) {
		return nil
	}
	marks := make(map[hourMark]bool)
	for _, k := range w.job.cells {
		if hour := floorTo(k.window, hourMillis); hour < st.until {
			for _, m := range w.job.head.cells[k].members {
				if m.series != nil {
					marks[hourMark{hour, w.s.catalog.lead(m.series).group}] = true
				}
			}
		}
	}
	for _, e := range w.job.life {
		for _, at := range lifeTimes(e) {
			if hour := floorTo(at, hourMillis); dayOf(hour) == w.job.day && hour < st.until {
				for _, g := range w.s.catalog.groupsOf(owner{e.Group, e.Node, e.Device}) {
					marks[hourMark{hour, g}] = true
				}
			}
		}
	}
	return putMarks(meta, marks)
}

func putMarks(meta *bolt.Bucket, marks map[hourMark]bool) error {
	keys := make([][]byte, 0, len(marks))
	for m := range marks {
		keys = append(keys, m.key())
	}
	slices.SortFunc(keys, bytes.Compare)
	for _, k := range keys {
		if err := meta.Put(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// lifeTimes are when what holds may begin or end by an event: see deadSpans.
func lifeTimes(e loggedEvent) []journal.Millis {
	if e.Kind == journal.GapEvent {
		return []journal.Millis{e.At, max(e.At, e.Until)}
	}
	return []journal.Millis{e.At, max(0, e.logged)}
}

// unrollOthers marks hours in other days' files for the events that a job holds, before the job is written.
func (s *Store) unrollOthers(job *dayJob) error {
	for _, e := range job.life {
		for _, at := range lifeTimes(e) {
			if day := dayOf(at); day != job.day {
				if err := s.markDay(day, floorTo(at, hourMillis), s.catalog.groupsOf(owner{e.Group, e.Node, e.Device})); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// markDay marks an hour of a day for groups, if it is rolled up.
func (s *Store) markDay(day int64, hour journal.Millis, groups []uint32) error {
	if len(s.days.existing(day, day)) == 0 || s.days.isThin(day) {
		return nil
	}
	st, err := s.rolledOf(day)
	if err != nil || hour >= st.until {
		return err
	}
	marks := make(map[hourMark]bool)
	for _, g := range groups {
		marks[hourMark{hour, g}] = true
	}
	s.setTrended(day, false)
	if s.rolling != nil {
		s.rolling[day] = true
	}
	err = s.days.get(day).update(func(tx *bolt.Tx) error { return putMarks(tx.Bucket(bucketMeta), marks) })
	if err != nil {
		return fmt.Errorf("mark %s: %w", s.days.path(day), err)
	}
	return nil
}

// nextDay is the first day behind one that has samples or had.
func (s *Store) nextDay(day int64) (next int64, ok bool) {
	list := s.days.existing(day+1, 1<<40)
	if len(list) == 0 {
		return 0, false
	}
	return list[0], true
}
