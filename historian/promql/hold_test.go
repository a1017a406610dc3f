package promql

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// line asks for a range and writes what came as one line: a number for each step, "-" where there is nothing.
func (r *rig) line(expr string, from, to time.Time, step time.Duration) string {
	r.t.Helper()
	v, _, _, err := r.client.QueryRange(context.Background(), expr, v1.Range{Start: from, End: to, Step: step})
	if err != nil {
		r.t.Fatalf("%s: %v", expr, err)
	}
	m := v.(model.Matrix)
	if len(m) > 1 {
		r.t.Fatalf("%s: %d series", expr, len(m))
	}
	at := make(map[model.Time]model.SampleValue)
	for _, s := range m {
		for _, p := range s.Values {
			at[p.Timestamp] = p.Value
		}
	}
	var out []string
	for t := from; !t.After(to); t = t.Add(step) {
		if f, ok := at[model.TimeFromUnixNano(t.UnixNano())]; ok {
			out = append(out, fmt.Sprint(float64(f)))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}

// now asks what holds at a time.
func (r *rig) at(expr string, t time.Time) string {
	r.t.Helper()
	v, _, _, err := r.client.Query(context.Background(), expr, t)
	if err != nil {
		r.t.Fatalf("%s: %v", expr, err)
	}
	switch v := v.(type) {
	case model.Vector:
		if len(v) == 0 {
			return "-"
		}
		if len(v) > 1 {
			r.t.Fatalf("%s: %d series", expr, len(v))
		}
		return fmt.Sprint(float64(v[0].Value))
	case *model.Scalar:
		return fmt.Sprint(float64(v.Value))
	}
	return v.String()
}

// TestWhatHoldsIsShown: a value is seen as long as the historian says that it holds, however long ago it came, and no longer.
func TestWhatHoldsIsShown(t *testing.T) {
	m := of("m")
	for _, c := range []struct {
		name string
		fill func(l *log)
		want string // each 10 minutes of the last hour
	}{
		{"a setpoint of yesterday", func(l *log) {
			l.sample(m, ago(26*60), 21)
		}, "21 21 21 21 21 21 21"},
		{"a setpoint that changes once", func(l *log) {
			l.sample(m, ago(26*60), 21)
			l.sample(m, ago(35), 22)
		}, "21 21 21 22 22 22 22"},
		{"nothing before the first sample", func(l *log) {
			l.sample(m, ago(35), 22)
		}, "- - - 22 22 22 22"},
		{"nothing is carried over a death; a value counts from its own birth on", func(l *log) {
			l.event(journal.NodeBirth, "", ago(120))
			l.event(journal.DeviceBirth, "d", ago(120))
			l.sample(m, ago(119), 1)
			l.event(journal.NodeDeath, "", ago(45))
			l.event(journal.NodeBirth, "", ago(25))
			l.event(journal.DeviceBirth, "d", ago(25))
			l.sample(m, ago(15), 2)
		}, "1 1 - - - 2 2"},
		{"a death that lasts", func(l *log) {
			l.sample(m, ago(100), 1)
			l.event(journal.DeviceDeath, "d", ago(30))
		}, "1 1 1 - - - -"},
		{"a death just before a step is not looked through", func(l *log) {
			l.sample(m, ago(100), 1)
			l.event(journal.DeviceDeath, "d", ago(30.01))
		}, "1 1 1 - - - -"},
		{"the other device's death is not ours", func(l *log) {
			l.sample(m, ago(100), 1)
			l.event(journal.DeviceDeath, "e", ago(30))
		}, "1 1 1 1 1 1 1"},
		{"samples are missing for a while", func(l *log) {
			l.sample(m, ago(100), 1)
			l.gap(ago(45), ago(25))
			l.sample(m, ago(5), 2)
		}, "1 1 - - - - 2"},
		{"history that came later fills a gap", func(l *log) {
			l.sample(m, ago(100), 1)
			l.event(journal.NodeDeath, "", ago(45))
			l.event(journal.NodeBirth, "", ago(15))
			l.event(journal.DeviceBirth, "d", ago(15))
			l.sample(m, ago(14), 3)
			l.sample(m, ago(35), 2, func(s *journal.Sample) { s.Historical = true })
		}, "1 1 - 2 2 3 3"},
		{"bad, stale and null are not known", func(l *log) {
			l.sample(m, ago(100), 1)
			l.sample(m, ago(55), 0, bad)
			l.sample(m, ago(45), 2)
			l.sample(m, ago(35), 0, stale)
			l.sample(m, ago(25), 3)
			l.sample(m, ago(15), 0, null)
			l.sample(m, ago(5), 4)
		}, "1 - 2 - 3 - 4"},
		{"NaN is a value, whatever its bits", func(l *log) {
			l.sample(m, ago(100), 1)
			l.sample(m, ago(45), math.Float64frombits(0x7ff0000000000002))
			l.sample(m, ago(25), math.Inf(-1))
		}, "1 1 NaN NaN -Inf -Inf -Inf"},
		{"samples faster than the steps", func(l *log) {
			for i := range 361 {
				l.sample(m, ago(60-float64(i)/6), float64(i))
			}
		}, "0 60 120 180 240 300 360"},
		{"a changed type goes on as the same series", func(l *log) {
			k := m
			k.Type = 3
			l.sample(k, ago(45), 7)
			l.sample(m, ago(25), 7.5)
		}, "- - 7 7 7.5 7.5 7.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, inFiles := range []bool{false, true} {
				l := &log{}
				c.fill(l)
				r := l.serve(t, inFiles, Options{})
				const expr = `sparkplug_value{metric="m"}`
				if got := r.line(expr, ago(60), noon, 10*time.Minute); got != c.want {
					t.Errorf("in files %v: got  %s\nwant %s", inFiles, got, c.want)
				}
				// The same, asked step by step, with steps of a second in between, and through a range.
				var instant []string
				for i := range 7 {
					instant = append(instant, r.at(expr, ago(60-10*float64(i))))
				}
				if got := strings.Join(instant, " "); got != c.want {
					t.Errorf("in files %v, instants: got  %s\nwant %s", inFiles, got, c.want)
				}
				fine := strings.Fields(r.line(expr, ago(60), noon, time.Second))
				var coarse []string
				for i := range 7 {
					coarse = append(coarse, fine[600*i])
				}
				if got := strings.Join(coarse, " "); got != c.want {
					t.Errorf("in files %v, by the second: got  %s\nwant %s", inFiles, got, c.want)
				}
				sub := strings.Fields(r.line(`last_over_time(`+expr+`[10s:1s])`, ago(60), noon, 10*time.Minute))
				for i, want := range strings.Fields(c.want) {
					if sub[i] != want && want != "-" { // where it ended within the 10 s, the subquery still sees it
						t.Errorf("in files %v, subquery, step %d: got %s, want %s", inFiles, i, sub[i], want)
					}
				}
			}
		})
	}
}
