package historian

import (
	"context"
	"math"
	"testing"
	"time"

	"edge/historian/journal"
)

// A setpoint that nobody changed for weeks is shown at every zoom, as long as its node lived and samples of it or hours are kept.
func TestUnchangedForWeeks(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		then func(r *rig)
		want float64
	}{
		{"kept", Options{}, func(*rig) {}, 55},
		{"its samples are gone", Options{Raw: 48 * time.Hour, Minute: 100 * 24 * time.Hour}, func(*rig) {}, 55},
		{"its day is gone", Options{Raw: 48 * time.Hour, Minute: 72 * time.Hour}, func(*rig) {}, 55},
		{"changed since, and not rolled up yet", Options{}, func(r *rig) {
			r.add(key(0), at(noon.Add(6*24*time.Hour), 56))
			r.follow()
			r.flush(flushAll) // hours are old then
		}, 56},
		{"changed since, in memory", Options{}, func(r *rig) {
			r.add(key(0), at(noon.Add(6*24*time.Hour), 56))
			r.follow()
		}, 56},
		{"changed after the range", Options{}, func(r *rig) {
			r.add(key(0), at(noon.Add(276*time.Hour), 99))
			r.follow()
			r.flush(flushAll)
		}, 55},
		{"changed after the range, and its samples are gone", Options{Raw: 48 * time.Hour, Minute: 100 * 24 * time.Hour}, func(r *rig) {
			r.add(key(0), at(noon.Add(276*time.Hour), 99))
			r.follow()
			r.flush(flushAll)
		}, 55},
		{"another of the device came late, and is not rolled up yet", Options{}, func(r *rig) {
			r.add(key(1), at(noon.Add(30*time.Hour), 3))
			r.follow()
			r.flush(flushAll)
		}, 55},
		{"the same, and its samples are gone", Options{Raw: 6 * 24 * time.Hour, Minute: 100 * 24 * time.Hour}, func(r *rig) {
			r.add(key(1), at(noon.Add(7*24*time.Hour), 3))
			r.follow()
			r.flush(flushAll)
		}, 55},
		{"its node died for a minute, not rolled up yet", Options{}, func(r *rig) {
			r.addEvent(death(noon.Add(30 * time.Hour)))
			r.addEvent(birth(journal.NodeBirth, "", noon.Add(30*time.Hour+time.Minute)))
			r.addEvent(birth(journal.DeviceBirth, "d", noon.Add(30*time.Hour+time.Minute)))
			r.follow()
			r.flush(flushAll)
		}, math.NaN()},
		{"changed since", Options{}, func(r *rig) {
			r.add(key(0), at(noon.Add(6*24*time.Hour), 56))
			r.follow()
			r.flush(flushAll)
			r.s.markRest = true
			r.clock.Set(r.clock.Now().Add(2 * time.Hour)) // what comes late is rolled up when it is quiet, and all days behind it
			r.rollAll()
		}, 56},
		{"its node died for a minute", Options{}, func(r *rig) {
			r.addEvent(death(noon.Add(5 * 24 * time.Hour)))
			r.addEvent(birth(journal.NodeBirth, "", noon.Add(5*24*time.Hour+time.Minute)))
			r.addEvent(birth(journal.DeviceBirth, "d", noon.Add(5*24*time.Hour+time.Minute)))
			r.follow()
			r.flush(flushAll)
			r.rollAll()
		}, math.NaN()},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.o)
			defer r.close()
			r.add(key(0), at(noon, 55))
			for day := range 12 { // another metric, so that there are days
				r.add(key(1), at(noon.Add(time.Duration(day)*24*time.Hour+time.Minute), float64(day)))
				r.follow()
				r.flush(flushAll)
				r.wait(24 * time.Hour)
			}
			c.then(r)
			cursor, err := r.s.Cursor("g", "n", "d", "m0", ms(noon.Add(10*24*time.Hour)), ms(noon.Add(11*24*time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			held, ok, err := cursor.Held(context.Background(), ms(noon.Add(10*24*time.Hour)), 0)
			if err != nil {
				t.Fatal(err)
			}
			if f, _ := held.Value.Float64(); c.want == c.want && (!ok || f != c.want) {
				t.Errorf("a cursor says that %v holds, %v; want %v", f, ok, c.want)
			}
			for _, span := range []time.Duration{time.Hour, 6 * time.Hour, 30 * time.Hour} {
				from := noon.Add(10 * 24 * time.Hour)
				list, err := r.s.Charts(context.Background(), ChartQuery{[]Metric{{"g", "n", "d", "m0"}}, ms(from), ms(from.Add(span)), 10})
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range list[0].Buckets {
					if same := b.Mean == c.want || math.IsNaN(b.Mean) && math.IsNaN(c.want); !same || b.Count != 0 {
						t.Errorf("%s: %+v, want %v", span, b, c.want)
						break
					}
				}
			}
		})
	}
}
