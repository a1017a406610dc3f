package ui

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// noSeries is a store that has none.
type noSeries struct{}

func (noSeries) SeriesCount() (int, journal.SeriesID) { return 0, 0 }
func (noSeries) Metrics() []journal.Schema            { return nil }
func (noSeries) Cursor(_, _, _, _ string, _, _ journal.Millis) (*historian.Cursor, error) {
	return nil, historian.ErrNoSeries
}
func (noSeries) Columns(context.Context, []historian.Metric, journal.Millis, journal.Millis, *historian.Looks, int) ([]historian.Column, error) {
	return nil, historian.ErrNoSeries
}
func (noSeries) Active(context.Context, journal.Millis, journal.Millis) (map[historian.Metric]bool, bool, error) {
	return nil, false, nil
}
func (noSeries) LacksSamples(journal.Millis, journal.Millis) bool { return false }
func (noSeries) Left(context.Context, []historian.Metric, journal.Millis, journal.Millis, bool, func(int, historian.Left) error) error {
	return historian.ErrNoSeries
}
func (noSeries) Gaps(context.Context, string, string, string, journal.Millis, journal.Millis) ([]historian.Gap, error) {
	return nil, nil
}
func (noSeries) Life(context.Context, string, string, string, journal.Millis, journal.Millis) ([]historian.Turn, error) {
	return nil, nil
}

// TestPrometheusAPI: the query API is mounted, takes forms as Grafana sends them, and is counted; forms of other sites are refused.
func TestPrometheusAPI(t *testing.T) {
	p := newParts(time.Now, nil)
	for _, c := range []struct {
		name, method, target, site, kind string
		status                           int
		says                             string
	}{
		{"a form", "POST", "/prometheus/api/v1/query", "", "application/x-www-form-urlencoded", 200, `"value"`},
		{"a form of another site", "POST", "/prometheus/api/v1/query", "cross-site", "application/x-www-form-urlencoded", 403, "cross_origin"},
		{"a form elsewhere", "POST", "/api/v1/write", "", "application/x-www-form-urlencoded", 415, "json_only"},
		{"a form beside it", "POST", "/prometheus", "", "application/x-www-form-urlencoded", 415, "json_only"},
		{"text", "POST", "/prometheus/api/v1/query", "", "text/plain", 415, "json_only"},
		{"a question in the address", "GET", "/prometheus/api/v1/query?query=vector(7)", "", "", 200, `"7"`},
		{"not PromQL", "GET", "/prometheus/api/v1/query?query=7(", "", "", 400, "bad_data"},
		{"a label's values", "GET", "/prometheus/api/v1/label/node/values", "", "", 200, `[]`},
		{"nothing there", "GET", "/prometheus/graph", "", "", 404, "not_found"},
	} {
		body := ""
		if c.method == "POST" {
			body = url.Values{"query": {"vector(7)"}}.Encode()
		}
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(body))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("Sec-Fetch-Site", c.site)
		w := httptest.NewRecorder()
		p.ui.Handler().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: unguarded", c.name)
		}
	}
	metrics := request(p.ui, "GET", "/metrics", "").Body.String()
	for _, line := range []string{`edge_promql_queries_total{result="success"} 3`, `edge_promql_queries_total{result="bad_data"} 1`, "edge_promql_running 0"} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}
