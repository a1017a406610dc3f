package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestFirewallObservesOnly: a conversation made at random, with much in it that enforce refuses, gets the same bytes back, and its listener the
// same messages, whether the firewall observes or is off.
func TestFirewallObservesOnly(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	eachVersion(t, func(t *testing.T, v packets.Version) {
		var talks [2][]string
		for i, mode := range []string{"off", "observe"} {
			app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
				c.Sparkplug.Firewall.Mode, c.Sparkplug.Aware = mode, false // which would put the time into deaths
			})
			talks[i] = converse(t, app, v, rand.New(rand.NewPCG(seed, 0)))
			if list := len(app.listed(t)); (list > 10) != (mode == "observe") {
				t.Errorf("%s: %d violations", mode, list)
			}
		}
		if diff := cmp.Diff(talks[0], talks[1]); diff != "" {
			t.Errorf("seed %d (-off +observe):\n%s", seed, diff)
		}
	})
}

func (a *testApp) listed(t *testing.T) []struct{ Rule string } {
	t.Helper()
	var got struct{ Violations []struct{ Rule string } }
	a.get(t, "api/v1/violations", &got)
	return got.Violations
}

// converse has clients come, publish, take each other over and go, and returns all that the broker said, in hex, and then what a listener heard.
func converse(t *testing.T, app *testApp, v packets.Version, r *rand.Rand) (talk []string) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	name := func() string {
		return pick("spBv1.0/Plant/NBIRTH/A", "spBv1.0/Plant/NDEATH/A", "spBv1.0/Plant/NDATA/A", "spBv1.0/Plant/DBIRTH/A/D", "spBv1.0/Plant/DDATA/A/D", "spBv1.0/Plant/NCMD/A",
			"spBv1.0/Plant/NDEATH/B", "spBv1.0/STATE/scada", "spBv1.0/STATE/edge", "STATE/scada", "spbv1.0/Plant/NDEATH/A", "spBv1.0//NDATA/A", "$sparkplug/certificates/x", "plant/line", "spBv1.0", "spBv1.0/+")
	}
	payload := func() []byte {
		switch r.IntN(5) {
		case 0:
			return death(uint8(r.IntN(2)))
		case 1:
			return birthOf(uint64(r.IntN(300)), "temperature")
		case 2:
			return offline()
		case 3:
			return nil
		}
		return []byte(fmt.Sprint("garbage", r.IntN(100)))
	}
	said := func(p packets.Packet) {
		b, _ := packets.AppendWithin(nil, v, p, 0)
		talk = append(talk, hex.EncodeToString(b))
	}
	listener := joinMQTT(t, app.MQTTAddr(), v, "listener", 0, "spBv1.0/Plant/#", "STATE/#", "spBv1.0/STATE/scada", "plant/#", "spbv1.0/#", "/#", "end")
	for range 25 {
		c := dialMQTT(t, app.MQTTAddr(), v)
		connect := &packets.Connect{Version: v, ClientID: pick("a", "b", "c"), CleanStart: r.IntN(2) > 0}
		if r.IntN(3) > 0 {
			connect.Will = &packets.Will{Topic: strings.ReplaceAll(name(), "+", "x"), Payload: payload(), QoS: byte(r.IntN(3)), Retain: r.IntN(4) == 0}
		}
		c.Send(connect)
		answer := brokertest.Expect[*packets.Connack](c)
		said(answer)
		if answer.Code.Failed() {
			continue
		}
		for range r.IntN(12) {
			p := &packets.Publish{Topic: strings.ReplaceAll(name(), "+", "x"), Payload: payload(), QoS: byte(r.IntN(3)), Retain: r.IntN(4) == 0, PacketID: 7}
			if p.QoS == 0 {
				p.PacketID = 0
			}
			c.Send(p)
			switch p.QoS {
			case 1:
				said(brokertest.Expect[*packets.Puback](c))
			case 2:
				rec := brokertest.Expect[*packets.Pubrec](c)
				if said(rec); !rec.Code.Failed() {
					c.Send(&packets.Pubrel{PacketID: 7})
					said(brokertest.Expect[*packets.Pubcomp](c))
				}
			}
		}
		c.Send(&packets.Subscribe{PacketID: 9, Filters: []packets.Subscription{{Filter: pick("end", "spBv1.0/Other/#", "$sparkplug/#", "+/Plant/NCMD/B")}}})
		said(brokertest.Expect[*packets.Suback](c))
		if r.IntN(2) > 0 {
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
		} // or the next one takes it over, or it stays
	}
	listener.Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
	for _, m := range hear(listener, "end") {
		if !strings.Contains(m.Topic, "/NCMD/") { // the host asks for rebirths when it is time
			talk = append(talk, fmt.Sprintf("%s %x %d %v", m.Topic, m.Payload, m.QoS, m.Retain))
		}
	}
	return talk
}
