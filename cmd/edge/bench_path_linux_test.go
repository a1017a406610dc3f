package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/topic"
	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"
)

// BenchmarkSamplePath takes NDATA of 20 metrics by alias, of 500 nodes in turn, from the tap to the journal's buffer: decode,
// host, series, append. cpu-ns/sample is the processor time of that one thread; who writes the journal and the historian
// has threads of its own.
func BenchmarkSamplePath(b *testing.B) {
	const nodes, metrics = 500, 20
	p, j := newSamplePath(b)
	at := time.Now()
	var data [256][]byte
	for seq := range data {
		ms := make([]sparkplug.Metric, metrics)
		for i := range ms {
			ms[i] = value(uint64(i), int64(seq), false)
		}
		data[seq] = sparkplug.Encode(&sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Seq: uint64(seq), HasSeq: true, Metrics: ms})
	}
	topics := make([]topic.Name, nodes)
	for n := range nodes {
		born := []sparkplug.Metric{sparkplug.BdSeqMetric(0, at)}
		for i := range metrics {
			born = append(born, value(uint64(i), 0, true))
		}
		birth := sparkplug.Encode(&sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, HasSeq: true, Metrics: born})
		p.Message(&broker.Message{Topic: topic.Name(fmt.Sprintf("spBv1.0/Works/NBIRTH/Node %03d", n)), Payload: birth, From: "c"}) //nolint:errcheck // as a tap's
		topics[n] = topic.Name(fmt.Sprintf("spBv1.0/Works/NDATA/Node %03d", n))
	}
	if err := j.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	now := at
	p.now = func() time.Time { return now }
	send := func(round int) {
		for n := range nodes {
			p.Message(&broker.Message{Topic: topics[n], Payload: data[round%256], From: "c"}) //nolint:errcheck // as a tap's
		}
		if err := j.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	round := 1
	for ; round < 10; round++ { // until the series are known for good
		send(round)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took time.Duration
	count := 0
	b.ReportAllocs()
	for b.Loop() {
		from := threadTime(b)
		send(round)
		took += threadTime(b) - from
		round, count = round+1, count+nodes*metrics
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(count), "cpu-ns/sample")
	if gaps := len(p.rec.lost); gaps > 0 || p.rec.refused > 0 {
		b.Fatalf("%d nodes lost samples, %d refused", gaps, p.rec.refused)
	}
}

// newSamplePath is a plant over a journal and a historian that work.
func newSamplePath(b *testing.B) (*plant, *journal.Journal) {
	j, err := journal.Open(b.TempDir(), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	kept, err := journal.OpenState(j, "births", b.TempDir()+"/births")
	if err != nil {
		b.Fatal(err)
	}
	h, err := historian.Open(b.TempDir(), j, historian.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- j.Run(ctx) }()
	go func() { ended <- h.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended, h.Close(), j.Close()); err != nil {
			b.Error(err)
		}
	})
	return &plant{log: slog.New(slog.DiscardHandler), now: time.Now, births: births{kept: kept}, sampleDue: 250 * time.Millisecond,
		ackedDue: 10 * time.Millisecond, outbox: make(chan sparkplug.Publish, outboxSize), live: nobody{},
		host: sparkplug.NewHost(sparkplug.Options{}), rec: recorder{journal: j, series: h}}, j
}

// threadTime is the processor time of the calling thread.
func threadTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1, &u); err != nil { // RUSAGE_THREAD
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
