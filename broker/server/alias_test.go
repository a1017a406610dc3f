package server

import (
	"fmt"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// connectAs connects with all that p says.
func connectAs(t *testing.T, r *rig, p *packets.Connect) *brokertest.Client {
	t.Helper()
	c := brokertest.NewClient(t, r.dial(), p.Version)
	c.Send(p)
	if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.Success {
		t.Fatal(ack.Code)
	}
	return c
}

// topicsAndAliases publishes to each topic in turn and says how c got it: a topic, an alias, or both.
func topicsAndAliases(t *testing.T, pub, c *brokertest.Client, qos byte, topics ...string) (got []string) {
	t.Helper()
	for _, topic := range topics {
		pub.Publish(&packets.Publish{Topic: topic, QoS: qos, Payload: []byte("x")})
		p := brokertest.Expect[*packets.Publish](c)
		c.Acknowledge(p)
		got = append(got, fmt.Sprintf("%s=%d", p.Topic, p.TopicAlias))
	}
	return got
}

// TestTopicAliasesToClients sends a topic once and then its alias, within the client's maximum [MQTT-3.1.2-26] [MQTT-3.3.2-11] and ours; never
// to a client that announced none [MQTT-3.1.2-27], and anew on each connection [MQTT-3.3.2-7].
func TestTopicAliasesToClients(t *testing.T) {
	topics := []string{"plant/a", "plant/b", "plant/a", "plant/c", "plant/c", "plant/b", "p/d", "p/d"}
	for name, c := range map[string]struct {
		limit int
		max   uint16
		want  string
		bytes int
	}{
		"none announced":    {0, 0, "[plant/a=0 plant/b=0 plant/a=0 plant/c=0 plant/c=0 plant/b=0 p/d=0 p/d=0]", 0},
		"two":               {0, 2, "[plant/a=1 plant/b=2 =1 plant/c=0 plant/c=0 =2 p/d=0 p/d=0]", 0},
		"many":              {0, 65535, "[plant/a=1 plant/b=2 =1 plant/c=3 =3 =2 p/d=0 p/d=0]", 0},
		"no room for three": {0, 65535, "[plant/a=1 plant/b=2 =1 plant/c=0 plant/c=0 =2 p/d=0 p/d=0]", 20},
		"ours is one":       {1, 65535, "[plant/a=1 plant/b=0 =1 plant/c=0 plant/c=0 plant/b=0 p/d=0 p/d=0]", 0},
		"ours is none":      {-1, 65535, "[plant/a=0 plant/b=0 plant/a=0 plant/c=0 plant/c=0 plant/b=0 p/d=0 p/d=0]", 0},
	} {
		for qos := range byte(3) {
			t.Run(fmt.Sprint(name, " QoS ", qos), func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{limits: Limits{TopicAlias: c.limit, AliasBytes: c.bytes}}).over(way).start(t)
					pub := r.client(packets.V5, "pub", true)
					for range 2 { // connections of one session
						sub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", SessionExpiry: 100, TopicAliasMaximum: c.max})
						sub.Subscribe("#", qos)
						if got := fmt.Sprint(topicsAndAliases(t, pub, sub, qos, topics...)); got != c.want {
							t.Errorf("got  %s\nwant %s", got, c.want)
						}
						sub.Close()
						r.quiet()
					}
				})
			})
		}
	}
}

// TestTopicAliasWithinPacketSize: the alias counts in the size of a packet, and one that is not sent has taught none [MQTT-3.1.2-24].
// PUBLISH plant/a with n bytes takes 2+2+7+1+n, and 3 more beside an alias.
func TestTopicAliasWithinPacketSize(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		sub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", CleanStart: true, TopicAliasMaximum: 5, MaximumPacketSize: 22})
		sub.Subscribe("#", 0)
		pub := r.client(packets.V5, "pub", true)
		for _, n := range []int{11, 10, 7, 11, 14, 15, 14} {
			pub.Send(&packets.Publish{Topic: "plant/a", Payload: make([]byte, n)})
		}
		pub.ExpectNothing()
		for _, want := range []string{"plant/a=0 10", "plant/a=1 7", "=1 11", "=1 14", "=1 14"} {
			p := brokertest.Expect[*packets.Publish](sub)
			if got := fmt.Sprintf("%s=%d %d", p.Topic, p.TopicAlias, len(p.Payload)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		sub.ExpectNothing()
	})
}

// TestTopicAliasWithoutRoom drops a QoS 0 message that would have taught an alias: the next one says its topic.
func TestTopicAliasWithoutRoom(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{OutBytes: 1000}}).over(way).start(t)
		sub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", CleanStart: true, TopicAliasMaximum: 5})
		sub.Subscribe("#", 0)
		pub := r.client(packets.V5, "pub", true)
		out := &r.Server.clientOf("sub").out
		fill := func(by int) { // as if it waited to be written
			out.mu.Lock()
			out.size += by
			out.mu.Unlock()
		}
		fill(1000)
		pub.Publish(&packets.Publish{Topic: "plant/a", QoS: 1})
		fill(-1000)
		if got := fmt.Sprint(topicsAndAliases(t, pub, sub, 1, "plant/a", "plant/a")); got != "[plant/a=1 =1]" {
			t.Errorf("got %s", got)
		}
	})
}

// TestTopicAliasHeld holds QoS 2 messages back for the disk: the alias is taught by what goes out first, not by what was first.
func TestTopicAliasHeld(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		sub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", SessionExpiry: 100, TopicAliasMaximum: 5})
		sub.Subscribe("#", 2)
		pub := r.client(packets.V5, "pub", true)
		r.quiet()
		r.store.Hold()
		pub.Send(&packets.Publish{Topic: "plant/a", QoS: 2, PacketID: 1}, &packets.Publish{Topic: "plant/a", Payload: []byte("0")})
		first := brokertest.Expect[*packets.Publish](sub)
		r.store.Commit()
		second := brokertest.Expect[*packets.Publish](sub)
		if first.Topic != "plant/a" || first.TopicAlias != 1 || second.Topic != "" || second.TopicAlias != 1 || second.QoS != 2 {
			t.Errorf("got %s, then %s", brokertest.Describe(first), brokertest.Describe(second))
		}
		sub.Close()
		r.quiet()
		sub = connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "sub", SessionExpiry: 100, TopicAliasMaximum: 5})
		r.store.Commit()
		if again := brokertest.Expect[*packets.Publish](sub); again.Topic != "plant/a" || !again.Dup {
			t.Errorf("sent again as %s", brokertest.Describe(again))
		}
	})
}
