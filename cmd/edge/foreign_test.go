package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/uplink"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
)

// heardValues is what an enterprise hears of the patient's metric V.
type heardValues struct {
	mu  sync.Mutex
	all map[string]bool // "NDATA 9 quality=500 historical"
}

// hearV subscribes to a broker until the test ends.
func hearV(t *testing.T, addr string) *heardValues {
	t.Helper()
	h := &heardValues{all: map[string]bool{}}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("scada").SetAutoReconnect(false).SetPingTimeout(patience)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { h.message(t, m.Topic(), m.Payload()) })
	client := mqtt.NewClient(o)
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SCADA at %s: %v", addr, token.Error())
	}
	if token := client.Subscribe("spBv1.0/"+faultGroup+"/#", 0, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SCADA at %s: %v", addr, token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return h
}

func (h *heardValues) message(t *testing.T, name string, payload []byte) {
	topic, err := sparkplug.ParseTopic(name)
	if err != nil || topic.Device != "" || topic.Type != sparkplug.NBIRTH && topic.Type != sparkplug.NDATA {
		return
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		t.Error(err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range p.Metrics {
		m := &p.Metrics[i]
		v, err := m.As(sparkplug.Double)
		if m.Name != metricV.Name || err != nil {
			continue
		}
		f, _ := v.Float64()
		line := fmt.Sprint(topic.Type, " ", f)
		if q, ok := m.Property("Quality"); ok {
			line += fmt.Sprint(" quality=", q.Num)
		}
		if m.Historical {
			line += " historical"
		}
		h.all[line] = true
	}
}

// awaits waits until a line was heard.
func (h *heardValues) awaits(t *testing.T, line string) {
	t.Helper()
	eventually(t, patience, "the enterprise hears "+line, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.all[line]
	})
}

// qualities are the words that the interface has for the samples of a metric, by value.
func (p *patient) qualities(ref sparkplug.MetricRef) map[float64]string {
	p.Helper()
	got := map[float64]string{}
	var answer struct {
		Samples []struct {
			V float64
			Q string
		}
	}
	p.app.get(p.T, fmt.Sprintf("api/v1/history?group=%s&node=%s&device=%s&metric=%s&from=%s", faultGroup, p.name, ref.Device, ref.Name,
		time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)), &answer)
	for _, s := range answer.Samples {
		got[s.V] = s.Q
	}
	return got
}

// What another client than the node's own says is uncertain wherever it goes: on the page, in the history, its charts and exports,
// after a restart, and for the enterprise, live, as backlog and in a birth.
func TestForeignValuesStayUncertain(t *testing.T) {
	t.Parallel()
	enterprise := brokertest.StartMosquitto(t)
	scada := hearV(t, enterprise.Addr)
	var line cable
	dir := t.TempDir()
	app := startApp(t, dir, appOptions{tuneUplink: func(o *uplink.Options) {
		o.Servers[0].Dial = line.dial
		prompt(o)
	}}, toMosquitto(enterprise.Addr))
	p := &patient{t, app, "n"}
	own := p.lives("c")
	other := p.joins("x", func(c *packets.Connect) { c.Will = nil })
	say := func(s *speaker, f float64) {
		s.seq, s.clock = own.seq, own.clock+10*time.Millisecond // two values of one millisecond would be one
		own.clock = s.clock
		s.says(sparkplug.NDATA, "", double(metricV.Name, f))
		own.seq = s.seq
		q := "good"
		if s == other {
			q = "uncertain"
		}
		eventually(t, patience, fmt.Sprint("the page shows ", f, " as ", q), func() bool {
			m := app.metricOf(t, faultGroup, p.name, metricV.Name)
			return m.Value == f && m.Quality == q
		})
	}
	scada.awaits(t, "NBIRTH 1")
	say(own, 2)
	say(other, 9)
	say(own, 3)
	scada.awaits(t, "NDATA 2")
	scada.awaits(t, "NDATA 9 quality=500")
	scada.awaits(t, "NDATA 3")
	line.pull()
	say(other, 19)
	say(own, 20)
	say(other, 29)
	line.plug()
	scada.awaits(t, "NBIRTH 29 quality=500")
	scada.awaits(t, "NDATA 19 quality=500 historical")
	scada.awaits(t, "NDATA 20 historical")

	want := map[float64]string{1: "good", 2: "good", 3: "good", 9: "uncertain", 19: "uncertain", 20: "good", 29: "uncertain"}
	if diff := cmp.Diff(want, p.qualities(metricV)); diff != "" {
		t.Errorf("history: %s", diff)
	}
	var chart struct{ Buckets []struct{ Quality string } }
	app.get(t, "api/v1/history?group=F&node=n&metric=V&points=1", &chart)
	if len(chart.Buckets) != 1 || chart.Buckets[0].Quality != "uncertain" {
		t.Errorf("chart: %+v", chart.Buckets)
	}
	csv, _ := exported(t, "csv", "--url", app.URL(), "--metric", metricV.Name)
	marked := 0
	for row := range strings.Lines(string(csv)) {
		for f, q := range want {
			if q == "uncertain" && strings.Contains(row, fmt.Sprintf(",%v,uncertain,64,", f)) {
				marked++
			}
		}
	}
	if marked != 3 {
		t.Errorf("%d values are uncertain in the export, want 3:\n%s", marked, csv)
	}
	if err := app.stop(); err != nil {
		t.Fatal(err)
	}
	p.app = startApp(t, dir, appOptions{})
	if diff := cmp.Diff(want, p.qualities(metricV)); diff != "" {
		t.Errorf("history after a restart: %s", diff)
	}
	scada.mu.Lock()
	defer scada.mu.Unlock()
	for _, said := range slices.Sorted(maps.Keys(scada.all)) {
		if strings.HasPrefix(said, "NDATA") && (strings.Contains(said, "9")) != strings.Contains(said, "quality=500") {
			t.Errorf("the enterprise heard %s", said)
		}
	}
}
