package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"edge/sparkplug/simulate"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// TestPrometheusClientReadsThePlant asks the running appliance, through a client library of Prometheus and by the requests that
// Grafana's data source sends, for what a simulated node said a moment ago, and for its death.
func TestPrometheusClientReadsThePlant(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	_, stop := startFleet(t, app.MQTTAddr(), simulate.Generic("Plant", 1, 1, 20), 100*time.Millisecond)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := api.NewClient(api.Config{Address: app.URL() + "prometheus", RoundTripper: transport})
	if err != nil {
		t.Fatal(err)
	}
	prom, ctx := v1.NewAPI(client), context.Background()
	ask := func(expr string) (model.Vector, error) {
		v, _, _, err := prom.Query(ctx, expr, time.Now())
		if err != nil {
			return nil, err
		}
		return v.(model.Vector), nil
	}
	eventually(t, patience, "values of the device", func() bool {
		v, err := ask(`count by (device) (sparkplug_value{group="Plant",node="node1",device!=""})`)
		return err == nil && len(v) == 1 && v[0].Value >= 10 && v[0].Metric["device"] != ""
	})
	eventually(t, patience, "a range with samples", func() bool {
		now := time.Now()
		v, _, _, err := prom.QueryRange(ctx, `sum(count_over_time(sparkplug_value[1m]))`, v1.Range{Start: now.Add(-10 * time.Second), End: now, Step: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		m := v.(model.Matrix)
		return len(m) == 1 && m[0].Values[len(m[0].Values)-1].Value > 20
	})
	up, err := ask(`sparkplug_up{node="node1"} == 1`)
	if err != nil || len(up) != 2 {
		t.Errorf("node and device up: %v, %v", up, err)
	}
	names, _, _, err := prom.LabelValues(ctx, "metric", []string{`sparkplug_value{node="node1"}`}, time.Time{}, time.Time{})
	if err != nil || len(names) < 10 {
		t.Errorf("metrics %v, %v", names, err)
	}
	for path, form := range map[string]url.Values{
		"api/v1/query":            {"query": {"1+1"}, "time": {fmt.Sprint(time.Now().Unix())}},
		"api/v1/series":           {"match[]": {`sparkplug_up`}, "start": {"0"}, "end": {"1"}},
		"api/v1/labels":           {"match[]": {`sparkplug_up`}},
		"api/v1/rules":            nil,
		"api/v1/alerts":           nil,
		"-/healthy":               nil,
		"api/v1/metadata":         nil,
		"api/v1/status/buildinfo": nil,
	} {
		grafanaAsks(t, app.URL()+"prometheus/"+path, form)
	}
	stop()
	eventually(t, patience, "the node's death ends its values", func() bool {
		v, err := ask(`count(sparkplug_value{node="node1"}) or sum(sparkplug_up{node="node1"})`)
		return err == nil && len(v) == 1 && v[0].Value == 0
	})
}

// grafanaAsks sends a form where there is one, else a plain request; the answer must be a success.
func grafanaAsks(t *testing.T, address string, form url.Values) {
	t.Helper()
	ask := func() (*http.Response, error) { return http.Get(address) }
	if form != nil {
		ask = func() (*http.Response, error) { return http.PostForm(address, form) }
	}
	resp, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || strings.Contains(address, "/api/") && !strings.HasPrefix(string(body), `{"status":"success"`) {
		t.Errorf("%s: %s %s %v", address, resp.Status, body, err)
	}
}
