package historian

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
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

// An answer has a bound in bytes, and the next one goes on where it stopped.
func TestLongTextsComeInSeveralAnswers(t *testing.T) {
	const size, count = 60_000, 600 // 36 MB
	r := newRig(t, Options{})
	k := textKey()
	for i := range count {
		v := at(noon.Add(time.Duration(i)*time.Second), 0)
		v.Value = journal.Value{Type: 12, Bytes: binary.BigEndian.AppendUint32(make([]byte, size-4), uint32(i))}
		r.add(k, v)
		if r.follow(); i == count/2 {
			r.flush(flushAll)
		}
	}
	var answers []int
	total := 0
	q := Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: ms(noon), To: ms(noon.Add(time.Hour))}
	for more := true; more; more = q.From != 0 {
		got, err := r.s.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range got.Samples {
			if n := binary.BigEndian.Uint32(v.Value.Bytes[size-4:]); int(n) != total {
				t.Fatalf("sample %d stands where %d should", n, total)
			}
			total++
		}
		answers, q.From = append(answers, len(got.Samples)), got.Next
	}
	if want := []int{maxReadBytes / size, maxReadBytes / size, count - 2*(maxReadBytes/size)}; !slices.Equal(answers, want) {
		t.Errorf("answers of %v samples, want %v", answers, want)
	}
	r.close()
}
