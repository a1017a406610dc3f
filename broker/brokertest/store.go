package brokertest

import (
	"sync"

	"edge/broker"
	"edge/broker/session"
)

// Store stands in for the durable store of sessions and retained messages: it numbers records, fails on demand, and
// makes them durable when the test says so. The zero value commits by itself soon after each record, as a journal
// does: in a goroutine of its own, which ends when it has told the listeners.
type Store struct {
	committing sync.Mutex // held by Commit, so that listeners are called by one goroutine at a time; taken before mu

	mu        sync.Mutex // guards what follows
	scheduled bool       // a commit is on its way
	last      broker.Index
	durable   broker.Index
	awaited   broker.Index
	crowded   bool
	hurried   broker.Index
	held      bool
	failure   error
	failAfter int
	changes   []session.Change
	retained  []*broker.Message
	listeners []func(broker.Index)
}

// Fail makes every record from now on fail with err; nil ends that.
func (s *Store) Fail(err error) { s.FailAfter(0, err) }

// FailAfter lets n more records through and fails those that follow with err.
func (s *Store) FailAfter(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failAfter, s.failure = n, err
}

// Hold stops committing until Commit: records are taken and not durable.
func (s *Store) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// Holding tells whether records wait for Commit.
func (s *Store) Holding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held && s.durable < s.last
}

// Commit makes all records so far durable and tells the listeners.
func (s *Store) Commit() {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.mu.Lock()
	s.scheduled = false
	s.durable = s.last
	upTo, listeners := s.durable, s.listeners
	s.mu.Unlock()
	for _, f := range listeners {
		f(upTo)
	}
}

// startCommitLocked has the records so far committed; the saver, who may hold locks that a listener wants, does not wait.
func (s *Store) startCommitLocked() {
	if !s.held && !s.scheduled {
		s.scheduled = true
		go s.Commit()
	}
}

// Idle tells whether no commit is under way.
func (s *Store) Idle() bool {
	if !s.committing.TryLock() {
		return false
	}
	defer s.committing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.scheduled
}

// SaveSession records changes.
func (s *Store) SaveSession(changes []session.Change) (broker.Index, error) {
	return s.save(func() { s.changes = append(s.changes, changes...) })
}

// SaveRetained records a retained message.
func (s *Store) SaveRetained(m *broker.Message) (broker.Index, error) {
	return s.save(func() { s.retained = append(s.retained, m) })
}

func (s *Store) save(record func()) (broker.Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		if s.failAfter == 0 {
			return 0, s.failure
		}
		s.failAfter--
	}
	record()
	s.last++
	s.startCommitLocked()
	return s.last, nil
}

// Durable returns up to which record everything is durable.
func (s *Store) Durable() broker.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
}

// OnDurable has f called by each Commit.
func (s *Store) OnDurable(f func(broker.Index)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// Crowded tells what SetCrowded set.
func (s *Store) Crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowded
}

// SetCrowded has the store say that much waits for the disk.
func (s *Store) SetCrowded(crowded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowded = crowded
}

// Await notes what is awaited; a record is committed soon, or when the test says so.
func (s *Store) Await(index broker.Index, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited = max(s.awaited, index)
	if last {
		s.hurried = max(s.hurried, index)
	}
}

// Awaited returns the highest index that was awaited, and the highest behind which nothing more was to be expected.
func (s *Store) Awaited() (index, last broker.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaited, s.hurried
}

// Changes returns the session changes recorded so far.
func (s *Store) Changes() []session.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]session.Change(nil), s.changes...)
}

// Retained returns the retained messages recorded so far, one that was removed with an empty payload.
func (s *Store) Retained() []*broker.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*broker.Message(nil), s.retained...)
}
