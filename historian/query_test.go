package historian

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// states runs a test on samples in memory, in a file, and in a file that was opened anew.
func states(t *testing.T, fill func(r *rig), test func(t *testing.T, r *rig)) {
	for _, state := range []string{"in memory", "in a file", "reopened", "after a crash"} {
		t.Run(state, func(t *testing.T) {
			r := newRig(t, Options{})
			fill(r)
			r.follow()
			switch state {
			case "in a file":
				r.flush(flushAll)
			case "reopened":
				r.close()
				r.open()
			case "after a crash":
				r.crash()
				r.open()
			}
			defer r.close()
			test(t, r)
		})
	}
}

// What a node stored while it was cut off comes later than what it sends now, and may tell of a later time than the newest live sample.
func TestHeldIsWhatColumnsCarry(t *testing.T) {
	states(t, func(r *rig) {
		r.add(key(0), at(noon.Add(-90*time.Minute), 1))
		for i, minutes := range []int{100, 80, 70} {
			old := at(noon.Add(-time.Duration(minutes)*time.Minute), float64(2+i))
			old.Historical = true
			r.add(key(0), old)
		}
	}, func(t *testing.T, r *rig) {
		k := key(0)
		c, err := r.s.Cursor(k.Group, k.Node, k.Device, k.Metric, 0, ms(noon))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []struct {
			before int // minutes
			want   float64
		}{{95, 2}, {85, 1}, {75, 3}, {65, 4}} {
			when := ms(noon.Add(-time.Duration(q.before) * time.Minute))
			v, ok, err := c.Held(context.Background(), when, 0)
			if f, _ := v.Value.Float64(); err != nil || !ok || f != q.want {
				t.Errorf("%d minutes before noon %v holds, %v, %v; want %v", q.before, f, ok, err, q.want)
			}
			list, err := r.s.Columns(context.Background(), []Metric{{k.Group, k.Node, k.Device, k.Metric}}, when, when+1, nil, 10)
			if err != nil || len(list[0].Num) != 1 || list[0].Num[0] != q.want {
				t.Errorf("%d minutes before noon columns carry %v, %v; want %v", q.before, list, err, q.want)
			}
		}
	})
}

func TestReadGoesOnWhereItStopped(t *testing.T) {
	states(t, func(r *rig) {
		for i := range 90 {
			r.add(key(0), at(noon.Add(time.Duration(i-80)*time.Minute), float64(i)))
		}
	}, func(t *testing.T, r *rig) {
		var got []float64
		from := ms(noon.Add(-2 * time.Hour))
		for calls := 0; ; calls++ {
			out, err := r.s.Read(context.Background(), Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: from, To: ms(noon.Add(time.Hour)), Limit: 40})
			if err != nil || len(out.Samples) > 40 || calls > 3 {
				t.Fatalf("call %d: %d samples, %v", calls, len(out.Samples), err)
			}
			got = append(got, values(out.Samples)...)
			if from = out.Next; from == 0 {
				break
			}
		}
		if len(got) != 90 || got[0] != 0 || got[89] != 89 {
			t.Errorf("got %v", got)
		}
	})
}

func TestReadUnknownMetric(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	if _, err := r.s.Read(context.Background(), Range{Metric: "nobody", To: ms(noon)}); !errors.Is(err, ErrNoSeries) {
		t.Errorf("error %v, want ErrNoSeries", err)
	}
	if v, ok := r.s.Last("g", "n", "d", "nobody"); ok {
		t.Errorf("Last gave %v", v)
	}
}

func death(t time.Time) journal.Event {
	return journal.Event{Kind: journal.NodeDeath, At: ms(t), Group: "g", Node: "n", Reason: "connection lost"}
}

func birth(kind journal.EventKind, device string, t time.Time) journal.Event {
	return journal.Event{Kind: kind, At: ms(t), Group: "g", Node: "n", Device: device, Payload: []byte("birth")}
}

func TestBuckets(t *testing.T) {
	minute := func(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }
	nan := math.NaN()
	for _, c := range []struct {
		name string
		fill func(r *rig)
		want []Bucket // T is not looked at; of noon to noon + 6 minutes, now is noon + 5
		gaps []Gap
	}{
		{"a value holds until the next, up to now", func(r *rig) {
			r.add(key(0), at(minute(0.5), 10), at(minute(3), 40))
		}, []Bucket{
			{Min: 10, Max: 10, Mean: 10, Last: 10, Count: 1, Quality: journal.Good},
			{Min: 10, Max: 10, Mean: 10, Last: 10, Quality: journal.Good},
			{Min: 10, Max: 10, Mean: 10, Last: 10, Quality: journal.Good},
			{Min: 40, Max: 40, Mean: 40, Last: 40, Count: 1, Quality: journal.Good},
			{Min: 40, Max: 40, Mean: 40, Last: 40, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
		}, nil},
		{"the mean is weighted with time, a spike of one sample shows", func(r *rig) {
			r.add(key(0), at(minute(-10), 10), at(minute(1.5), 1000), at(minute(1.75), 20))
		}, []Bucket{
			{Min: 10, Max: 10, Mean: 10, Last: 10, Quality: journal.Good},
			{Min: 20, Max: 1000, Mean: 10*0.5 + 1000*0.25 + 20*0.25, Last: 20, Count: 2, Quality: journal.Good},
			{Min: 20, Max: 20, Mean: 20, Last: 20, Quality: journal.Good},
			{Min: 20, Max: 20, Mean: 20, Last: 20, Quality: journal.Good},
			{Min: 20, Max: 20, Mean: 20, Last: 20, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
		}, nil},
		{"nothing is carried over a death; a device lives with its own birth", func(r *rig) {
			r.add(key(0), at(minute(0.5), 10))
			r.addEvent(death(minute(1)))
			r.addEvent(birth(journal.NodeBirth, "", minute(2)))
			r.addEvent(birth(journal.DeviceBirth, "d", minute(3)))
			r.add(key(0), at(minute(3.5), 30))
		}, []Bucket{
			{Min: 10, Max: 10, Mean: 10, Last: 10, Count: 1, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: 30, Max: 30, Mean: 30, Last: 30, Count: 1, Quality: journal.Good},
			{Min: 30, Max: 30, Mean: 30, Last: 30, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
		}, []Gap{{From: ms(minute(1)), To: ms(minute(3)), Cause: "node death: connection lost"}}},
		{"a range that starts inside a death", func(r *rig) {
			r.add(key(0), at(minute(-100), 10))
			r.addEvent(death(minute(-90)))
		}, []Bucket{
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
		}, []Gap{{From: ms(minute(-90)), Cause: "node death: connection lost"}}},
		{"missing samples; a bad one has no value", func(r *rig) {
			bad := at(minute(3.5), 7)
			bad.Quality = journal.Bad
			r.add(key(0), at(minute(0), 10), at(minute(2), 20), bad)
			r.addEvent(journal.Event{Kind: journal.GapEvent, At: ms(minute(1)), Until: ms(minute(2)), Group: "g", Node: "n", Reason: "lost"})
		}, []Bucket{
			{Min: 10, Max: 10, Mean: 10, Last: 10, Count: 1, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
			{Min: 20, Max: 20, Mean: 20, Last: 20, Count: 1, Quality: journal.Good},
			{Min: nan, Max: nan, Mean: 20, Last: nan, Count: 1, Quality: journal.Bad},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Bad},
			{Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Stale},
		}, []Gap{{From: ms(minute(1)), To: ms(minute(2)), Cause: "lost"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			states(t, c.fill, func(t *testing.T, r *rig) {
				r.clock.Set(minute(5))
				got, gaps, err := r.s.Buckets(context.Background(),
					Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(noon), To: ms(minute(6))}, 6)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Bucket{}, "T"), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); d != "" {
					t.Errorf("buckets (-want +got):\n%s", d)
				}
				for i, b := range got {
					if b.T != ms(minute(float64(i))) {
						t.Errorf("bucket %d begins at %d", i, b.T)
					}
				}
				if d := cmp.Diff(c.gaps, gaps, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("gaps (-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestSpikeShowsAtEveryZoom(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	for i := range 600 {
		r.add(key(0), at(noon.Add(time.Duration(i-600)*time.Second), map[bool]float64{true: 99, false: 1}[i == 333]))
	}
	r.follow()
	r.flush(flushAll)
	for _, points := range []int{1, 2, 3, 7, 50, 600, 9999} {
		t.Run(fmt.Sprint(points), func(t *testing.T) {
			got, _, err := r.s.Buckets(context.Background(),
				Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(noon.Add(-10 * time.Minute)), To: ms(noon)}, points)
			if err != nil || len(got) != points {
				t.Fatalf("%d buckets, %v", len(got), err)
			}
			spikes, count := 0, 0
			for _, b := range got {
				if count += b.Count; b.Count > 0 && b.Max == 99 {
					spikes++
				}
			}
			if spikes != 1 || count != 600 {
				t.Errorf("the spike is in %d columns, the columns count %d samples", spikes, count)
			}
		})
	}
}

func TestLast(t *testing.T) {
	states(t, func(r *rig) {
		old := at(noon.Add(time.Minute), 5)
		old.Historical = true
		r.add(key(0), at(noon, 1), at(noon.Add(time.Second), 2), old)
		r.add(key(1), at(noon, 7))
		r.addEvent(journal.Event{Kind: journal.DeviceDeath, At: ms(noon.Add(time.Hour)), Group: "g", Node: "n", Device: "other"})
		k := key(2)
		k.Device = ""
		r.add(k, at(noon, 9))
	}, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			device, metric string
			want           float64
		}{{"d", "m0", 2}, {"d", "m1", 7}, {"", "m2", 9}} {
			v, ok := r.s.Last("g", "n", c.device, c.metric)
			if f, _ := v.Value.Float64(); !ok || f != c.want || v.Quality != journal.Good {
				t.Errorf("%s: %v (%v), want %v, good", c.metric, v, ok, c.want)
			}
		}
		r.addEvent(death(noon.Add(time.Minute)))
		r.follow()
		if v, _ := r.s.Last("g", "n", "", "m2"); v.Quality != journal.Stale {
			t.Errorf("quality %d after the node's death, want stale", v.Quality)
		}
	})
}

func TestEventsArePaged(t *testing.T) {
	states(t, func(r *rig) {
		for i := range 25 {
			r.addEvent(journal.Event{Kind: journal.SystemEvent, At: ms(noon.Add(time.Duration(i) * time.Second)), Reason: fmt.Sprint(i)})
			if i == 12 {
				r.follow()
				r.flush(flushAll)
				r.clock.Set(noon.Add(13 * time.Hour)) // the next go to another day
			}
		}
		r.addEvent(death(noon))
	}, func(t *testing.T, r *rig) {
		var got []string
		q := EventQuery{Kinds: []journal.EventKind{journal.SystemEvent}, Limit: 10}
		for range 4 {
			list, err := r.s.Events(context.Background(), q)
			if err != nil || len(list) > 10 {
				t.Fatalf("%d events, %v", len(list), err)
			}
			for _, e := range list {
				got, q.After = append(got, e.Reason), e.Index
			}
		}
		if len(got) != 25 || got[0] != "24" || got[24] != "0" {
			t.Errorf("got %q", got)
		}
		deaths, err := r.s.Events(context.Background(), EventQuery{Group: "g", Node: "n"})
		if err != nil || len(deaths) != 1 || deaths[0].Kind != journal.NodeDeath || deaths[0].BdSeq != -1 {
			t.Errorf("events of the node: %v, %v", deaths, err)
		}
	})
}

// A node's clock may be wrong by any amount; when its birth and its device's death were received is told by ours.
func TestEventsTellWhenTheyWereReceived(t *testing.T) {
	states(t, func(r *rig) {
		for i, e := range []journal.Event{
			birth(journal.NodeBirth, "", noon.Add(2*time.Hour)),
			birth(journal.DeviceBirth, "d", noon.Add(-40*24*time.Hour)),
			{Kind: journal.DeviceDeath, At: ms(noon.Add(400 * 24 * time.Hour)), Group: "g", Node: "n", Device: "d"},
			death(noon.Add(3 * time.Second)),
			{Kind: journal.GapEvent, At: ms(noon.Add(-time.Hour)), Until: ms(noon), Group: "g", Node: "n"},
			{Kind: journal.SystemEvent, At: ms(noon.Add(5 * time.Second))},
		} {
			r.clock.Set(noon.Add(time.Duration(i) * time.Second))
			r.addEvent(e)
		}
	}, func(t *testing.T, r *rig) {
		list, err := r.s.Events(context.Background(), EventQuery{})
		if err != nil || len(list) != 6 {
			t.Fatalf("%d events, %v", len(list), err)
		}
		for i, e := range list {
			if want := ms(noon.Add(time.Duration(len(list)-1-i) * time.Second)); e.Received != want {
				t.Errorf("%s of %d was received at %d, want %d", e.Kind, e.At, e.Received, want)
			}
		}
	})
}

func TestResolve(t *testing.T) {
	r := newRig(t, Options{MaxSeries: 2})
	defer r.close()
	a, fresh := r.s.Resolve(key(0))
	if again, f := r.s.Resolve(key(0)); !fresh || a == 0 || again != a || f {
		t.Errorf("first %d %v, then %d %v", a, fresh, again, f)
	}
	r.clock.Set(noon.Add(3 * time.Second))
	if again, f := r.s.Resolve(key(0)); again != a || !f {
		t.Errorf("its schema never came: %d %v, want %d and fresh", again, f, a)
	}
	r.add(key(1), at(noon, 1))
	if id, _ := r.s.Resolve(key(2)); id != 0 {
		t.Errorf("series %d of at most 2", id)
	}
	g, n, d, m, ok := r.s.FindMetric(key(0).MetricID())
	if !ok || g+n+d+m != "gndm0" {
		t.Errorf("FindMetric: %q %q %q %q %v", g, n, d, m, ok)
	}
	if k, ok := r.s.Key(a); !ok || k != key(0) {
		t.Errorf("Key: %v %v", k, ok)
	}
	if list := r.s.Metrics(); len(list) != 2 || list[0].Key != key(0) {
		t.Errorf("Metrics: %v", list)
	}
}
