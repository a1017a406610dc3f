package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// meter counts what clients put on the wire and take off it.
type meter struct{ out, in atomic.Uint64 }

func (m *meter) dial(t *testing.T, addr string, v packets.Version) *brokertest.Client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.NewClient(t, metered{c, m}, v)
}

type metered struct {
	net.Conn
	*meter
}

func (c metered) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(uint64(n))
	return n, err
}

func (c metered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(uint64(n))
	return n, err
}

// scrape reads /metrics as Prometheus does: every sample by its name and labels.
func (a *testApp) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	return scrape(t, a.URL())
}

func scrape(t testing.TB, page string) map[string]float64 {
	t.Helper()
	resp, err := http.Get(page + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += "," + l.GetValue()
			}
			all[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// TestMetricsAreTrue compares /metrics with what clients did, byte by byte, over the transport that plants use.
func TestMetricsAreTrue(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
		c.Broker.Listeners = append(c.Broker.Listeners, ListenerConfig{Name: "closed", Address: "127.0.0.1:0", Transport: "tcp"})
		c.Broker.SysInterval = 0
	})
	var wire meter
	<-app.Ready()
	var idle map[string]float64
	eventually(t, patience, "who asked whether the port answers has gone", func() bool {
		idle = app.scrape(t)
		return idle["edge_broker_connections_accepted_total"] > 0 && idle["edge_broker_connections"] == 0
	})
	sub, pub := wire.dial(t, app.MQTTAddr(), packets.V5), wire.dial(t, app.MQTTAddr(), packets.V4)
	sub.Connect("sub", true)
	sub.Subscribe("m/#", 2)
	pub.Connect("pub", false)
	var payload int
	for qos, n := range []int{5, 3, 2} {
		for i := range n {
			p := &packets.Publish{Topic: "m/x", QoS: byte(qos), Payload: make([]byte, 10+3000*i)}
			payload += len(p.Payload)
			pub.Publish(p)
			sub.Acknowledge(brokertest.Expect[*packets.Publish](sub))
		}
	}
	pub.Publish(&packets.Publish{Topic: "kept", QoS: 1, Retain: true, Payload: []byte("1234")})
	payload += 4
	stranger := wire.dial(t, app.mqtt[1].Addr().String(), packets.V5)
	stranger.Send(&packets.Connect{Version: packets.V5, ClientID: "stranger", CleanStart: true})
	if code := brokertest.Expect[*packets.Connack](stranger).Code; !code.Failed() {
		t.Fatalf("CONNACK %v", code)
	}
	unknown := wire.dial(t, app.MQTTAddr(), packets.V5)
	unknown.Send(&packets.Connect{Version: packets.V5, ClientID: "unknown", CleanStart: true, AuthMethod: "OTHER"})
	if code := brokertest.Expect[*packets.Connack](unknown).Code; code != packets.BadAuthenticationMethod {
		t.Fatalf("CONNACK %v", code)
	}
	sub.Send(&packets.Pingreq{})
	brokertest.Expect[*packets.Pingresp](sub) // what came before it has been counted
	eventually(t, patience, "what was written is counted, too", func() bool { return app.scrape(t)["edge_broker_outbox_bytes"] == 0 })

	want := map[string]float64{
		"edge_broker_clients": 2, "edge_broker_sessions": 2, "edge_broker_persistent_sessions": 1, "edge_broker_subscriptions": 1,
		"edge_broker_messages_received_total,0": 5, "edge_broker_messages_received_total,1": 4, "edge_broker_messages_received_total,2": 2,
		"edge_broker_messages_sent_total,0": 5, "edge_broker_messages_sent_total,1": 3, "edge_broker_messages_sent_total,2": 2,
		"edge_broker_received_payload_bytes_total": float64(payload), "edge_broker_sent_payload_bytes_total": float64(payload - 4),
		// 4 CONNECT, SUBSCRIBE, PINGREQ, 11 PUBLISH and their 2 PUBREL; 3 PUBACK, 2 PUBREC and 2 PUBCOMP of sub. The other way:
		// 4 CONNACK, SUBACK, PINGRESP, 10 PUBLISH and their 2 PUBREL; 4 PUBACK, 2 PUBREC and 2 PUBCOMP to pub
		"edge_broker_packets_received_total": 26, "edge_broker_packets_sent_total": 26,
		"edge_broker_received_bytes_total": float64(wire.out.Load()), "edge_broker_sent_bytes_total": float64(wire.in.Load()),
		"edge_broker_retained_messages": 1, "edge_broker_retained_bytes": 8,
		"edge_broker_logins_total": 2, "edge_broker_connections_accepted_total": 4, "edge_broker_authentication_failures_total": 2,
		"edge_broker_refusals_total,no user name": 1, "edge_broker_refusals_total,authentication method not offered": 1,
		"edge_broker_inflight_messages": 0, "edge_broker_queued_messages": 0, "edge_broker_outbox_bytes": 0, "edge_broker_slow_clients": 0,
	}
	now, got := app.scrape(t), map[string]float64{}
	for name := range want {
		if _, ok := now[name]; !ok {
			t.Errorf("%s is not there", name)
		}
		got[name] = now[name] - idle[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-what the clients did +what the metrics say):\n%s", diff)
	}
	// the retained message and pub's session are on disk, by commits that were flushed
	if commits := now["edge_journal_commits_total"] - idle["edge_journal_commits_total"]; commits < 2 ||
		now["edge_journal_commit_seconds"] != now["edge_journal_commits_total"] || now["edge_journal_syncs_total"] < now["edge_journal_commits_total"] {
		t.Errorf("%v commits, %v timed of %v, %v flushed", commits, now["edge_journal_commit_seconds"], now["edge_journal_commits_total"], now["edge_journal_syncs_total"])
	}
}

// TestClientsAPI follows one client over HTTP: traced from before its CONNECT, shown while connected, disconnected by request,
// and back.
func TestClientsAPI(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	const id = "line 1/press" // a slash and a space
	path := "api/v1/clients/" + "line%201%2Fpress"
	if code := app.post(t, path+"/trace", map[string]any{"duration": 60, "packets": 100}); code != http.StatusAccepted {
		t.Fatalf("trace: %d", code)
	}
	var wire meter
	c := wire.dial(t, app.MQTTAddr(), packets.V5)
	c.Connect(id, true)
	c.Subscribe("a/#", 1)
	c.Publish(&packets.Publish{Topic: "a/b", QoS: 1, Payload: []byte("not shown")})
	c.Acknowledge(brokertest.Expect[*packets.Publish](c))

	type client struct {
		ID             string
		Address        string
		Listener       string
		Protocol       string
		Connected      bool
		Slow           bool
		Received, Sent struct{ Messages, Packets uint64 }
		LastDisconnect *struct {
			Reason string
			At     time.Time
		} `json:"last_disconnect"`
	}
	var one struct {
		Client  client
		Filters []struct {
			Filter string
			QoS    int
		}
	}
	eventually(t, patience, "its PUBACK is counted", func() bool {
		app.get(t, path, &one)
		return one.Client.Received.Packets == 4
	})
	if x := one.Client; x.ID != id || x.Protocol != "5.0" || !x.Connected || x.Slow || x.Listener != "plant" || !strings.HasPrefix(x.Address, "127.0.0.1:") ||
		x.Received.Messages != 1 || x.Sent.Messages != 1 || x.LastDisconnect != nil || len(one.Filters) != 1 || one.Filters[0].Filter != "a/#" || one.Filters[0].QoS != 1 {
		t.Errorf("%+v", one)
	}
	if code := app.post(t, path+"/disconnect", struct{}{}); code != http.StatusAccepted {
		t.Fatalf("disconnect: %d", code)
	}
	if code := c.ExpectClosed(); code != packets.AdministrativeAction {
		t.Errorf("told %v", code)
	}
	eventually(t, patience, "it is gone", func() bool { return !app.connected(t, id) })
	wire.dial(t, app.MQTTAddr(), packets.V5).Connect(id, true)
	app.get(t, path, &one)
	if last := one.Client.LastDisconnect; last == nil || last.Reason != "disconnected by administrator" {
		t.Errorf("back: %+v", last)
	}

	var trace struct {
		Lines []struct {
			Direction, Type, Note string
			Topics                []string
			Payload               *string
		}
	}
	app.get(t, path+"/trace", &trace)
	var seen []string
	for _, l := range trace.Lines {
		if l.Payload != nil {
			t.Errorf("a payload that nobody asked for: %+v", l)
		}
		seen = append(seen, strings.TrimSpace(l.Direction+" "+l.Type+" "+strings.Join(l.Topics, " ")))
	}
	want := []string{"in CONNECT", "out CONNACK", "in SUBSCRIBE a/#", "out SUBACK", "in PUBLISH a/b", "out PUBLISH a/b", "out PUBACK", "in PUBACK",
		"out DISCONNECT", "note", "in CONNECT", "out CONNACK"}
	if diff := cmp.Diff(want, seen); diff != "" {
		lines, _ := json.MarshalIndent(trace, "", " ")
		t.Errorf("(-want +got):\n%s\n%s", diff, lines)
	}
}

// TestTraceCommand: `edge trace` shows a client from its CONNECT on, as it happens, and ends when it has what it was asked for.
func TestTraceCommand(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	const id = "press\x1b[31m/7"
	read, write := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer write.Close()
		args := []string{"trace", id, "--url", strings.TrimSuffix(app.URL(), "/"), "--packets", "6", "--payloads"}
		code <- run(t.Context(), args, streams{strings.NewReader(""), write, testWriter{t}})
	}()
	eventually(t, patience, "the trace has started", func() bool {
		_, ok := app.pipeline.server.Trace(id, 0, 0)
		return ok
	})
	var wire meter
	c := wire.dial(t, app.MQTTAddr(), packets.V4)
	c.Connect(id, true)
	lines := bufio.NewScanner(read)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} `+want+`$`).Match(lines.Bytes()) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
	}
	expect(`-> CONNECT, \d+ bytes from 127.0.0.1:\d+, listener plant, version 4, keep alive 0 s, clean start`)
	expect(`<- CONNACK, success \(0x00\), 4 bytes`) // it is shown before anything else happens
	c.Subscribe("a", 0)
	c.Publish(&packets.Publish{Topic: "a", QoS: 1, Retain: true, Payload: []byte("1\n2")})
	expect(`-> SUBSCRIBE id=1 a, \d+ bytes 1 filters, qos 0`)
	expect(`<- SUBACK id=1, success \(0x00\), 5 bytes`)
	expect(`-> PUBLISH qos=1 id=2 retain a, 10 bytes "1\\n2"`)
	expect(`<- PUBLISH qos=0 a, 8 bytes "1\\n2"`)
	if !lines.Scan() || lines.Text() != "trace ended: as many packets as asked for" || <-code != exitOK {
		t.Errorf("it ended with %q", lines.Text())
	}
}
