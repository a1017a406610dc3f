package promql

import (
	"math"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "1970-01-01T00:00:00Z"},
		{"1773144000.25", "2026-03-10T12:00:00.25Z"},
		{"1773144000.2495", "2026-03-10T12:00:00.25Z"}, // to the millisecond
		{"1.773144e9", "2026-03-10T12:00:00Z"},
		{"2026-03-10T13:00:00.001+01:00", "2026-03-10T13:00:00.001+01:00"},
		{"-1", "1970-01-01T00:00:00Z"},
		{"1e300", "9999-12-31T23:59:59Z"},
		{"-Inf", "1970-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"", ""}, {"NaN", ""}, {"yesterday", ""}, {"2026-03-10", ""},
	} {
		got, err := parseTime(c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%q is %v", c.in, got)
			}
		} else if err != nil || got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%q is %v, %v, want %s", c.in, got, err, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration // 0: refused
	}{
		{"15", 15 * time.Second}, {"2.078", 2078 * time.Millisecond}, {"1h30m", 90 * time.Minute}, {"100ms", 100 * time.Millisecond},
		{"1d", 24 * time.Hour}, {"-5", -5 * time.Second},
		{"NaN", 0}, {"Inf", 0}, {"1e300", 0}, {"5 m", 0}, {"soon", 0}, {"", 0},
	} {
		if got, err := parseDuration(c.in); got != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%q is %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

// TestDeepExpressions: neither the parser nor the engine runs out of stack on the deepest query that is taken, and what is
// deeper is refused before it is parsed.
func TestDeepExpressions(t *testing.T) {
	r := directly(t, New(nothing{}, Options{}))
	for _, c := range []struct {
		name string
		expr func(n int) string // of at least n words
	}{
		{"parentheses", func(n int) string { return strings.Repeat("(", n/2) + "1" + strings.Repeat(")", n/2) }},
		{"signs", func(n int) string { return strings.Repeat("-", n) + "1" }},
		{"calls", func(n int) string { return strings.Repeat("abs(", n/3) + "a" + strings.Repeat(")", n/3) }},
		{"sums", func(n int) string { return strings.Repeat("1+", n/2) + "1" }},
		{"powers", func(n int) string { return strings.Repeat("1^", n/2) + "1" }},
		{"subqueries", func(n int) string { return strings.Repeat("sum_over_time(", n/8) + "a" + strings.Repeat("[1m:])", n/8) }},
	} {
		if status, body := r.get("/api/v1/query", "query", c.expr(maxQueryWords-2)); status != 200 {
			t.Errorf("%s: %d %.200s", c.name, status, body)
		}
		if status, body := r.get("/api/v1/query", "query", c.expr(2*maxQueryWords)); status != 400 || !strings.Contains(body, "more than 2000 words") {
			t.Errorf("twice as many %s: %d %.200s", c.name, status, body)
		}
	}
	for _, expr := range []string{
		`a{b=~"` + strings.Repeat("(", maxQueryBytes/2-20) + strings.Repeat(")", maxQueryBytes/2-20) + `"}`,
		`a{b=~"((((a{100}){100}){100}){100}){100}"}`,
	} {
		if status, body := r.get("/api/v1/query", "query", expr); status != 400 || !strings.Contains(body, "error parsing regexp") {
			t.Errorf("%d %.200s", status, body)
		}
	}
}

// FuzzParams gives every parameter of a range query any text: it is answered or refused, and a time or duration that is taken
// can be reckoned with.
func FuzzParams(f *testing.F) {
	f.Add("0", "60", "15", "1s", "10", "5m")
	f.Add("1e300", "-Inf", "1h30m", "", "-1", "0")
	f.Add("2026-03-10T12:00:00Z", "1773144000.25", "0x10", "1ns", "007", "999999h")
	f.Fuzz(func(t *testing.T, start, end, step, timeout, limit, lookback string) {
		if at, err := parseTime(start); err == nil && (at.Before(earliest) || at.After(latest)) {
			t.Errorf("%q is %v", start, at)
		}
		if d, err := parseDuration(step); err == nil && math.Abs(d.Seconds()) > math.MaxInt64/1e9 {
			t.Errorf("%q is %v", step, d)
		}
		form := url.Values{"query": {"vector(1)"}, "start": {start}, "end": {end}, "step": {step}, "timeout": {timeout}, "limit": {limit}, "lookback_delta": {lookback}}
		w := httptest.NewRecorder()
		fuzzed.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/query_range?"+form.Encode(), nil))
		if s := w.Code; s != 200 && s != 400 && s != 422 && s != 503 {
			t.Errorf("%d %s", s, w.Body)
		}
	})
}

var fuzzed = New(nothing{}, Options{})
