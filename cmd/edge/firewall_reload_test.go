package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// TestHangupFirewall: SIGHUP takes another mode, other rules and limits of the firewall. Who is connected is judged by them, a
// configuration that is wrong changes nothing and is told with its line.
func TestHangupFirewall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, configure(t, dir, ""))
	reloads, refusals := 0, 0
	hangup := func(firewall string) {
		t.Helper()
		configure(t, dir, firewall)
		c.signal(syscall.SIGHUP)
		reloads++
		eventually(t, patience, "the reload is logged", func() bool { return strings.Count(c.log(), " reloaded; restart") == reloads })
	}
	refused := func(firewall string, why ...string) {
		t.Helper()
		configure(t, dir, firewall)
		c.signal(syscall.SIGHUP)
		refusals++
		eventually(t, patience, "the refusal is logged", func() bool { return strings.Count(c.log(), "nothing was changed") == refusals })
		lines := strings.Split(c.log(), "\n")
		for _, text := range why {
			if last := lines[len(lines)-1]; !strings.Contains(last, text) {
				t.Errorf("the refusal does not say %q: %s", text, last)
			}
		}
	}
	listed := func() (v violationsState) {
		getJSON(t, c.page+"api/v1/violations", &v)
		return v
	}
	connect := func(change ...func(*packets.Connect)) (*brokertest.Client, packets.ReasonCode) {
		x := &packets.Connect{Version: packets.V5, CleanStart: true}
		for _, f := range change {
			f(x)
		}
		client := dialMQTT(t, c.mqtt, packets.V5)
		client.Send(x)
		return client, brokertest.Expect[*packets.Connack](client).Code
	}
	says := func(client *brokertest.Client, topic string, payload []byte) packets.ReasonCode {
		return client.Publish(&packets.Publish{Topic: topic, Payload: payload, QoS: 1})
	}
	state := func() string {
		var n nodeState
		getJSON(t, c.page+"api/v1/nodes/Plant/Press", &n)
		return n.State
	}
	node, _ := connect(named("press"), willOn(spoken(press, "NDEATH"), death(7)))
	says(node, spoken(press, "NBIRTH"), birthOf(0, "temperature"))
	mallory, _ := connect(named("mallory"))
	reader, _ := connect(named("oven"), willOn("spBv1.0/Plant/NDEATH/Oven", death(7)))
	for _, filter := range []string{"spBv1.0/Plant/#", "end"} {
		reader.Subscribe(filter, 1)
	}
	heard := func() []said {
		says(reader, "end", []byte("x"))
		return hear(reader, "end")
	}
	command := func() bool { return says(mallory, spoken(press, "NCMD"), payload(nil)).Failed() }
	if command() || len(heard()) != 1 || listed().Mode != "off" {
		t.Fatalf("without a firewall: %+v", listed())
	}

	hangup("") // the same, off
	var bound []sparkplug.Binding
	if getJSON(t, c.page+"api/v1/bindings", &bound); len(bound) > 0 {
		t.Errorf("switched off it binds names: %+v", bound)
	}

	hangup("sparkplug: {firewall: {mode: observe}}\n")
	if v := listed(); v.Mode != "observe" || len(v.Violations) != 1 || v.Violations[0].Rule != "read" || v.Violations[0].Client != "oven" {
		t.Errorf("after off to observe %+v, want only what the reader reads", v)
	}
	if command() || len(heard()) != 1 || listed().Total["command"] != 1 {
		t.Errorf("observed: %+v", listed())
	}
	refused("sparkplug:\n  firewall:\n    mode: enforce\n    rules:\n      - {user: press, group: Plant}\n", "line 8: sparkplug.firewall.rules[0]", "wants both group and node")
	refused("sparkplug: {firewall: {mode: enforced}}\n", "line 4: sparkplug.firewall.mode", `\"enforced\" is not one of off, observe, enforce`)
	if v := listed(); v.Mode != "observe" {
		t.Errorf("a refused configuration is in force: %+v", v)
	}

	hangup("sparkplug: {firewall: {mode: enforce}}\n")
	data := payload(func(p *sparkplug.Payload) { p.Seq, p.HasSeq = 1, true })
	if says(node, spoken(press, "NDATA"), data).Failed() || state() != "online" {
		t.Error("the node was connected before, and is not what it was")
	}
	if !command() {
		t.Error("a command of a client without the role passes")
	}
	if got := heard(); len(got) > 0 {
		t.Errorf("an edge node goes on reading what is another's: %v", got)
	}

	hangup("sparkplug: {firewall: {mode: enforce, pins: false, rules: [{client: press2, group: Plant, node: Press}, {client: mallory, commands: true}]}}\n")
	node.ExpectClosed()
	eventually(t, patience, "the node that may not be it any more is dead", func() bool { return state() == "offline" })
	if command() {
		t.Error("the command of a client that has the role by now is refused")
	}
	if _, code := connect(named("press"), willOn(spoken(press, "NDEATH"), death(8))); !code.Failed() {
		t.Error("the client that was the node is it still")
	}
	if _, code := connect(named("press2"), willOn(spoken(press, "NDEATH"), death(8))); code.Failed() {
		t.Error("the client that the rule names may not be the node")
	}
	var log struct{ Events []struct{ Reason string } }
	getJSON(t, c.page+"api/v1/events?kind=system", &log)
	modes := 0
	for _, e := range log.Events {
		if strings.HasPrefix(e.Reason, "the firewall is in mode ") {
			modes++
		}
	}
	if modes != 2 {
		t.Errorf("%d events of another mode, want 2: %+v", modes, log.Events)
	}
	hangup("")
	if text, err := os.ReadFile(filepath.Join(dir, "edge.yaml")); err != nil || listed().Mode != "off" {
		t.Errorf("switched off by %s (%v): %+v", text, err, listed().Mode)
	}
	if _, code := connect(named("press"), willOn(spoken(press, "NDEATH"), death(8))); code.Failed() {
		t.Error("without a firewall: refused")
	}
}
