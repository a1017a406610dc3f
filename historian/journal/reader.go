package journal

import (
	"context"
	"slices"
	"sort"
)

// Reader reads durable records in index order. It belongs to one goroutine. It needs no closing.
type Reader struct {
	j     *Journal
	next  Index
	kinds []Kind // empty: all
	reuse bool   // samples of the last record are overwritten
	lent  []Sample

	// What is left of the commit being read.
	rest  []byte
	first Index // of the first entry in rest
	base  Millis
	last  Index // of the commit
}

// NewReader returns a reader that begins at from, 0 for the oldest in the log. If kinds are given, others are skipped.
func (j *Journal) NewReader(from Index, kinds ...Kind) *Reader {
	if from == 0 {
		from = j.Oldest()
	}
	return &Reader{j: j, next: from, kinds: slices.Clone(kinds)}
}

// maxLent is how many samples a reader that reuses their memory keeps it for.
const maxLent = 8192

// Reuse makes the samples of a record good only until the next one is read, which saves most of what reading costs.
// What their values point to stays.
func (r *Reader) Reuse() *Reader {
	r.reuse = true
	return r
}

// Pos is the index of the next record or sample that the reader will look at.
func (r *Reader) Pos() Index { return r.next }

// Next returns the next durable record; at the end of the log it waits. Of a samples record that from lies inside,
// it gives the samples from there on. It returns a *RecycledError when from has left the log (go on with a new Reader),
// ErrClosed at the end of a closed journal, or ctx's error. What it returns is the caller's.
//
// Commits that the disk no longer gives back are skipped, counted in Stats.Damaged and logged.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	for {
		rec, ok, moved, err := r.try(true)
		if ok || err != nil {
			return rec, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// TryNext is Next without waiting: ok is false at the end of the durable log.
func (r *Reader) TryNext() (rec Record, ok bool, err error) {
	rec, ok, _, err = r.try(false)
	return rec, ok, err
}

// try returns the next record; ok is false at the end of the log, which moved says when to look at again, for one who waits.
func (r *Reader) try(waits bool) (rec Record, ok bool, moved <-chan struct{}, err error) {
	for {
		rec, ok := r.decode()
		if ok {
			return rec, true, nil, nil
		}
		r.next = max(r.next, r.last+1) // the commit is done with
		f, found, moved, err := r.j.fetch(r.next, waits)
		if err != nil || !found {
			return Record{}, false, moved, err
		}
		r.rest, r.first, r.base, r.last = f.payload, f.first, f.base, f.last
	}
}

// decode returns the next record of the commit at hand that the reader wants.
func (r *Reader) decode() (Record, bool) {
	for len(r.rest) > 0 {
		e, rest, err := nextEntry(r.rest, r.base)
		if err != nil {
			return r.skipRest()
		}
		first, end := r.first, r.first+Index(e.count)
		r.rest, r.first = rest, end
		if end <= r.next {
			continue
		}
		if e.kind == kindSkip || len(r.kinds) > 0 && !slices.Contains(r.kinds, e.kind) {
			r.next = end
			continue
		}
		rec, err := e.record(first, r.next, r.lent)
		if err != nil {
			return r.skipRest()
		}
		if n := cap(rec.Samples); r.reuse && n > cap(r.lent) && n <= maxLent {
			r.lent = rec.Samples[:0]
		}
		r.next = end
		return rec, true
	}
	return Record{}, false
}

// skipRest gives up a commit whose checksum is right and whose content is not: it was never written by this program.
func (r *Reader) skipRest() (Record, bool) {
	r.j.damaged(r.first, r.last, errDamaged)
	r.rest = nil
	return Record{}, false
}

// fetch returns the commit that holds i, or the first after it; found is false if there is none yet.
func (j *Journal) fetch(i Index, waits bool) (f frame, found bool, moved <-chan struct{}, err error) {
	j.mu.Lock()
	if i > j.durable {
		if j.closed && !j.running {
			err = ErrClosed
		} else if waits {
			moved = j.movedLocked()
		}
		j.mu.Unlock()
		return frame{}, false, moved, err
	}
	if oldest := j.oldestLocked(); i < oldest {
		j.mu.Unlock()
		return frame{}, false, nil, &RecycledError{From: i, Oldest: oldest}
	}
	if f, ok := j.tail.find(i); ok {
		j.mu.Unlock()
		return f, true, nil, nil
	}
	s, ref, ok := j.findLocked(i)
	if !ok { // indices that were skipped, at the end
		last := j.durable
		j.mu.Unlock()
		return frame{first: i, last: last}, true, nil, nil
	}
	if s.r == nil {
		j.mu.Unlock()
		return frame{}, false, nil, ErrClosed
	}
	s.pins++
	j.mu.Unlock()
	return j.readFrame(s, ref), true, nil, nil
}

// findLocked finds the first frame on disk that ends at or after i.
func (j *Journal) findLocked(i Index) (*segment, frameRef, bool) {
	n := sort.Search(len(j.segs), func(n int) bool { return j.segs[n].lastLocked() >= i })
	for ; n < len(j.segs); n++ {
		s := j.segs[n]
		k := sort.Search(len(s.frames), func(k int) bool { return s.frames[k].last >= i })
		if k < len(s.frames) {
			return s, s.frames[k], true
		}
	}
	return nil, frameRef{}, false
}

// readFrame reads a frame of a pinned segment and unpins it. A frame that does not read has no payload.
func (j *Journal) readFrame(s *segment, ref frameRef) frame {
	b := make([]byte, ref.len())
	_, err := s.r.ReadAt(b, ref.off)
	f, state := parseFrame(b, s.epoch)

	j.mu.Lock()
	s.pins--
	if j.closed && !j.running && s.pins == 0 && s.r != nil {
		closeAll(s.r)
		s.r = nil
	}
	j.mu.Unlock()

	if err == nil && state != frameGood {
		err = errDamaged
	}
	if err != nil {
		j.damaged(ref.first, ref.last, err)
		return frame{first: ref.first, last: ref.last}
	}
	return f
}

func (j *Journal) damaged(from, to Index, err error) {
	j.mu.Lock()
	j.stats.Damaged++
	j.mu.Unlock()
	j.log.Error("journal records do not read", "from", from, "to", to, "err", err)
}
