package promql

import (
	"maps"
	"runtime"
	"slices"
)

// What Grafana asks before its first query, and what it asks that this API has nothing to say about.

// engineVersion is the release of Prometheus whose engine answers (module v0.314.0); clients choose their questions by it.
const engineVersion = "3.14.0"

type buildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

func (r *request) buildInfo() (answer, error) {
	return answer{data: buildInfo{Version: engineVersion, Branch: "edge", GoVersion: runtime.Version()}}, nil
}

// metadata is what clients show beside a series' name.
type metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

var help = map[string][]metadata{
	nameValue: {{Type: "gauge", Help: "The value of a Sparkplug metric, while it holds; absent while it is not known."}},
	nameUp:    {{Type: "gauge", Help: "1 while a node or device is online, 0 after its death certificate."}},
}

func (r *request) metadata() (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	out := make(map[string][]metadata)
	for _, name := range slices.Sorted(maps.Keys(help)) {
		if want := r.Form.Get("metric"); (want == "" || want == name) && (limit == 0 || len(out) < limit) {
			out[name] = help[name]
		}
	}
	return answer{data: out}, nil
}

// exemplars has none, and says so only of an expression that is one.
func (r *request) exemplars() (answer, error) {
	s, err := r.expression()
	if err != nil {
		return answer{}, err
	}
	if _, err := r.api.parser.ParseExpr(s); err != nil {
		return answer{}, wrong("query", err)
	}
	return answer{data: []string{}}, nil
}

func (r *request) rules() (answer, error) {
	return answer{data: map[string][]string{"groups": {}}}, nil
}

func (r *request) alerts() (answer, error) {
	return answer{data: map[string][]string{"alerts": {}}}, nil
}
