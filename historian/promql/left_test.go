package promql

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/journal"

	"pgregory.net/rapid"
)

// thinned serves a log of which retention took the samples that are older than raw, and whole days that are older than minute.
func (l *log) thinned(t *testing.T, raw, minute time.Duration) *rig {
	t.Helper()
	s, stop := l.thinnedStore(t, raw, minute)
	t.Cleanup(stop)
	return directly(t, New(s, Options{Clock: func() time.Time { return noon }}))
}

func (l *log) thinnedStore(t *testing.T, raw, minute time.Duration) (s *historian.Store, stop func()) {
	t.Helper()
	o := historian.Options{Raw: raw, Minute: minute, Clock: func() time.Time { return noon }}
	s, closeStore := l.openWith(t, true, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for range 2 { // after the first comes retention, before the second
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if !s.LacksSamples(0, ms(noon)) {
		t.Fatal("retention took nothing")
	}
	return s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		closeStore()
	}
}

// TestDaysWithoutSamples: where retention left only rows of minutes and hours, a chart shows what held at their ends.
func TestDaysWithoutSamples(t *testing.T) {
	const day = 24 * time.Hour
	l := &log{}
	begin := noon.Add(-10 * day)
	l.event(journal.NodeBirth, "", begin)
	l.event(journal.DeviceBirth, "d", begin)
	l.sample(of("setpoint"), begin, 55)
	for i := range 10 * 24 * 60 { // each minute, a saw of an hour
		at := begin.Add(time.Duration(i) * time.Minute)
		dead := !at.Before(begin.Add(3*day)) && at.Before(begin.Add(3*day+4*time.Hour))
		if !dead {
			for range 7 { // so that minutes have rows
				l.sample(of("saw"), at.Add(time.Second), float64(i%60))
				at = at.Add(8 * time.Second)
			}
			l.sample(of("count"), at, float64(i))
		}
	}
	l.event(journal.NodeDeath, "", begin.Add(3*day))
	l.event(journal.NodeBirth, "", begin.Add(3*day+4*time.Hour))
	l.event(journal.DeviceBirth, "d", begin.Add(3*day+4*time.Hour))
	l.sample(of("setpoint"), begin.Add(3*day+4*time.Hour), 56)
	l.sample(of("setpoint"), noon.Add(-time.Hour), 57)
	r := l.thinned(t, 4*day, 7*day)
	same := func(what, got string, want ...any) {
		t.Helper()
		if w := strings.Trim(fmt.Sprint(want...), "[]"); got != w {
			t.Errorf("%s: got  %s\nwant %s", what, got, w)
		}
	}
	saw, setpoint := `sparkplug_value{metric="saw"}`, `sparkplug_value{metric="setpoint"}`

	same("a setpoint by the day, over all", r.line(setpoint, begin.Add(time.Hour), begin.Add(10*day-time.Minute), day), "55 55 55 - 56 56 56 56 56 56")
	same("a setpoint by the minute, where its node died", r.line(setpoint, begin.Add(3*day-2*time.Minute), begin.Add(3*day+2*time.Minute), time.Minute), "55 55 - - -")
	same("a saw at the ends of hours", r.line(saw, begin.Add(time.Hour), begin.Add(10*day-time.Minute), 12*time.Hour),
		"59 59 59 59 59 59 - 59 59 59 59 59 59 59 59 59 59 59 59 59")
	same("a saw by the quarter of an hour, of hours", r.line(saw, begin.Add(5*time.Hour), begin.Add(6*time.Hour), 15*time.Minute), "59 59 59 59 59")
	same("the same, of minutes", r.line(saw, begin.Add(4*day), begin.Add(4*day+time.Hour), 15*time.Minute), "59 14 29 44 59")
	same("the same, of samples", r.line(saw, begin.Add(7*day), begin.Add(7*day+time.Hour), 15*time.Minute), "59 14 29 44 59")
	same("from minutes to samples", r.line(saw, midnight(begin, 6).Add(-30*time.Second), midnight(begin, 6).Add(2*time.Minute), 30*time.Second), "58 59 0 0 1 1")

	for _, c := range []struct {
		expr string
		want float64 // of a day of the saw
	}{
		{`min_over_time(` + saw + `[1d])`, 0}, {`max_over_time(` + saw + `[1d])`, 59}, {`avg_over_time(` + saw + `[1d])`, 29.5},
		{`count_over_time(` + saw + `[1d])`, 24 * 60 * 7}, {`sum_over_time(` + saw + `[1d])`, 24 * 60 * 7 * 29.5}, {`last_over_time(` + saw + `[1d])`, 59},
		{`increase(sparkplug_value{metric="count"}[1d])`, 24 * 60}, {`avg_over_time(` + saw + `[1d:1m])`, 29.5},
	} {
		for _, at := range []int{2, 5, 6, 9} { // hours, minutes (and where they begin), both and samples, samples
			var got float64
			if _, err := fmt.Sscan(r.at(c.expr, begin.Add(time.Duration(at)*day)), &got); err != nil {
				t.Errorf("%s on day %d: %v", c.expr, at, err)
			}
			if math.Abs(got-c.want) > 0.03*math.Max(1, c.want) {
				t.Errorf("%s on day %d is %v, want %v", c.expr, at, got, c.want)
			}
		}
	}
}

// What is shown where only rows are left was so; where nothing is shown, nobody can know from them. Behind those days each answer is
// what the samples say, wherever a chart begins.
func TestRowsAgainstATwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, l := draw(rt)
		s, stop := l.thinnedStore(t, 24*time.Hour, 100*24*time.Hour)
		defer stop()
		w.checkRows(rt, directly(t, New(s, Options{Clock: func() time.Time { return noon }})))
		lookback := time.Duration(rapid.SampledFrom([]int{1, 7, 300, 3600}).Draw(rt, "lookback")) * time.Second
		w.checkBorder(rt, directly(t, New(s, Options{Lookback: lookback, Clock: func() time.Time { return noon }})))
	})
}

const exprM = `sparkplug_value{metric="m"}`

// checkRows asks at the ends of the hours of the day that ended 36 h ago, which is older than a day.
func (w *twin) checkRows(t *rapid.T, r *rig) {
	for hours := 60; hours > 36; hours-- {
		end := noon.Add(-time.Duration(hours)*time.Hour - time.Millisecond)
		from := end.Add(-time.Hour)
		want, got := w.holds(end), r.at(exprM, end)
		clear := true
		for _, e := range w.edges {
			clear = clear && !(e.After(from) && !e.After(end))
		}
		for _, p := range w.samples {
			clear = clear && (p.known || p.at <= ms(from) || p.at > ms(end))
		}
		if got != want && (got != "-" || clear) {
			t.Fatalf("at %v: got %s, want %s", end, got, want)
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, p := range w.samples {
			if p.known && p.at > ms(from) && p.at <= ms(end) {
				low, high = min(low, p.f), max(high, p.f)
			}
		}
		for name, want := range map[string]float64{"min": low, "max": high} { // and what held before, perhaps
			got := r.at(name+"_over_time("+exprM+"[1h])", end)
			var f float64
			if _, err := fmt.Sscan(got, &f); low <= high && (err != nil || (name == "min" && f > want || name == "max" && f < want)) {
				t.Fatalf("%s of the hour until %v: got %s, want %v", name, end, got, want)
			}
		}
	}
}

// checkBorder asks for charts that go over the end of that day. Of what holds since before it rows may not know.
func (w *twin) checkBorder(t *rapid.T, r *rig) {
	border := midnight(noon, -1)
	for range 4 {
		step := time.Duration(rapid.IntRange(1, 3*3600_000).Draw(t, "step")) * time.Millisecond
		from := border.Add(time.Duration(rapid.IntRange(-5*3600_000, 20*3600_000).Draw(t, "from")) * time.Millisecond)
		steps := min(40, int(noon.Sub(from)/step))
		got := strings.Fields(r.line(exprM, from, from.Add(time.Duration(steps)*step), step))
		if len(got) != steps+1 {
			t.Fatalf("%d points, want %d", len(got), steps+1)
		}
		for i, g := range got {
			at := from.Add(time.Duration(i) * step)
			if at.Before(border) {
				continue
			}
			since := slices.ContainsFunc(w.samples, func(p point) bool { return p.at >= ms(border) && p.at <= ms(at) })
			if want := w.holds(at); g != want && (g != "-" || since) {
				t.Fatalf("at %v (from %v, each %v): got %s, want %s", at, from, step, g, want)
			}
		}
	}
}

// midnight begins the n-th day behind that of a time.
func midnight(t time.Time, n int) time.Time { return t.Truncate(24*time.Hour).AddDate(0, 0, n) }

// TestBorderAgainstATwin: behind the days of which only rows are left each answer is what the samples say, wherever a chart begins; and what
// held before goes on, or nobody knows.
func TestBorderAgainstATwin(t *testing.T) {
	const expr = `sparkplug_value{metric="m"}`
	border := midnight(noon, -1)
	rapid.Check(t, func(rt *rapid.T) {
		w, l := draw(rt)
		s, stop := l.thinnedStore(t, 24*time.Hour, 100*24*time.Hour)
		defer stop()
		lookback := time.Duration(rapid.SampledFrom([]int{1, 7, 300, 3600}).Draw(rt, "lookback")) * time.Second
		r := directly(t, New(s, Options{Lookback: lookback, Clock: func() time.Time { return noon }}))
		for range 6 {
			step := time.Duration(rapid.IntRange(1, 3*3600_000).Draw(rt, "step")) * time.Millisecond
			from := border.Add(time.Duration(rapid.IntRange(-5*3600_000, 20*3600_000).Draw(rt, "from")) * time.Millisecond)
			steps := min(40, int(noon.Sub(from)/step))
			got := strings.Fields(r.line(expr, from, from.Add(time.Duration(steps)*step), step))
			if len(got) != steps+1 {
				rt.Fatalf("%d points, want %d", len(got), steps+1)
			}
			for i, g := range got {
				at := from.Add(time.Duration(i) * step)
				if at.Before(border) {
					continue
				}
				since := ms(border) // of what holds
				for _, p := range w.samples {
					if p.at <= ms(at) && p.at >= since {
						since = p.at + 1
					}
				}
				if want := w.holds(at); g != want && (g != "-" || since != ms(border)) {
					rt.Fatalf("at %v (from %v, each %v): got %s, want %s", at, from, step, g, want)
				}
			}
		}
	})
}
