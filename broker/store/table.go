package store

import (
	"bytes"
	"log/slog"

	bolt "go.etcd.io/bbolt"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

// table is broker.db inside one transaction.
type table struct {
	tx     *bolt.Tx
	log    *slog.Logger
	stored map[string]map[uint64]entryMark // the entries of each session loaded
}

// entryMark tells a stored entry from what became of it, and from one of a later session with the same number.
type entryMark struct {
	message  *broker.Message
	state    session.State
	packetID uint16
}

func mark(e *session.Entry) entryMark { return entryMark{e.Message, e.State, e.PacketID} }

// loadSession returns a stored session, nil if there is none that reads.
func (t *table) loadSession(clientID string) *session.Snapshot {
	key := hash(clientID)
	v := t.tx.Bucket(bucketSessions).Get(key)
	if v == nil {
		return nil
	}
	s, err := t.decodeSession(key, v)
	if err != nil {
		t.log.Error("session does not read, it begins anew", "client", clientID, "err", err)
		return nil
	}
	marks := make(map[uint64]entryMark, len(s.Entries))
	for i := range s.Entries {
		marks[s.Entries[i].Seq] = mark(&s.Entries[i])
	}
	t.stored[clientID] = marks
	return s
}

// decodeSession reads a session with its entries. An entry that does not read is left out.
func (t *table) decodeSession(key, v []byte) (*session.Snapshot, error) {
	v, err := open(v)
	if err != nil {
		return nil, err
	}
	s, err := decodeHeader(bytes.Clone(v))
	if err != nil {
		return nil, err
	}
	c := t.tx.Bucket(bucketEntries).Cursor()
	for k, v := c.Seek(key); bytes.HasPrefix(k, key); k, v = c.Next() {
		e, err := decodeEntry(v)
		if err != nil {
			t.log.Error("queued message does not read", "client", s.ClientID, "err", err)
			continue
		}
		s.Entries = append(s.Entries, *e)
	}
	sortEntries(s.Entries)
	return s, nil
}

func decodeEntry(v []byte) (*session.Entry, error) {
	v, err := open(v)
	if err != nil {
		return nil, err
	}
	return decodeStored(bytes.Clone(v))
}

// saveSession writes what changed of a session; nil for one that is gone.
func (t *table) saveSession(clientID string, s *session.Snapshot) error {
	key := hash(clientID)
	if s == nil {
		return t.deleteSession(key)
	}
	stored, loaded := t.stored[clientID]
	if !loaded { // what an older session of this name left, if anything
		if err := t.deleteSession(key); err != nil {
			return err
		}
	}
	entries := t.tx.Bucket(bucketEntries)
	live := make(map[uint64]bool, len(s.Entries))
	for i := range s.Entries {
		e := &s.Entries[i]
		live[e.Seq] = true
		if m, ok := stored[e.Seq]; ok && m == mark(e) {
			continue
		}
		if err := entries.Put(entryKey(key, e.Seq), seal(appendStored(nil, e))); err != nil {
			return err
		}
	}
	for seq := range stored {
		if !live[seq] {
			if err := entries.Delete(entryKey(key, seq)); err != nil {
				return err
			}
		}
	}
	return t.tx.Bucket(bucketSessions).Put(key, seal(appendHeader(nil, s)))
}

func (t *table) deleteSession(key []byte) error {
	entries := t.tx.Bucket(bucketEntries)
	var keys [][]byte // collected first: a cursor may skip what follows a deletion
	c := entries.Cursor()
	for k, _ := c.Seek(key); bytes.HasPrefix(k, key); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := entries.Delete(k); err != nil {
			return err
		}
	}
	return t.tx.Bucket(bucketSessions).Delete(key)
}

func (t *table) saveRetained(m *broker.Message) error {
	b, key := t.tx.Bucket(bucketRetained), hash(string(m.Topic))
	if len(m.Payload) == 0 {
		return b.Delete(key)
	}
	return b.Put(key, seal(appendMessage(nil, m)))
}

// loadAll fills the world with all that broker.db holds and reads. It returns the first thing that did not.
func (w *world) loadAll(tx *bolt.Tx) (first error) {
	t := table{tx: tx, log: slog.New(slog.DiscardHandler)}
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	c := tx.Bucket(bucketSessions).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		s, err := t.decodeSession(k, v)
		if err != nil {
			note(err)
			continue
		}
		w.sessions[s.ClientID] = s
	}
	c = tx.Bucket(bucketRetained).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		v, err := open(v)
		if err != nil {
			note(err)
			continue
		}
		d := decoder{Fields: journal.Fields{B: bytes.Clone(v)}}
		if m := d.message(); !d.Whole() {
			note(errDamaged)
		} else {
			w.retained[string(m.Topic)] = m
		}
	}
	return first
}
