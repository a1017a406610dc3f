package sparkplug

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// [tck-id-host-topic-phid-birth-payload-timestamp] [tck-id-host-topic-phid-birth-payload] [tck-id-host-topic-phid-birth-qos]
// [tck-id-host-topic-phid-birth-retain] [tck-id-host-topic-phid-birth-topic] [tck-id-host-topic-phid-death-payload]
// [tck-id-host-topic-phid-death-qos] [tck-id-host-topic-phid-death-retain] [tck-id-host-topic-phid-death-topic]
// [tck-id-host-topic-phid-death-payload-timestamp-connect] [tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean]
// [tck-id-payloads-state-birth-payload] [tck-id-payloads-state-will-message-payload] [tck-id-intro-sparkplug-host-state]
// [tck-id-message-flow-hid-sparkplug-state-message-delivered] [tck-id-components-ph-state]
// [tck-id-message-flow-phid-sparkplug-state-publish-payload] [tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp]
// [tck-id-operational-behavior-host-application-connect-birth-payload] [tck-id-operational-behavior-host-application-connect-birth-qos]
// [tck-id-operational-behavior-host-application-connect-birth-retained] [tck-id-operational-behavior-host-application-connect-birth-topic]
// [tck-id-operational-behavior-host-application-connect-will-payload] [tck-id-operational-behavior-host-application-connect-will-qos]
// [tck-id-operational-behavior-host-application-connect-will-retained] [tck-id-operational-behavior-host-application-connect-will-topic]
// [tck-id-operational-behavior-host-application-death-payload] [tck-id-operational-behavior-host-application-death-qos]
// [tck-id-operational-behavior-host-application-death-retained] [tck-id-operational-behavior-host-application-death-topic]
// [tck-id-payloads-state-will-message-qos] [tck-id-payloads-state-will-message-retain]
func TestHostState(t *testing.T) {
	ms := t0.UnixMilli()
	show := func(pubs []Publish) string {
		var lines []string
		for _, p := range pubs {
			lines = append(lines, fmt.Sprintf("%s %s qos=%d retain=%t", p.Topic, p.Payload, p.QoS, p.Retain))
		}
		return strings.Join(lines, "\n")
	}
	check := func(got []Publish, online bool, at int64, ids ...string) {
		t.Helper()
		var lines []string
		for _, id := range ids {
			lines = append(lines, fmt.Sprintf(`spBv1.0/STATE/%s {"online":%t,"timestamp":%d} qos=1 retain=true`, id, online, at))
		}
		if show(got) != strings.Join(lines, "\n") {
			t.Errorf("STATE:\n%s\nwant:\n%s", show(got), strings.Join(lines, "\n"))
		}
	}
	offline := func(h *Host, id string, at int64, now time.Time) []Publish {
		m := StateMessage(id, HostState{Timestamp: at})
		return h.Step(Input{Message: &Message{Topic: m.Topic, Payload: m.Payload}}, now).Publish
	}
	h := NewHost(Options{HostID: "edge", ExtraHostIDs: []string{"scada", "edge", "not/an id"}})
	check(offline(h, "edge", ms, t0), true, 0) // before a birth there is nothing to defend
	check(h.StateWill("", t0), false, ms, "edge", "scada")
	check(h.StateBirth("", t0.Add(time.Second)), true, ms, "edge", "scada")
	check(offline(h, "scada", ms+9, t0), true, ms, "scada")
	check(offline(h, "other", ms+9, t0), true, 0)
	for i := range 10 {
		got := offline(h, "edge", ms, t0.Add(time.Duration(i)*time.Second))
		if want := i < 3; (len(got) == 1) != want {
			t.Errorf("defence %d: %d messages", i, len(got))
		}
	}
	if st := h.Stats(); st.StateDefences != 4 || st.StateDuels != 7 {
		t.Errorf("defences %d, duels %d", st.StateDefences, st.StateDuels)
	}
	if next := h.NextTick(); !next.Equal(t0.Add(time.Minute)) {
		t.Errorf("next tick %v: the birth that was not said again must be", next)
	}
	check(h.Step(Input{}, t0.Add(time.Minute)).Publish, true, ms, "edge", "scada")
	check(offline(h, "edge", ms, t0.Add(62*time.Second)), true, ms, "edge")
	for _, payload := range []string{"OFFLINE", "", "{}"} { // what took the retained birth away is answered too
		check(h.Step(Input{Message: &Message{Topic: "spBv1.0/STATE/edge", Payload: []byte(payload)}}, t0.Add(time.Hour)).Publish, true, ms, "edge")
	}
	check(h.StateDeath("", t0.Add(-time.Hour)), false, ms+1, "edge", "scada") // the clock was set back
	check(offline(h, "edge", ms+1, t0), true, 0)
	check(h.StateBirth("", t0.Add(-time.Hour)), true, ms+2, "edge", "scada")
	restarted := NewHost(Options{HostID: "edge", LastState: h.StateTimestamp()})
	check(restarted.StateBirth("", t0.Add(-time.Hour)), true, ms+3, "edge")
}

// STATE timestamps never go back and belong to a server each; what is denied on one is answered there.
// [tck-id-operational-behavior-host-application-multi-server-timestamp]
// [tck-id-operational-behavior-primary-application-state-with-multiple-servers-state]
func TestHostStateServers(t *testing.T) {
	h := NewHost(Options{HostID: "edge", LegacyState: true})
	ms := t0.UnixMilli()
	stamp := func(out []Publish) (server string, at int64) {
		t.Helper()
		s, err := ParseState(out[0].Payload)
		if err != nil || len(out) != 2 || out[1].Server != out[0].Server {
			t.Fatalf("%v, %+v", err, out)
		}
		return out[0].Server, s.Timestamp
	}
	will := h.StateWill("A", t0)
	if out := will; string(out[1].Payload) != "OFFLINE" || out[1].Topic != "STATE/edge" || !out[1].Retain || out[1].QoS != 1 {
		t.Errorf("%+v", out)
	}
	for _, tt := range []struct {
		name   string
		out    []Publish
		server string
		at     int64
	}{
		{"will of A", will, "A", ms},
		{"will of B, in the same ms", h.StateWill("B", t0), "B", ms + 1},
		{"birth on A: its will's", h.StateBirth("A", t0.Add(time.Second)), "A", ms},
		{"birth on B: its will's", h.StateBirth("B", t0.Add(time.Second)), "B", ms + 1},
		{"A again, a new connection", h.StateWill("A", t0.Add(-time.Hour)), "A", ms + 2},
		{"born there", h.StateBirth("A", t0), "A", ms + 2},
	} {
		if server, at := stamp(tt.out); server != tt.server || at != tt.at {
			t.Errorf("%s: %s %d, want %s %d", tt.name, server, at, tt.server, tt.at)
		}
	}
	deny := func(server, topic, payload string) []Publish {
		return h.Step(Input{Message: &Message{Server: server, Topic: topic, Payload: []byte(payload), ClientID: "c"}}, t0).Publish
	}
	if server, at := stamp(deny("B", "spBv1.0/STATE/edge", `{"online":false,"timestamp":1}`)); server != "B" || at != ms+1 {
		t.Errorf("denied on B: answered on %s with %d", server, at)
	}
	if server, at := stamp(deny("A", "STATE/edge", "OFFLINE")); server != "A" || at != ms+2 {
		t.Errorf("denied on A as 2.2 does: answered on %s with %d", server, at)
	}
	if out := deny("A", "spBv1.0/STATE/edge", `{"online":true,"timestamp":9999999999999}`); len(out) > 0 {
		t.Errorf("another's online is answered: %+v", out)
	}
	h.StateDeath("A", t0)
	if out := deny("A", "spBv1.0/STATE/edge", `{"online":false,"timestamp":1}`); len(out) > 0 {
		t.Errorf("our own death on A is answered: %+v", out)
	}
	if out := deny("B", "spBv1.0/STATE/edge", `{"online":false,"timestamp":1}`); len(out) == 0 {
		t.Error("B is not defended any more although only A ended")
	}
}

// What other hosts say of themselves is shown, in both forms, and bounded.
func TestHostSeesHosts(t *testing.T) {
	p := newPlant(t, Options{HostID: "edge"})
	state := func(topic, payload string) {
		p.step(Input{Message: &Message{Topic: topic, Payload: []byte(payload), ClientID: "c"}})
	}
	state("spBv1.0/STATE/scada", `{"online":true,"timestamp":1700000000000}`)
	state("STATE/old", "ONLINE")
	state("STATE/old", "maybe")
	state("spBv1.0/STATE/bad", "ONLINE")
	want := []HostView{
		{ID: "scada", ClientID: "c", Online: true, Timestamp: time.UnixMilli(1700000000000), Received: t0},
		{ID: "old", ClientID: "c", Online: true, Legacy: true, Received: t0},
	}
	if got := p.h.Hosts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	state("STATE/old", "")
	state("spBv1.0/STATE/scada", `{"online":false,"timestamp":1700000000001}`)
	if got := p.h.Hosts(); len(got) != 1 || got[0].Online {
		t.Errorf("%+v", got)
	}
	for i := range 1000 {
		state(fmt.Sprint("STATE/", i), "OFFLINE")
	}
	if got := p.h.Hosts(); len(got) != maxHosts || got[0].ID != "936" {
		t.Errorf("%d hosts, the first %s", len(got), got[0].ID)
	}
}

// A duel with another host that uses our id is limited, told, and ends with our birth.
func TestHostStateDuel(t *testing.T) {
	p := newPlant(t, Options{HostID: "edge"})
	p.h.StateBirth("", t0)
	answers, told := 0, []string{}
	for range 600 { // ten minutes of an other host that denies us every second
		out := p.step(Input{Message: &Message{Topic: "spBv1.0/STATE/edge", Payload: []byte(`{"online":false,"timestamp":1}`), ClientID: "other"}})
		answers += len(out.Publish)
		for _, r := range out.Records {
			if told = append(told, r.Event.Reason); r.Event.Kind != StateDuel {
				t.Errorf("%+v", r.Event)
			}
		}
		p.now = p.now.Add(time.Second)
	}
	if answers != 40 || len(told) > 60 || !strings.Contains(strings.Join(told, "\n"), "client other says that this host, edge, is not online: again and again") {
		t.Errorf("%d answers, %d events %q", answers, len(told), told)
	}
	p.now = p.now.Add(time.Minute) // the other one ends
	if out := p.step(Input{}); len(out.Publish) != 1 || p.h.NextTick() != (time.Time{}) {
		t.Errorf("the last word is not ours: %+v, next tick %v", out.Publish, p.h.NextTick())
	}
}
