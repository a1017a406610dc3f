package journal

import (
	"encoding/binary"
	"time"
)

// Append takes records, all or none, and returns the index of the last entry. It never waits for the disk. It sets the
// records' Index (and that of each sample and event, whose Received is At) and, where it is zero, At. They are durable after at most due and
// one disk flush; nothing of recs is kept. It returns ErrFull, ErrTooLarge, ErrClosed or a *DiskError.
func (j *Journal) Append(due time.Duration, recs ...Record) (Index, error) {
	if len(recs) == 0 {
		return 0, nil
	}
	now := time.Now()
	at := Millis(j.opt.Clock().UnixMilli())

	j.mu.Lock()
	if err := j.refuseLocked(); err != nil {
		j.mu.Unlock()
		return 0, err
	}
	b := &j.active
	before := len(b.buf)
	if b.empty() {
		before = j.beginLocked(b, now, at)
	}
	last := j.last
	for i := range recs {
		last = j.encodeLocked(b, &recs[i], last, at)
	}
	if len(b.buf) > j.opt.MaxBuffered {
		tooLarge := len(b.buf)-before+frameHeader > j.opt.MaxBuffered
		b.buf = b.buf[:before]
		j.stats.Refused++
		j.mu.Unlock()
		if tooLarge {
			return 0, ErrTooLarge
		}
		poke(j.wake)
		return 0, ErrFull
	}
	j.last, b.last = last, last
	j.crowded.Store(len(b.buf) > j.opt.MaxBuffered/4)
	wake := j.dueLocked(b, now, due, before)
	j.mu.Unlock()
	if wake {
		poke(j.wake)
	}
	return last, nil
}

// Crowded tells whether a quarter of what may wait for a commit does: who can hold more back until the next commit should, before
// an Append returns ErrFull.
func (j *Journal) Crowded() bool { return j.crowded.Load() }

func (j *Journal) refuseLocked() error {
	if j.readOnly {
		return ErrReadOnly
	}
	if j.closed {
		return ErrClosed
	}
	if j.badErr != nil {
		j.stats.Refused++
		return &DiskError{j.badErr}
	}
	return nil
}

// beginLocked makes an empty batch ready for its first record and returns its length.
func (j *Journal) beginLocked(b *batch, now time.Time, at Millis) int {
	b.buf = append(b.buf[:0], make([]byte, frameHeader)...)
	b.first, b.base, b.since, b.due, b.awaited = j.last+1, at, now, time.Time{}, 0
	return len(b.buf)
}

// encodeLocked appends one record and returns the last index it took.
func (j *Journal) encodeLocked(b *batch, rec *Record, last Index, at Millis) Index {
	rec.Index = last + 1
	if rec.At == 0 {
		rec.At = at
	}
	switch rec.Kind {
	case KindSamples:
		if len(rec.Samples) == 0 {
			rec.Index = last
			return last
		}
		for i := range rec.Samples {
			last++
			rec.Samples[i].Index = last
		}
	case KindEvent:
		last++
		rec.Event.Index, rec.Event.Received = last, rec.At
	default:
		last++
	}
	b.buf, j.body = appendEntry(b.buf, j.body, rec, b.base)
	return last
}

// dueLocked notes when the batch, which was before bytes long, is due now. The loop must wake if it is full.
func (j *Journal) dueLocked(b *batch, now time.Time, due time.Duration, before int) (wake bool) {
	if at := now.Add(due); before <= frameHeader || at.Before(b.due) {
		b.due = at
		wake = !j.alarmLocked(due)
	}
	return wake || before < j.fullBytes() && len(b.buf) >= j.fullBytes()
}

// alarmLocked has the loop look after wait: to wake it only to tell it so would cost as much as a commit of a few samples.
// It returns false when the loop must be woken. While the disk takes no writes the loop decides itself when it looks.
func (j *Journal) alarmLocked(wait time.Duration) bool {
	if wait <= 0 || j.alarm == nil || j.badErr != nil {
		return false
	}
	j.alarm.Reset(wait)
	return true
}

// fullBytes is how much may wait before a commit does not wait for anything to be due.
func (j *Journal) fullBytes() int { return min(256<<10, j.opt.MaxBuffered/2) }

// skipLocked makes i the last index given, without a record.
func (j *Journal) skipLocked(i Index) {
	if i <= j.last {
		return
	}
	if j.active.empty() && j.inflight.empty() {
		j.last, j.durable = i, i
		return
	}
	b := &j.active
	if b.empty() {
		j.beginLocked(b, time.Now(), Millis(j.opt.Clock().UnixMilli()))
	}
	b.buf = append(b.buf, byte(kindSkip))
	b.buf = binary.AppendUvarint(b.buf, uint64(i-j.last))
	b.buf = append(b.buf, 0, 0) // no time, no body
	j.last, b.last = i, i
}
