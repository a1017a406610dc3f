package historian

import (
	"context"
	"errors"
	"testing"
	"time"

	"edge/historian/journal"
)

// TestDenseSamples: of a metric with more samples in an hour than are gathered at once every one is read, in memory and from the
// file, and what held before them is found.
func TestDenseSamples(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	const count = stepSamples + stepSamples/2
	r.add(key(0), at(noon.Add(-30*time.Minute), -1))
	for i := range count {
		r.add(key(0), at(noon.Add(time.Duration(i)*10*time.Millisecond), float64(i)))
	}
	r.follow()
	for _, where := range []string{"memory", "file"} {
		q, err := r.s.query(Range{Group: key(0).Group, Node: key(0).Node, Device: key(0).Device, Metric: key(0).Metric, From: ms(noon), To: ms(noon.Add(time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.collect(context.Background(), nil, dayOf(ms(noon)), q.from, q.to); !errors.Is(err, errWide) {
			t.Errorf("%s: %v, want too many at once", where, err)
		}
		got, err := r.s.Read(context.Background(), Range{Group: key(0).Group, Node: key(0).Node, Device: key(0).Device, Metric: key(0).Metric,
			From: ms(noon), To: ms(noon.Add(time.Hour)), Limit: 2 * count})
		if err != nil || len(got.Samples) != count || got.Next != 0 {
			t.Errorf("%s: %d samples, next %d, %v; want %d", where, len(got.Samples), got.Next, err, count)
		}
		wanted := func(v journal.Sample) bool { f, _ := v.Value.Float64(); return f == count/4 }
		if v, ok := q.before(context.Background(), ms(noon.Add(time.Hour)), 0, wanted); !ok || v.At != ms(noon)+10*count/4 {
			t.Errorf("%s: found %v, want the one of %d", where, v, count/4)
		}
		r.flush(flushAll)
	}
}
