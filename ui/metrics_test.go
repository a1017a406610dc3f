package ui

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"edge/sparkplug/uplink"
)

func TestPrometheusText(t *testing.T) {
	p := newParts(time.Now, func(o *Options) { o.Ready = func() []string { return []string{"the journal is starting"} } })
	p.uplinks.set(func(s *uplink.Status) { s.Drops = map[string]uint64{"queue full": 9} })
	families := noError(textParser().TextToMetricFamilies(request(p.ui, "GET", "/metrics", "").Body))
	for name, want := range map[string]float64{
		"edge_ready": 0, "edge_broker_clients": 4, "edge_broker_packets_received_total": 150, "edge_broker_messages_dropped_total": 2,
		"edge_broker_authentication_failures_total": 3, "edge_broker_slow_clients": 1, "edge_journal_commits_total": 3, "edge_journal_writable": 1,
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

// textParser reads /metrics as Prometheus does.
func textParser() *expfmt.TextParser {
	p := expfmt.NewTextParser(model.LegacyValidation)
	return &p
}

func noError[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMetricsByQoSAndBucket(t *testing.T) {
	families := noError(textParser().TextToMetricFamilies(request(newParts(time.Now, nil).ui, "GET", "/metrics", "").Body))
	byQoS := map[string]float64{}
	for _, m := range families["edge_broker_messages_received_total"].Metric {
		byQoS[m.Label[0].GetValue()] = m.GetCounter().GetValue()
	}
	if diff := cmp.Diff(map[string]float64{"0": 70, "1": 20, "2": 10}, byQoS); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	h := families["edge_journal_commit_seconds"].Metric[0].GetHistogram()
	below := map[float64]uint64{}
	for _, b := range h.Bucket {
		below[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	if h.GetSampleCount() != 3 || h.GetSampleSum() != 0.0015 || below[0.0001] != 0 || below[0.00025] != 2 || below[0.001] != 3 || below[10] != 3 {
		t.Errorf("%d commits in %v s: %v", h.GetSampleCount(), h.GetSampleSum(), below)
	}
}

var rewrite = flag.Bool("rewrite", false, "renew testdata/metrics.txt")

// TestMetricNames holds names, types and labels against a list, so that a rename is seen: dashboards and alarms are built on them.
// -rewrite renews it.
func TestMetricNames(t *testing.T) {
	p := newParts(time.Now, nil)
	p.uplinks.set(func(s *uplink.Status) { s.Drops = map[string]uint64{"queue full": 9} })
	var list strings.Builder
	families := noError(textParser().TextToMetricFamilies(request(p.ui, "GET", "/metrics", "").Body))
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if !strings.HasPrefix(name, "edge_") {
			continue
		}
		fmt.Fprintf(&list, "%s %s", name, strings.ToLower(f.GetType().String()))
		for _, l := range f.Metric[0].Label {
			fmt.Fprintf(&list, " %s", l.GetName())
		}
		list.WriteByte('\n')
		if f.GetHelp() == "" {
			t.Errorf("%s says nothing of itself", name)
		}
	}
	const file = "testdata/metrics.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), list.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
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
