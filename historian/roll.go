package historian

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"math"
	"runtime"
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
	f := &journal.Fields{B: meta.Get(metaRolled)}
	if hours, trended := f.Uvarint(), f.Uvarint(); f.Whole() && hours <= 24 {
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
	return put(meta, bucketMeta, metaRolled, binary.AppendUvarint(row, trended))
}

// rollOn has one turn, and asks for the next one if there is more to do.
func (s *Store) rollOn(ctx context.Context) {
	s.lookAtClock() // else an hour that has just ended is not over by the last look
	if Space(s.space.Load()) < SpaceLow && s.rollCounted(ctx) {
		s.askRoll()
	}
}

// rollCounted is rollUp, and counts the processor time that it takes if that can be asked.
func (s *Store) rollCounted(ctx context.Context) (more bool) {
	if s.o.CPU == nil {
		return s.rollUp(ctx)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := s.o.CPU()
	more = s.rollUp(ctx)
	s.rollupCPU.Add(int64(s.o.CPU() - began))
	return more
}

func (s *Store) askRoll() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// rollUp has one turn. It returns true when there is more to do at once.
func (s *Store) rollUp(ctx context.Context) (more bool) {
	budget := rollTurn
	for days := s.rollDays(); len(days) > 0; {
		day, n := days[0], len(s.rolling)
		days = days[1:]
		done, err := s.rollDay(ctx, day, !s.markRest, &budget)
		if len(s.rolling) > n { // it hands another value on to the next day
			days = slices.DeleteFunc(s.rollDays(), func(d int64) bool { return d <= day })
		}
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

// rollDay rolls a day up as far as it is over, and its marked hours when they have rested, or with now at once. done: nothing
// more can come but by a flush.
func (s *Store) rollDay(ctx context.Context, day int64, now bool, budget *int) (done bool, err error) {
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
		marked, rested := s.rested(st.marks, now)
		switch {
		case rested && !thin:
			err = s.rollHour(ctx, day, st, marked, budget)
			delete(s.resting, marked)
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
	}, bucketMeta)
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

// nextDay is the first day behind one that has samples or had.
func (s *Store) nextDay(day int64) (next int64, ok bool) {
	list := s.days.existing(day+1, 1<<40)
	if len(list) == 0 {
		return 0, false
	}
	return list[0], true
}
