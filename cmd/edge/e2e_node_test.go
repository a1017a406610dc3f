package main

import (
	"strings"
	"testing"
	"time"
)

// metricState is what GET /api/v1/metrics says of one metric.
type metricState struct {
	ID, Device, Name, Quality, Cause string
	Value                            any
}

func (a *testApp) metric(t *testing.T, node, name string) metricState {
	t.Helper()
	return a.metricOf(t, "E2E", node, name)
}

func (a *testApp) metricOf(t *testing.T, group, node, name string) metricState {
	t.Helper()
	var all struct{ Metrics []metricState }
	a.get(t, "api/v1/metrics?group="+group+"&node="+node, &all)
	for _, m := range all.Metrics {
		if m.Name == name {
			return m
		}
	}
	return metricState{}
}

// TestSparkplugClientNode follows an edge node made with Eclipse Tahu's sparkplug-client, written by others, from birth
// to death: the API shows each state with its reason, and the values are in the historian.
func TestSparkplugClientNode(t *testing.T) {
	t.Parallel()
	node, script := peer(t, "sparkplug_node.mjs")
	app := startApp(t, t.TempDir(), appOptions{})
	n := startLines(t, node, script)
	state := func(want string) func() bool {
		return func() bool { got, ok := app.node(t, "E2E", "peer"); return ok && got.State == want }
	}

	n.send(`{"do":"connect","url":"mqtt://%s","group":"E2E","node":"peer",`+
		`"metrics":[{"name":"Line/Speed","type":"Double","value":1.5},{"name":"Batch","type":"String","value":"A-1"}],`+
		`"devices":{"drive":[{"name":"Torque","type":"Float","value":10.25},{"name":"Total","type":"Int64","value":7}]}}`, app.MQTTAddr())
	n.expect(`"event":"birth"`)
	eventually(t, patience, "the node is online", state("online"))
	eventually(t, patience, "its device is online", func() bool {
		got, _ := app.node(t, "E2E", "peer")
		return len(got.Devices) == 1 && got.Devices[0].State == "online"
	})
	if m := app.metric(t, "peer", "Total"); m.Value != "7" || m.Quality != "good" {
		t.Errorf("Total is %v (%s), want the Int64 7 as a string", m.Value, m.Quality)
	}

	n.send(`{"do":"data","metrics":[{"name":"Line/Speed","type":"Double","value":2.5}]}`)
	n.send(`{"do":"data","device":"drive","metrics":[{"name":"Torque","type":"Float","value":-3.75}]}`)
	eventually(t, patience, "data is shown", func() bool {
		return app.metric(t, "peer", "Line/Speed").Value == 2.5 && app.metric(t, "peer", "Torque").Value == -3.75
	})

	if code := app.post(t, "api/v1/nodes/E2E/peer/rebirth", map[string]string{}); code != 202 {
		t.Errorf("rebirth answers %d, want 202", code)
	}
	n.expect(`"event":"rebirth"`)
	n.expect(`"event":"birth"`)
	eventually(t, patience, "the rebirth is answered", func() bool {
		got, _ := app.node(t, "E2E", "peer")
		return got.Rebirths.Asked == 1 && got.Rebirths.Answered == 1 && got.State == "online"
	})

	n.send(`{"do":"kill"}`)
	eventually(t, patience, "the node is offline", state("offline"))
	dead, _ := app.node(t, "E2E", "peer")
	if !strings.Contains(dead.LastDeath.Reason, "lost connection of client ") {
		t.Errorf("reason of the death: %q, want it to name the lost connection", dead.LastDeath.Reason)
	}
	if m := app.metric(t, "peer", "Torque"); m.Quality != "stale" || m.Value != -3.75 || m.Cause == "" {
		t.Errorf("Torque after the death: %v, %s, %q; want the last value, stale, with a cause", m.Value, m.Quality, m.Cause)
	}

	n.send(`{"do":"revive"}`)
	eventually(t, patience, "the node is back", state("online"))
	n.send(`{"do":"stop"}`)
	n.expect(`"event":"stopped"`)
	eventually(t, patience, "the node is offline again", state("offline"))

	assertHistory(t, app, app.metric(t, "peer", "Line/Speed").ID, []float64{1.5, 2.5})
	assertHistory(t, app, app.metric(t, "peer", "Torque").ID, []float64{10.25, -3.75})
}

// assertHistory waits until the historian has the values among the samples of one metric, in this order.
func assertHistory(t *testing.T, app *testApp, id string, want []float64) {
	t.Helper()
	var got []float64
	eventually(t, patience, "the historian has the values", func() bool {
		var answer struct {
			Samples []struct{ V any }
			Gaps    []struct{ Cause string }
		}
		app.get(t, "api/v1/history?id="+id+"&from="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), &answer)
		got = nil
		for _, s := range answer.Samples {
			if f, ok := s.V.(float64); ok {
				got = append(got, f)
			}
		}
		return containsInOrder(got, want) && len(answer.Gaps) > 0
	})
}

func containsInOrder(all, want []float64) bool {
	for _, v := range all {
		if len(want) > 0 && v == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}
