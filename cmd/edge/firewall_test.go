package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/broker/packets"
	"edge/sparkplug"
)

// violationsState is what GET /api/v1/violations says.
type violationsState struct {
	Mode       string
	Total      map[string]uint64
	Violations []struct {
		Rule, What, Topic, Detail, Client, User, Address string
		Refused                                          bool
		Count                                            uint64
		First, Last                                      time.Time
	}
}

// TestFirewallLetsTheHonestPass: simulated nodes by both protocols, their commands and rebirths, a host of others' making and Eclipse Tahu's
// sparkplug-client live under the firewall as without it, through kills and rebirths, and nothing of them is listed.
func TestFirewallLetsTheHonestPass(t *testing.T) {
	node, script := peer(t, "sparkplug_node.mjs")
	for _, mode := range []string{"observe", "enforce"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			above := startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Sparkplug.HostID, c.Sparkplug.Firewall.Mode = "above", mode })
			below := startApp(t, t.TempDir(), appOptions{tuneUplink: prompt}, toMosquitto(above.MQTTAddr()), func(c *Config) { c.Sparkplug.Firewall.Mode = mode })
			fleet, _ := startFleet(t, below.MQTTAddr(), load(), 100*time.Millisecond)
			peer := startLines(t, node, script)
			peer.send(`{"do":"connect","url":"mqtt://%s","group":"E2E","node":"peer","metrics":[{"name":"Line/Speed","type":"Double","value":1.5}],`+
				`"devices":{"drive":[{"name":"Torque","type":"Float","value":10.25}]}}`, below.MQTTAddr())
			online := func(a *testApp, name string, want bool) func() bool {
				return func() bool { n, ok := a.node(t, "E2E", name); return ok && (n.State == "online") == want }
			}
			for _, a := range []*testApp{below, above} { // the uplink's sessions are nodes up there
				for _, name := range []string{"node1", "node2", "peer"} {
					eventually(t, patience, name+" is online", online(a, name, true))
				}
			}
			peer.send(`{"do":"data","device":"drive","metrics":[{"name":"Torque","type":"Float","value":-3.75}]}`)
			for _, name := range []string{"node1", "peer"} {
				if code := below.post(t, "api/v1/nodes/E2E/"+name+"/rebirth", map[string]string{}); code != http.StatusAccepted {
					t.Errorf("rebirth: %d", code)
				}
				eventually(t, patience, "the rebirth is answered", func() bool { n, _ := below.node(t, "E2E", name); return n.Rebirths.Answered > 0 })
			}
			if err := fleet.Kill("E2E/node2"); err != nil {
				t.Fatal(err)
			}
			peer.send(`{"do":"kill"}`)
			for _, a := range []*testApp{below, above} {
				eventually(t, patience, "node2 is dead", online(a, "node2", false))
				eventually(t, patience, "the peer is dead", online(a, "peer", false))
			}
			if err := fleet.Revive("E2E/node2"); err != nil {
				t.Fatal(err)
			}
			peer.send(`{"do":"revive"}`)
			eventually(t, patience, "node2 is back", online(above, "node2", true))
			eventually(t, patience, "the peer is back", online(above, "peer", true))
			peer.send(`{"do":"stop"}`)
			peer.expect(`"event":"stopped"`)
			for _, a := range []*testApp{below, above} {
				var got violationsState
				if a.get(t, "api/v1/violations", &got); got.Mode != mode || len(got.Violations) > 0 {
					t.Errorf("%+v", got)
				}
				var bound []struct{ Name, Identity, Client string }
				a.get(t, "api/v1/bindings", &bound)
				if len(bound) != 3 || bound[0].Name != "node/E2E/node1" || !strings.HasSuffix(bound[0].Identity, " at loopback") {
					t.Errorf("bound: %+v", bound)
				}
			}
		})
	}
}

// TestFirewallRemembers: a name belongs to who used it first, after a restart too, until it is forgotten.
func TestFirewallRemembers(t *testing.T) {
	dir := t.TempDir()
	enforce := func(c *Config) { c.Sparkplug.Firewall.Mode = "enforce" }
	s := &siege{t: t, v: packets.V5, enforce: true, app: startApp(t, dir, appOptions{}, enforce)}
	s.node("press", "Press").Close()
	if err := s.app.stop(); err != nil {
		t.Fatal(err)
	}
	s.app = startApp(t, dir, appOptions{}, enforce)
	if s.connect(willOn(spoken(press, "NDEATH"), death(7))) != nil {
		t.Error("a stranger has the name after a restart")
	}
	s.node("press", "Press").Close()
	forget := map[string]string{"name": "node/Plant/Press"}
	for _, want := range []int{http.StatusAccepted, http.StatusNotFound} {
		if code := s.app.post(t, "api/v1/bindings/forget", forget); code != want {
			t.Errorf("forget: %d, want %d", code, want)
		}
	}
	if s.connect(willOn(spoken(press, "NDEATH"), death(7))) == nil {
		t.Error("the name is not free after it was forgotten")
	}
	if s.connect(named("press"), willOn(spoken(press, "NDEATH"), death(7))) != nil {
		t.Error("who had the name has it still")
	}
}

// TestFirewallTells: a refused client is told so, and an operator by the list, an event, a figure and at the node that it would have been.
func TestFirewallTells(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Sparkplug.Firewall.Mode = "enforce" })
	s := &siege{t: t, v: packets.V5, app: app, enforce: true}
	s.node("press", "Press")
	mallory := s.connect()
	for range 5 {
		if code := mallory.Publish(&packets.Publish{Topic: spoken(press, "NDEATH"), Payload: death(7), QoS: 1}); code != packets.NotAuthorized {
			t.Errorf("PUBACK %v", code)
		}
	}
	old := dialMQTT(t, app.MQTTAddr(), packets.V4) // 3.1.1 has no word for it
	old.Connect("old", true)
	old.Publish(&packets.Publish{Topic: spoken(press, "NDEATH"), Payload: death(7), QoS: 1})
	old.ExpectNothing()

	var got violationsState
	app.get(t, "api/v1/violations", &got)
	if len(got.Violations) != 2 || got.Total["another node"] != 6 {
		t.Fatalf("%+v", got)
	}
	if v := got.Violations[1]; v.Client != "mallory" || v.Count != 5 || v.What != "PUBLISH" || v.Topic != spoken(press, "NDEATH") || !v.Refused ||
		!strings.Contains(v.Detail, "an NDEATH of") || v.Last.Before(v.First) {
		t.Errorf("%+v", v)
	}
	if n := app.scrape(t)["edge_firewall_violations_total,another node"]; n != 6 {
		t.Errorf("the figure is %v", n)
	}
	var log struct {
		Events []struct{ Node, Reason string }
	}
	eventually(t, patience, "the events are there", func() bool {
		app.get(t, "api/v1/events?kind=client", &log)
		return len(log.Events) >= 2
	})
	if events := log.Events; len(events) != 2 || events[1].Node != "Press" || !strings.Contains(events[1].Reason, `firewall, refused: client "mallory" at 127.0.0.1:`) {
		t.Errorf("%+v", log)
	}
	p := app.pipeline.plant
	n, _ := p.Node("Plant", "Press")
	p.mu.Lock()
	notes := p.host.Sessions(sparkplug.NodeRef{Group: "Plant", Node: "Press"})
	p.mu.Unlock()
	if n.State != sparkplug.StateOnline || !slices.ContainsFunc(notes, func(x sparkplug.SessionNote) bool {
		return x.Kind == sparkplug.CauseRefused && x.ClientID == "mallory"
	}) {
		t.Errorf("the node: %s, %+v", n.State, notes)
	}
}

// TestFirewallFloods: a flood of names costs a list of its size, a bounded number of events, and no more.
func TestFirewallFloods(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
		c.Sparkplug.Firewall.Mode, c.Sparkplug.Firewall.Limits.Violations = "enforce", 50
	})
	s := &siege{t: t, v: packets.V4, app: app, enforce: true}
	c := s.connect()
	const flood = 500
	for i := range flood {
		c.Publish(&packets.Publish{Topic: "spBv1.0//NDEATH/" + strings.Repeat("n", i), Payload: death(7)})
	}
	c.ExpectNothing()
	list, total := app.pipeline.firewall.Violations()
	if len(list) != 50 || total["topic"] != flood || len(list[0].Topic) != maxShown {
		t.Errorf("%d listed, %d counted", len(list), total["topic"])
	}
	var log struct{ Events []struct{ Reason string } }
	eventually(t, patience, "the events are there", func() bool {
		app.get(t, "api/v1/events?kind=client&limit=1000", &log)
		return len(log.Events) >= toldPerMinute
	})
	if len(log.Events) > 2*toldPerMinute { // a minute may have passed meanwhile
		t.Errorf("%d events", len(log.Events))
	}
}

// TestFirewallOff: without it nobody is asked, listed or bound.
func TestFirewallOff(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	s := &siege{t: t, v: packets.V5, app: app}
	s.node("press", "Press")
	if s.connect(willOn(spoken(press, "NDEATH"), death(7))) == nil {
		t.Error("refused")
	}
	var got violationsState
	if app.get(t, "api/v1/violations", &got); got.Mode != "off" || len(got.Violations) > 0 {
		t.Errorf("%+v", got)
	}
	if code := app.post(t, "api/v1/bindings/forget", map[string]string{"name": "node/Plant/Press"}); code != http.StatusNotFound {
		t.Errorf("forget: %d", code)
	}
	client := dialMQTT(t, app.MQTTAddr(), packets.V5)
	client.Connect("free", true)
	if code := client.Publish(&packets.Publish{Topic: spoken(press, "NDEATH"), Payload: death(7), QoS: 1}); code.Failed() {
		t.Errorf("PUBACK %v", code)
	}
}

// TestFirewallAsksAgain: subscriptions that a session got before its client was an edge node are not the node's.
func TestFirewallAsksAgain(t *testing.T) {
	for mode, heard := range map[string]bool{"enforce": false, "observe": true} {
		for _, v := range bothVersions {
			s := &siege{t: t, v: v, enforce: mode == "enforce", app: startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Sparkplug.Firewall.Mode = mode })}
			persistent := func(c *packets.Connect) { c.CleanStart, c.SessionExpiry = false, 3600 }
			c := s.connect(named("n"), persistent)
			for _, f := range []string{"spBv1.0/Plant/#", "end"} {
				c.Subscribe(f, 1)
			}
			if v == packets.V5 {
				c.Subscribe("$share/s/spBv1.0/Plant/NBIRTH/+", 1)
			}
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
			c = s.connect(named("n"), persistent, willOn("spBv1.0/Plant/NDEATH/N", death(7)))
			s.node("other", "Other").Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
			if got := hear(c, "end"); (len(got) > 0) != heard {
				t.Errorf("%s, %v: it hears of others: %+v", mode, v, got)
			}
			if s.count(sparkplug.BreachRead, "n") == 0 {
				t.Errorf("%s, %v: not listed", mode, v)
			}
		}
	}
}

// TestFirewallForgottenNodeDies: a binding that is forgotten does not keep a dead node alive.
func TestFirewallForgottenNodeDies(t *testing.T) {
	s := &siege{t: t, v: packets.V5, enforce: true, app: startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Sparkplug.Firewall.Mode = "enforce" })}
	c := s.node("n", "N")
	eventually(t, patience, "it is online", func() bool { n, ok := s.app.node(t, "Plant", "N"); return ok && n.State == "online" })
	if code := s.app.post(t, "api/v1/bindings/forget", map[string]string{"name": "node/Plant/N"}); code != http.StatusAccepted {
		t.Fatalf("forget: %d", code)
	}
	c.Close()
	eventually(t, patience, "its will is heard", func() bool {
		n, _ := s.app.node(t, "Plant", "N")
		return n.State == "offline" && !n.LastDeath.Time.IsZero()
	})
}
