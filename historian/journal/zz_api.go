package journal

import (
	"context"
	"time"
)

// Journal is the log. All methods may be called from any goroutine.
type Journal struct{}

// Files is the file layer, replaced in tests.
type Files interface{}

// Open opens or creates the journal in dir and recovers it: a torn tail is cut, damaged segments are copied or moved
// aside to Options.Quarantine, and Recovered tells what was found. It fails only when the folder cannot be used, or
// with a *VersionError. Nothing is committed before Run.
func Open(dir string, o Options) (*Journal, error) { return nil, nil }

// Recovery tells what Open found.
type Recovery struct {
	Segments    int      // segment files with records
	Records     uint64   // indices found
	Oldest      Index    // first index in the log, 0 if it is empty
	Last        Index    // last index in the log
	TornBytes   int      // length of an unfinished last commit that was cut; it was never acknowledged
	Lost        []Lost   // damage in the middle
	Quarantined []string // files in the quarantine folder
	Took        time.Duration
}

// Lost is a stretch of indices that cannot be read: Reason says why, in plain words.
type Lost struct {
	From, To Index // both inclusive; To 0: unknown
	Reason   string
}

// Recovered tells what Open found.
func (j *Journal) Recovered() Recovery { return Recovery{} }

// Run is the commit loop. It returns nil after ctx ended or Close was called, with everything appended committed.
func (j *Journal) Run(ctx context.Context) error { return nil }

// Close commits what is appended, ends Run and closes the files. Readers get ErrClosed after the last durable record.
func (j *Journal) Close() error { return nil }

// Append takes records, all or none, and returns the index of the last entry. It never waits for the disk. It sets the
// records' Index (and that of each sample, schema event) and, where it is zero, At. They are durable after at most due and
// one disk flush; nothing of recs is kept. It returns ErrFull, ErrTooLarge, ErrClosed or a *DiskError.
func (j *Journal) Append(due time.Duration, recs ...Record) (Index, error) { return 0, nil }

// Durable is the last index that is on disk; everything up to it is.
func (j *Journal) Durable() Index { return 0 }

// Wait returns nil when i is durable.
func (j *Journal) Wait(ctx context.Context, i Index) error { return nil }

// Flush commits what is appended now, and waits for it.
func (j *Journal) Flush(ctx context.Context) error { return nil }

// OnDurable registers f to be called from the commit loop after each commit, with the new Durable. It must not block.
func (j *Journal) OnDurable(f func(Index)) {}

// Oldest is the first index in the log, or the next one to be given if the log is empty.
func (j *Journal) Oldest() Index { return 0 }

// Stats are the journal's sizes and counters since Open.
type Stats struct {
	Bytes    int64 // segment files with records; spares not counted
	Segments int
	Spares   int
	Oldest   Index
	Durable  Index
	Last     Index // last index given

	Commits      uint64
	Syncs        uint64 // fdatasync calls on segments
	CommitBytes  uint64 // written by commits, padding included
	PayloadBytes uint64 // the same without padding and headers
	Damaged      uint64 // commits that could not be read back
	Refused      uint64 // Append calls answered with ErrFull or a *DiskError

	PendingBytes int           // waiting for a commit
	Lag          time.Duration // age of the oldest record that is not yet durable
	CommitTook   time.Duration // the last commit: write and flush
	Err          error         // the disk's error while it does not take writes, else nil
	LastErr      error         // the last disk error since Open
	LastErrAt    time.Time
}

// Stats returns the present sizes and counters.
func (j *Journal) Stats() Stats { return Stats{} }

// Reader reads durable records in index order. It belongs to one goroutine. It needs no closing.
type Reader struct{}

// NewReader returns a reader that begins at from, 0 for the oldest in the log. If kinds are given, others are skipped.
func (j *Journal) NewReader(from Index, kinds ...Kind) *Reader { return nil }

// Next returns the next durable record; at the end of the log it waits. Of a samples record that from lies inside,
// it gives the samples from there on. It returns a *RecycledError when from has left the log (go on with a new Reader),
// ErrClosed after the last record of a closed journal, or ctx's error. What it returns is the caller's.
func (r *Reader) Next(ctx context.Context) (Record, error) { return Record{}, nil }

// TryNext is Next without waiting: ok is false at the end of the durable log.
func (r *Reader) TryNext() (rec Record, ok bool, err error) { return Record{}, false, nil }

// Pos is the index of the next record or sample that the reader will look at.
func (r *Reader) Pos() Index { return 0 }

// Owner is one who keeps what the log holds in files of its own, and says how far.
type Owner struct{}

// Owner registers an owner, whose checkpoint is 0 until it tells: no segment above it is recycled. Register before Run.
// The same name gives the same Owner.
func (j *Journal) Owner(name string) *Owner { return nil }

// Checkpoint says that everything this owner needs, up to and including i, is safe in its own files. Call it once per
// checkpoint written (and once when the files are opened): the log keeps what is above the previous one, so that the
// owner's file may fall back by one. If i is beyond the last index, the log it came from is lost; the next index given is i+1.
func (o *Owner) Checkpoint(i Index) {}

// OnRequest registers f, called when the log needs this owner's checkpoint to stay small. It is called from the journal's
// housekeeping goroutine, repeatedly until the checkpoint came; it may take as long as writing a file.
func (o *Owner) OnRequest(f func()) {}

// State is a small durable map, key to value: every Put is a record in the journal, its checkpoint a file of its own.
type State struct{}

// OpenState reads file and the owner's records above it. The owner's name is the State's alone. Open it before Run.
// A damaged file is moved to the quarantine folder, its predecessor read instead.
func OpenState(j *Journal, owner, file string) (*State, error) { return nil, nil }

// Get returns a copy of the value.
func (s *State) Get(key string) ([]byte, bool) { return nil, false }

// Put sets a value and returns the index that makes it durable (due: 10 ms).
func (s *State) Put(key string, data []byte) (Index, error) { return 0, nil }

// PutSync sets a value and returns when it is durable.
func (s *State) PutSync(ctx context.Context, key string, data []byte) error { return nil }

// Delete removes a key; the index makes it durable. A missing key gives 0.
func (s *State) Delete(key string) (Index, error) { return 0, nil }

// Keys returns the keys that begin with prefix, sorted.
func (s *State) Keys(prefix string) []string { return nil }

// Checkpoint writes the file now. The journal asks for it by itself; call it when stopping, to start faster.
func (s *State) Checkpoint() error { return nil }
