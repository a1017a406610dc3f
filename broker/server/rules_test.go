package server

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/topic"
)

// Rules of the specifications that a script cannot show: packet identifiers, the fields of CONNACK, several packets in one write.

// identifier is the packet identifier of p, which has one.
func identifier(t *testing.T, p packets.Packet) uint16 {
	t.Helper()
	switch p := p.(type) {
	case *packets.Publish:
		return p.PacketID
	case *packets.Puback:
		return p.PacketID
	case *packets.Pubrec:
		return p.PacketID
	case *packets.Pubrel:
		return p.PacketID
	case *packets.Pubcomp:
		return p.PacketID
	case *packets.Subscribe:
		return p.PacketID
	case *packets.Suback:
		return p.PacketID
	case *packets.Unsubscribe:
		return p.PacketID
	case *packets.Unsuback:
		return p.PacketID
	}
	t.Fatalf("%v has no packet identifier", p.Type())
	return 0
}

// TestIdentifiersAreRepeated answers each packet with its own type of answer [MQTT-3.8.4-1] [v3 MQTT-3.8.4-1] [MQTT-3.10.4-4] and the same
// identifier [MQTT-2.2.1-5] [MQTT-2.2.1-6] [v3 MQTT-2.3.1-6] [v3 MQTT-2.3.1-7] [MQTT-3.8.4-2] [v3 MQTT-3.8.4-2] [MQTT-3.10.4-5]
// [v3 MQTT-3.10.4-4] [MQTT-4.3.2-4] [v3 MQTT-4.3.2-2] [MQTT-4.3.3-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11] [v3 MQTT-4.3.3-2].
func TestIdentifiersAreRepeated(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
				c := r.client(v, "c", false)
				filters := []packets.Subscription{{Filter: "a"}}
				for _, step := range []struct {
					send packets.Packet
					want packets.Type
				}{
					{&packets.Subscribe{PacketID: 0xBEEF, Filters: filters}, packets.TypeSuback},
					{&packets.Publish{Topic: "b", QoS: 1, PacketID: 0x0102}, packets.TypePuback},
					{&packets.Publish{Topic: "b", QoS: 1, PacketID: 0xFFFF}, packets.TypePuback},
					{&packets.Publish{Topic: "b", QoS: 2, PacketID: 0x0201}, packets.TypePubrec},
					{&packets.Pubrel{PacketID: 0x0201}, packets.TypePubcomp},
					{&packets.Pubrel{PacketID: 0x0201}, packets.TypePubcomp}, // unknown now
					{&packets.Pubrec{PacketID: 0x0301}, packets.TypePubrel},  // unknown
					{&packets.Unsubscribe{PacketID: 0xBEEF, Filters: []string{"a"}}, packets.TypeUnsuback},
					{&packets.Unsubscribe{PacketID: 7, Filters: []string{"a"}}, packets.TypeUnsuback}, // nothing is deleted
				} {
					c.Send(step.send)
					got, err := c.Next()
					if err != nil {
						t.Fatal(err)
					}
					if sent := identifier(t, step.send); got.Type() != step.want || identifier(t, got) != sent {
						t.Errorf("%v %d is answered with %v %d", step.send.Type(), sent, got.Type(), identifier(t, got))
					}
				}
			})
		})
	}
}

// TestIdentifiersOfMessages gives each message an identifier that none in the window has [MQTT-2.2.1-4] [v3 MQTT-2.3.1-4] [MQTT-4.3.2-1]
// [v3 MQTT-4.3.2-1] [MQTT-4.3.3-1] [v3 MQTT-4.3.3-1], QoS 0 none [MQTT-2.2.1-2] [v3 MQTT-2.3.1-5], and repeats it in PUBREL.
func TestIdentifiersOfMessages(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{limits: Limits{Inflight: 10}}).over(way).start(t)
				sub, pub := r.client(v, "sub", true), r.client(v, "pub", true)
				sub.Subscribe("a", 2)
				window := make(map[uint16]byte)
				var order []uint16
				for i := range 200 {
					qos := byte(i % 3)
					pub.Publish(&packets.Publish{Topic: "a", QoS: qos})
					p := sub.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
					if (p.PacketID == 0) != (qos == 0) || window[p.PacketID] != 0 || p.QoS != qos || p.Dup {
						t.Fatalf("%s has identifier %d, in the window are %v", brokertest.Describe(p), p.PacketID, window)
					}
					if qos == 0 {
						continue
					}
					window[p.PacketID] = qos
					if order = append(order, p.PacketID); len(order) < 10 {
						continue
					}
					id := order[i*7%10] // any of them
					order = remove(order, id)
					if window[id] == 1 {
						sub.Send(&packets.Puback{PacketID: id})
					} else {
						sub.Send(&packets.Pubrec{PacketID: id})
						sub.Expect(&packets.Pubrel{PacketID: id})
						sub.Send(&packets.Pubcomp{PacketID: id})
					}
					sub.ExpectNothing()
					delete(window, id)
				}
			})
		})
	}
}

func remove(list []uint16, id uint16) (rest []uint16) {
	for _, x := range list {
		if x != id {
			rest = append(rest, x)
		}
	}
	return rest
}

// TestPacketsBehindConnect takes what a client sends before it has CONNACK [v3 MQTT-3.1.4-b]; CONNACK comes first nonetheless
// [MQTT-3.2.0-1] [v3 MQTT-3.2.0-1], and once [MQTT-3.2.0-2].
func TestPacketsBehindConnect(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
				before := r.client(v, "c", false)
				before.Subscribe("a", 1)
				before.Close()
				r.quiet()
				r.client(v, "pub", true).Publish(&packets.Publish{Topic: "a", QoS: 1, Payload: []byte("waits")})
				c := brokertest.NewClient(t, r.dial(), v)
				c.Send(&packets.Connect{Version: v, ClientID: "c", SessionExpiry: 100}, &packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "b"}}},
					&packets.Publish{Topic: "b", Payload: []byte("own")}, &packets.Pingreq{})
				if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.Success {
					t.Fatal(ack.Code)
				}
				got := make(map[string]int)
				for range 4 {
					p, err := c.Next()
					if err != nil {
						t.Fatal(err)
					}
					got[brokertest.Describe(p)]++
				}
				for _, want := range []string{"PUBLISH a waits qos=1", "SUBACK ok", "PUBLISH b own", "PINGRESP"} {
					if got[want] != 1 {
						t.Errorf("%d of %s; got %v", got[want], want, got)
					}
				}
			})
		})
	}
}

// TestConnack: each property is there once at most, for the client refuses others [MQTT-3.2.2.3-a], as it does reserved flags and codes that are not
// listed [MQTT-3.2.2-1] [MQTT-3.2.2-8]. The window is never 0 [MQTT-3.2.2.3.3-a], no ability is denied [MQTT-3.2.2.3.4-a], no other
// server named [MQTT-3.2.2.3.16-a], no response information given without being asked [MQTT-3.1.2-28], no authentication
// method where none was named [MQTT-4.12.0-6].
func TestConnack(t *testing.T) {
	for name, c := range map[string]*packets.Connect{
		"plain":           {ClientID: "c", CleanStart: true},
		"kept":            {ClientID: "c", SessionExpiry: 0xFFFFFFFF},
		"all announced":   {ClientID: "c", SessionExpiry: 10, ReceiveMaximum: 1, MaximumPacketSize: 1000, TopicAliasMaximum: 65535, KeepAlive: 65535},
		"no problem info": {ClientID: "c", NoProblemInformation: true},
		"no identifier":   {CleanStart: true},
		"refused":         {ClientID: "$c"},
		"refused will":    {ClientID: "c", Will: &packets.Will{Topic: "$SYS/x"}},
	} {
		for limits, l := range map[string]Limits{"default": {}, "none": {ReceiveMaximum: -1, TopicAlias: -1, PacketBytes: -1, KeepAliveMax: -1}} {
			t.Run(name+", limits "+limits, func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := (&rig{limits: l}).over(way).start(t)
					k := brokertest.NewClient(t, r.dial(), packets.V5)
					c.Version = packets.V5
					k.Send(c)
					ack := brokertest.Expect[*packets.Connack](k)
					switch {
					case ack.Code == packets.Success && ack.ReceiveMaximum == 0: // absent, which means 65,535, would do
						t.Error("no Receive Maximum")
					case ack.MaximumQoS.Set || ack.NoRetain || ack.NoWildcards || ack.NoShared || ack.NoSubscriptionIDs:
						t.Errorf("denies an ability: %+v", ack)
					case ack.ServerReference != "" || ack.ResponseInfo != "" || ack.AuthMethod != "" || ack.AuthData != nil:
						t.Errorf("names what nobody asked for: %+v", ack)
					case ack.Code == packets.Success:
						k.ExpectNothing() // no AUTH either
					default:
						k.ExpectClosed()
					}
				})
			})
		}
	}
}

// TestResponseInformation: a client that asks is told where answers may be sent to, if it may subscribe there; a server may as well
// tell nothing [MQTT-4.10-a]. Nobody is told without asking [MQTT-3.1.2-28].
func TestResponseInformation(t *testing.T) {
	for name, c := range map[string]struct {
		prefix, id string
		asks       bool
		want       string
	}{
		"asks":               {"response/", "c1", true, "response/c1"},
		"does not ask":       {"response/", "c1", false, ""},
		"may not subscribe":  {"response/", "locked out", true, ""},
		"several levels":     {"response/", "a/b", true, ""},
		"wildcard":           {"response/", "a+", true, ""},
		"nothing configured": {"", "c1", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				allowed := rules{subscribe: func(id auth.Identity, _ topic.Filter) bool { return id.ClientID != "locked out" }}
				r := (&rig{answers: c.prefix, auth: allowed}).start(t)
				k := brokertest.NewClient(t, r.dial(), packets.V5)
				k.Send(&packets.Connect{Version: packets.V5, ClientID: c.id, CleanStart: true, RequestResponseInformation: c.asks})
				if ack := brokertest.Expect[*packets.Connack](k); ack.ResponseInfo != c.want {
					t.Errorf("%q, want %q", ack.ResponseInfo, c.want)
				}
			})
		})
	}
}

// TestDollarTopics: a filter that begins with a wildcard does not select topics that begin with $ [MQTT-4.7.2-1] [v3 MQTT-4.7.2-1], neither
// live nor retained.
func TestDollarTopics(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				wild, named := r.client(v, "wild", true), r.client(v, "named", true)
				wild.Subscribe("#", 1)
				wild.Subscribe("+/x", 1)
				named.Subscribe("$SYS/#", 1)
				if _, err := r.router.Publish(&broker.Message{Topic: "$SYS/x", Payload: []byte("1"), QoS: 1, Retain: true, From: "$test"}); err != nil {
					t.Fatal(err)
				}
				if p := brokertest.Expect[*packets.Publish](named); p.Topic != "$SYS/x" {
					t.Errorf("got %s", p.Topic)
				}
				wild.Subscribe("+/+", 1)
				wild.ExpectNothing()
			})
		})
	}
}

// TestAnswerTooLarge: a SUBACK or UNSUBACK above the client's Maximum Packet Size is not sent [MQTT-3.1.2-24]; the client is told why and does not
// wait for it.
func TestAnswerTooLarge(t *testing.T) {
	for name, ask := range map[string]func(n int) packets.Packet{
		"SUBSCRIBE": func(n int) packets.Packet {
			return &packets.Subscribe{PacketID: 1, Filters: slices.Repeat([]packets.Subscription{{Filter: "a"}}, n)}
		},
		"UNSUBSCRIBE": func(n int) packets.Packet {
			return &packets.Unsubscribe{PacketID: 1, Filters: slices.Repeat([]string{"a"}, n)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				c := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, MaximumPacketSize: 30})
				c.Send(ask(25)) // 2 + 2 + 1 + 25
				if _, err := c.Next(); err != nil {
					t.Fatal(err)
				}
				c.Send(ask(26))
				if code := c.ExpectClosed(); code != packets.PacketTooLarge {
					t.Errorf("told %v", code)
				}
			})
		})
	}
}

// TestLongestTopic carries a topic name of 65,535 bytes to a filter of as many [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3].
func TestLongestTopic(t *testing.T) {
	longest := strings.Repeat("a", 65535)
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				c := r.client(v, "c", true)
				if code := c.Subscribe(longest, 1); code != packets.GrantedQoS1 {
					t.Fatal(code)
				}
				c.Publish(&packets.Publish{Topic: longest, QoS: 1, Payload: []byte("x")})
				if p := brokertest.Expect[*packets.Publish](c); p.Topic != longest {
					t.Errorf("a topic of %d bytes came", len(p.Topic))
				}
			})
		})
	}
}

// TestTCP: a byte stream that is ordered and loses nothing is there [MQTT-4.2-1] [v3 MQTT-7.1.1-1].
func TestTCP(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			r := (&rig{}).start(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- r.Server.Serve(context.Background(), Listener{Listener: l, Anonymous: true}) }()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := brokertest.NewClient(t, conn, v)
			c.Connect("c", true)
			c.Subscribe("a", 2)
			want := make([]byte, 200_000)
			for i := range want {
				want[i] = byte(i / 251)
			}
			c.Send(&packets.Publish{Topic: "a", Payload: want})
			if p := brokertest.Expect[*packets.Publish](c); string(p.Payload) != string(want) {
				t.Errorf("%d bytes came, or others", len(p.Payload))
			}
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
			r.stop()
			<-served
		})
	}
}
