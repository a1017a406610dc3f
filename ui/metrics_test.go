package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"edge/sparkplug/uplink"
)

func TestPrometheusText(t *testing.T) {
	p := newParts(time.Now, func(o *Options) { o.Ready = func() []string { return []string{"the journal is starting"} } })
	p.uplinks.set(func(s *uplink.Status) { s.Drops = map[string]uint64{"queue full": 9} })
	w := request(p.ui, "GET", "/metrics", "")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"edge_ready": 0, "edge_broker_clients": 4, "edge_broker_messages_received_total": 100, "edge_broker_messages_dropped_total": 2,
		"edge_historian_series": 17, "edge_uplink_owed_samples": 3, "edge_uplink_dropped_samples_total": 9, "edge_uplink_up": 1,
		"edge_sparkplug_sequence_gaps_total": 0, "edge_ui_streams": 0,
	} {
		f := families[name]
		if f == nil || len(f.Metric) != 1 {
			t.Errorf("%s: %v", name, f)
			continue
		}
		m := f.Metric[0]
		if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
		if counter := m.Counter != nil; counter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s: counter %v", name, counter)
		}
	}
	if n := len(families["edge_sparkplug_nodes"].Metric); n != 3 {
		t.Errorf("nodes in %d states, want all 3 also when 0", n)
	}
	// Names from the plant are never labels: there could be any number of them.
	for name, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if strings.Contains(l.GetValue(), "press") || strings.Contains(l.GetValue(), "client-") {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

func TestReadiness(t *testing.T) {
	var reasons []string
	u := New(Options{Ready: func() []string { return reasons }})
	for _, c := range []struct {
		reasons []string
		status  int
	}{{nil, 200}, {[]string{"the journal is starting"}, 503}} {
		reasons = c.reasons
		w := request(u, "GET", "/readyz", "")
		if w.Code != c.status || len(reasons) > 0 && !strings.Contains(w.Body.String(), reasons[0]) {
			t.Errorf("reasons %q: %d %s", reasons, w.Code, w.Body)
		}
		if w := request(u, "GET", "/healthz", ""); w.Code != 200 {
			t.Errorf("healthz %d", w.Code)
		}
	}
}

// TestNoParts is a page over nothing: every route answers, none panics.
func TestNoParts(t *testing.T) {
	u := New(Options{})
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/nodes", "/api/v1/metrics", "/api/v1/clients", "/api/v1/uplinks"} {
		if w := request(u, "GET", path, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/api/v1/nodes/g/n", "/api/v1/history?id=x", "/api/v1/events"} {
		if w := request(u, "GET", path, ""); w.Code != 503 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := request(u, "GET", "/api/v1/demo", ""); w.Code != 404 {
		t.Errorf("demo without a demo: %d", w.Code)
	}
	u.NodeChanged(nil)
	u.Changed(nil)
}
