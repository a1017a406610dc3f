package promql

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkQueries times whole questions, of samples in files.
//
//	go test -run xxx -bench Queries -benchtime 10x ./historian/promql
func BenchmarkQueries(b *testing.B) {
	l := &log{}
	for i := range 20_000 {
		k := of(fmt.Sprint("quiet", i%500))
		k.Device = fmt.Sprint("device", i/500)
		l.sample(k, ago(60), float64(i))
	}
	for i := 24 * 3600; i > 0; i -= 10 { // a scan of 100 metrics is one message
		for n := range 100 {
			l.sample(of(fmt.Sprint("busy", n)), noon.Add(-time.Duration(i)*time.Second), float64(i%1000+n))
		}
		l.together(100)
	}
	r := l.serve(b, true, Options{})
	for _, c := range []struct{ name, path, query, start, step string }{
		{"every value now", "/api/v1/query", `sparkplug_value`, "", ""},
		{"one series of a day", "/api/v1/query_range", `sparkplug_value{metric="busy7"}`, "1773057600", "86"},
		{"100 series of a day", "/api/v1/query_range", `sparkplug_value{metric=~"busy.*"}`, "1773057600", "86"},
		{"100 series of a day by the hour", "/api/v1/query_range", `sparkplug_value{metric=~"busy.*"}`, "1773057600", "3600"},
		{"extremes of 100 series by the hour", "/api/v1/query_range", `max_over_time(sparkplug_value{metric=~"busy.*"}[1h])`, "1773057600", "3600"},
		{"rate of 100 series of a day", "/api/v1/query_range", `sum(rate(sparkplug_value{metric=~"busy.*"}[5m]))`, "1773057600", "86"},
		{"quiet series of a day", "/api/v1/query_range", `sum(sparkplug_value{device="device7"})`, "1773057600", "86"},
		{"values of a label", "/api/v1/label/metric/values", "", "", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if status, body := r.get(c.path, "query", c.query, "start", c.start, "end", "1773144000", "step", c.step); status != 200 {
					b.Fatal(body)
				}
			}
		})
	}
}
