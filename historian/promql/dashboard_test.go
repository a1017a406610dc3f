package promql

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

var provisioning = filepath.Join("..", "..", "packaging", "grafana", "provisioning")

// provisioned reads a YAML file for Grafana; a key that is not in v is an error.
func provisioned(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(provisioning, name))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestDataSource: Grafana's Prometheus data source, where the installed configuration serves it.
func TestDataSource(t *testing.T) {
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			JSONData                     struct {
				HTTPMethod            string        `yaml:"httpMethod"`
				PrometheusType        string        `yaml:"prometheusType"`
				PrometheusVersion     string        `yaml:"prometheusVersion"`
				TimeInterval          time.Duration `yaml:"timeInterval"`
				QueryTimeout          time.Duration `yaml:"queryTimeout"`
				DisableRecordingRules bool          `yaml:"disableRecordingRules"`
				ManageAlerts          bool          `yaml:"manageAlerts"`
			} `yaml:"jsonData"`
		}
	}
	provisioned(t, "datasources/edge.yaml", &file)
	if file.APIVersion != 1 || len(file.Datasources) != 1 {
		t.Fatalf("%+v", file)
	}
	d := file.Datasources[0]
	if d.Type != "prometheus" || d.UID != "edge" || d.URL != "http://127.0.0.1:8080/prometheus" || d.JSONData.HTTPMethod != "POST" ||
		d.JSONData.PrometheusVersion != engineVersion || d.JSONData.QueryTimeout < (Options{}).defaults().Timeout {
		t.Errorf("%+v", d)
	}
	var provider struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type, Folder string
			Options            struct{ Path string }
		}
	}
	provisioned(t, "dashboards/edge.yaml", &provider)
	if provider.APIVersion != 1 || len(provider.Providers) != 1 || provider.Providers[0].Options.Path != "/etc/grafana/provisioning/dashboards" {
		t.Errorf("%+v", provider)
	}
}

// dashboard is what the test looks at of edge.json.
type dashboard struct {
	UID    string
	Panels []struct {
		ID         int
		Title      string
		Datasource struct{ UID string }
		Targets    []struct {
			Expr, LegendFormat string
			Instant, Range     bool
		}
	}
	Templating struct {
		List []struct {
			Name, Definition string
			Query            struct{ Query string }
		}
	}
}

// variables are what Grafana puts in place of them.
var variables = strings.NewReplacer("$__rate_interval_ms", "60000", "$__rate_interval", "1m", "$__interval", "15s",
	"$group", ".*", "$node", ".*", "$device", ".*", "$metric", "(Oven/Zone 2/Temp °C|Running)")

// TestDashboard carries out every question of the dashboard, after a look at the names in it.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(provisioning, "dashboards", "edge.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	l := cell()
	l.event(journal.DeviceBirth, "d", ago(9)) // again, while it lives
	r := l.serve(t, true, Options{})
	if d.UID == "" || len(d.Panels) < 6 || len(d.Templating.List) != 4 {
		t.Fatalf("%d panels, %d variables", len(d.Panels), len(d.Templating.List))
	}
	seen := map[int]bool{}
	for _, p := range d.Panels {
		if seen[p.ID] || p.Datasource.UID != "edge" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: %+v", p.ID, p.Title, p)
		}
		seen[p.ID] = true
		for _, q := range p.Targets {
			expr := variables.Replace(q.Expr)
			checkNames(t, r.api.parser, expr)
			for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if !slices.Contains(labelNames[:], m[1]) {
					t.Errorf("panel %q: no label %s", p.Title, m[1])
				}
			}
			var status int
			var body string
			if q.Instant {
				status, body = r.get("/api/v1/query", "query", expr)
			} else {
				status, body = r.get("/api/v1/query_range", "query", expr, "start", "1773142200", "end", "1773144000", "step", "15")
			}
			if status != 200 || !strings.Contains(body, `"value`) || strings.Contains(body, "warnings") {
				t.Errorf("panel %q: %s\n%d %s", p.Title, expr, status, body)
			}
		}
	}
	for _, v := range d.Templating.List {
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query.Query)
		if m == nil || m[2] != v.Name || v.Definition != v.Query.Query {
			t.Errorf("variable %s: %s", v.Name, v.Query.Query)
			continue
		}
		selector := variables.Replace(m[1])
		checkNames(t, r.api.parser, selector)
		status, body := r.get("/api/v1/label/"+m[2]+"/values", "match[]", selector)
		if status != 200 || strings.Contains(body, `"data":[]`) {
			t.Errorf("variable %s: %s\n%d %s", v.Name, selector, status, body)
		}
	}
}

// checkNames: an expression is PromQL, nothing in it is left to replace, and its series and labels exist.
func checkNames(t *testing.T, p parser.Parser, expr string) {
	t.Helper()
	parsed, err := p.ParseExpr(expr)
	if err != nil || strings.Contains(expr, "$") {
		t.Fatalf("%s: %v", expr, err)
	}
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			for _, m := range n.LabelMatchers {
				if !slices.Contains(labelNames[:], m.Name) || m.Name == model.MetricNameLabel && m.Value != nameUp && m.Value != nameValue {
					t.Errorf("%s: no series or label %s", expr, m)
				}
			}
		case *parser.AggregateExpr:
			for _, name := range n.Grouping {
				if !slices.Contains(labelNames[:], name) {
					t.Errorf("%s: no label %s", expr, name)
				}
			}
		}
		return nil
	})
}
