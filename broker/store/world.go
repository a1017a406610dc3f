package store

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"edge/broker"
	"edge/broker/session"
)

// world is sessions and retained messages while records are applied to them.
type world struct {
	// load fetches a session or retained message that is not here yet, nil if there is none.
	load     func(clientID string) *session.Snapshot
	sessions map[string]*session.Snapshot // nil value: the session is gone
	retained map[string]*broker.Message
	memory   memory
	keeps    bool // what is here outlives the replay: no message may keep the whole commit in memory in which it lies
}

func newWorld(load func(clientID string) *session.Snapshot) *world {
	if load == nil {
		load = func(string) *session.Snapshot { return nil }
	}
	return &world{load: load, sessions: map[string]*session.Snapshot{}, retained: map[string]*broker.Message{}}
}

// apply applies one journal record. A record that does not read changes nothing.
func (w *world) apply(data []byte) error {
	changes, retained, err := w.memory.decodeRecord(data)
	if err != nil {
		return err
	}
	if w.keeps && retained == nil {
		for _, m := range w.memory.messages {
			own(m)
		}
	}
	for i := range changes {
		w.change(&changes[i])
	}
	if retained != nil {
		if w.keeps {
			own(retained)
		}
		w.retained[string(retained.Topic)] = retained
	}
	return nil
}

// own gives a message bytes of its own.
func own(m *broker.Message) {
	m.Payload = bytes.Clone(m.Payload)
	if m.Properties != nil {
		m.Properties.CorrelationData = bytes.Clone(m.Properties.CorrelationData)
	}
}

func (w *world) change(c *session.Change) {
	before, here := w.sessions[c.ClientID]
	s := before
	if !here {
		s = w.load(c.ClientID)
	}
	switch {
	case c.Kind == session.Ended:
		s = nil
	case c.Kind == session.Created:
		s = &session.Snapshot{}
	}
	if s != nil { // else a change of a session whose beginning was lost
		s.Apply(c)
	}
	if !here || s != before {
		w.sessions[c.ClientID] = s
	}
}

// all returns what lives, sorted.
func (w *world) all() (sessions []session.Snapshot, retained []*broker.Message) {
	for _, id := range slices.Sorted(maps.Keys(w.sessions)) {
		if s := w.sessions[id]; s != nil {
			sessions = append(sessions, *s)
		}
	}
	for _, m := range w.retained {
		if len(m.Payload) > 0 {
			retained = append(retained, m)
		}
	}
	slices.SortFunc(retained, func(a, b *broker.Message) int { return cmp.Compare(a.Topic, b.Topic) })
	return sessions, retained
}
