package promql

import (
	"fmt"
	"math"
	"testing"
	"time"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// drawMany makes metrics of all kinds on two devices: in order and late, at the same times and not, changing their type, with
// everything that is no plain number. None is historical: a cursor looks back to live ones first.
func drawMany(t *rapid.T) *log {
	l := &log{}
	metrics := rapid.IntRange(1, 12).Draw(t, "metrics")
	at := noon.Add(-time.Duration(rapid.IntRange(60, 30*3600).Draw(t, "since")) * time.Second)
	for range rapid.IntRange(1, 60).Draw(t, "bursts") {
		k := of(fmt.Sprint("m", rapid.IntRange(1, metrics).Draw(t, "metric")))
		k.Type = rapid.SampledFrom([]journal.DataType{10, 10, 10, 9, 3, 8, 11, 12}).Draw(t, "type")
		k.Device = rapid.SampledFrom([]string{"d", "e"}).Draw(t, "device")
		pause := time.Duration(rapid.SampledFrom([]int{1, 1000, 10_000, 1_000_000}).Draw(t, "pause")) * time.Millisecond
		when := at
		if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
			when = at.Add(-time.Duration(rapid.IntRange(1, 4*3600).Draw(t, "by")) * time.Second)
		}
		plain := rapid.Bool().Draw(t, "plain") // a block that has statistics
		for n := range rapid.SampledFrom([]int{1, 3, 60, 300}).Draw(t, "samples") {
			if when.After(noon) {
				break
			}
			f, change := float64(n%7), func(*journal.Sample) {}
			what := 5
			if !plain {
				what = rapid.IntRange(0, 20).Draw(t, "what")
			}
			switch what {
			case 0:
				change = bad
			case 1:
				change = stale
			case 2:
				change = null
			case 3:
				if k.Type == 10 {
					f = math.NaN()
				}
			case 4:
				change = func(s *journal.Sample) { s.Quality = 500 }
			}
			l.sample(k, when, f, change)
			when = when.Add(pause)
		}
		if when.After(at) && when.Before(noon) {
			at = when
		}
		switch rapid.IntRange(0, 15).Draw(t, "event") {
		case 0:
			l.event(journal.NodeDeath, "", at)
		case 1:
			l.event(journal.NodeBirth, "", at)
			l.event(journal.DeviceBirth, "d", at)
		case 2:
			l.gap(at.Add(-time.Minute), at)
		}
	}
	return l
}

// TestReadingAheadChangesNothing: what is read together answers as what cursors read one by one, whatever fits.
func TestReadingAheadChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawMany(rt)
		s, stop := l.open(t, rapid.Bool().Draw(rt, "in files"))
		defer stop()
		for range 4 {
			r := directly(t, New(s, Options{Lookback: time.Duration(rapid.SampledFrom([]int{1, 300, 3600}).Draw(rt, "lookback")) * time.Second,
				Clock: func() time.Time { return noon }}))
			from := noon.Add(-time.Duration(rapid.IntRange(0, 40*3600).Draw(rt, "from")) * time.Second)
			step := time.Duration(rapid.IntRange(1, 3600).Draw(rt, "step")) * time.Second
			end := from.Add(min(noon.Sub(from), 300*step))
			length := rapid.IntRange(1, 2*3600).Draw(rt, "length")
			for _, expr := range []string{
				`sparkplug_value`,
				`timestamp(sparkplug_value)`,
				`sparkplug_value @ end() + sparkplug_value offset -7m`,
				fmt.Sprintf(`min_over_time(sparkplug_value[%ds])`, length),
				fmt.Sprintf(`max_over_time(sparkplug_value[%ds] offset 1h)`, length),
				fmt.Sprintf(`present_over_time(sparkplug_value[%ds]) + on() group_left() max_over_time(sparkplug_value{device="d"}[%ds] @ %d)`, length, length, from.Unix()),
				fmt.Sprintf(`max_over_time(sparkplug_value[%ds:7s])`, min(length, 300)),
				`sparkplug_value{device="d"} - ignoring(device) sparkplug_value{device="e"} offset 10m`,
				fmt.Sprintf(`rate(sparkplug_value[%ds])`, length),
				fmt.Sprintf(`count_over_time(sparkplug_value[%ds])`, length),
				fmt.Sprintf(`avg_over_time(sparkplug_value[%ds:10s])`, min(length, 300)),
				fmt.Sprintf(`sum without(metric) (last_over_time({node="n"}[%ds]))`, length),
			} {
				var first string
				for _, most := range []int{0, 2_000_000, 2000, 100} {
					r.api.o.MaxSamples = most // the engine's stays
					status, body := r.get("/api/v1/query_range", "query", expr, "start", fmt.Sprint(from.Unix()), "end", fmt.Sprint(end.Unix()), "step", step.String())
					if most == 0 {
						first = body
					}
					if status != 200 && status != 422 || body != first {
						rt.Fatalf("%s from %v to %v step %v, ahead %d: %d\n%s\nby cursors:\n%s", expr, from, end, step, most/2, status, body, first)
					}
				}
			}
		}
	})
}
