package store

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

// TestDue looks how long each kind of record waits for the disk: what somebody is promised 10 ms, the rest until it is awaited.
func TestDue(t *testing.T) {
	const soon, late = 10 * time.Millisecond, 250 * time.Millisecond
	done := session.Change{Kind: session.EntryDone, ClientID: "c", PacketID: 1}
	queued := session.Change{Kind: session.Enqueued, ClientID: "c", Entry: &session.Entry{Seq: 1, QoS: 1, Message: message("t", "x")}}
	changes := func(list ...session.Change) func(*Store) (broker.Index, error) {
		return func(s *Store) (broker.Index, error) { return s.SaveSession(list) }
	}
	retained := func(qos byte) func(*Store) (broker.Index, error) {
		m := message("t", "x")
		m.QoS = qos
		return func(s *Store) (broker.Index, error) { return s.SaveRetained(m) }
	}
	tests := []struct {
		name  string
		save  func(*Store) (broker.Index, error)
		await bool
		want  time.Duration
	}{
		{"a message for a session", changes(queued), false, soon},
		{"a subscription", changes(session.Change{Kind: session.Subscribed, ClientID: "c", Subscription: &session.Subscription{Filter: "a"}}), false, soon},
		{"a message is done", changes(done), false, late},
		{"a message is done, and another queued", changes(done, queued), false, soon},
		{"a message is done, and someone waits", changes(done), true, soon},
		{"retained, QoS 1", retained(1), false, soon},
		{"retained, QoS 0", retained(0), false, late},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentBytes: 64 << 10})
				if err != nil {
					t.Fatal(err)
				}
				s, err := Open(filepath.Join(dir, "broker.db"), j, Options{noSync: true})
				if err != nil {
					t.Fatal(err)
				}
				running := make(chan error, 1)
				go func() { running <- j.Run(t.Context()) }()
				start := time.Now()
				index, err := x.save(s)
				if err != nil {
					t.Fatal(err)
				}
				if x.await {
					s.Await(index, false)
				}
				if err := j.Wait(t.Context(), journal.Index(index)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != x.want {
					t.Errorf("durable after %v, want %v", took, x.want)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := j.Close(); err != nil {
					t.Error(err)
				}
				if err := <-running; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
