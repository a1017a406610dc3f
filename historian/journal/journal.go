package journal

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Journal is the log. All methods may be called from any goroutine.
type Journal struct {
	// Set by Open, never changed.
	dir       string
	opt       Options
	fs        Files
	log       *slog.Logger
	recovered Recovery
	readOnly  bool
	wake      chan struct{} // capacity 1: the commit loop has something to look at
	chores    chan struct{} // capacity 1: housekeep has something to look at
	stop      chan struct{} // closed by Close
	stopOnce  sync.Once
	done      chan struct{} // closed when the commit loop ended

	// Owned by the commit loop (by Close when Run was never called).
	w       File // the active segment's writer; nil: the next commit starts a segment
	flushed bool // w was, with its header
	nextSeq uint32

	toldSlow bool // see tellSlow

	crowded atomic.Bool // much waits in active

	mu        sync.Mutex
	active    batch // Append writes here
	inflight  batch // the commit loop writes this to disk
	body      []byte
	last      Index // last index given
	durable   Index
	moved     chan struct{} // closed when durable moves or the journal closes; nil: nobody waits
	segs      []*segment    // oldest first
	spares    []string      // paths of segments that are ready
	spareSeq  uint32
	tail      tail
	owners    map[string]*Owner
	notify    []func(Index)
	running   bool
	closed    bool
	alarm     *time.Timer // of the commit loop while it runs: when it looks for what is due
	badErr    error       // the disk does not take writes
	hurried   int64       // commits that came at once and wrote little, less those that time has forgiven
	hurriedAt time.Time   // up to which it has
	stats     Stats
}

// batch is what one commit writes.
type batch struct {
	buf         []byte // frameHeader bytes of room, then entries
	first, last Index
	base        Millis
	due         time.Time // of the record that is due earliest
	since       time.Time // when its first record was appended
	awaited     int       // calls of Await for its records
}

func (b *batch) empty() bool { return len(b.buf) <= frameHeader }

func (b *batch) payloadLen() int { return max(0, len(b.buf)-frameHeader) }

// Recovered tells what Open found.
func (j *Journal) Recovered() Recovery { return j.recovered }

// OnDurable registers f to be called from the commit loop after each commit, with the new Durable. It must not block.
func (j *Journal) OnDurable(f func(Index)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notify = append(j.notify[:len(j.notify):len(j.notify)], f) // the loop may be walking the old slice
}

// Durable is the last index that is on disk; everything up to it is.
func (j *Journal) Durable() Index {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Oldest is the first index in the log, or the next one to be given if the log is empty.
func (j *Journal) Oldest() Index {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.oldestLocked()
}

func (j *Journal) oldestLocked() Index {
	for _, s := range j.segs {
		if len(s.frames) > 0 {
			return s.frames[0].first
		}
	}
	return j.durable + 1
}

// Wait returns nil when i is durable. While the disk takes no writes it waits on: ctx decides how long.
func (j *Journal) Wait(ctx context.Context, i Index) error {
	for {
		j.mu.Lock()
		durable, closed := j.durable, j.closed && !j.running
		var moved <-chan struct{}
		if durable < i && !closed {
			moved = j.movedLocked()
		}
		j.mu.Unlock()
		if durable >= i {
			return nil
		}
		if closed {
			return ErrClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Flush commits what is appended now, and waits for it. Run must be running.
func (j *Journal) Flush(ctx context.Context) error {
	j.mu.Lock()
	last := j.last
	if !j.active.empty() {
		j.active.due = time.Time{}
	}
	j.mu.Unlock()
	poke(j.wake)
	return j.Wait(ctx, last)
}

// Stats are the journal's sizes and counters since Open.
type Stats struct {
	Bytes    int64 // segment files with records; spares not counted
	Segments int
	Spares   int
	Oldest   Index
	Durable  Index
	Last     Index // last index given

	Commits      uint64
	Syncs        uint64 // flushes of segments
	CommitBytes  uint64 // written by commits, padding included
	PayloadBytes uint64 // the same without padding and headers
	Damaged      uint64 // commits that could not be read back
	Refused      uint64 // Append calls answered with ErrFull or a *DiskError

	PendingBytes int           // waiting for a commit
	Lag          time.Duration // age of the oldest record that is not yet durable
	CommitTook   time.Duration // the last commit: write and flush
	CommitTimes  Histogram     // of all commits: write and flush
	DurableTimes Histogram     // of each commit's oldest record: from Append to durable
	Err          error         // the disk's error while it does not take writes, else nil
	LastErr      error         // the last disk error since Open
	LastErrAt    time.Time
}

// Stats returns the present sizes and counters.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Bytes, s.Segments, s.Spares = j.bytesLocked(), len(j.segs), len(j.spares)
	s.Oldest, s.Durable, s.Last = j.oldestLocked(), j.durable, j.last
	s.PendingBytes = j.active.payloadLen() + j.inflight.payloadLen()
	if !j.inflight.empty() {
		s.Lag = time.Since(j.inflight.since)
	} else if !j.active.empty() {
		s.Lag = time.Since(j.active.since)
	}
	s.Err = j.badErr
	return s
}

func (j *Journal) bytesLocked() (n int64) {
	for _, s := range j.segs {
		n += s.size
	}
	return n
}

// poke wakes the receiver of a channel of capacity 1, if it is not awake already.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
