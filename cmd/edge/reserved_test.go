package main

import (
	"fmt"
	"testing"

	"edge/broker/packets"
	"edge/broker/topic"
)

// A flood of births fills what may be retained with certificates; the STATE of another host is kept all the same.
func TestStateFindsRoom(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Broker.Limits.RetainedMessages = 5 })
	client := joinMQTT(t, app.MQTTAddr(), packets.V5, "flood", 1)
	for i := range 10 {
		client.Publish(&packets.Publish{Topic: fmt.Sprintf("spBv1.0/Flood/NBIRTH/n%d", i), QoS: 1, Payload: birthOf(0)})
	}
	if got := kept(t, app.MQTTAddr(), packets.V5, certificates+"#"); len(got) == 0 || len(got) >= 5 {
		t.Fatalf("%d certificates, want as many as there is room for", len(got))
	}
	for _, name := range []string{"spBv1.0/STATE/scada", "STATE/scada", "elsewhere"} {
		client.Publish(&packets.Publish{Topic: name, QoS: 1, Retain: true, Payload: []byte(`{"online":true,"timestamp":1}`)})
		m := app.pipeline.router.Retained(topic.Name(name), app.pipeline.plant.now())
		if want := name != "elsewhere"; (m != nil) != want {
			t.Errorf("%s is retained: %v, want %v", name, m != nil, want)
		}
	}
}
