package ui

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What cannot be read as it was meant is refused in words that say what to write; nothing else is answered in its place.
func TestQuestionsThatAreRefused(t *testing.T) {
	s, _ := recorded(t, 1)
	u := New(Options{History: s, Export: s})
	id := exportKey.MetricID()
	for _, c := range []struct{ name, path, says string }{
		{"an escape that is none", "/api/v1/history?id=" + id + "&from=%zz", "query: "},
		{"a semicolon between parameters", "/api/v1/history?id=" + id + "&from=0;to=1", "query: "},
		{"an escape that is none, of events", "/api/v1/events?limit=%zz", "query: "},
		{"a time in words", "/api/v1/history?id=" + id + "&from=now-1h", `from: "now-1h" is no time; write 2026-03-10T12:00:00Z or milliseconds since 1970`},
		{"a time without a zone", "/api/v1/history?id=" + id + "&to=2026-03-10T12:00:00", `to: "2026-03-10T12:00:00" is no time`},
		{"no points", "/api/v1/history?id=" + id + "&points=0", `points: "0" is not a positive number`},
		{"fewer than no points", "/api/v1/history?id=" + id + "&points=-99999999999999999999", "is not a positive number"},
		{"from in the future alone", "/api/v1/history?id=" + id + "&from=9999-12-31T00:00:00Z", "from: must be before now, which is to when that is not given"},
		{"to before from", "/api/v1/history?id=" + id + "&from=2000&to=1000", "to: must be after from"},
		{"one id too many", "/api/v1/history?id=" + id + "&id=" + id, "id: given 2 times; ids takes several"},
		{"one id too many, of aggregates", "/api/v1/aggregates?id=" + id + "&id=none", "id: given 2 times; ids takes several"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := request(u, "GET", c.path, "")
			var v map[string]problem
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 400 || v["error"].Code != "bad_parameter" || !strings.Contains(v["error"].Message, c.says) {
				t.Errorf("%d %s, want 400 with %q", w.Code, w.Body, c.says)
			}
		})
	}
}

// Odd questions that mean something are answered, and as the document says.
func TestOddQuestionsAreAnswered(t *testing.T) {
	s, from := recorded(t, 10)
	u := New(Options{History: s, Export: s})
	doc := readDocument(t)
	id := exportKey.MetricID()
	plus := from.In(time.FixedZone("", 3600)).Format(time.RFC3339)
	const all = "&from=-9223372036854775808&to=9223372036854775807"
	for _, c := range []struct{ name, path, schema, says string }{
		{"a + that was not escaped", "/api/v1/history?id=" + id + "&from=" + plus, "Samples", `"from":"` + from.UTC().Format(stampLayout) + `"`},
		{"more points than there can be", "/api/v1/history?id=" + id + "&points=99999999999999999999", "Buckets", `"buckets":[{`},
		{"more samples than there can be", "/api/v1/history?id=" + id + "&limit=99999999999999999999", "Samples", `"samples":[{`},
		{"from the beginning", "/api/v1/history?id=" + id + "&from=0", "Samples", `"from":"1970-01-01T00:00:00.000Z"`},
		{"all time", "/api/v1/history?id=" + id + all, "Samples", `"from":"1970-01-01T00:00:00.000Z","to":"9999-12-31T23:59:59.999Z"`},
		{"all time in buckets", "/api/v1/history?id=" + id + "&points=3" + all, "Buckets", `"t":"1970-01-01T00:00:00.000Z"`},
		{"all time in one interval", "/api/v1/aggregates?id=" + id + all, "AggregateSet", `"from":"1970-01-01T00:00:00.000Z","to":"9999-12-31T23:59:59.999Z"`},
		{"before all time", "/api/v1/history?id=" + id + "&from=-9&to=-5&points=2", "Buckets", `"to":"1970-01-01T00:00:00.001Z"`},
		{"before all time in intervals", "/api/v1/aggregates?id=" + id + "&from=-9&to=-5", "AggregateSet", `"to":"1970-01-01T00:00:00.001Z"`},
		{"long before all time", "/api/v1/history?id=" + id + "&to=-9223372036854775808", "Samples", `"to":"1970-01-01T00:00:00.001Z"`},
		{"behind all time", "/api/v1/history?id=" + id + "&to=9223372036854775807", "Samples", `"to":"9999-12-31T23:59:59.999Z"`},
		{"ids that come one by one", "/api/v1/history?ids=" + id + "&ids=" + id + "&points=1", "Charts", fmt.Sprintf(`},{"id":%q`, id)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := request(u, "GET", c.path, "")
			if w.Code != 200 || !strings.Contains(w.Body.String(), c.says) {
				t.Fatalf("%d %.2000s, want %s", w.Code, w.Body, c.says)
			}
			var v any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			for _, wrong := range doc.check(doc.at("components", "schemas", c.schema), v, c.schema) {
				t.Error(wrong)
			}
		})
	}
}

// Who asks with a method that an address does not take is told which it does (RFC 9110, section 15.5.6).
func TestMethodsThatAnAddressTakes(t *testing.T) {
	u := New(Options{})
	for path, want := range map[string]string{"/api/v1/export": "GET", "/api/v1/history": "GET, HEAD", "/api/v1/write": "POST", "/api/v1/clients/a%2Fb/trace": "GET, HEAD, POST, DELETE"} {
		if w := request(u, "PUT", path, "{}"); w.Code != 405 || w.Header().Get("Allow") != want {
			t.Errorf("%s: %d, Allow %q, want %q", path, w.Code, w.Header().Get("Allow"), want)
		}
	}
}
