package main

import (
	"bytes"
	"net"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestLargeMessageIsKept sends a message that is larger than the journal would take by default to one who is away, and retained: where
// packet_bytes allows it, it is on disk like any other, and comes after a restart.
func TestLargeMessageIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	allow := func(c *Config) { c.Broker.Limits.PacketBytes = 13 << 20 }
	connect := func(a *testApp, id string, clean bool) *brokertest.Client {
		nc, err := net.Dial("tcp", a.MQTTAddr())
		if err != nil {
			t.Fatal(err)
		}
		c := brokertest.NewClient(t, nc, packets.V4)
		c.Connect(id, clean)
		return c
	}
	payload := bytes.Repeat([]byte("0123456789abcdef"), 12<<20/16)
	app := startApp(t, dir, appOptions{}, allow)
	away := connect(app, "away", false)
	away.Subscribe("large", 1)
	away.Close()
	connect(app, "pub", true).Publish(&packets.Publish{Topic: "large", QoS: 1, Retain: true, Payload: payload})
	if err := app.stop(); err != nil {
		t.Fatal(err)
	}
	app = startApp(t, dir, appOptions{}, allow)
	away = connect(app, "away", false)
	late := connect(app, "late", true)
	late.Subscribe("large", 1)
	for name, c := range map[string]*brokertest.Client{"away": away, "late": late} {
		if p := brokertest.Expect[*packets.Publish](c); !bytes.Equal(p.Payload, payload) {
			t.Errorf("%s got %d bytes", name, len(p.Payload))
		}
	}
}
