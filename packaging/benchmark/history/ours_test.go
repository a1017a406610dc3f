package history

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// ours is the historian and its journal, running.
type ours struct {
	t    testing.TB
	dir  string
	j    *journal.Journal
	s    *historian.Store
	keys []journal.SeriesKey
	stop func() // ends Run of both, and closes them
}

func openOurs(t testing.TB, dir string, o historian.Options, jo journal.Options) *ours {
	t.Helper()
	r := &ours{t: t, dir: dir}
	var err error
	if r.j, err = journal.Open(filepath.Join(dir, "journal"), jo); err != nil {
		t.Fatal(err)
	}
	if r.s, err = historian.Open(filepath.Join(dir, "history"), r.j, o); err != nil {
		t.Fatal(err)
	}
	r.run()
	return r
}

func (r *ours) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.j.Run(context.Background()) }()
	go func() { done <- r.s.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		if err := r.s.Close(); err != nil {
			r.t.Error(err)
		}
		if err := r.j.Close(); err != nil {
			r.t.Error(err)
		}
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

// bind gives the set's series the numbers that their samples have.
func (r *ours) bind(keys []journal.SeriesKey) {
	r.t.Helper()
	r.keys = keys
	for i, k := range keys {
		id, fresh := r.s.Resolve(k)
		if id != journal.SeriesID(i+1) || !fresh {
			r.t.Fatalf("series %d has the number %d", i+1, id)
		}
		r.append(time.Second, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: k}})
	}
	r.flush()
}

func (r *ours) append(due time.Duration, recs ...journal.Record) {
	if _, err := r.j.Append(due, recs...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ours) flush() {
	if err := r.j.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// message is what the appliance makes of a device's message.
func message(m *gen.Message) journal.Record {
	return journal.Record{Kind: journal.KindSamples, At: m.Received, Samples: m.Samples}
}
