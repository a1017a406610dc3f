package main

import (
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// TestFirewallLateWills: an honest node whose will has a delay comes back by a take-over, with a session of before, with a new one, and after a
// restart of the appliance: nothing of that is listed, and a will that is due is heard.
func TestFirewallLateWills(t *testing.T) {
	dir := t.TempDir()
	enforce := func(c *Config) { c.Sparkplug.Firewall.Mode = "enforce" }
	s := &siege{t: t, v: packets.V5, enforce: true, app: startApp(t, dir, appOptions{}, enforce)}
	bdSeq := uint8(0)
	live := func(delay uint32, clean bool) *brokertest.Client {
		bdSeq++
		c := s.connect(named("n"), willOn("spBv1.0/Plant/NDEATH/N", death(bdSeq)), func(c *packets.Connect) {
			c.CleanStart, c.SessionExpiry, c.Will.Delay = clean, 3600, delay
		})
		if c == nil {
			t.Fatal("not let in")
		}
		return c
	}
	s.witness = joinMQTT(t, s.app.MQTTAddr(), packets.V5, "witness", 0, "spBv1.0/Plant/#", "end")
	heard := func(what string, want int) {
		t.Helper()
		if got := s.hear(); len(got) != want {
			t.Errorf("%s: %d deaths, want %d", what, len(got), want)
		}
		if list, _ := s.app.pipeline.firewall.Violations(); len(list) > 0 {
			t.Fatalf("%s: listed: %+v", what, list)
		}
	}
	c := live(3600, true)
	c2 := live(3600, false)
	c.ExpectClosed()
	heard("taken over, the session goes on", 0)
	c3 := live(3600, true)
	c2.ExpectClosed()
	heard("taken over with a new session", 1)
	c3.Close()
	s.leaves("n")
	c4 := live(1, true)
	heard("back with a new session", 1)

	lasting := func() *brokertest.Client {
		return s.connect(named("lasting"), func(c *packets.Connect) { c.CleanStart, c.SessionExpiry = false, 3600 })
	}
	lasting().Subscribe("spBv1.0/Plant/NDEATH/+", 1)
	c4.Close()
	s.leaves("n")
	if err := s.app.stop(); err != nil {
		t.Fatal(err)
	}
	s.app = startApp(t, dir, appOptions{}, enforce)
	if will := brokertest.Expect[*packets.Publish](lasting()); will.Topic != "spBv1.0/Plant/NDEATH/N" {
		t.Errorf("after a restart: %+v", will)
	}
	if list, _ := s.app.pipeline.firewall.Violations(); len(list) > 0 {
		t.Errorf("after a restart: listed: %+v", list)
	}
}

// leaves waits until the firewall knows that a client has left.
func (s *siege) leaves(id string) {
	s.t.Helper()
	f := s.app.pipeline.firewall
	eventually(s.t, patience, id+" has left", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, here := f.rules.Who(id)
		return !here
	})
}

// TestFirewallWillsAfterReload: who is connected when enforce comes and has no rule is disconnected. That a node of theirs is dead is heard;
// a will that CONNECT would not let in now is not.
func TestFirewallWillsAfterReload(t *testing.T) {
	s := &siege{t: t, v: packets.V5, enforce: true, app: startApp(t, t.TempDir(), appOptions{})}
	s.press = s.node("press", "Press")
	lathe := s.connect(named("lathe"), willOn("spBv1.0/Plant/NDEATH/Lathe", death(7)), func(c *packets.Connect) { c.Will.Retain = true })
	lathe.Publish(&packets.Publish{Topic: "spBv1.0/Plant/NBIRTH/Lathe", Payload: birthOf(0, "temperature")})
	s.evil = s.connect(willOn(spoken(press, "NDEATH"), death(7)))
	liar := s.connect(named("liar"), willOn("spBv1.0/STATE/scada", []byte(`{"online":true,"timestamp":1}`)))
	s.witness = joinMQTT(t, s.app.MQTTAddr(), packets.V5, "witness", 0, "spBv1.0/#", "end")
	s.hear()

	s.app.pipeline.firewall.reload(&FirewallConfig{Mode: "enforce", Limits: FirewallLimitsConfig{Violations: 100}})
	for _, c := range []*brokertest.Client{s.evil, liar, lathe, s.press} {
		c.ExpectClosed()
	}
	for _, id := range []string{"mallory", "liar", "lathe", "press"} {
		s.leaves(id)
	}
	eventually(t, patience, "the node is dead", func() bool {
		n, _ := s.app.pipeline.plant.Node("Plant", "Press")
		return n.State == sparkplug.StateOffline
	})
	heard := s.hear()
	if len(heard) != 1 || heard[0].Topic != spoken(press, "NDEATH") || heard[0].Retain {
		t.Errorf("heard %+v, want that Press is dead, once", heard)
	}
	for client, rule := range map[string]sparkplug.Breach{"mallory": sparkplug.BreachWill, "liar": sparkplug.BreachWill, "lathe": sparkplug.BreachRetain} {
		if s.count(rule, client) == 0 {
			t.Errorf("the will of %s is not listed", client)
		}
	}
}
