package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
	"edge/historian/journal"
)

// journalOptions are of a small journal that does not flush: these tests cut no power.
var journalOptions = journal.Options{SegmentBytes: 64 << 10, Spares: -1, MaxBytes: 128 << 10, Files: unsynced{}}

type unsynced struct{ journal.OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Open(name string, flag int) (journal.File, error) {
	f, err := u.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ journal.File }

func (unsyncedFile) Datasync() error { return nil }

// rig is a store over a journal in one folder, as the appliance has it.
type rig struct {
	t       testing.TB
	dir     string
	journal *journal.Journal
	store   *Store
	stop    context.CancelFunc
	ended   chan error
}

func (r *rig) db() string { return filepath.Join(r.dir, "broker.db") }

// start opens journal and store and runs the journal's commit loop.
func start(t testing.TB, dir string) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, ended: make(chan error, 1)}
	var err error
	r.journal, err = journal.Open(filepath.Join(dir, "journal"), journalOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.store, err = Open(r.db(), r.journal, Options{Due: time.Nanosecond, Lazy: time.Nanosecond, noSync: true}); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.ended <- r.journal.Run(ctx) }()
	return r
}

// close ends everything without a last checkpoint, as a kill would, and checks the file.
func (r *rig) close() {
	r.t.Helper()
	r.stop()
	if err := errors.Join(<-r.ended, r.store.Close(), r.journal.Close()); err != nil {
		r.t.Fatal(err)
	}
	if err := verify(r.db()); err != nil {
		r.t.Fatal("broker.db:", err)
	}
}

func (r *rig) load() ([]session.Snapshot, []*broker.Message) {
	r.t.Helper()
	if err := r.journal.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	sessions, retained, err := r.store.Load()
	if err != nil {
		r.t.Fatal(err)
	}
	return sessions, retained
}

// save stores changes and waits until they are durable.
func (r *rig) save(changes ...session.Change) {
	r.t.Helper()
	i, err := r.store.SaveSession(changes)
	if err == nil {
		err = r.journal.Wait(context.Background(), journal.Index(i))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) retain(m *broker.Message) {
	r.t.Helper()
	i, err := r.store.SaveRetained(m)
	if err == nil {
		err = r.journal.Wait(context.Background(), journal.Index(i))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

var noon = time.Unix(1_700_000_000, 123)

func message(name, payload string) *broker.Message {
	return &broker.Message{Topic: topic.Name(name), Payload: []byte(payload), QoS: 1, From: "press", User: "anna", Received: noon}
}

// everyChange is a session's life that uses each kind of change and each field, but for its end.
func everyChange(id string) []session.Change {
	full := message("plant/press", "payload")
	full.Retain, full.QoS, full.Expires = true, 2, noon.Add(time.Hour)
	full.Properties = &packets.PublishProperties{
		PayloadFormat: 1, ContentType: "text/plain", ResponseTopic: "answer", CorrelationData: []byte{1, 0, 2},
		User: []packets.UserProperty{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
	}
	other := &broker.Message{Topic: "t"}
	return []session.Change{
		{Kind: session.Created, ClientID: id, User: "anna", Protocol: 5, Expiry: time.Hour, At: noon},
		{Kind: session.WillSet, ClientID: id, Will: &session.Will{Message: full, Delay: time.Second, Expiry: time.Minute}},
		{Kind: session.Subscribed, ClientID: id, Subscription: &session.Subscription{
			Filter: "plant/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, ID: 1 << 27}},
		{Kind: session.Subscribed, ClientID: id, Subscription: &session.Subscription{Filter: "$share/g/x", QoS: 1}},
		{Kind: session.Subscribed, ClientID: id, Subscription: &session.Subscription{Filter: "gone"}},
		{Kind: session.Unsubscribed, ClientID: id, Filter: "gone"},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 1, Message: full, QoS: 2, Retain: true, IDs: []uint32{5, 6}, State: session.Sent, PacketID: 1}},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 2, Message: other, QoS: 1, State: session.Sent, PacketID: 65535}},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 3, Message: full, QoS: 1}},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 4, Message: other, QoS: 1}},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 5, Message: other, QoS: 1}},
		{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: 6, Message: other, QoS: 1, Retain: true, Shared: "$share/g/x"}},
		{Kind: session.Replaying, ClientID: id, Filter: "plant/#"},
		{Kind: session.Replaying, ClientID: id, Filter: "over"},
		{Kind: session.Replaying, ClientID: id, Filter: "plant/#", Topic: "plant/a"},
		{Kind: session.Replayed, ClientID: id, Filter: "over"},
		{Kind: session.EntryReleased, ClientID: id, PacketID: 1},
		{Kind: session.EntryDone, ClientID: id, PacketID: 65535},
		{Kind: session.EntrySent, ClientID: id, Seq: 3, PacketID: 7},
		{Kind: session.EntryDropped, ClientID: id, Seq: 4},
		{Kind: session.Received, ClientID: id, PacketID: 9},
		{Kind: session.Received, ClientID: id, PacketID: 8},
		{Kind: session.Completed, ClientID: id, PacketID: 8},
		{Kind: session.Disconnected, ClientID: id, Expiry: session.Never, At: noon.Add(time.Second)},
	}
}

// same compares by content: messages as they are stored, no slice like an empty one.
var same = cmp.Options{
	cmp.Comparer(func(a, b *broker.Message) bool {
		return a == b || a != nil && b != nil && bytes.Equal(appendMessage(nil, a), appendMessage(nil, b))
	}),
	cmpopts.EquateEmpty(),
}

// apply is the twin: snapshots in memory.
func apply(twin map[string]*session.Snapshot, changes []session.Change) {
	for i := range changes {
		c := &changes[i]
		s := twin[c.ClientID]
		if c.Kind == session.Created {
			s = &session.Snapshot{}
			twin[c.ClientID] = s
		}
		if s != nil {
			s.Apply(c)
		}
		if c.Kind == session.Ended {
			delete(twin, c.ClientID)
		}
	}
}

func snapshots(twin map[string]*session.Snapshot) []session.Snapshot {
	w := newWorld(nil)
	w.sessions = twin
	all, _ := w.all()
	return all
}

func TestEverythingComesBack(t *testing.T) {
	changes := everyChange("c1")
	twin := map[string]*session.Snapshot{}
	apply(twin, changes)
	kept := message("state", "on")

	dir := t.TempDir()
	r := start(t, dir)
	r.save(changes...)
	r.retain(kept)
	r.retain(message("cleared", "x"))
	r.retain(&broker.Message{Topic: "cleared"})
	check := func(when string) {
		t.Helper()
		sessions, retained := r.load()
		if diff := cmp.Diff(snapshots(twin), sessions, same...); diff != "" {
			t.Errorf("%s: sessions (-want +got):\n%s", when, diff)
		}
		if diff := cmp.Diff([]*broker.Message{kept}, retained, same...); diff != "" {
			t.Errorf("%s: retained (-want +got):\n%s", when, diff)
		}
	}
	check("from the journal")
	r.close()
	r = start(t, dir)
	check("from the journal, reopened")
	if err := r.store.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	check("from broker.db")
	r.close()
	r = start(t, dir)
	if c := r.store.Recovered().Checkpoint; c != 4 {
		t.Errorf("checkpoint %d, want 4", c)
	}
	check("from broker.db, reopened")
	r.save(session.Change{Kind: session.Ended, ClientID: "c1"})
	clear(twin)
	check("after its end")
	if err := r.store.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	err := r.store.db.View(func(tx *bolt.Tx) error {
		if k, _ := tx.Bucket(bucketEntries).Cursor().First(); k != nil {
			t.Error("entries of an ended session left")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
}

// clients is what the random test knows about each client, to make changes that fit.
type clientModel struct {
	seq      uint64
	packetID uint16
}

// TestTwin makes random sessions live, checkpoints and reopens at random moments, and compares with snapshots in memory.
func TestTwin(t *testing.T) {
	base := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, fmt.Sprint(round))
		if err := os.Mkdir(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		r := start(t, dir)
		defer func() { r.close() }()
		twin := map[string]*session.Snapshot{}
		models := map[string]*clientModel{}
		kept := map[topic.Name]*broker.Message{}
		steps := rapid.IntRange(5, 60).Draw(rt, "steps")
		for range steps {
			switch rapid.SampledFrom([]string{"save", "save", "save", "save", "retain", "checkpoint", "reopen"}).Draw(rt, "step") {
			case "save":
				changes := drawChanges(rt, twin, models)
				r.save(changes...)
				apply(twin, changes)
			case "retain":
				m := message(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "topic"), rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "payload"))
				r.retain(m)
				if kept[m.Topic] = m; len(m.Payload) == 0 {
					delete(kept, m.Topic)
				}
			case "checkpoint":
				if err := r.store.Checkpoint(); err != nil {
					rt.Fatal(err)
				}
			case "reopen":
				r.close()
				r = start(t, dir)
			}
			sessions, retained := r.load()
			if diff := cmp.Diff(snapshots(twin), sessions, same...); diff != "" {
				rt.Fatalf("sessions (-want +got):\n%s", diff)
			}
			if len(retained) != len(kept) {
				rt.Fatalf("%d retained messages, want %d", len(retained), len(kept))
			}
			for _, m := range retained {
				if diff := cmp.Diff(kept[m.Topic], m, same...); diff != "" {
					rt.Fatalf("retained (-want +got):\n%s", diff)
				}
			}
		}
	})
}

// drawChanges draws one record of changes that a broker could make: one message for several sessions, or one session's step.
func drawChanges(rt *rapid.T, twin map[string]*session.Snapshot, models map[string]*clientModel) (changes []session.Change) {
	id := rapid.SampledFrom([]string{"c1", "c2", "c3"}).Draw(rt, "client")
	snap, model := twin[id], models[id]
	if snap == nil || rapid.IntRange(0, 20).Draw(rt, "anew") == 0 {
		models[id] = &clientModel{}
		return []session.Change{{Kind: session.Created, ClientID: id, Protocol: 5, Expiry: time.Hour, At: noon}}
	}
	switch rapid.SampledFrom([]string{"publish", "publish", "send", "ack", "release", "drop", "will", "received", "end", "away"}).Draw(rt, "kind") {
	case "publish": // to all sessions, one message
		m := message("t", rapid.StringN(0, 5, 5).Draw(rt, "payload"))
		for id := range twin {
			models[id].seq++
			e := &session.Entry{Seq: models[id].seq, Message: m, QoS: 1}
			changes = append(changes, session.Change{Kind: session.Enqueued, ClientID: id, Entry: e})
		}
		return changes
	case "send":
		for _, e := range snap.Entries {
			if e.State == session.Queued {
				model.packetID++
				return []session.Change{{Kind: session.EntrySent, ClientID: id, Seq: e.Seq, PacketID: model.packetID}}
			}
		}
	case "ack", "release":
		if len(snap.Entries) > 0 && snap.Entries[0].State != session.Queued {
			kind := session.EntryDone
			if rapid.Bool().Draw(rt, "qos 2") {
				kind = session.EntryReleased
			}
			return []session.Change{{Kind: kind, ClientID: id, PacketID: snap.Entries[0].PacketID}}
		}
	case "drop":
		if n := len(snap.Entries); n > 0 && snap.Entries[n-1].State == session.Queued {
			return []session.Change{{Kind: session.EntryDropped, ClientID: id, Seq: snap.Entries[n-1].Seq}}
		}
	case "will":
		return []session.Change{{Kind: session.WillSet, ClientID: id, Will: &session.Will{Message: &broker.Message{Topic: "w"}}}}
	case "end":
		return []session.Change{{Kind: session.Ended, ClientID: id}}
	case "away":
		return []session.Change{{Kind: session.Disconnected, ClientID: id, Expiry: time.Minute, At: noon}}
	}
	return []session.Change{{Kind: session.Received, ClientID: id, PacketID: rapid.Uint16Range(1, 5).Draw(rt, "packet")}}
}
