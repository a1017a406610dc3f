package history

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// peer is Prometheus' TSDB, set up as its own program does by default.
type peer struct {
	t    testing.TB
	db   *tsdb.DB
	refs []storage.SeriesRef
	sets []labels.Labels
	code map[string]float64 // numbers for texts: it knows only numbers
}

func openPeer(t testing.TB, dir string, keys []journal.SeriesKey) *peer {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.WALCompression = compression.Snappy
	o.MaxBlockDuration = 36 * time.Hour.Milliseconds() // a tenth of its retention
	o.NoLockfile = true
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, db: db, refs: make([]storage.SeriesRef, len(keys)), code: make(map[string]float64)}
	for _, k := range keys {
		p.sets = append(p.sets, labels.FromStrings("__name__", "edge_metric", "group", k.Group, "node", k.Node, "device", k.Device, "metric", k.Metric))
	}
	return p
}

// append commits one second's messages.
func (p *peer) append(list []gen.Message) (samples int) {
	a := p.db.Appender(context.Background())
	for i := range list {
		for k := range list[i].Samples {
			v := &list[i].Samples[k]
			ref, err := a.Append(p.refs[v.Series-1], p.sets[v.Series-1], int64(v.At), p.number(v.Value))
			if err != nil {
				p.t.Fatal(err)
			}
			p.refs[v.Series-1] = ref
			samples++
		}
	}
	if err := a.Commit(); err != nil {
		p.t.Fatal(err)
	}
	return samples
}

func (p *peer) number(v journal.Value) float64 {
	if f, ok := v.Float64(); ok {
		return f
	}
	f, ok := p.code[string(v.Bytes)]
	if !ok {
		f = float64(len(p.code))
		p.code[string(v.Bytes)] = f
	}
	return f
}

func (p *peer) close() {
	if err := p.db.Close(); err != nil {
		p.t.Error(err)
	}
}

// replayPeer is replay for the peer: a commit for each second, which it does not sync.
func replayPeer(t testing.TB, set gen.Set, dir string) (out replayed) {
	started := time.Now()
	set.Start = journal.Millis(started.Add(-set.Duration).UnixMilli())
	src := gen.New(set)
	p := openPeer(t, dir, src.Keys())
	var made time.Duration
	before := processCPU()
	for {
		var list []gen.Message
		var ok bool
		made += making(func() { list, ok = src.Next() })
		if !ok {
			break
		}
		out.samples += p.append(list)
	}
	p.close()
	out.cpu = (processCPU() - before - made) / time.Duration(out.samples)
	out.rest = float64(folderBytes(t, dir)) / float64(out.samples)
	out.took = time.Since(started)
	return out
}
