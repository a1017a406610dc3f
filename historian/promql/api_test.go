package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// cell fills a log with two devices and a node of their own.
func cell() *log {
	l := &log{}
	l.event(journal.NodeBirth, "", ago(120))
	l.event(journal.DeviceBirth, "d", ago(119))
	l.sample(of("Oven/Zone 2/Temp °C"), ago(10), 181.5)
	k := of("Running")
	k.Type = 11
	l.sample(k, ago(10), 1)
	k.Metric, k.Type = "Recipe \"A\"\n", 12
	l.sample(k, ago(10), 0)
	k.Device, k.Metric, k.Type = "", "Node Control/Rebirth", 11
	l.sample(k, ago(10), 0)
	k.Group, k.Node, k.Metric, k.Type = "other", "<m>", "Count", 8
	l.sample(k, ago(10), 7)
	l.sample(k, ago(5.5), 9)
	return l
}

// TestAnswers compares whole bodies, byte by byte, with what Prometheus writes.
func TestAnswers(t *testing.T) {
	r := cell().serve(t, true, Options{})
	for _, c := range []struct {
		path   string
		params []string
		want   string
	}{
		{"/api/v1/query", []string{"query", `sparkplug_value{device="d",datatype="Double"}`, "time", "1773144000.25"},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"sparkplug_value","datatype":"Double",` +
				`"device":"d","group":"g","metric":"Oven/Zone 2/Temp °C","node":"n"},"value":[1773144000.250,"181.5"]}]}}`},
		{"/api/v1/query", []string{"query", `sparkplug_value{metric="nobody"}`}, `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"/api/v1/query", []string{"query", `sum(sparkplug_value{device=""}) by (node) / 0`},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"n"},"value":[1773144000,"NaN"]},` +
				`{"metric":{"node":"<m>"},"value":[1773144000,"+Inf"]}]}}`},
		{"/api/v1/query", []string{"query", `1e-7`}, `{"status":"success","data":{"resultType":"scalar","result":[1773144000,"1e-07"]}}`},
		{"/api/v1/query", []string{"query", `"a\"°"`}, `{"status":"success","data":{"resultType":"string","result":[1773144000,"a\"°"]}}`},
		{"/api/v1/query", []string{"query", `sparkplug_value{metric="Count"}[10m]`},
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"sparkplug_value","datatype":"UInt64",` +
				`"group":"other","metric":"Count","node":"<m>"},"values":[` + held(ago(10), ago(5.5), noon, 10*time.Second, "7", "9") + `]}]}}`},
		{"/api/v1/query_range", []string{"query", `sparkplug_up`, "start", "1773136750", "end", "2026-03-10T10:01:10.5Z", "step", "59s"},
			`{"status":"success","data":{"resultType":"matrix","result":[` +
				`{"metric":{"__name__":"sparkplug_up","device":"d","group":"g","node":"n"},"values":[[1773136868,"1"]]},` +
				`{"metric":{"__name__":"sparkplug_up","group":"g","node":"n"},"values":[[1773136809,"1"],[1773136868,"1"]]}]}}`},
		{"/api/v1/query", []string{"query", `sparkplug_value`, "limit", "1"},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"sparkplug_value","datatype":"Boolean",` +
				`"group":"g","metric":"Node Control/Rebirth","node":"n"},"value":[1773144000,"0"]}]},"warnings":["results truncated due to limit"]}`},
		{"/api/v1/series", []string{"match[]", `{device="d"}`, "match[]", `sparkplug_up{node="n"}`, "start", "0", "end", "1773144000"},
			`{"status":"success","data":[{"__name__":"sparkplug_up","device":"d","group":"g","node":"n"},` +
				`{"__name__":"sparkplug_up","group":"g","node":"n"},` +
				`{"__name__":"sparkplug_value","datatype":"Boolean","device":"d","group":"g","metric":"Running","node":"n"},` +
				`{"__name__":"sparkplug_value","datatype":"Double","device":"d","group":"g","metric":"Oven/Zone 2/Temp °C","node":"n"}]}`},
		{"/api/v1/series", []string{"match[]", `{device="d"}`, "limit", "1"},
			`{"status":"success","data":[{"__name__":"sparkplug_up","device":"d","group":"g","node":"n"}],"warnings":["results truncated due to limit"]}`},
		{"/api/v1/labels", nil, `{"status":"success","data":["__name__","datatype","device","group","metric","node"]}`},
		{"/api/v1/labels", []string{"match[]", `{group="other",metric!=""}`}, `{"status":"success","data":["__name__","datatype","group","metric","node"]}`},
		{"/api/v1/labels", []string{"match[]", `{group="nobody"}`}, `{"status":"success","data":[]}`},
		{"/api/v1/label/__name__/values", nil, `{"status":"success","data":["sparkplug_up","sparkplug_value"]}`},
		{"/api/v1/label/metric/values", []string{"match[]", `{group="g"}`},
			`{"status":"success","data":["Node Control/Rebirth","Oven/Zone 2/Temp °C","Running"]}`},
		{"/api/v1/label/metric/values", []string{"match[]", `{group="g"}`, "match[]", `{node="<m>"}`, "limit", "2"},
			`{"status":"success","data":["Count","Node Control/Rebirth"],"warnings":["results truncated due to limit"]}`},
		{"/api/v1/label/nobody/values", nil, `{"status":"success","data":[]}`},
		{"/api/v1/label/U__no_64_e/values", nil, `{"status":"success","data":["\u003cm\u003e","n"]}`},
		{"/api/v1/format_query", []string{"query", "a+b"}, `{"status":"success","data":"a + b"}`},
		{"/api/v1/query_exemplars", []string{"query", "a"}, `{"status":"success","data":[]}`},
		{"/api/v1/rules", nil, `{"status":"success","data":{"groups":[]}}`},
		{"/api/v1/alerts", nil, `{"status":"success","data":{"alerts":[]}}`},
		{"/api/v1/metadata", []string{"metric", "nobody"}, `{"status":"success","data":{}}`},
	} {
		t.Run(c.path+" "+strings.Join(c.params, " "), func(t *testing.T) {
			status, got := r.get(c.path, c.params...)
			if status != 200 || got != c.want {
				t.Errorf("status %d\n%s", status, cmp.Diff(got, c.want))
			}
		})
	}
}

// held writes a value that holds from a time, and another from a change on, each again after every step.
func held(from, change, to time.Time, step time.Duration, a, b string) string {
	var out []string
	for t := from.Add(step); t.Before(change); t = t.Add(step) {
		out = append(out, fmt.Sprintf(`[%d,"%s"]`, t.Unix(), a))
	}
	for t := change; !t.After(to); t = t.Add(step) {
		out = append(out, fmt.Sprintf(`[%d,"%s"]`, t.Unix(), b))
	}
	return strings.Join(out, ",")
}

// TestRefusals: what is wrong is said as Prometheus says it, so that Grafana shows it.
func TestRefusals(t *testing.T) {
	r := cell().serve(t, false, Options{MaxSeries: 4, MaxSamples: 1000})
	long := strings.Repeat("a", maxQueryBytes+1)
	var many []string
	for range maxSelectors + 1 {
		many = append(many, "match[]", "a")
	}
	rangeOf := func(expr string, more ...string) []string {
		return append([]string{"query", expr, "start", "1773136800", "end", "1773144000", "step", "60"}, more...)
	}
	for _, c := range []struct {
		name, path string
		params     []string
		status     int
		kind, says string
	}{
		{"no query", "/api/v1/query", nil, 400, "bad_data", `invalid parameter "query": unknown position: parse error: no expression found in input`},
		{"not PromQL", "/api/v1/query", []string{"query", "sum(("}, 400, "bad_data", `invalid parameter "query": 1:6: parse error: unclosed left parenthesis`},
		{"a very long query", "/api/v1/query", []string{"query", long}, 400, "bad_data", "at most 32768 are taken"},
		{"not a time", "/api/v1/query", []string{"query", "1", "time", "soon"}, 400, "bad_data", `invalid parameter "time": cannot parse "soon" to a valid timestamp`},
		{"not a number", "/api/v1/query", []string{"query", "1", "time", "NaN"}, 400, "bad_data", "cannot parse"},
		{"not a limit", "/api/v1/query", []string{"query", "1", "limit", "-1"}, 400, "bad_data", "limit must be non-negative"},
		{"not a timeout", "/api/v1/query", []string{"query", "1", "timeout", "x"}, 400, "bad_data", `"timeout"`},
		{"not a lookback", "/api/v1/query", []string{"query", "1", "lookback_delta", "x"}, 400, "bad_data", `"lookback_delta"`},
		{"no start", "/api/v1/query_range", []string{"query", "1", "end", "1", "step", "1"}, 400, "bad_data", `invalid parameter "start"`},
		{"no step", "/api/v1/query_range", []string{"query", "1", "start", "1", "end", "1"}, 400, "bad_data", `invalid parameter "step"`},
		{"no time to step", "/api/v1/query_range", []string{"query", "1", "start", "1", "end", "1", "step", "0"}, 400, "bad_data", "zero or negative"},
		{"a step of a microsecond", "/api/v1/query_range", []string{"query", "1", "start", "1", "end", "1", "step", "0.000001"}, 400, "bad_data", "less than a millisecond"},
		{"a step of ages", "/api/v1/query_range", []string{"query", "1", "start", "1", "end", "1", "step", "1e300"}, 400, "bad_data", "overflows"},
		{"end before start", "/api/v1/query_range", []string{"query", "1", "start", "2", "end", "1", "step", "1"}, 400, "bad_data", "end timestamp must not be before start time"},
		{"too many steps", "/api/v1/query_range", []string{"query", "1", "start", "0", "end", "11001", "step", "1"}, 400, "bad_data", "exceeded maximum resolution"},
		{"too many series", "/api/v1/query", []string{"query", `count({group=~".+"})`}, 422, "execution", "matches more than 4 series: name a group, node, device or metric"},
		{"too many series, no samples", "/api/v1/series", []string{"match[]", `{group=~".+"}`}, 422, "execution", "matches more than 4 series"},
		{"too many samples", "/api/v1/query_range", rangeOf(`last_over_time(sparkplug_value{group="g"}[1h:1s])`), 422, "execution", "too many samples"},
		{"the same labels twice", "/api/v1/query", []string{"query", `sparkplug_value{device="d"} * on(group) sparkplug_value{device="d"}`}, 422, "execution", "many-to-many"},
		{"no time", "/api/v1/query_range", rangeOf(`sparkplug_value{group="g"}`, "timeout", "0.000000001"), 503, "timeout", "timed out"},
		{"no selector", "/api/v1/series", nil, 400, "bad_data", "no match[] parameter provided"},
		{"an empty selector", "/api/v1/series", []string{"match[]", `{group=~".*"}`}, 400, "bad_data", "must contain at least one non-empty matcher"},
		{"not a selector", "/api/v1/labels", []string{"match[]", `a + b`}, 400, "bad_data", `invalid parameter "match[]"`},
		{"many selectors", "/api/v1/labels", many, 400, "bad_data", "at most 64 are taken"},
		{"not a label", "/api/v1/label/a\xff/values", nil, 400, "bad_data", "invalid label name"},
		{"a bad regular expression", "/api/v1/query", []string{"query", `a{b=~"("}`}, 400, "bad_data", "error parsing regexp"},
		{"nothing here", "/api/v1/targets", nil, 404, "not_found", "/api/v1/targets is not part of this API"},
		{"exemplars of nothing", "/api/v1/query_exemplars", []string{"query", "("}, 400, "bad_data", "parse error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			form := url.Values{}
			for i := 0; i < len(c.params); i += 2 {
				form.Add(c.params[i], c.params[i+1])
			}
			q := httptest.NewRequest("GET", "/?"+form.Encode(), nil)
			q.URL.Path = c.path
			r.api.ServeHTTP(w, q)
			var body struct{ Status, ErrorType, Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.status || body.Status != "error" || body.ErrorType != c.kind || !strings.Contains(body.Error, c.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("type %s", w.Header().Get("Content-Type"))
			}
		})
	}
	t.Run("a method that changes things", func(t *testing.T) {
		w := httptest.NewRecorder()
		r.api.ServeHTTP(w, httptest.NewRequest("DELETE", "/api/v1/series", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%d, %v", w.Code, w.Header())
		}
	})
	t.Run("a body without end", func(t *testing.T) {
		status, body := r.post("/api/v1/query", url.Values{"query": {strings.Repeat("a", maxBodyBytes)}})
		if status != 400 || !strings.Contains(body, "request body too large") {
			t.Errorf("%d %s", status, body)
		}
	})
	got := r.api.Stats()
	if got.Queries["bad_data"] < 15 || got.Queries["execution"] != 4 || got.Queries["timeout"] != 1 || got.Queries["not_found"] != 1 || got.Running+got.Waiting != 0 {
		t.Errorf("counted %+v", got)
	}
}

// TestClientLibrary asks everything that the client library has a call for.
func TestClientLibrary(t *testing.T) {
	r := cell().serve(t, true, Options{})
	ctx := context.Background()
	names, _, _, err := r.client.LabelNames(ctx, nil, ago(60), noon)
	if want := (model.LabelNames{"__name__", "datatype", "device", "group", "metric", "node"}); err != nil || !cmp.Equal(names, want) {
		t.Errorf("names %v, %v", names, err)
	}
	values, _, _, err := r.client.LabelValues(ctx, "node", []string{`sparkplug_up{group="other"}`}, time.Time{}, time.Time{})
	if want := (model.LabelValues{"<m>"}); err != nil || !cmp.Equal(values, want) {
		t.Errorf("values %v, %v", values, err)
	}
	series, _, _, err := r.client.Series(ctx, []string{`sparkplug_value{device="d"}`}, ago(60), noon)
	if err != nil || len(series) != 2 || series[1]["metric"] != "Oven/Zone 2/Temp °C" {
		t.Errorf("series %v, %v", series, err)
	}
	about, err := r.client.Metadata(ctx, "", "")
	if err != nil || about["sparkplug_value"][0].Type != v1.MetricTypeGauge || len(about) != 2 {
		t.Errorf("metadata %v, %v", about, err)
	}
	build, err := r.client.Buildinfo(ctx)
	if err != nil || build.Version != engineVersion {
		t.Errorf("build %+v, %v", build, err)
	}
	rules, err := r.client.Rules(ctx, nil)
	if err != nil || len(rules.Groups) != 0 {
		t.Errorf("rules %+v, %v", rules, err)
	}
	exemplars, err := r.client.QueryExemplars(ctx, "a", ago(60), noon)
	if err != nil || len(exemplars) != 0 {
		t.Errorf("exemplars %v, %v", exemplars, err)
	}
	_, _, _, err = r.client.Query(ctx, "sum(", noon)
	var said *v1.Error
	if !errors.As(err, &said) || said.Type != v1.ErrBadData {
		t.Errorf("bad expression: %v", err)
	}
	v, _, _, err := r.client.Query(ctx, `avg by (group) (sparkplug_value{metric="Count"})`, noon, v1.WithTimeout(time.Second), v1.WithLookbackDelta(time.Minute))
	if err != nil || v.String() != `{group="other"} => 9 @[1773144000]` {
		t.Errorf("got %v, %v", v, err)
	}
}

// TestEngineVersion: what buildinfo says is what go.mod has. Prometheus 3.14.0 is module v0.314.0.
func TestEngineVersion(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(engineVersion, "%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\tgithub.com/prometheus/prometheus v0.%d.%d\n", 100*major+minor, patch); !strings.Contains(string(b), want) {
		t.Errorf("go.mod has not %q", want)
	}
}

// TestHealthy answers those who look whether a Prometheus is here.
func TestHealthy(t *testing.T) {
	r := (&log{}).serve(t, false, Options{})
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		answer, err := http.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if status, body := r.get("/api/v1/label/metric/values"); status != 200 || body != `{"status":"success","data":[]}` {
		t.Errorf("an empty store: %d %s", status, body)
	}
	if status, body := r.get("/api/v1/query", "query", "sparkplug_value or vector(1)"); status != 200 || !strings.Contains(body, `"1"`) {
		t.Errorf("an empty store: %d %s", status, body)
	}
}
