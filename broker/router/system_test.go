package router

import (
	"testing"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// TestSystemTopics are kept for subscribers to come, and neither stored nor counted nor found by #.
func TestSystemTopics(t *testing.T) {
	keep := &store{}
	r := New(Options{RetainedMessages: 1, RetainedBytes: 8, Store: keep})
	publish := func(name topic.Name, payload string) {
		t.Helper()
		m := retained(name, payload)
		m.From = "$sys"
		if _, err := r.Route(m, &got{}); err != nil {
			t.Fatal(err)
		}
	}
	publish("$SYS/broker/uptime", "1 seconds")
	publish("$SYS/broker/uptime", "2 seconds")
	publish("$SYS/broker/gone", "x")
	publish("$SYS/broker/gone", "")
	r.Expire(time.Time{})
	if have := names(r, "$SYS/#"); have != "$SYS/broker/uptime=2 seconds " {
		t.Errorf("retained %q", have)
	}
	if names(r, "#") != "" || names(r, "+/broker/uptime") != "" { // [MQTT-4.7.2-1]
		t.Error("found by a wildcard in the first level")
	}
	if st := r.Stats(); st.Retained != 0 || st.RetainedBytes != 0 || len(keep.saved) != 0 || len(r.RetainedAll()) != 0 {
		t.Errorf("%+v, stored %q", st, keep.saved)
	}
	if _, err := r.Route(&broker.Message{Topic: "$SYS/broker/uptime", Retain: true, From: "client"}, &got{}); err == nil {
		t.Error("a client may publish to $SYS")
	}
}
