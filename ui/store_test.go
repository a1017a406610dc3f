package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// openStore is a real historian on a real journal, both running until the test ends.
func openStore(t *testing.T) (*journal.Journal, *historian.Store) {
	t.Helper()
	return openStoreWith(t, historian.Options{})
}

func openStoreWith(t *testing.T, o historian.Options) (*journal.Journal, *historian.Store) {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Space == nil {
		o.Space = func() (free, total int64, err error) { return 1 << 40, 1 << 40, nil } // whatever the machine's disk has
	}
	s, err := historian.Open(filepath.Join(dir, "history"), j, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- j.Run(ctx) }()
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended, s.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return j, s
}

// TestHistoryOfTheStore asks the page's routes for what a journal took: a node that lived, died and was born again.
func TestHistoryOfTheStore(t *testing.T) {
	j, s := openStore(t)
	key := journal.SeriesKey{Group: testGroup, Node: "oven", Device: "furnace", Metric: "Zone 1/Setpoint", Type: 10}
	id, fresh := s.Resolve(key)
	if !fresh {
		t.Fatal("a new store knows the series")
	}
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(seconds int) journal.Millis { return journal.Millis(start.UnixMilli() + int64(seconds)*1000) }
	node := func(kind journal.EventKind, seconds int, reason string) journal.Record {
		return journal.Record{Kind: journal.KindEvent, Event: &journal.Event{Kind: kind, At: at(seconds), Group: testGroup, Node: "oven", Reason: reason, BdSeq: 3}}
	}
	device := func(kind journal.EventKind, seconds int) journal.Record {
		return journal.Record{Kind: journal.KindEvent, Event: &journal.Event{Kind: kind, At: at(seconds), Group: testGroup, Node: "oven", Device: "furnace"}}
	}
	sample := func(seconds int, v float64) journal.Record {
		x := journal.Sample{Series: id, At: at(seconds), Received: at(seconds), Quality: journal.Good, Value: journal.Value{Type: 10, Num: doubleValue(v).Num}}
		return journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{x}}
	}
	last, err := j.Append(0, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: key}},
		node(journal.NodeBirth, 0, ""), device(journal.DeviceBirth, 0), sample(1, 165), sample(300, 170),
		node(journal.NodeDeath, 600, "connection lost, will published"), node(journal.NodeBirth, 900, ""), device(journal.DeviceBirth, 900), sample(901, 171))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	u := New(Options{History: s, Plant: newTestPlant()})
	query := url.Values{"id": {key.MetricID()}, "from": {start.UTC().Format(stampLayout)}, "to": {start.Add(20 * time.Minute).UTC().Format(stampLayout)}}

	type seen struct {
		ID      string
		Samples []struct {
			T, Q string
			V    float64
		}
		Buckets []struct {
			Count      int
			Mean, Last *float64
		}
		Gaps []struct{ From, To, Cause string }
	}
	var got seen
	wait, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for len(got.Samples) < 3 { // the store follows the journal: durable comes first, then it is read
		w := request(u, "GET", "/api/v1/history?"+query.Encode(), "")
		if got = (seen{}); w.Code == 200 {
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
		}
		if wait.Err() != nil {
			t.Fatalf("the store never shows the samples: %s", w.Body)
		}
	}
	if got.Samples[1].V != 170 || got.Samples[1].Q != "good" || got.Samples[1].T != timeOf(at(300)).UTC().Format(stampLayout) {
		t.Errorf("samples %+v", got.Samples)
	}
	if len(got.Gaps) != 1 || got.Gaps[0].From != timeOf(at(600)).UTC().Format(stampLayout) || got.Gaps[0].To != timeOf(at(900)).UTC().Format(stampLayout) {
		t.Errorf("gaps %+v", got.Gaps)
	}
	query.Set("points", "20") // one a minute
	w := request(u, "GET", "/api/v1/history?"+query.Encode(), "")
	var b seen
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || len(b.Buckets) != 20 || len(b.Gaps) != 1 {
		t.Fatalf("%v %s", err, w.Body)
	}
	if m := b.Buckets[3]; m.Count != 0 || m.Last != nil || m.Mean == nil || *m.Mean != 165 {
		t.Errorf("the fourth minute holds what the first brought: %+v", m)
	}
	if m := b.Buckets[12]; m.Count != 0 || m.Mean != nil {
		t.Errorf("nothing is known of a minute in the gap: %+v", m)
	}
	w = request(u, "GET", "/api/v1/events?kind=node_death&node=plant/oven", "")
	var events struct{ Events []eventSeen }
	if err := json.Unmarshal(w.Body.Bytes(), &events); err != nil || len(events.Events) != 1 || events.Events[0].Reason != "connection lost, will published" {
		t.Errorf("%v %s", err, w.Body)
	}
}

type eventSeen struct{ ID, Kind, Reason string }

// A clock that the historian does not believe is a warning.
func TestClockThatIsNotBelieved(t *testing.T) {
	_, wrong := openStoreWith(t, historian.Options{Clock: func() time.Time { return time.Unix(1000, 0) }})
	_, right := openStore(t)
	for s, want := range map[*historian.Store]bool{wrong: true, right: false} {
		w := request(New(Options{History: s}), "GET", "/api/v1/status", "")
		if got := strings.Contains(w.Body.String(), "the clock is not believed"); got != want {
			t.Errorf("the warning is there: %v, want %v: %s", got, want, w.Body)
		}
	}
}
