package historian

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	windowGrace  = 10 * time.Second // after a window's end, for what is on its way
	retryFlush   = 10 * time.Second // after a flush that failed
	retainEvery  = time.Minute      // at least; and after each flush
	flushAll     = false            // write everything
	flushWindows = true             // leave the window in memory that has just begun
)

// flight is what one flush writes, and what is then true of the files.
type flight struct {
	head *head
	pos  position
}

// wantFlush asks for a flush without waiting for it.
func (s *Store) wantFlush() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Flush writes the head to its files, for a backup: it asks Run to do it and waits.
func (s *Store) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.asks <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flushLoop writes windows when they end and everything when it is asked to, and removes old days.
func (s *Store) flushLoop(ctx context.Context) error {
	timer := time.NewTimer(s.untilWindowEnds())
	defer timer.Stop()
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	s.askRoll() // for what was not rolled up before the start
	for n := 1; ; n++ {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.lookAtClock()
			s.mendHurt()
			if s.lookAtSpace() >= SpaceLow || n%int(retainEvery/clockEvery) == 0 {
				s.retain()
			}
			s.rewriteLate(ctx)
			s.scrubOn()
			continue
		case <-timer.C:
			err = s.flush(flushWindows)
		case <-s.kick:
			err = s.flush(flushAll)
		case done := <-s.asks:
			err = s.flush(flushAll)
			done <- err
		case <-s.more:
			s.rollOn(ctx)
			continue
		}
		if err == nil {
			s.rollOn(ctx)
			s.retain()
			timer.Reset(s.untilWindowEnds())
		} else {
			timer.Reset(retryFlush)
		}
	}
}

func (s *Store) untilWindowEnds() time.Duration {
	now := s.o.Clock().Add(-windowGrace)
	return now.Truncate(s.o.Window).Add(s.o.Window).Sub(now)
}

// flush writes the head. After an error everything is where it was: in memory, in the journal, and what a day file took
// already it will not be given again.
func (s *Store) flush(windows bool) error {
	err := s.flushPending(windows)
	if err != nil != s.failing {
		s.failing = err != nil
		s.tellFlush(err)
	}
	return err
}

func (s *Store) flushPending(windows bool) error {
	if s.pending != nil { // of a flush that failed
		if err := s.write(s.pending); err != nil {
			return err
		}
	}
	s.take(windows)
	if s.pending == nil {
		return nil
	}
	return s.write(s.pending)
}

func (s *Store) tellFlush(err error) {
	if err == nil {
		s.o.Log.Info("history is written again", "part", "historian")
		s.event(journal.Event{Kind: journal.SystemEvent, Reason: "history is written again"})
		return
	}
	if errors.Is(err, syscall.ENOSPC) { // whatever the file system says is free
		s.dropBallast()
	}
	s.o.Log.Error("history cannot be written; free disk space", "part", "historian", "err", err)
	s.event(journal.Event{Kind: journal.SystemEvent,
		Reason: fmt.Sprintf("history cannot be written, it stays in memory and in the journal: %v", err)})
}

// take hands the head to the flush and begins a new one.
func (s *Store) take(windows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, pos := s.head, position{checkpoint: s.applied, applied: s.applied}
	kept := newHead(s.window)
	if now := millis(s.o.Clock().Add(-windowGrace)); windows && now > 0 {
		w := floorTo(now, s.window)
		if lowest := out.lowestIn(w); lowest > max(s.pos.applied, s.replayed) { // else a file could not tell what of it it has
			kept = out.hold(w)
			pos.checkpoint, pos.held, pos.length = lowest-1, w, s.window
		}
	}
	if out.empty() && (windows || pos.checkpoint <= s.pos.checkpoint) {
		if kept.count > 0 {
			s.head = kept
		}
		return
	}
	s.head, s.flushing, s.pending = kept, out, &flight{out, pos}
}

// write puts a flight into its day files, each in one transaction, and then says so in the catalog and to the journal.
func (s *Store) write(f *flight) error {
	started := time.Now()
	for _, job := range s.jobs(f) {
		d := s.days.get(job.day)
		if pos, _ := s.days.info(job.day); pos == f.pos {
			continue // written by an attempt that failed later
		}
		err := s.unrollOthers(job)
		if err == nil {
			err = s.writeDay(d, job, f.pos)
		}
		if isDamage(err) {
			err = s.writeAnew(d, job, f.pos, err)
		}
		if errors.Is(err, berrors.ErrMaxSizeReached) && s.overfull() {
			s.giveUp(job)
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", d.path, err)
		}
	}
	list := s.catalog.unsaved()
	if err := s.keepOld(f); err != nil {
		return err
	}
	state := func(tx *bolt.Tx) error { return s.putState(tx, f.head.events) }
	err := s.saveCatalog(list, f.pos, state)
	if isDamage(err) {
		if err = s.mendCatalog(err); err == nil {
			err = s.saveCatalog(list, f.pos, state)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.file.path, err)
	}
	s.catalog.markSaved(list)
	s.owner.Checkpoint(f.pos.checkpoint)
	s.landed(f)
	s.measure()
	s.o.Log.Debug("window written", "part", "historian", "samples", f.head.count, "took", time.Since(started))
	return nil
}

// writeAnew writes a day whose file turned out to be damaged: if it cannot even be opened it is mended.
func (s *Store) writeAnew(d *storeFile, job *dayJob, pos position, cause error) error {
	d.close()
	if err := d.writes(); !isDamage(err) {
		return errors.Join(cause, err)
	}
	if err := s.mend(d, cause); err != nil {
		return err
	}
	return s.writeDay(d, job, pos)
}

// landed ends a flush: the files have what was in flight.
func (s *Store) landed(f *flight) {
	s.pos, s.pending = f.pos, nil
	s.mu.Lock()
	s.flushing = nil
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// giveUp drops what a day's file has no room for, so that the other days go on. Of births and deaths the catalog keeps the last.
func (s *Store) giveUp(job *dayJob) {
	first, last := job.span(s.window)
	n, events := 0, len(job.events)
	for _, k := range job.cells {
		n += job.head.cells[k].count
	}
	for _, e := range job.life {
		if dayOf(e.logged) != job.day { // else it is among them
			events++
		}
	}
	reason := "the day's file is full"
	if events > 0 {
		reason += fmt.Sprintf("; %d events are lost with it", events)
	}
	s.lostSamples.Add(uint64(n))
	s.lostEvents.Add(uint64(events))
	s.o.Log.Error("day file is full, samples and events dropped", "part", "historian", "file", s.days.path(job.day), "samples", n, "events", events)
	s.event(journal.Event{Kind: journal.GapEvent, At: first, Until: last, Count: uint64(n), Reason: reason})
}

// dayJob is the part of a flight that goes to one day.
type dayJob struct {
	day    int64
	head   *head
	cells  []cellKey     // by window, then group
	events []loggedEvent // logged on this day
	life   []loggedEvent // that were true on this day
}

// span is the time of the samples and events.
func (j *dayJob) span(window journal.Millis) (from, to journal.Millis) {
	from, to = dayStart(j.day+1), dayStart(j.day)
	add := func(first, last journal.Millis) { from, to = min(from, first), max(to, last) }
	for _, k := range j.cells {
		add(k.window, k.window+window)
	}
	for _, e := range j.life {
		add(e.At, max(e.At, e.Until)+1)
	}
	for _, e := range j.events {
		add(e.logged, e.logged+1)
	}
	return from, to
}

// jobs sorts a flight by day, oldest first.
func (s *Store) jobs(f *flight) []*dayJob {
	byDay := make(map[int64]*dayJob)
	job := func(at journal.Millis) *dayJob {
		day := dayOf(at)
		if byDay[day] == nil {
			byDay[day] = &dayJob{day: day, head: f.head}
		}
		return byDay[day]
	}
	for k, c := range f.head.cells {
		if s.days.isThin(dayOf(k.window)) { // since they came
			s.refused.Add(uint64(c.count))
			continue
		}
		j := job(k.window)
		j.cells = append(j.cells, k)
	}
	for _, e := range f.head.events {
		j := job(e.logged)
		j.events = append(j.events, e)
		if isLife(e.Kind) && !s.isGone(dayOf(e.At)) {
			j := job(e.At)
			j.life = append(j.life, e)
		}
	}
	out := make([]*dayJob, 0, len(byDay))
	for _, j := range byDay {
		slices.SortFunc(j.cells, func(a, b cellKey) int {
			return cmp.Or(cmp.Compare(a.window, b.window), cmp.Compare(a.group, b.group))
		})
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b *dayJob) int { return cmp.Compare(a.day, b.day) })
	return out
}
