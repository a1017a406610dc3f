package promql

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// TestNamesOfATime: what a query over a time finds is named for it; what came later, or died long before, is not.
func TestNamesOfATime(t *testing.T) {
	const days = 24 * 60
	l := &log{}
	l.event(journal.NodeBirth, "", ago(20*days))
	for _, device := range []string{"d", "dead"} {
		l.event(journal.DeviceBirth, device, ago(20*days))
	}
	dead := of("dead")
	dead.Device = "dead"
	l.sample(dead, ago(12*days), 1)
	l.sample(of("held"), ago(12*days), 1)
	l.event(journal.DeviceDeath, "dead", ago(10*days))
	l.sample(of("often"), ago(8*days), 1)
	l.sample(of("often"), ago(30), 2)
	l.sample(of("late"), ago(20), 1)
	for _, inFiles := range []bool{false, true} {
		r := l.serve(t, inFiles, Options{})
		for _, c := range []struct {
			name       string
			start, end time.Time
			want       string
		}{
			{"the last hour", ago(60), noon, "held late often"},
			{"yesterday: what holds since long ago", ago(days), ago(days - 60), "held often"},
			{"six days ago", ago(6 * days), ago(6*days - 60), "held often"},
			{"nine days ago", ago(9 * days), ago(9*days - 60), "dead held"},
			{"before all", ago(16 * days), ago(15 * days), ""},
			{"half a year", ago(180 * days), noon, "dead held late often"},
		} {
			t.Run(fmt.Sprintf("%s, in files %v", c.name, inFiles), func(t *testing.T) {
				start, end := strconv.FormatInt(c.start.Unix(), 10), strconv.FormatInt(c.end.Unix(), 10)
				status, body := r.get("/api/v1/label/metric/values", "start", start, "end", end)
				want := `{"status":"success","data":[]}`
				if c.want != "" {
					want = `{"status":"success","data":["` + strings.Join(strings.Fields(c.want), `","`) + `"]}`
				}
				if status != 200 || body != want {
					t.Errorf("%d %s, want %s", status, body, want)
				}
				_, answer := r.get("/api/v1/query_range", "query", "sparkplug_value", "start", start, "end", end, "step", "3600")
				_, named := r.get("/api/v1/series", "match[]", "sparkplug_value", "start", start, "end", end)
				for _, metric := range []string{"held", "dead", "often", "late"} {
					if word := `"metric":"` + metric + `"`; strings.Contains(answer, word) && !strings.Contains(named, word) {
						t.Errorf("%s is found and not named: %s", metric, named)
					}
				}
			})
		}
	}
}
