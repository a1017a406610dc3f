package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	stateDue      = 10 * time.Millisecond
	maxStateBytes = 64 << 20 // keys and values of one State
)

// The first byte of a state record's data says what it does.
const (
	opPut    = 1
	opDelete = 0
)

// State is a small durable map, key to value: every Put is a record in the journal, its checkpoint a file of its own.
type State struct {
	// Set by OpenState, never changed.
	j      *Journal
	owner  *Owner
	file   string
	damage error

	writing sync.Mutex // one checkpoint at a time; taken before mu

	mu    sync.Mutex
	data  map[string][]byte
	bytes int
}

// OpenState reads file and the owner's records above it. The owner's name is the State's alone. Open it before Run.
// A damaged file is moved to the quarantine folder, its predecessor read instead; one that the system does not let it read is an error.
func OpenState(j *Journal, owner, file string) (*State, error) {
	s := &State{j: j, owner: j.Owner(owner), file: file, data: map[string][]byte{}}
	if err := j.fs.MkdirAll(filepath.Dir(file)); err != nil {
		return nil, fmt.Errorf("open state %s: %w", file, err)
	}
	upTo, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", file, err)
	}
	if upTo > 0 {
		s.owner.Checkpoint(upTo)
	}
	if err := s.replay(upTo + 1); err != nil {
		return nil, fmt.Errorf("open state %s: %w", file, err)
	}
	s.owner.OnRequest(func() {
		if err := s.Checkpoint(); err != nil {
			j.log.Error("state not checkpointed", "file", file, "err", err)
		}
	})
	return s, nil
}

// replay applies the owner's records from an index on.
func (s *State) replay(from Index) error {
	r := s.j.NewReader(max(from, 1), KindState)
	for {
		rec, ok, err := r.TryNext()
		var gone *RecycledError
		if errors.As(err, &gone) {
			if from > 1 {
				s.j.log.Warn("state is older than the log", "file", s.file, "from", from, "to", gone.Oldest)
			}
			r = s.j.NewReader(0, KindState)
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if rec.Owner == s.owner.name && len(rec.Data) > 0 {
			s.apply(rec.Key, rec.Data[0], rec.Data[1:])
		}
	}
}

func (s *State) apply(key string, op byte, data []byte) {
	if old, ok := s.data[key]; ok {
		s.bytes -= len(key) + len(old)
		delete(s.data, key)
	}
	if op == opPut {
		s.data[key] = slices.Clone(data)
		s.bytes += len(key) + len(data)
	}
}

// Damage is why files were moved aside by OpenState; nil: none was. What the log has is in the State all the same.
func (s *State) Damage() error { return s.damage }

// Get returns a copy of the value.
func (s *State) Get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.data[key]
	return slices.Clone(v), ok
}

// Keys returns the keys that begin with prefix, sorted.
func (s *State) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.data {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Put sets a value and returns the index that makes it durable (due: 10 ms). All keys and values together may have 64 MiB:
// ErrStateFull says that others have to go first, ErrTooLarge that it would not fit without them either.
func (s *State) Put(key string, data []byte) (Index, error) {
	return s.put(key, opPut, data)
}

// PutSync sets a value and returns when it is durable. The value is set even if ctx ends first.
func (s *State) PutSync(ctx context.Context, key string, data []byte) error {
	i, err := s.put(key, opPut, data)
	if err != nil {
		return err
	}
	return s.j.Wait(ctx, i)
}

// Delete removes a key; the index makes it durable. A missing key gives 0.
func (s *State) Delete(key string) (Index, error) {
	s.mu.Lock()
	_, ok := s.data[key]
	s.mu.Unlock()
	if !ok {
		return 0, nil
	}
	return s.put(key, opDelete, nil)
}

func (s *State) put(key string, op byte, data []byte) (Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == opPut {
		if err := s.fitsLocked(key, len(key)+len(data)); err != nil {
			return 0, fmt.Errorf("state %s: %w", s.owner.name, err)
		}
	}
	rec := Record{Kind: KindState, Owner: s.owner.name, Key: key, Data: append([]byte{op}, data...)}
	i, err := s.j.Append(stateDue, rec)
	if err != nil {
		return 0, err
	}
	s.apply(key, op, data)
	return i, nil
}

// fitsLocked tells whether a key and its value, size bytes together, may be put in the place of what the key has.
func (s *State) fitsLocked(key string, size int) error {
	others := s.bytes
	if old, ok := s.data[key]; ok {
		others -= len(key) + len(old)
	}
	switch {
	case size > min(maxStateBytes, s.j.opt.MaxBuffered):
		return ErrTooLarge
	case others+size > maxStateBytes:
		return ErrStateFull
	}
	return nil
}

// Checkpoint writes the file now. The journal asks for it by itself; call it when stopping, to start faster.
func (s *State) Checkpoint() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	// Every record of ours at or below Durable is in the map; one above it that is too is only put twice on replay.
	upTo := s.j.Durable()
	data := maps.Clone(s.data) // values are never written to
	s.mu.Unlock()
	if err := writeStateFile(s.j.fs, s.file, upTo, data); err != nil {
		return fmt.Errorf("checkpoint %s: %w", s.file, err)
	}
	s.owner.Checkpoint(upTo)
	return nil
}
