package ui

import (
	"bytes"
	"encoding/json"
	"fmt"

	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"edge/sparkplug"
)

// document is openapi.yaml as plain maps and slices.
type document map[string]any

func readDocument(t *testing.T) document {
	t.Helper()
	var d map[string]any // yaml gives every map in it this type
	if err := yaml.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows a path of keys; nil when there is nothing.
func (d document) at(keys ...string) map[string]any {
	here := map[string]any(d)
	for _, k := range keys {
		next, _ := here[k].(map[string]any)
		if here = d.resolve(next); here == nil {
			return nil
		}
	}
	return here
}

// resolve follows a $ref within the document.
func (d document) resolve(m map[string]any) map[string]any {
	ref, ok := m["$ref"].(string)
	if !ok {
		return m
	}
	return d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// check returns what in v is not as the schema says. It knows the words of JSON Schema that the document uses.
func (d document) check(schema map[string]any, v any, where string) (wrong []string) {
	schema = d.resolve(schema)
	if schema == nil {
		return []string{where + ": no schema"}
	}
	if choices, ok := schema["oneOf"].([]any); ok {
		var fits int
		for _, c := range choices {
			if len(d.check(c.(map[string]any), v, where)) == 0 {
				fits++
			}
		}
		if fits != 1 {
			wrong = append(wrong, fmt.Sprintf("%s: fits %d of the schemas", where, fits))
		}
	}
	if values, ok := schema["enum"].([]any); ok && !slices.Contains(values, v) {
		wrong = append(wrong, fmt.Sprintf("%s: %v is not one of %v", where, v, values))
	}
	if types := schemaTypes(schema); len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return isType(v, t) }) {
		return append(wrong, fmt.Sprintf("%s: %v is not a %v", where, v, types))
	}
	if s, ok := v.(string); ok && schema["format"] == "date-time" {
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", s); err != nil {
			wrong = append(wrong, where+": "+err.Error())
		}
	}
	if n, ok := v.(float64); ok && schema["minimum"] == 0 && n < 0 {
		wrong = append(wrong, fmt.Sprintf("%s: %v is negative", where, n))
	}
	if list, ok := v.([]any); ok && schema["items"] != nil {
		for i, x := range list {
			wrong = append(wrong, d.check(schema["items"].(map[string]any), x, fmt.Sprintf("%s[%d]", where, i))...)
		}
	}
	if object, ok := v.(map[string]any); ok {
		wrong = append(wrong, d.checkObject(schema, object, where)...)
	}
	return wrong
}

func (d document) checkObject(schema, object map[string]any, where string) (wrong []string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: no %s", where, name))
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, x := range object {
		p, known := properties[name].(map[string]any)
		switch more := schema["additionalProperties"]; {
		case known:
			wrong = append(wrong, d.check(p, x, where+"."+name)...)
		case more == false:
			wrong = append(wrong, fmt.Sprintf("%s: %s is not in the document", where, name))
		case more != nil:
			wrong = append(wrong, d.check(more.(map[string]any), x, where+"."+name)...)
		}
	}
	return wrong
}

func schemaTypes(schema map[string]any) (types []string) {
	switch t := schema["type"].(type) {
	case string:
		return []string{t}
	case []any:
		for _, x := range t {
			types = append(types, x.(string))
		}
	}
	return types
}

func isType(v any, t string) bool {
	switch x := v.(type) {
	case nil:
		return t == "null"
	case bool:
		return t == "boolean"
	case string:
		return t == "string"
	case float64:
		return t == "number" || t == "integer" && x == float64(int64(x))
	case []any:
		return t == "array"
	case map[string]any:
		return t == "object"
	}
	return false
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	var written []string
	for path, item := range readDocument(t).at("paths") {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				written = append(written, strings.ToUpper(method)+" "+path)
			}
		}
	}
	var served []string
	for _, r := range newParts(time.Now, nil).ui.routes() {
		served = append(served, r.method+" "+r.path)
	}
	slices.Sort(written)
	slices.Sort(served)
	if !slices.Equal(written, served) {
		t.Errorf("openapi.yaml\n%s\nroutes\n%s", strings.Join(written, "\n"), strings.Join(served, "\n"))
	}
}

// answers are requests to the test parts, with the answers that openapi.yaml must know: one of every status that a route has.
var answers = []struct {
	name, method, path, body string
	route                    string // as in the document
	status                   int
}{
	{"health", "GET", "/healthz", "", "/healthz", 200},
	{"ready", "GET", "/readyz", "", "/readyz", 200},
	{"status", "GET", "/api/v1/status", "", "/api/v1/status", 200},
	{"nodes", "GET", "/api/v1/nodes", "", "/api/v1/nodes", 200},
	{"one node", "GET", "/api/v1/nodes/plant/press", "", "/api/v1/nodes/{group}/{node}", 200},
	{"a node that nobody heard of", "GET", "/api/v1/nodes/plant/none", "", "/api/v1/nodes/{group}/{node}", 404},
	{"rebirth", "POST", "/api/v1/nodes/plant/press/rebirth", "{}", "/api/v1/nodes/{group}/{node}/rebirth", 202},
	{"rebirth of nobody", "POST", "/api/v1/nodes/plant/none/rebirth", "{}", "/api/v1/nodes/{group}/{node}/rebirth", 404},
	{"metrics", "GET", "/api/v1/metrics", "", "/api/v1/metrics", 200},
	{"a page of metrics", "GET", "/api/v1/metrics?limit=2&node=press", "", "/api/v1/metrics", 200},
	{"metrics of no quality", "GET", "/api/v1/metrics?q=green", "", "/api/v1/metrics", 400},
	{"metrics after nonsense", "GET", "/api/v1/metrics?after=!", "", "/api/v1/metrics", 400},
	{"metrics below one", "GET", "/api/v1/metrics?limit=0", "", "/api/v1/metrics", 400},
	{"samples", "GET", "/api/v1/history?group=plant&node=press&device=ram&metric=Cycle+Count", "", "/api/v1/history", 200},
	{"text samples", "GET", "/api/v1/history?group=plant&node=press&metric=Machine/State", "", "/api/v1/history", 200},
	{"buckets", "GET", "/api/v1/history?points=60&id=" + pressureID, "", "/api/v1/history", 200},
	{"buckets of several", "GET", "/api/v1/history?points=60&ids=" + pressureID + "," + pressureID, "", "/api/v1/history", 200},
	{"samples of several", "GET", "/api/v1/history?ids=" + pressureID, "", "/api/v1/history", 400},
	{"several, one unknown", "GET", "/api/v1/history?points=60&ids=" + pressureID + ",nonsense", "", "/api/v1/history", 404},
	{"too many", "GET", "/api/v1/history?points=60&ids=" + strings.Repeat(pressureID+",", 100) + pressureID, "", "/api/v1/history", 400},
	{"aggregates", "GET", "/api/v1/aggregates?interval=10m&id=" + pressureID, "", "/api/v1/aggregates", 200},
	{"aggregates of several", "GET", "/api/v1/aggregates?ids=" + pressureID + "," + pressureID, "", "/api/v1/aggregates", 200},
	{"aggregates of days", "GET", "/api/v1/aggregates?interval=1d&group=plant&node=press&device=ram&metric=Cycle+Count", "", "/api/v1/aggregates", 200},
	{"aggregates of nothing", "GET", "/api/v1/aggregates", "", "/api/v1/aggregates", 400},
	{"aggregates of an unknown metric", "GET", "/api/v1/aggregates?id=nonsense", "", "/api/v1/aggregates", 404},
	{"an interval that is none", "GET", "/api/v1/aggregates?interval=soon&id=" + pressureID, "", "/api/v1/aggregates", 400},
	{"an interval too short", "GET", "/api/v1/aggregates?interval=1ms&id=" + pressureID, "", "/api/v1/aggregates", 400},
	{"samples of an unknown metric", "GET", "/api/v1/history?group=plant&node=press&metric=None", "", "/api/v1/history", 404},
	{"an id that is none", "GET", "/api/v1/history?id=nonsense", "", "/api/v1/history", 404},
	{"history of nothing", "GET", "/api/v1/history", "", "/api/v1/history", 400},
	{"history backwards", "GET", "/api/v1/history?from=2000&to=1000&id=" + pressureID, "", "/api/v1/history", 400},
	{"history since when", "GET", "/api/v1/history?from=yesterday&id=" + pressureID, "", "/api/v1/history", 400},
	{"no points", "GET", "/api/v1/history?points=-1&id=" + pressureID, "", "/api/v1/history", 400},
	{"events", "GET", "/api/v1/events", "", "/api/v1/events", 200},
	{"deaths of a node", "GET", "/api/v1/events?kind=node_death,node_birth&node=plant/press&limit=1", "", "/api/v1/events", 200},
	{"events of no kind", "GET", "/api/v1/events?kind=party", "", "/api/v1/events", 400},
	{"events after nonsense", "GET", "/api/v1/events?after=x", "", "/api/v1/events", 400},
	{"a birth", "GET", "/api/v1/events/1/birth", "", "/api/v1/events/{id}/birth", 200},
	{"the birth of nobody", "GET", "/api/v1/events/999999/birth", "", "/api/v1/events/{id}/birth", 404},
	{"the birth of nonsense", "GET", "/api/v1/events/x/birth", "", "/api/v1/events/{id}/birth", 400},
	{"clients", "GET", "/api/v1/clients", "", "/api/v1/clients", 200},
	{"one client", "GET", "/api/v1/clients/line%2F1", "", "/api/v1/clients/{id}", 200},
	{"a client that nobody heard of", "GET", "/api/v1/clients/none", "", "/api/v1/clients/{id}", 404},
	{"disconnect", "POST", "/api/v1/clients/client-press/disconnect", "", "/api/v1/clients/{id}/disconnect", 202},
	{"disconnect who is away", "POST", "/api/v1/clients/line%2F1/disconnect", "{}", "/api/v1/clients/{id}/disconnect", 404},
	{"trace", "POST", "/api/v1/clients/line%2F1/trace", `{"duration":30,"packets":5,"payloads":true}`, "/api/v1/clients/{id}/trace", 202},
	{"trace by the defaults", "POST", "/api/v1/clients/client-press/trace", "", "/api/v1/clients/{id}/trace", 202},
	{"trace too long", "POST", "/api/v1/clients/client-press/trace", `{"duration":601}`, "/api/v1/clients/{id}/trace", 400},
	{"trace too much", "POST", "/api/v1/clients/client-press/trace", `{"packets":10001}`, "/api/v1/clients/{id}/trace", 400},
	{"trace what cannot be", "POST", "/api/v1/clients/no-name/trace", "", "/api/v1/clients/{id}/trace", 400},
	{"trace one too many", "POST", "/api/v1/clients/one-too-many/trace", "", "/api/v1/clients/{id}/trace", 429},
	{"lines of a trace", "GET", "/api/v1/clients/client-press/trace?after=1", "", "/api/v1/clients/{id}/trace", 200},
	{"lines behind nonsense", "GET", "/api/v1/clients/client-press/trace?after=-1", "", "/api/v1/clients/{id}/trace", 400},
	{"lines of no trace", "GET", "/api/v1/clients/none/trace", "", "/api/v1/clients/{id}/trace", 404},
	{"stop a trace", "DELETE", "/api/v1/clients/client-press/trace", "", "/api/v1/clients/{id}/trace", 200},
	{"stop no trace", "DELETE", "/api/v1/clients/none/trace", "", "/api/v1/clients/{id}/trace", 404},
	{"violations", "GET", "/api/v1/violations", "", "/api/v1/violations", 200},
	{"bindings", "GET", "/api/v1/bindings", "", "/api/v1/bindings", 200},
	{"forget", "POST", "/api/v1/bindings/forget", `{"name":"node/plant/press"}`, "/api/v1/bindings/forget", 202},
	{"forget what is not kept", "POST", "/api/v1/bindings/forget", `{"name":"full"}`, "/api/v1/bindings/forget", 503},
	{"forget nobody", "POST", "/api/v1/bindings/forget", `{"name":"node/plant/none"}`, "/api/v1/bindings/forget", 404},
	{"forget in other words", "POST", "/api/v1/bindings/forget", `{"node":"press"}`, "/api/v1/bindings/forget", 400},
	{"uplinks", "GET", "/api/v1/uplinks", "", "/api/v1/uplinks", 200},
	{"outages", "GET", "/api/v1/uplinks/enterprise/outages", "", "/api/v1/uplinks/{name}/outages", 200},
	{"outages of no uplink", "GET", "/api/v1/uplinks/none/outages", "", "/api/v1/uplinks/{name}/outages", 404},
	{"write", "POST", "/api/v1/write", `{"id":"` + setpointID + `","value":170.5,"reason":"trial"}`, "/api/v1/write", 200},
	{"write what is not allowed", "POST", "/api/v1/write", `{"id":"` + pressureID + `","value":1,"reason":"trial"}`, "/api/v1/write", 403},
	{"write to nothing", "POST", "/api/v1/write", `{"id":"none","value":1,"reason":"trial"}`, "/api/v1/write", 404},
	{"write without a reason", "POST", "/api/v1/write", `{"id":"` + setpointID + `","value":1}`, "/api/v1/write", 400},
	{"write text to a number", "POST", "/api/v1/write", `{"id":"` + setpointID + `","value":"hot","reason":"trial"}`, "/api/v1/write", 400},
	{"write no number", "POST", "/api/v1/write", `{"id":"` + setpointID + `","value":"NaN","reason":"trial"}`, "/api/v1/write", 400},
	{"write without a value", "POST", "/api/v1/write", `{"id":"` + setpointID + `","reason":"trial"}`, "/api/v1/write", 400},
	{"write with a field that is none", "POST", "/api/v1/write", `{"id":"` + setpointID + `","value":1,"reason":"x","force":true}`, "/api/v1/write", 400},
	{"confirm nothing", "POST", "/api/v1/write/none", `{}`, "/api/v1/write/{token}", 410},
	{"demo", "GET", "/api/v1/demo", "", "/api/v1/demo", 200},
	{"demo history", "GET", "/api/v1/demo/history?id=" + pressureID, "", "/api/v1/demo/history", 200},
	{"kill", "POST", "/api/v1/demo/kill", `{"node":"plant/oven"}`, "/api/v1/demo/{action}", 202},
	{"kill nobody", "POST", "/api/v1/demo/kill", `{"node":"plant/none"}`, "/api/v1/demo/{action}", 404},
	{"kill whom", "POST", "/api/v1/demo/kill", `{}`, "/api/v1/demo/{action}", 400},
	{"break a node", "POST", "/api/v1/demo/fault", `{"node":"plant/press","fault":"seq-gap"}`, "/api/v1/demo/{action}", 202},
	{"mend it", "POST", "/api/v1/demo/fault", `{"node":"plant/press","fault":""}`, "/api/v1/demo/{action}", 202},
	{"a fault that is none", "POST", "/api/v1/demo/fault", `{"node":"plant/press","fault":"rust"}`, "/api/v1/demo/{action}", 404},
	{"dance", "POST", "/api/v1/demo/dance", `{}`, "/api/v1/demo/{action}", 404},
}

var (
	pressureID = metricID(refAt("press", "hydraulics", "Pressure"))
	setpointID = metricID(refAt("oven", "furnace", "Zone 1/Setpoint"))
)

func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := readDocument(t)
		p := newParts(time.Now, nil)
		for _, a := range answers {
			w := request(p.ui, a.method, a.path, a.body)
			if w.Code != a.status {
				t.Errorf("%s: %s %s: status %d, want %d: %s", a.name, a.method, a.path, w.Code, a.status, w.Body)
				continue
			}
			var v any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
				t.Errorf("%s: %v", a.name, err)
				continue
			}
			schema := d.at("paths", a.route, strings.ToLower(a.method), "responses", fmt.Sprint(a.status), "content", "application/json", "schema")
			for _, wrong := range d.check(schema, v, a.path) {
				t.Errorf("%s: %s", a.name, wrong)
			}
		}
	})
}

// TestStatusHasOtherHosts: the STATE of two hosts, one in the form of Sparkplug 2.2, is in the status as the document says.
func TestStatusHasOtherHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := readDocument(t)
		p := newParts(time.Now, nil)
		for topic, payload := range map[string]string{
			"spBv1.0/STATE/scada": fmt.Sprintf(`{"online":true,"timestamp":%d}`, time.Now().UnixMilli()),
			"STATE/old":           "OFFLINE",
		} {
			p.plant.step(sparkplug.Input{Message: &sparkplug.Message{Topic: topic, Payload: []byte(payload), ClientID: "c"}}, time.Now())
		}
		w := request(p.ui, "GET", "/api/v1/status", "")
		var s map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range d.check(d.at("components", "schemas", "Status"), s, "status") {
			t.Error(wrong)
		}
		now := time.Now().UTC().Format(stampLayout)
		want := map[string]any{
			"scada": map[string]any{"host": "scada", "online": true, "since": now, "received": now, "client": "c", "legacy": false},
			"old":   map[string]any{"host": "old", "online": false, "since": nil, "received": now, "client": "c", "legacy": true},
		}
		got := map[string]any{}
		for _, h := range s["hosts"].([]any) {
			got[h.(map[string]any)["host"].(string)] = h
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestDocumentCheckFinds proves that check finds something: an answer with a field too many, one too few, and a wrong one.
func TestDocumentCheckFinds(t *testing.T) {
	d := readDocument(t)
	schema := d.at("components", "schemas", "Gap")
	for name, text := range map[string]string{
		"too many":  `{"from":"2026-01-01T00:00:00.000Z","to":null,"cause":"x","why":"y"}`,
		"too few":   `{"from":"2026-01-01T00:00:00.000Z","to":null}`,
		"no time":   `{"from":"2026-01-01","to":null,"cause":"x"}`,
		"no string": `{"from":"2026-01-01T00:00:00.000Z","to":null,"cause":1}`,
		"no object": `[]`,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if len(d.check(schema, v, name)) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
}

func TestErrorsHaveOneShape(t *testing.T) {
	u := newParts(time.Now, nil).ui
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/v1/none", 404}, {"GET", "/none", 404}, {"GET", "/assets", 404}, {"GET", "/web/dist/index.html", 404},
		{"POST", "/api/v1/nodes", 405}, {"DELETE", "/api/v1/write", 405}, {"GET", "/api/v1/write", 405}, {"POST", "/", 405},
	} {
		w := request(u, c.method, c.path, "{}")
		var v map[string]problem
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != c.status || v["error"].Code == "" || v["error"].Message == "" || v["error"].Hint == "" {
			t.Errorf("%s %s: status %d, want %d: %s", c.method, c.path, w.Code, c.status, w.Body)
		}
	}
}

// request asks the handler as a program on the network would.
func request(u *UI, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader([]byte(body)))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	u.Handler().ServeHTTP(w, r)
	return w
}

func statusOf(u *UI, r *http.Request) int {
	w := httptest.NewRecorder()
	u.Handler().ServeHTTP(w, r)
	return w.Code
}
