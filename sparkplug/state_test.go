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
	check(h.StateWill(t0), false, ms, "edge", "scada")
	check(h.StateBirth(t0.Add(time.Second)), true, ms, "edge", "scada")
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
	check(offline(h, "edge", ms, t0.Add(61*time.Second)), true, ms, "edge")
	check(h.Step(Input{Message: &Message{Topic: "spBv1.0/STATE/edge", Payload: []byte(`OFFLINE`)}}, t0.Add(time.Hour)).Publish, true, 0)
	check(h.StateDeath(t0.Add(-time.Hour)), false, ms+1, "edge", "scada") // the clock was set back
	check(offline(h, "edge", ms+1, t0), true, 0)
	check(h.StateBirth(t0.Add(-time.Hour)), true, ms+2, "edge", "scada")
	restarted := NewHost(Options{HostID: "edge", LastState: h.StateTimestamp()})
	check(restarted.StateBirth(t0.Add(-time.Hour)), true, ms+3, "edge")
}
