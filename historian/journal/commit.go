package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// retryAfter is how long the loop waits before it tries a disk again that took no writes.
const retryAfter = time.Second

// Run is the commit loop. It returns after ctx ended or Close was called, with everything appended committed: nil, or
// the disk's error if that was not possible. A disk that fails in between does not end it.
func (j *Journal) Run(ctx context.Context) error {
	if !j.claim() {
		return errors.New("journal: Run called twice or after Close")
	}
	chores, stopChores := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.housekeep(chores) })

	j.commitLoop(ctx)
	stopChores()
	wg.Wait()
	return j.finish()
}

func (j *Journal) claim() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running || j.closed {
		return false
	}
	j.running = true
	return true
}

func (j *Journal) commitLoop(ctx context.Context) {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	j.setAlarm(alarm)
	defer j.setAlarm(nil)
	for {
		due := j.isDue()
		if due {
			if err := j.commit(); err == nil {
				if j.ending(ctx) {
					return
				}
				continue
			}
			alarm.Reset(retryAfter)
		}
		select {
		case <-j.wake:
			if due { // a failing disk is not tried faster because there is more to write
				select {
				case <-alarm.C:
				case <-ctx.Done():
					return
				case <-j.stop:
					return
				}
			}
		case <-alarm.C:
		case <-ctx.Done():
			return
		case <-j.stop:
			return
		}
	}
}

func (j *Journal) ending(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	case <-j.stop:
	default:
		return false
	}
	return true
}

func (j *Journal) setAlarm(t *time.Timer) {
	j.mu.Lock()
	j.alarm = t
	j.mu.Unlock()
}

// isDue says whether a commit is due, and if one will be, sees to it that the loop looks again then.
func (j *Journal) isDue() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.inflight.empty() {
		return true // a retry
	}
	if j.active.empty() {
		return false
	}
	wait := time.Until(j.active.due)
	if wait <= 0 || len(j.active.buf) >= j.fullBytes() {
		return true
	}
	j.alarm.Reset(wait)
	return false
}

// finish refuses further records and commits the last ones.
func (j *Journal) finish() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()

	var err error
	for range 2 { // what was in flight when the loop ended, then what was appended meanwhile
		if cerr := j.commit(); cerr != nil {
			err = cerr
			break
		}
	}
	j.mu.Lock()
	j.running = false
	j.moveLocked()
	j.mu.Unlock()
	close(j.done)
	return err
}

// commit writes and flushes what waits, if anything does.
func (j *Journal) commit() error {
	b := j.takeBatch()
	if b == nil {
		return nil
	}
	start := time.Now()
	ref, err := j.writeBatch(b)
	if err != nil {
		j.failed(err)
		return err
	}
	j.committed(b, ref, time.Since(start))
	return nil
}

// takeBatch swaps the buffers, unless one is left from a commit that failed.
func (j *Journal) takeBatch() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inflight.empty() {
		j.inflight, j.active = j.active, j.inflight
		j.active.buf = j.active.buf[:0]
		j.crowded.Store(false)
	}
	if j.inflight.empty() {
		return nil
	}
	b := &j.inflight
	b.buf = slices.Grow(b.buf, pageBytes) // room for the padding
	return b
}

// writeBatch writes b to the active segment, or to a new one if it has no room or turns out to be bad. A descriptor whose
// write or flush failed is never used again: after a failed flush the kernel may call pages clean that are not on the disk.
func (j *Journal) writeBatch(b *batch) (frameRef, error) {
	payload := b.payloadLen()
	need := int64(pages(len(b.buf)))
	if j.w != nil && j.roomFor(need) {
		ref, err := j.writeFrame(b, payload)
		if err == nil {
			return ref, nil
		}
		j.log.Error("journal write failed, going on in a new segment", "err", err)
		j.noteErr(err)
	}
	j.seal()
	if err := j.startNext(); err != nil {
		return frameRef{}, err
	}
	ref, err := j.writeFrame(b, payload)
	if err != nil {
		j.dropActive()
	}
	return ref, err
}

func (j *Journal) roomFor(need int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.segs[len(j.segs)-1]
	return s.end+need <= s.size
}

// writeFrame writes b as one frame at the end of the active segment: one write, one flush.
func (j *Journal) writeFrame(b *batch, payload int) (frameRef, error) {
	j.mu.Lock()
	s := j.segs[len(j.segs)-1]
	ref := frameRef{first: b.first, last: b.last, off: s.end, payloadLen: payload}
	j.mu.Unlock()

	sealFrame(b.buf, s.epoch, b.first, b.last, b.base)
	padded := b.buf[:pages(len(b.buf))]
	clear(padded[len(b.buf):])
	err := j.writeDurable(padded, ref.off)
	j.mu.Lock()
	j.stats.Syncs++
	j.mu.Unlock()
	if err != nil {
		return ref, fmt.Errorf("write %s: %w", s.name, err)
	}
	j.tellSlow()
	return ref, nil
}

// tellSlow says, once, that this disk's commits go through the kernel's memory or take two calls: as safe, for more of the processor.
func (j *Journal) tellSlow() {
	if d, ok := j.w.(interface{ Slow() bool }); j.toldSlow || ok && !d.Slow() {
		return
	}
	j.toldSlow = true
	j.log.Info("journal commits in two steps, the system or its file system does not write to the disk directly", "dir", j.dir)
}

// writeDurable writes and flushes. The first time in a segment it is a flush of all that was written to the file, for the
// segment's header is.
func (j *Journal) writeDurable(b []byte, off int64) error {
	if d, ok := j.w.(interface {
		WriteDurable(b []byte, off int64) error
	}); ok && j.flushed {
		return d.WriteDurable(b, off)
	}
	if _, err := j.w.WriteAt(b, off); err != nil {
		return err
	}
	if err := j.w.Datasync(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	j.flushed = true
	return nil
}

// seal gives the active segment's writer up; what is durable in the segment stays readable.
func (j *Journal) seal() {
	closeAll(j.w)
	j.w, j.flushed = nil, false
}

// startNext makes a new active segment, of a spare, a recycled or a new file.
func (j *Journal) startNext() error {
	from, err := j.takeSpare()
	if err != nil {
		return err
	}
	j.mu.Lock()
	after := j.durable
	j.mu.Unlock()
	j.nextSeq++
	s, w, err := startSegment(j.fs, j.dir, from, j.nextSeq, after)
	if err != nil {
		return fmt.Errorf("start segment: %w", err)
	}
	j.w = w
	j.mu.Lock()
	j.segs = append(j.segs, s)
	j.mu.Unlock()
	poke(j.chores)
	return nil
}

// dropActive removes a new segment in which nothing became durable.
func (j *Journal) dropActive() {
	j.seal()
	j.mu.Lock()
	s := j.segs[len(j.segs)-1]
	j.segs = j.segs[:len(j.segs)-1]
	j.mu.Unlock()
	closeAll(s.r)
	if err := j.fs.Remove(s.name); err != nil {
		j.log.Warn("journal segment not removed", "file", s.name, "err", err)
	}
}

// takeSpare returns a file that may become a segment.
func (j *Journal) takeSpare() (string, error) {
	if name, ok := j.popSpare(); ok {
		return name, nil
	}
	j.mu.Lock()
	over := j.bytesLocked()+int64(j.opt.SegmentBytes) > j.opt.LimitBytes
	j.mu.Unlock()
	if over {
		if name, ok := j.recycleOldest(0); ok {
			return name, nil
		}
		return "", fmt.Errorf("the log has reached its limit of %d bytes and waits for a checkpoint of %s", j.opt.LimitBytes, j.slowestOwner())
	}
	name := j.spareName()
	err := createZeroed(j.fs, name, j.opt.SegmentBytes)
	if err == nil {
		return name, nil
	}
	if name, ok := j.recycleOldest(0); ok { // a full disk: a log shorter than wished is better than none
		return name, nil
	}
	return "", err
}

func (j *Journal) popSpare() (string, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.spares)
	if n == 0 {
		return "", false
	}
	name := j.spares[n-1]
	j.spares = j.spares[:n-1]
	return name, true
}

func (j *Journal) spareName() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spareSeq++
	return filepath.Join(j.dir, fmt.Sprintf("%s%08d", sparePrefix, j.spareSeq))
}

func (j *Journal) failed(err error) {
	j.noteErr(err)
	j.mu.Lock()
	first := j.badErr == nil
	j.badErr = err
	pending := j.inflight.payloadLen() + j.active.payloadLen()
	j.mu.Unlock()
	if first {
		j.log.Error("journal takes no more records until the disk does", "err", err, "bytes", pending)
	}
}

func (j *Journal) noteErr(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.LastErr, j.stats.LastErrAt = err, j.opt.Clock()
}

// committed makes the batch durable for everyone who waits or reads.
func (j *Journal) committed(b *batch, ref frameRef, took time.Duration) {
	payload := append([]byte(nil), b.buf[frameHeader:]...) // readers keep it; the buffer is used again
	j.mu.Lock()
	s := j.segs[len(j.segs)-1]
	s.frames = append(s.frames, ref)
	s.end += int64(pages(ref.len()))
	j.tail.add(frame{first: b.first, last: b.last, base: b.base, payload: payload})
	j.durable = b.last
	j.inflight.buf, j.body = emptied(j.inflight.buf), emptied(j.body)
	recovered := j.badErr != nil
	j.badErr = nil
	j.stats.Commits++
	j.stats.CommitBytes += uint64(pages(ref.len()))
	j.stats.PayloadBytes += uint64(ref.payloadLen)
	j.stats.CommitTook = took
	j.stats.CommitTimes.add(took)
	j.stats.DurableTimes.add(time.Since(b.since))
	j.moveLocked()
	notify := j.notify
	j.mu.Unlock()

	if recovered {
		j.log.Info("journal takes records again", "took", took)
	}
	for _, f := range notify {
		f(ref.last)
	}
}

// emptied is b for what comes next, unless it grew for something that comes seldom.
func emptied(b []byte) []byte {
	if cap(b) > 2*defaultMaxBuffered {
		return nil
	}
	return b[:0]
}

// moveLocked wakes all who wait for durable to move or for the end.
func (j *Journal) moveLocked() {
	if j.moved != nil {
		close(j.moved)
		j.moved = nil
	}
}

// movedLocked is closed by the next moveLocked.
func (j *Journal) movedLocked() <-chan struct{} {
	if j.moved == nil {
		j.moved = make(chan struct{})
	}
	return j.moved
}

// Close commits what is appended, ends Run and closes the files. Readers get ErrClosed after the last durable record.
func (j *Journal) Close() error {
	j.mu.Lock()
	closed, running := j.closed, j.running
	j.closed = true
	j.mu.Unlock()
	var err error
	switch {
	case running:
		j.stopOnce.Do(func() { close(j.stop) })
		<-j.done
		err = j.closeErr()
	case !closed: // Run was never called
		err = j.finish()
	}
	j.closeFiles()
	return err
}

// closeErr tells what could not be committed.
func (j *Journal) closeErr() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.badErr != nil {
		return &DiskError{j.badErr}
	}
	return nil
}

func (j *Journal) closeFiles() {
	j.seal()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segs {
		if s.pins == 0 {
			closeAll(s.r)
			s.r = nil
		}
	}
}
