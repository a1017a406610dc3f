package promql

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// twin is what is known of one metric, told by going through all of it each time.
type twin struct {
	samples []point // ascending; known false: bad
	edges   []time.Time
}

// holds is the value at t as the historian's rules have it.
func (w *twin) holds(t time.Time) string {
	last := point{}
	for _, p := range w.samples {
		if p.at <= ms(t) {
			last = p
		}
	}
	for _, e := range w.edges {
		if ms(e) > last.at && ms(e) <= ms(t) {
			return "-"
		}
	}
	if !last.known {
		return "-"
	}
	return fmt.Sprint(last.f)
}

// points are what a range vector that ends at t sees: samples, and what holds between them.
func (w *twin) points(t time.Time, length time.Duration) (out []float64) {
	first, repeat := ms(t.Add(-length)), millis(length)/60
	for i, p := range w.samples {
		end := ms(noon) + 1
		for _, e := range w.edges {
			if ms(e) > p.at {
				end = min(end, ms(e))
			}
		}
		if i+1 < len(w.samples) {
			end = min(end, w.samples[i+1].at)
		}
		for at := p.at + max(0, first-p.at)/repeat*repeat; p.known && at <= ms(t) && (at < end || at == p.at); at += repeat {
			if at > first {
				out = append(out, p.f)
			}
		}
	}
	return out
}

// over is f of the points, as words.
func over(list []float64, f func([]float64) float64) string {
	if len(list) == 0 {
		return "-"
	}
	return fmt.Sprint(f(list))
}

// draw makes a metric that was silent, busy, bad, dead and lost by turns, and the same as a log.
func draw(t *rapid.T) (*twin, *log) {
	w, l := &twin{}, &log{}
	l.event(journal.NodeBirth, "", ago(100*60))
	l.event(journal.DeviceBirth, "d", ago(100*60))
	for at := noon.Add(-time.Duration(rapid.IntRange(1, 60*60).Draw(t, "since")) * time.Minute); at.Before(noon); {
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0: // dead for a while, or for good
			l.event(journal.NodeDeath, "", at)
			w.edges = append(w.edges, at)
			at = at.Add(time.Duration(rapid.IntRange(1, 5*3600_000).Draw(t, "dead")) * time.Millisecond)
			if at.After(noon) {
				continue
			}
			l.event(journal.NodeBirth, "", at)
			l.event(journal.DeviceBirth, "d", at)
			w.edges = append(w.edges, at)
		case 1: // lost
			end := at.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "lost")) * time.Second)
			l.gap(at, end)
			w.edges = append(w.edges, at, end)
			at = end
		case 2, 3: // silent
			at = at.Add(time.Duration(rapid.IntRange(1, 30*3600).Draw(t, "silent")) * time.Second)
		case 4:
			l.sample(of("m"), at, 0, bad)
			w.samples = append(w.samples, point{at: ms(at)})
			at = at.Add(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "bad")) * time.Millisecond)
		default: // busy
			for range rapid.IntRange(1, 20).Draw(t, "samples") {
				if at.After(noon) {
					break
				}
				f := float64(rapid.IntRange(-5, 5).Draw(t, "value"))
				l.sample(of("m"), at, f)
				w.samples = append(w.samples, point{at: ms(at), f: f, known: true})
				at = at.Add(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "pause")) * time.Millisecond)
			}
		}
	}
	l.sample(of("other"), noon, 1) // so that there is a store at all
	return w, l
}

// TestAgainstATwin compares what the engine makes of the historian with what a loop over everything says.
func TestAgainstATwin(t *testing.T) {
	const expr = `sparkplug_value{metric="m"}`
	rapid.Check(t, func(rt *rapid.T) {
		w, l := draw(rt)
		s, stop := l.open(t, rapid.Bool().Draw(rt, "in files"))
		defer stop()
		for range 6 {
			lookback := time.Duration(rapid.SampledFrom([]int{1, 7, 300, 3600}).Draw(rt, "lookback")) * time.Second
			r := directly(t, New(s, Options{Lookback: lookback, Clock: func() time.Time { return noon }}))
			r.api.o.MaxSamples = rapid.SampledFrom([]int{0, 60, 2_000_000}).Draw(rt, "ahead") // the engine's stays
			step := time.Duration(rapid.IntRange(1, 3*3600_000).Draw(rt, "step")) * time.Millisecond
			steps := rapid.IntRange(0, 40).Draw(rt, "steps")
			from := noon.Add(-time.Duration(rapid.IntRange(0, 50*3600_000).Draw(rt, "from")) * time.Millisecond)
			if end := from.Add(time.Duration(steps) * step); end.After(noon) {
				steps = int(noon.Sub(from) / step)
			}
			length := time.Duration(rapid.IntRange(100, 4*3600_000).Draw(rt, "length")) * time.Millisecond
			window := fmt.Sprintf("%s[%dms]", expr, length.Milliseconds())
			for _, c := range []struct {
				expr string
				want func(at time.Time) string
			}{
				{expr, w.holds},
				{expr + " offset 1h", func(at time.Time) string { return w.holds(at.Add(-time.Hour)) }},
				{"max_over_time(" + window + ")", func(at time.Time) string { return over(w.points(at, length), slices.Max[[]float64]) }},
				{"min_over_time(" + window + ")", func(at time.Time) string { return over(w.points(at, length), slices.Min[[]float64]) }},
				{"last_over_time(" + window + ")", func(at time.Time) string {
					return over(w.points(at, length), func(l []float64) float64 { return l[len(l)-1] })
				}},
				{"changes(" + window + ")", func(at time.Time) string {
					return over(w.points(at, length), func(l []float64) float64 { return float64(len(slices.Compact(l)) - 1) })
				}},
				{"count_over_time(" + window + ")", func(at time.Time) string {
					n := 0
					for _, p := range w.samples {
						if p.known && p.at > ms(at)-millis(length) && p.at <= ms(at) {
							n++
						}
					}
					return strings.Replace(fmt.Sprint(n), "0", "-", map[bool]int{true: 1}[n == 0])
				}},
			} {
				var want []string
				for i := range steps + 1 {
					want = append(want, c.want(from.Add(time.Duration(i)*step)))
				}
				got := r.line(c.expr, from, from.Add(time.Duration(steps)*step), step)
				if want := strings.Join(want, " "); got != want {
					rt.Fatalf("%s from %v step %v, lookback %v:\ngot  %s\nwant %s", c.expr, from, step, lookback, got, want)
				}
				at := steps / 2
				if got := r.at(c.expr, from.Add(time.Duration(at)*step)); got != want[at] {
					rt.Fatalf("%s at %v, lookback %v: got %s, want %s", c.expr, from.Add(time.Duration(at)*step), lookback, got, want[at])
				}
			}
		}
	})
}

// TestRateOverCounters: what a counter counted is what increase says, over resets, pauses and a change of a metric that is rarely sent.
func TestRateOverCounters(t *testing.T) {
	l := &log{}
	busy, rare := of("busy"), of("rare")
	busy.Type, rare.Type = 8, 4
	count := 0.0
	for i := range 8 * 360 { // one each 10 s for 8 h, reset every 50 minutes
		count++
		if i%300 == 0 {
			count = 0
		}
		l.sample(busy, noon.Add(-8*time.Hour+time.Duration(i)*10*time.Second), count)
	}
	l.sample(rare, ago(20*60), 100)
	l.sample(rare, ago(30), 110) // the only one in hours
	r := l.serve(t, true, Options{})
	for _, c := range []struct {
		expr  string
		want  float64
		close float64 // part that the answer may be off: increase extrapolates to the window's edges
	}{
		{`increase(sparkplug_value{metric="busy"}[6h])`, 6*360 - 7, 0.01}, // a reset to 0 loses one
		{`rate(sparkplug_value{metric="busy"}[30m]) * 600`, 60, 0.02},
		{`increase(sparkplug_value{metric="rare"}[1h])`, 10, 0.04},
		{`increase(sparkplug_value{metric="rare"}[10h])`, 10, 0.04},
		{`rate(sparkplug_value{metric="rare"}[5m])`, 0, 0},
		{`max_over_time(sparkplug_value{metric="rare"}[1m])`, 110, 0},
		{`resets(sparkplug_value{metric="busy"}[6h])`, 7, 0},
		{`sum_over_time(sparkplug_value{metric="rare"}[1d])`, 210, 0},
		{`avg_over_time(sparkplug_value{metric="rare"}[1h:10s])`, 105, 0.001},
		{`avg by (node) (sparkplug_value{metric=~"rare|busy"})`, (110 + 179) / 2.0, 0},
		{`quantile(1, sparkplug_value) - on() group_left sparkplug_value{metric="rare"}`, 69, 0},
		{`topk(1, sparkplug_value)`, 179, 0},
		{`absent(sparkplug_value{metric="none"})`, 1, 0},
		{`time() - timestamp(sparkplug_value{metric="busy"}) < bool 60`, 1, 0},
	} {
		var got float64
		if _, err := fmt.Sscan(r.at(c.expr, noon), &got); err != nil {
			t.Errorf("%s: %v", c.expr, err)
		}
		if math.Abs(got-c.want) > c.close*c.want {
			t.Errorf("%s is %v, want %v", c.expr, got, c.want)
		}
	}
}
