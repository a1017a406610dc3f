package main

import (
	"net"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestDurability: the status says which it is; fast acknowledges from memory, although the commit is an hour away.
func TestDurability(t *testing.T) {
	for _, durability := range []string{"fast", "safe"} {
		t.Run(durability, func(t *testing.T) {
			a := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
				c.Broker.Durability = durability
				if durability == "fast" {
					c.Broker.CommitInterval = Duration(time.Hour)
				}
			})
			var status struct{ Durability string }
			a.get(t, "api/v1/status", &status)
			if status.Durability != durability {
				t.Errorf("the status says %q", status.Durability)
			}
			client := func(id string, clean bool) *brokertest.Client {
				conn, err := net.Dial("tcp", a.MQTTAddr())
				if err != nil {
					t.Fatal(err)
				}
				c := brokertest.NewClient(t, conn, packets.V5)
				c.Connect(id, clean)
				return c
			}
			away := client("away", false)
			away.Subscribe("a", 2)
			away.Close()
			pub := client("pub", false)
			pub.Publish(&packets.Publish{Topic: "a", QoS: 2, PacketID: 1})
			pub.Publish(&packets.Publish{Topic: "a", QoS: 1, PacketID: 2, Retain: true, Payload: []byte("x")})
		})
	}
}
