package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// oneSeries gives every metric the same series.
type oneSeries struct{}

func (oneSeries) Resolve(journal.SeriesKey) (journal.SeriesID, bool) { return 1, false }

// TestRecorderCatchesUp: the journal takes nothing for long, and then again. All events come, in their order, however many
// bytes waited; the samples that were lost are told as a gap.
func TestRecorderCatchesUp(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{}) // takes 8 MiB as long as it does not run
	if err != nil {
		t.Fatal(err)
	}
	r := recorder{journal: j, series: oneSeries{}}
	now := time.UnixMilli(1_700_000_000_000)
	const births, payload = 2000, 16 << 10
	failed := 0
	for i := range births {
		at := now.Add(time.Duration(i) * time.Millisecond)
		_, _, err := r.append(time.Millisecond, []sparkplug.Record{
			{Event: &sparkplug.Event{Kind: sparkplug.NodeBorn, At: at, Group: "G", Node: "N", Payload: make([]byte, payload)}},
			{Sample: &sparkplug.Sample{Group: "G", Node: "N", Metric: "M", At: at, Received: at, Value: sparkplug.DoubleValue(1)}},
		})
		if err != nil {
			failed++
		}
	}
	if failed < births/2 || r.payloads > maxWaitingBytes {
		t.Fatalf("%d of %d appends failed, %d bytes wait", failed, births, r.payloads)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	eventually(t, patience, "what waited is written", func() bool {
		r.append(time.Millisecond, nil) //nolint:errcheck // tried until it works, as the host's tick does
		return len(r.waiting) == 0 && len(r.lost) == 0
	})
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var born, samples int
	var gap uint64
	var last journal.Millis
	for reader := j.NewReader(1); ; {
		rec, ok, err := reader.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		switch {
		case rec.Kind == journal.KindSamples:
			samples += len(rec.Samples)
		case rec.Event.Kind == journal.GapEvent:
			gap += rec.Event.Count
		default:
			born++
			if rec.Event.At < last {
				t.Fatalf("birth of %d after that of %d", rec.Event.At, last)
			}
			last = rec.Event.At
		}
	}
	if born != births || samples+int(gap) != births || int(gap) != failed {
		t.Errorf("%d births of %d; %d samples and a gap of %d, %d appends failed", born, births, samples, gap, failed)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// freshSeries announces its one series each time, as the historian does every two seconds until it saw the schema.
type freshSeries struct{}

func (freshSeries) Resolve(journal.SeriesKey) (journal.SeriesID, bool) { return 1, true }

// TestRecorderWaitingIsBounded: the journal takes nothing for hours. A series that is announced again and again waits once,
// and an event for which there is no room leaves a gap behind the others.
func TestRecorderWaitingIsBounded(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r := recorder{journal: j, series: freshSeries{}}
	now := time.UnixMilli(1_700_000_000_000)
	for i := range 2 * maxWaiting {
		at := now.Add(time.Duration(i) * time.Second)
		sample := sparkplug.Record{Sample: &sparkplug.Sample{Group: "G", Node: "N", Metric: "M", At: at, Received: at, Value: sparkplug.DoubleValue(1)}}
		died := sparkplug.Record{Event: &sparkplug.Event{Kind: sparkplug.NodeDied, At: at, Group: "G", Node: "silent"}}
		if _, _, err := r.append(time.Millisecond, []sparkplug.Record{sample, died}); err == nil {
			t.Fatal("a closed journal takes records")
		}
	}
	if n := len(r.waiting); n != maxWaiting+1 {
		t.Errorf("%d records wait, want one schema and %d events", n, maxWaiting)
	}
	if n := r.lost[sparkplug.NodeRef{Group: "G", Node: "N"}]; n.count != 2*maxWaiting || !n.from.Equal(now) {
		t.Errorf("%+v lost, want every sample", n)
	}
	gap, ok := r.lost[sparkplug.NodeRef{Group: "G", Node: "silent"}]
	if !ok || gap.count != 0 || !gap.from.Equal(now.Add(maxWaiting*time.Second)) {
		t.Errorf("%+v lost, want a gap from the first event that found no room", gap)
	}
}

// fullCatalog has no series left.
type fullCatalog struct{}

func (fullCatalog) Resolve(journal.SeriesKey) (journal.SeriesID, bool) { return 0, false }

// TestRecorderCatalogFull: that metrics are not recorded is said in the event log, once.
func TestRecorderCatalogFull(t *testing.T) {
	r := recorder{series: fullCatalog{}}
	sample := sparkplug.Record{Sample: &sparkplug.Sample{Group: "G", Node: "N", Metric: "M", Received: time.UnixMilli(5), Value: sparkplug.DoubleValue(1)}}
	recs := slices.Clone(r.convert([]sparkplug.Record{sample, sample}))
	recs = append(recs, r.convert([]sparkplug.Record{sample})...)
	if len(recs) != 1 || recs[0].Kind != journal.KindEvent || recs[0].Event.Kind != journal.SystemEvent || r.refused != 3 {
		t.Errorf("%d records, %d refused; want one event for three samples", len(recs), r.refused)
	}
}

// countedSeries counts what it is asked; the first time, and as long as lost is set, a series is fresh.
type countedSeries struct {
	asked int
	lost  bool
}

func (c *countedSeries) Resolve(journal.SeriesKey) (journal.SeriesID, bool) {
	c.asked++
	return 7, c.asked == 1 || c.lost
}

// TestRecorderSlot: a metric's series is looked up until it is known for good, then once more after each birth.
func TestRecorderSlot(t *testing.T) {
	series := &countedSeries{}
	r := recorder{series: series}
	now := time.UnixMilli(1_700_000_000_000)
	host := sparkplug.NewHost(sparkplug.Options{})
	send := func(topic string, p sparkplug.Payload) (schemas int) {
		t.Helper()
		p.Timestamp, p.HasTimestamp, p.HasSeq = sparkplug.Millis(now), true, true
		out := host.Step(sparkplug.Input{Message: &sparkplug.Message{Topic: topic, Payload: sparkplug.Encode(&p)}}, now)
		for _, rec := range r.convert(out.Records) {
			switch {
			case rec.Kind == journal.KindSchema:
				schemas++
			case rec.Kind == journal.KindSamples && (len(rec.Samples) != 1 || rec.Samples[0].Series != 7):
				t.Fatalf("samples %+v", rec.Samples)
			}
		}
		return schemas
	}
	metric := sparkplug.Metric{Name: "M", Type: sparkplug.Double, Value: sparkplug.DoubleValue(1), Timestamp: 1, HasTimestamp: true}
	birth := func() int { return send("spBv1.0/G/NBIRTH/N", sparkplug.Payload{Metrics: []sparkplug.Metric{metric}}) }
	seq := uint64(0)
	data := func(after time.Duration) int {
		now = now.Add(after)
		seq++
		return send("spBv1.0/G/NDATA/N", sparkplug.Payload{Seq: seq, Metrics: []sparkplug.Metric{metric}})
	}
	steps := []struct {
		name    string
		schemas int
		send    func() int
		asked   int // in all
	}{
		{"born", 1, birth, 1},
		{"met first", 0, func() int { return data(time.Second) }, 2},
		{"not yet settled", 0, func() int { return data(settled*time.Millisecond - 1) }, 3},
		{"its schema is lost", 1, func() int { series.lost = true; return data(time.Second) }, 4},
		{"met again", 0, func() int { series.lost = false; return data(time.Second) }, 5},
		{"settled", 0, func() int { return data(settled * time.Millisecond) }, 6},
		{"in the slot", 0, func() int { return data(time.Second) }, 6},
		{"still", 0, func() int { return data(time.Hour) }, 6},
		{"born again", 0, func() int { seq = 0; return birth() }, 7},
		{"after the birth", 0, func() int { return data(time.Second) }, 8},
	}
	for _, s := range steps {
		if schemas := s.send(); schemas != s.schemas || series.asked != s.asked {
			t.Errorf("%s: %d schemas, asked %d times; want %d, %d", s.name, schemas, series.asked, s.schemas, s.asked)
		}
	}
}
