package historian

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

// Store is the historian. All methods may be called from any goroutine.
type Store struct {
	// Set by Open, never changed.
	dir     string
	o       Options
	window  journal.Millis
	journal *journal.Journal
	owner   *journal.Owner
	catalog *catalog
	days    *fileSet
	trends  *fileSet
	file    *catalogFile
	store   storeID
	owed    func() journal.Index // set before Run

	readOnly bool // see OpenReadOnly

	pieceRows, rawRows, leastShared int // the constants; tests have them smaller
	saidBytes                       uint64

	atPeak func() // for tests: called when a file and the one that is to replace it are both there

	kick    chan struct{}     // a flush is wanted; holds one
	asks    chan chan<- error // a flush is wanted, and its end
	room    chan struct{}     // the head has room again; holds one
	more    chan struct{}     // there is more to roll up; holds one
	behind  chan struct{}     // there is more to follow; holds one
	running atomic.Bool
	copying atomic.Bool // a backup is under way

	// What the files had when the store was opened; replay needs it. Set by Open, never changed.
	opened   map[int64]position
	replayed journal.Index   // no record above it can be in a file
	opening  []journal.Event // what happened before the journal could take it
	aside    map[string]bool // files that were moved aside

	following sync.Mutex // taken before mu, and never waited for by the journal's commit loop
	// Guarded by following while Run runs; owned by Open before, and by Close after.
	reader  *journal.Reader
	found   []*series // of the record at hand
	follows bool      // followLoop runs

	// Owned by Open, then by flushLoop, then by Close.
	pos        position // of catalog.db
	ledger     map[string]fileEntry
	encoder    chunk.Encoder
	failing    bool           // the last flush failed, and an event tells of it
	pending    *flight        // what the last flush could not write; also in flushing
	dropped    map[int64]bool // days that retention removed
	rewriting  *rewriter
	unfit      map[int64]bool // days that could not be written anew
	clock      timekeeper
	until      journal.Millis // of the newest record that Open found, at least
	started    bool           // TellDowntime was called
	startedAt  time.Duration  // when, as Options.Passed says
	again      bool           // and the time before the last start is still owed
	catalogHad uint64         // transactions of catalog.db, as the days know
	given      journal.Index  // the highest index that a file knows of when the store opens
	torn       bool           // a crash cut a flush short, and it is not finished yet
	markRest   bool           // marked hours wait until nothing more comes for them; in tests they do not
	resting    map[journal.Millis]rest
	rolling    map[int64]bool // days that may have hours to roll up; nil: all
	rolls      chunk.RollupEncoder
	carry      carry // what the hour that is rolled up next takes over
	scrub      scrub

	mu sync.RWMutex // no other lock is taken inside it, except catalog.mu and a fileSet's
	// Guarded by mu.
	head      *head
	flushing  *head // given to the flush under way; nil between flushes
	applied   journal.Index
	toldLong  map[journal.SeriesID]bool // series whose values are too long, of which an event tells
	toldTime  map[uint32]journal.Millis // when an event told of a group's stamps that are out of bounds
	reported  map[string]bool           // files whose damage an event tells of
	trended   map[int64]bool            // days whose rows are all in their trend file, and true
	closed    bool
	reached   chan struct{} // who waits for applied to come to reaches; nil: nobody
	reaches   journal.Index
	dead      map[owner]bool // whether it is; only of those that were asked for
	lifeTurns uint64         // births and deaths that came since the store was opened

	duplicates, lateSamples, refused, unknown atomic.Uint64
	lostSamples, lostEvents                   atomic.Uint64
	rollupCPU                                 atomic.Int64 // ns

	bytes       atomic.Int64  // of all files
	largest     atomic.Int64  // of the largest of them
	space       atomic.Int64  // the disk's Space
	free, total atomic.Int64  // its bytes
	ballast     atomic.Int64  // bytes of the file of ballast, 0: none
	early, late atomic.Int64  // bounds of the present time, see timekeeper
	doubted     atomic.Bool   // the clock is
	agree       atomic.Uint64 // messages whose stamps do with the clock, or differ, since the last look
	differ      atomic.Uint64
	newest      atomic.Int64 // of the samples that came while it is

	scrubbedBytes atomic.Uint64 // that the scrub read
	unscrubbed    atomic.Int64  // files that it has still to read

	lives     lifeCache
	scratches sync.Pool     // of *scratch
	helpers   chan struct{} // holds one for each helper that runs, see share.go
	looking   chan struct{} // holds one while somebody looks for last values in the files
}

// Open opens or creates the store in dir and registers it as the journal's owner "historian" (call it before j.Run). It
// reads the catalog and the journal above its checkpoint, so that it serves what was committed. Damaged files are moved
// to Options.Quarantine; it fails only when the folder cannot be used, or with a *VersionError.
func Open(dir string, j *journal.Journal, o Options) (*Store, error) {
	s := newStore(dir, j, o)
	for _, d := range [...]string{dir, s.days.dir, s.trends.dir} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return nil, fmt.Errorf("open historian: %w", err)
		}
	}
	s.ballast.Store(bytesOf(s.ballastPath()))
	s.lookAtSpace() // a store on a full disk has room to start
	from, err := s.openFiles()
	if err == nil {
		s.until = s.clock.known
		if s.clock.known == 0 { // a store that was never written
			s.clock.known = logBegins(j)
		}
		s.lookAtClock()
		s.owner = j.Owner("historian")
		if s.given > j.Durable() { // the log is lost: what it gives next is not what the files have
			s.owner.Checkpoint(s.given)
			s.owner.Checkpoint(0)
		}
		s.owner.Checkpoint(s.pos.checkpoint)
		s.owner.OnRequest(s.wantFlush)
		j.OnDurable(s.followCommit)
		for _, e := range s.opening {
			s.event(e)
		}
		err = s.replay(from)
	}
	if err != nil {
		s.closeFiles()
		return nil, err
	}
	s.measure()
	return s, nil
}

// logBegins is when the journal's oldest record was written; 0: there is none, or nobody knew the time.
func logBegins(j *journal.Journal) journal.Millis {
	rec, ok, err := j.NewReader(0).TryNext()
	if !ok || err != nil || rec.At < clockFloor {
		return 0
	}
	return rec.At
}

func newStore(dir string, j *journal.Journal, o Options) *Store {
	o = o.defaults()
	if o.Quarantine == "" {
		o.Quarantine = filepath.Join(dir, "quarantine")
	}
	if o.Space == nil {
		o.Space = diskSpace(dir)
	}
	s := &Store{dir: dir, o: o, window: toMillis(o.Window), journal: j, catalog: newCatalog(o.MaxSeries, o.Clock),
		kick: make(chan struct{}, 1), asks: make(chan chan<- error), room: make(chan struct{}, 1), looking: make(chan struct{}, 1), helpers: newHelpers(),
		more: make(chan struct{}, 1), behind: make(chan struct{}, 1), trended: make(map[int64]bool),
		ledger: make(map[string]fileEntry), aside: make(map[string]bool), reported: make(map[string]bool), toldLong: make(map[journal.SeriesID]bool), toldTime: make(map[uint32]journal.Millis), dead: make(map[owner]bool), opened: make(map[int64]position),
		dropped: make(map[int64]bool), unfit: make(map[int64]bool), resting: make(map[journal.Millis]rest)}
	s.days = newFileSet(dayKind, filepath.Join(dir, "part"), o.DayBytes, &s.store)
	s.trends = newFileSet(trendKind, filepath.Join(dir, "trend"), o.DayBytes, &s.store)
	s.atPeak, s.saidBytes = func() {}, saidBytes
	s.head, s.pieceRows, s.rawRows, s.leastShared, s.markRest = newHead(s.window), pieceRows, rawRows, leastShared, true
	return s
}

// event puts an event of our own into the journal, from where it comes back like any other.
func (s *Store) event(e journal.Event) {
	if e.At == 0 {
		e.At = millis(s.o.Clock())
	}
	e.BdSeq = -1
	if s.readOnly { // it is told to who asks, and to nobody later
		s.mu.Lock()
		e.Index = math.MaxUint64 - journal.Index(len(s.head.events)) // that no other has
		s.head.events = append(s.head.events, loggedEvent{e, e.At})
		s.mu.Unlock()
		return
	}
	if s.owner == nil { // the journal does not know yet which indices the files have
		s.opening = append(s.opening, e)
		return
	}
	if _, err := s.journal.Append(time.Second, journal.Record{Kind: journal.KindEvent, Event: &e}); err != nil {
		s.o.Log.Warn("event lost", "part", "historian", "reason", e.Reason, "err", err)
	}
}

// Run follows the journal until ctx ends: durable records to the head, windows to files, retention.
// It returns an error only when the journal can no longer be read.
func (s *Store) Run(ctx context.Context) error {
	s.running.Store(true)
	defer s.running.Store(false)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.followLoop(ctx) })
	g.Go(func() error { return s.flushLoop(ctx) })
	g.Go(func() error { s.lookUpAll(ctx); return nil })
	return g.Wait()
}

// Close takes what the journal made durable since Run ended, writes the head to its files and closes them. Call it after
// Run returned and before the journal is closed. What a failed flush leaves is in the journal, and replayed by Open.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	if s.readOnly {
		return s.closeFiles()
	}
	s.leaveRewriting()
	err := s.catchUp()
	s.lookAtClock() // the next Open knows from it when this one ended
	err = errors.Join(err, s.flush(flushAll))
	if err == nil {
		err = s.saveCatalog(nil, s.pos, func(*bolt.Tx) error { return nil }) // also when there was nothing else to write
	}
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() error {
	s.days.closeAll()
	s.trends.closeAll()
	if s.file != nil {
		return s.file.close()
	}
	return nil
}

// SetOwed sets the function that tells the lowest index that an uplink still owes (0: nothing is owed). Retention by age
// spares days that hold samples at or above it; retention by bytes takes them last, with a GapEvent. Set it before Run.
func (s *Store) SetOwed(f func() journal.Index) { s.owed = f }

// Stats returns the present counters and sizes.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	inHead := s.head.count
	if s.flushing != nil {
		inHead += s.flushing.count
	}
	damaged := len(s.reported)
	s.mu.RUnlock()
	rest := s.days.samples()
	st := Stats{Space: Space(s.space.Load()), DiskFree: s.free.Load(), DiskTotal: s.total.Load(), Limit: s.o.MaxBytes, Ballast: s.ballast.Load(),
		Series: s.catalog.len(), SamplesTotal: rest + uint64(inHead), Bytes: s.bytes.Load(), Head: inHead,
		Duplicates: s.duplicates.Load(), Late: s.lateSamples.Load(), Refused: s.refused.Load(), Unknown: s.unknown.Load(),
		LostSamples: s.lostSamples.Load(), LostEvents: s.lostEvents.Load(), RollupCPU: time.Duration(s.rollupCPU.Load()),
		Scrubbed: s.scrubbedBytes.Load(), Unscrubbed: int(s.unscrubbed.Load()), Damaged: damaged}
	if s.doubted.Load() {
		st.ClockOff = time.Duration(max(1, s.late.Load()-s.early.Load())) * time.Millisecond
	}
	if rest > 0 {
		st.BytesPerSample = float64(st.Bytes) / float64(rest)
	}
	return st
}
