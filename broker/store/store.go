package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

// Options set a Store up. The zero value works.
type Options struct {
	Due        time.Duration // how long a record may wait for the journal's commit; default 10 ms
	Lazy       time.Duration // the same of one that nobody was promised, unless it is awaited; default 250 ms
	Every      time.Duration // a checkpoint at least this often, if anything changed; default 10 min
	MaxBytes   int64         // size of broker.db; default 1 GiB
	Quarantine string        // folder for a damaged broker.db; default: "quarantine" beside it
	Log        *slog.Logger  // default: none

	noSync bool // for tests that cut no power
}

// owner is the store's name in the journal.
const owner = "broker"

// Store makes sessions and retained messages durable. Its methods may be called from any goroutine.
type Store struct {
	// Set by Open, never changed.
	path      string
	j         *journal.Journal
	o         Options
	owner     *journal.Owner
	db        *bolt.DB // nil: broker.db could be neither opened nor made, the journal is all there is
	recovered Recovery
	asked     chan struct{} // capacity 1: the journal wants a checkpoint

	checkpointing sync.Mutex
	upTo          journal.Index // of broker.db; guarded by checkpointing
}

// Recovery tells what Open found.
type Recovery struct {
	Checkpoint  broker.Index // broker.db holds everything up to it
	Quarantined string       // where a damaged broker.db was moved to; empty if none was
	Reason      string       // what was wrong with it, also if it was only missing; empty if nothing was
}

// Open opens or creates broker.db at path. Run and Load come after it; the journal's Run must not have begun.
// A damaged file is moved aside; one that the system does not let it read is an error. It returns a *journal.VersionError, unchanged, for a file of a newer program.
func Open(path string, j *journal.Journal, o Options) (*Store, error) {
	s := &Store{path: path, j: j, o: o.withDefaults(path), owner: j.Owner(owner), asked: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open session store %s: %w", path, err)
	}
	if s.upTo > 0 {
		s.owner.Checkpoint(s.upTo)
	}
	s.owner.OnRequest(func() {
		select {
		case s.asked <- struct{}{}:
		default:
		}
	})
	return s, nil
}

func (o Options) withDefaults(path string) Options {
	if o.Due <= 0 {
		o.Due = 10 * time.Millisecond
	}
	if o.Lazy <= 0 {
		o.Lazy = max(250*time.Millisecond, o.Due)
	}
	if o.Every <= 0 {
		o.Every = 10 * time.Minute
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	if o.Quarantine == "" {
		o.Quarantine = filepath.Join(filepath.Dir(filepath.Clean(path)), "quarantine")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Recovered tells what Open found.
func (s *Store) Recovered() Recovery { return s.recovered }

// SaveSession appends changes as one record: after a crash all of them are there or none. It returns the index that makes
// them durable, or the journal's error; then nothing was stored.
func (s *Store) SaveSession(changes []session.Change) (broker.Index, error) {
	if len(changes) == 0 {
		return 0, nil
	}
	due := s.o.Lazy
	for i := range changes {
		if !lazy(changes[i].Kind) {
			due = s.o.Due
			break
		}
	}
	return s.append(due, encodeChanges(changes))
}

// lazy tells of which changes a crash may take the latest back: the client is sent something again, which it knows. Where that
// would be wrong, as for QoS 2, the server awaits the record before it goes on.
func lazy(k session.ChangeKind) bool {
	switch k {
	case session.EntrySent, session.EntryReleased, session.EntryDone, session.EntryDropped, session.Completed:
		return true
	}
	return false
}

// SaveRetained records that m is now retained on its topic, or that nothing is if its payload is empty [MQTT-3.3.1-6]. Of a
// QoS 0 message nothing is acknowledged, so that it makes no commit come earlier.
func (s *Store) SaveRetained(m *broker.Message) (broker.Index, error) {
	due := s.o.Due
	if m.QoS == 0 {
		due = s.o.Lazy
	}
	return s.append(due, encodeRetained(m))
}

func (s *Store) append(due time.Duration, data []byte) (broker.Index, error) {
	i, err := s.j.Append(due, journal.Record{Kind: journal.KindSession, Data: data})
	if err != nil {
		return 0, fmt.Errorf("save session: %w", err)
	}
	return broker.Index(i), nil
}

// Durable is how far the journal is durable.
func (s *Store) Durable() broker.Index { return broker.Index(s.j.Durable()) }

// OnDurable registers f to be called after each commit, by one goroutine at a time; it must not wait.
func (s *Store) OnDurable(f func(broker.Index)) {
	s.j.OnDurable(func(i journal.Index) { f(broker.Index(i)) })
}

// Await says that an acknowledgement waits for index; last, that nothing more is to be expected before it is durable.
func (s *Store) Await(index broker.Index, last bool) {
	s.j.Await(journal.Index(index), s.o.Due, last)
}

// Crowded tells whether so much waits for the disk that more should be held back until the next commit.
func (s *Store) Crowded() bool { return s.j.Crowded() }

// Run writes checkpoints until ctx ends, and one then. End it after the broker and before the journal.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-s.asked:
		case <-tick.C:
		case <-ctx.Done():
			return s.Checkpoint()
		}
		if err := s.Checkpoint(); err != nil {
			s.o.Log.Error("broker.db not written, the journal keeps the sessions", "file", s.path, "err", err)
		}
	}
}

// Close closes broker.db. Run has ended by then.
func (s *Store) Close() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// Load returns what was stored: broker.db and the journal above it. Call it once, before the broker starts.
// Sessions and messages are sorted by client identifier and topic.
func (s *Store) Load() (sessions []session.Snapshot, retained []*broker.Message, err error) {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	w := newWorld(nil)
	w.keeps = true
	if s.db != nil {
		if err := guard(func() error { return s.db.View(w.loadAll) }); err != nil {
			s.o.Log.Error("broker.db damaged in part", "file", s.path, "err", err)
		}
	}
	_, _, err = s.replay(w, s.upTo, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("load sessions: %w", err)
	}
	sessions, retained = w.all()
	return sessions, retained, nil
}

// replay applies the durable session records above from to w, until the journal ends or their data exceed maxBytes (0: no
// bound), and returns the index it reached.
func (s *Store) replay(w *world, from journal.Index, maxBytes int) (upTo journal.Index, more bool, err error) {
	r := s.j.NewReader(from+1, journal.KindSession)
	for size := 0; ; {
		rec, ok, err := r.TryNext()
		var gone *journal.RecycledError
		if errors.As(err, &gone) {
			if from > 0 {
				s.o.Log.Warn("journal begins above the checkpoint of broker.db", "file", s.path, "from", from, "to", gone.Oldest)
			}
			r = s.j.NewReader(0, journal.KindSession)
			continue
		}
		if err != nil {
			return from, false, err
		}
		if !ok {
			return r.Pos() - 1, false, nil
		}
		if err := w.apply(rec.Data); err != nil {
			s.o.Log.Error("session record does not read", "index", rec.Index, "err", err)
		}
		if size += len(rec.Data); maxBytes > 0 && size >= maxBytes {
			return rec.Index, true, nil
		}
	}
}
