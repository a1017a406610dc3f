package historian

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edge/historian/journal"
)

// A sample outside these bounds is refused: one device with a broken clock would make a file for every day of the calendar.
const (
	farFuture = journal.Millis(24 * time.Hour / time.Millisecond)
	farthest  = 365_000 * farFuture // of a journal's time; no date is later
	farPast   = 3660 * farFuture    // when raw samples are kept for ever
	farDoubt  = 3660 * farFuture    // how far ahead of a clock that is not believed the devices' may be
)

// replay takes the journal's durable records from an index on (0: from the oldest). What the files have is skipped.
func (s *Store) replay(from journal.Index) error {
	s.reader = s.journal.NewReader(from).Reuse()
	return s.catchUp()
}

// catchUp takes every durable record that there is, flushing when memory is full.
func (s *Store) catchUp() error {
	for {
		rec, ok, err := s.reader.TryNext()
		switch {
		case errors.Is(err, journal.ErrRecycled):
			s.skipRecycled(err)
		case errors.Is(err, journal.ErrClosed):
			return nil
		case err != nil:
			return err
		case !ok:
			s.passed(s.reader.Pos() - 1)
			s.finishTorn(s.reader.Pos())
			return nil
		default:
			s.finishTorn(rec.Index)
			s.foundRecord(&rec)
			s.apply(&rec)
			if s.passed(s.reader.Pos()-1) && !s.torn { // what is left of a torn flush was in memory before
				if err := s.flush(flushAll); err != nil {
					s.o.Log.Error("flush", "part", "historian", "err", err)
					return nil // the rest stays in the journal
				}
			}
		}
	}
}

// finishTorn ends a flush that a crash cut between two day files, once all that it had is read again: the days that lack
// their part get it at its position, before anything else is written. Else a later flush would hold samples from below
// that position, where Backlog does not look for them.
func (s *Store) finishTorn(next journal.Index) {
	if !s.torn || next <= s.replayed {
		return
	}
	s.torn = false
	s.take(flushAll)
	if s.pending == nil {
		return
	}
	s.pending.pos = position{checkpoint: s.replayed, applied: s.replayed}
	if err := s.write(s.pending); err != nil {
		s.failing = true
		s.tellFlush(err) // it stays in memory, and goes before the next
	}
}

// skipRecycled goes on with what the log still has: the files and the log do not meet.
func (s *Store) skipRecycled(cause error) {
	from := s.reader.Pos()
	s.reader = s.journal.NewReader(0).Reuse()
	s.o.Log.Error("journal does not reach back to the historian's checkpoint", "part", "historian", "err", cause)
	if to := s.reader.Pos(); to > from && from > 1 {
		s.event(journal.Event{Kind: journal.GapEvent, At: millis(s.o.Clock()), Until: millis(s.o.Clock()), Count: uint64(to - from),
			Reason: "records left the journal before they were in a file"})
	}
}

// followLoop takes durable records as they come, but for those of small commits, which followCommit takes.
func (s *Store) followLoop(ctx context.Context) error {
	s.setFollows(true)
	defer s.setFollows(false)
	for {
		if err := s.follow(ctx); err != nil {
			return err
		}
		select {
		case <-s.behind:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) setFollows(on bool) {
	s.following.Lock()
	s.follows = on
	s.following.Unlock()
}

// follow takes what is durable, and waits where memory has no room for it.
func (s *Store) follow(ctx context.Context) error {
	s.following.Lock()
	defer s.following.Unlock()
	for ctx.Err() == nil {
		crowded, err := s.followNext()
		switch {
		case errors.Is(err, journal.ErrRecycled):
			s.skipRecycled(err)
		case errors.Is(err, errEnd), errors.Is(err, journal.ErrClosed):
			return nil
		case err != nil:
			return err
		case crowded:
			s.wantFlush()
			s.awaitRoom(ctx)
		}
	}
	return nil
}

// errEnd says that no more records are durable.
var errEnd = errors.New("end of the log")

// followNext takes one record, and tells whether the head is as large as it should become.
func (s *Store) followNext() (crowded bool, err error) {
	rec, ok, err := s.reader.TryNext()
	if err == nil && !ok {
		err = errEnd
	}
	if err != nil {
		return false, err
	}
	s.apply(&rec)
	return s.passed(s.reader.Pos() - 1), nil
}

// smallCommit is how many records a commit may have to be taken by the goroutine that made it. To wake another one costs as much
// as a hundred samples, and some tens of microseconds is what may be added to the commit.
const smallCommit = 512

// followCommit is called by the journal when what is up to an index has become durable. It takes the records of a small commit; whatever
// it would have to wait for, followLoop does.
func (s *Store) followCommit(upTo journal.Index) {
	if s.takeCommit(upTo) {
		return
	}
	select {
	case s.behind <- struct{}{}:
	default:
	}
}

func (s *Store) takeCommit(upTo journal.Index) bool {
	if !s.following.TryLock() {
		return false
	}
	defer s.following.Unlock()
	if !s.follows || upTo >= s.reader.Pos()+smallCommit {
		return false
	}
	for {
		if !s.mu.TryLock() { // a question or a flush looks at the head just now
			return false
		}
		full := s.overfullLocked()
		s.mu.Unlock()
		if full { // followLoop waits for room
			return false
		}
		switch crowded, err := s.followNext(); {
		case err != nil:
			return errors.Is(err, errEnd)
		case crowded:
			s.wantFlush()
			return false
		}
	}
}

// awaitRoom holds the follower back while memory is full: the journal keeps what it does not read.
func (s *Store) awaitRoom(ctx context.Context) {
	for s.overfull() {
		select {
		case <-s.room:
		case <-ctx.Done():
			return
		}
	}
}

// passed notes how far the journal is read, and tells whether the head is as large as it should become.
func (s *Store) passed(i journal.Index) (crowded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = max(s.applied, i)
	if s.reached != nil && s.applied >= s.reaches {
		close(s.reached)
		s.reached = nil
	}
	return s.head.bytes >= s.o.HeadBytes
}

// reach waits until the journal's record i has been read. One at a time waits.
func (s *Store) reach(ctx context.Context, i journal.Index) error {
	s.mu.Lock()
	if s.applied >= i {
		s.mu.Unlock()
		return nil
	}
	reached := make(chan struct{})
	s.reached, s.reaches = reached, i
	s.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// overfull says that the head is larger than it should become while another is being written, or twice as large.
func (s *Store) overfull() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.overfullLocked()
}

func (s *Store) overfullLocked() bool {
	return s.head.bytes >= s.o.HeadBytes && s.flushing != nil || s.head.bytes >= 2*s.o.HeadBytes
}

func (s *Store) apply(rec *journal.Record) {
	switch rec.Kind {
	case journal.KindSamples:
		s.applySamples(rec.Samples)
	case journal.KindSchema:
		s.catalog.bind(rec.Schema.Series, rec.Schema.Key, 0, false)
	case journal.KindEvent:
		s.applyEvent(rec)
	}
}

func (s *Store) applySamples(list []journal.Sample) {
	wall := millis(s.o.Clock())
	oldest, latest := s.bounds(wall)
	day, thin := int64(-1), false
	var left []*journal.Sample
	s.mu.Lock()
	s.catalog.mu.RLock()
	defer func() {
		s.catalog.mu.RUnlock()
		s.mu.Unlock()
		s.tellLeft(left, wall)
	}()
	s.findLocked(list)
	for i := range list {
		v, e := &list[i], s.found[i]
		if v.Value.Null {
			v.Value.Num, v.Value.Bytes = 0, nil
		}
		switch {
		case e == nil:
			s.unknown.Add(1)
		// Received is not later than now, but in a replay after the clock fell back: then it was not refused before.
		case v.At < oldest || v.At > max(latest, v.Received+farFuture):
			s.refused.Add(1)
			if since := wall - s.toldTime[e.group]; (since > dayMillis || since < 0) && !s.haveSample(v) {
				s.toldTime[e.group] = wall
				left = append(left, v)
			}
		case len(v.Value.Bytes) > s.o.MaxValueBytes:
			s.refused.Add(1)
			if !s.haveSample(v) && !s.toldLong[v.Series] {
				s.toldLong[v.Series] = true
				left = append(left, v)
			}
		case v.Index <= s.replayed && s.haveSample(v):
		case s.takesNone(dayOf(v.At), &day, &thin):
			s.refused.Add(1)
		case !s.head.add(v, e):
			s.duplicates.Add(1)
		case v.Historical:
			e.takePast(v)
		case e.isLatest(v, latest):
			e.take(v)
		default:
			e.takeEarlier(v)
		}
	}
	if n := len(list); n > 0 { // with what the head now has: a flush that comes between would tell too low a position
		s.applied = max(s.applied, list[n-1].Index)
		s.hear(&list[n-1], wall, latest)
	}
}

// bounds are those of time stamps that are kept. Retention is by a clock that does not leap, so that one that leapt ahead makes nothing
// too old. It removes whole days, and a day that it keeps takes whatever comes for it: what is late, and in a replay what was in memory.
// While our clock is not believed it does not say either what is from the future.
func (s *Store) bounds(wall journal.Millis) (oldest, latest journal.Millis) {
	now := max(wall, journal.Millis(s.late.Load()))
	oldest, latest = max(0, now-farPast), now+farFuture
	if s.o.Raw > 0 {
		oldest = max(0, dayStart(dayOf(journal.Millis(s.early.Load())-toMillis(s.o.Raw))))
	}
	if s.doubted.Load() {
		latest = max(now, clockFloor) + farDoubt
	}
	return oldest, latest
}

// findLocked finds the samples' series; one that a sample's type is not that of is none. It looks at all of them before
// anything else is done, so that waiting for one from memory is waiting for several.
func (s *Store) findLocked(list []journal.Sample) {
	s.found = s.found[:0]
	for i := range list {
		e := s.catalog.getLocked(list[i].Series)
		if e != nil && e.kind != list[i].Value.Type {
			e = nil
		}
		s.found = append(s.found, e)
	}
}

// tellLeft puts an event of each sample that is not kept: one for each series whose values are too long, one a day for each group whose stamps
// are out of bounds.
func (s *Store) tellLeft(list []*journal.Sample, wall journal.Millis) {
	for _, v := range list {
		k, _ := s.Key(v.Series)
		why := fmt.Sprintf("a value of %.100q has %d bytes and is not kept, nor are others of its kind: the history takes at most %d",
			k.Metric, len(v.Value.Bytes), s.o.MaxValueBytes)
		if len(v.Value.Bytes) <= s.o.MaxValueBytes {
			why = fmt.Sprintf("a value of %.100q is stamped %s and is not kept, nor are others like it: that is %s", k.Metric, stampText(v.At),
				map[bool]string{true: "more than a day ahead of the clock; set the device's", false: "before what historian.retention.raw keeps"}[v.At > wall])
		}
		s.event(journal.Event{Kind: journal.SystemEvent, Group: k.Group, Node: k.Node, Device: k.Device, Reason: why})
	}
}

// takesNone says that retention took a day's samples. day and thin are what was asked last.
func (s *Store) takesNone(of int64, day *int64, thin *bool) bool {
	if of != *day {
		*day, *thin = of, s.days.isThin(of)
	}
	return *thin
}

// haveSample and haveEvent say that a replayed record was in a file when the store was opened. A day whose file is not
// there has nothing, whatever the catalog says.
func (s *Store) haveSample(v *journal.Sample) bool {
	if v.Index > s.replayed {
		return false
	}
	p, ok := s.opened[dayOf(v.At)]
	return ok && p.sampleStored(v.Index, v.At)
}

// An event that bears on life is in the file of the day that it was true as well; one that is gone has it no more, and shall not.
func (s *Store) haveEvent(e *journal.Event, logged journal.Millis) bool {
	if e.Index > s.replayed {
		return false
	}
	p, ok := s.opened[dayOf(logged)]
	if day, known := s.opened[dayOf(e.At)]; known && isLife(e.Kind) && !day.eventStored(e.Index) {
		return false
	}
	return ok && p.eventStored(e.Index)
}

func (s *Store) applyEvent(rec *journal.Record) {
	e := *rec.Event
	logged := min(max(0, rec.At), farthest) // the journal's clock, which may have fallen back since
	latest := logged + farFuture
	if s.doubted.Load() || logged < clockFloor {
		latest = logged + farDoubt + clockFloor
	}
	e.At = min(max(0, e.At), latest)
	e.Until = min(max(0, e.Until), latest)
	if s.haveEvent(&e, logged) {
		return
	}
	e.Received = logged
	if !isBirth(e.Kind) {
		e.Payload = nil
	}
	e.Payload = pack(e.Payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if isLife(e.Kind) {
		s.turned(&e)
	}
	s.applied = max(s.applied, e.Index)
	s.head.events = append(s.head.events, loggedEvent{e, logged})
	s.head.bytes += 192 + int64(len(e.Reason)+len(e.User)+len(e.Payload))
}
