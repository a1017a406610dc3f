package server

import (
	"slices"
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// join is bytes given as ints and strings.
func join(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		}
	}
	return b
}

// TestFaultsOnTheWire sends a logged in client's faults: the connection is closed, 5.0 is told the right reason before. What stands
// behind the fault in the same write is not looked at, and another connection goes on.
func TestFaultsOnTheWire(t *testing.T) {
	const v4, v5 = packets.V4, packets.V5
	for _, c := range []struct {
		name string
		v    packets.Version
		code packets.ReasonCode
		raw  []byte
	}{
		{"flags of PUBREL", v5, packets.MalformedPacket, join(0x60, 2, 0, 1)}, // [MQTT-3.6.1-1] [MQTT-2.1.3-a]
		{"3.1.1 flags of PUBREL", v4, 0, join(0x60, 2, 0, 1)},                 // [v3 MQTT-3.6.1-1] [v3 MQTT-2.2.2-2]
		{"PUBREL with the DUP flag of 3.1", v5, packets.MalformedPacket, join(0x6A, 2, 0, 1)},
		{"3.1.1 PUBREL with the DUP flag of 3.1", v4, 0, join(0x6A, 2, 0, 1)},
		{"flags of SUBSCRIBE", v5, packets.MalformedPacket, join(0x80, 7, 0, 1, 0, 0, 1, "a", 0)},                        // [MQTT-3.8.1-1]
		{"3.1.1 flags of SUBSCRIBE", v4, 0, join(0x80, 6, 0, 1, 0, 1, "a", 0)},                                           // [v3 MQTT-3.8.1-1]
		{"flags of UNSUBSCRIBE", v5, packets.MalformedPacket, join(0xA0, 6, 0, 1, 0, 0, 1, "a")},                         // [MQTT-3.10.1-1]
		{"3.1.1 flags of UNSUBSCRIBE", v4, 0, join(0xA0, 5, 0, 1, 0, 1, "a")},                                            // [v3 MQTT-3.10.1-1]
		{"flags of DISCONNECT", v5, packets.MalformedPacket, join(0xE1, 0)},                                              // [MQTT-3.14.1-1]
		{"3.1.1 flags of DISCONNECT", v4, 0, join(0xE1, 0)},                                                              // [v3 MQTT-3.14.1-1]
		{"flags of PINGREQ", v5, packets.MalformedPacket, join(0xC1, 0)},                                                 // [MQTT-3.12-a]
		{"QoS 3", v5, packets.MalformedPacket, join(0x36, 6, 0, 1, "a", 0, 1, 0)},                                        // [MQTT-3.3.1-4] [MQTT-3.3.1.2-a]
		{"3.1.1 QoS 3", v4, 0, join(0x36, 5, 0, 1, "a", 0, 1)},                                                           // [v3 MQTT-3.3.1-4]
		{"Remaining Length of five bytes", v5, packets.MalformedPacket, join(0x30, 0x80, 0x80, 0x80, 0x80, 1)},           // [MQTT-2.1.4-a]
		{"3.1.1 Remaining Length of five bytes", v4, 0, join(0x30, 0x80, 0x80, 0x80, 0x80, 1)},                           // [v3 MQTT-2.2.3-a]
		{"packet identifier 0", v5, packets.ProtocolError, join(0x32, 6, 0, 1, "a", 0, 0, 0)},                            // [MQTT-2.2.1-a]
		{"property of CONNECT", v5, packets.MalformedPacket, join(0x30, 9, 0, 1, "a", 5, 17, 0, 0, 0, 1)},                // [MQTT-2.2.2.2-a]
		{"properties past the end", v5, packets.MalformedPacket, join(0x30, 5, 0, 1, "a", 200, 1)},                       // [MQTT-2.2.2.2-b]
		{"topic is not UTF-8", v5, packets.MalformedPacket, join(0x30, 5, 0, 2, 0xC0, 0x80, 0)},                          // [MQTT-1.5.4-1] [MQTT-1.5.4-a] [MQTT-3.3.2-1]
		{"3.1.1 topic is not UTF-8", v4, 0, join(0x30, 5, 0, 3, 0xED, 0xA0, 0x80)},                                       // [v3 MQTT-1.5.3-1] [v3 MQTT-3.3.2-1]
		{"topic with NUL", v5, packets.MalformedPacket, join(0x30, 6, 0, 3, "a", 0, "b", 0)},                             // [MQTT-1.5.4-2] [MQTT-1.5.4-b]
		{"3.1.1 topic with NUL", v4, 0, join(0x30, 5, 0, 3, "a", 0, "b")},                                                // [v3 MQTT-1.5.3-2]
		{"user property with NUL", v5, packets.MalformedPacket, join(0x30, 11, 0, 1, "a", 7, 38, 0, 1, 0, 0, 1, "v")},    // [MQTT-1.5.7-1] [MQTT-1.5.7-a]
		{"topic with a wildcard", v5, packets.TopicNameInvalid, join(0x30, 6, 0, 3, "a/#", 0)},                           // [MQTT-3.3.2-2] [MQTT-4.7.0-1]
		{"3.1.1 topic with a wildcard", v4, 0, join(0x30, 5, 0, 3, "a/+")},                                               // [v3 MQTT-3.3.2-2] [v3 MQTT-4.7.1-1]
		{"empty topic", v5, packets.ProtocolError, join(0x30, 3, 0, 0, 0)},                                               // [MQTT-4.7.3-1] [MQTT-3.3.2.1-a]
		{"3.1.1 empty topic", v4, 0, join(0x30, 2, 0, 0)},                                                                // [v3 MQTT-4.7.3-1] [v3 MQTT-3.3.2-a]
		{"alias 0", v5, packets.TopicAliasInvalid, join(0x30, 7, 0, 1, "a", 3, 35, 0, 0)},                                // [MQTT-3.3.2-8] [MQTT-3.3.2.3.4-a]
		{"alias that stands for nothing", v5, packets.ProtocolError, join(0x30, 6, 0, 0, 3, 35, 0, 9)},                   // [MQTT-3.3.2.3.4-a]
		{"alias above the maximum", v5, packets.TopicAliasInvalid, join(0x30, 7, 0, 1, "a", 3, 35, 1, 0)},                // [MQTT-3.3.2-9] [MQTT-3.3.2.3.4-a]
		{"response topic with a wildcard", v5, packets.ProtocolError, join(0x30, 8, 0, 1, "a", 4, 8, 0, 1, "#")},         // [MQTT-3.3.2-14] [MQTT-3.3.2.3.5-a]
		{"message expiry twice", v5, packets.ProtocolError, join(0x30, 14, 0, 1, "a", 10, 2, 0, 0, 0, 1, 2, 0, 0, 0, 1)}, // [MQTT-3.3.2.3.3-a]
		{"subscription identifier", v5, packets.ProtocolError, join(0x30, 6, 0, 1, "a", 2, 11, 1)},                       // [MQTT-3.3.4-6]
		{"SUBSCRIBE of nothing", v5, packets.ProtocolError, join(0x82, 3, 0, 1, 0)},                                      // [MQTT-3.8.3-2] [MQTT-3.8.3-a]
		{"3.1.1 SUBSCRIBE of nothing", v4, 0, join(0x82, 2, 0, 1)},                                                       // [v3 MQTT-3.8.3-3]
		{"SUBSCRIBE without options", v5, packets.MalformedPacket, join(0x82, 6, 0, 1, 0, 0, 1, "a")},                    // [MQTT-3.8.3-2]
		{"requested QoS 3", v5, packets.MalformedPacket, join(0x82, 7, 0, 1, 0, 0, 1, "a", 3)},                           // [MQTT-3.8.3.1-a]
		{"3.1.1 requested QoS 3", v4, 0, join(0x82, 6, 0, 1, 0, 1, "a", 3)},                                              // [v3 MQTT-3.8.3-4]
		{"Retain Handling 3", v5, packets.ProtocolError, join(0x82, 7, 0, 1, 0, 0, 1, "a", 0x30)},                        // [MQTT-3.8.3.1-b]
		{"reserved options", v5, packets.MalformedPacket, join(0x82, 7, 0, 1, 0, 0, 1, "a", 0xC0)},                       // [MQTT-3.8.3-5]
		{"No Local of a share", v5, packets.ProtocolError, join(0x82, 16, 0, 1, 0, 0, 10, "$share/g/a", 4)},              // [MQTT-3.8.3-4]
		{"UNSUBSCRIBE of nothing", v5, packets.ProtocolError, join(0xA2, 3, 0, 1, 0)},                                    // [MQTT-3.10.3-2] [MQTT-3.10.3-a]
		{"3.1.1 UNSUBSCRIBE of nothing", v4, 0, join(0xA2, 2, 0, 1)},                                                     // [v3 MQTT-3.10.3-2]
		{"code that PUBACK does not have", v5, packets.ProtocolError, join(0x40, 3, 0, 1, 0x92)},                         // [MQTT-3.4.2-1]
		{"code that PUBREL does not have", v5, packets.ProtocolError, join(0x62, 3, 0, 1, 0x80)},                         // [MQTT-3.6.2-1]
		{"code that DISCONNECT does not have", v5, packets.ProtocolError, join(0xE0, 1, 0x85)},                           // [MQTT-3.14.2-1]
		{"CONNACK", v5, packets.ProtocolError, join(0x20, 3, 0, 0, 0)},
		{"SUBACK", v5, packets.ProtocolError, join(0x90, 4, 0, 1, 0, 0)},
		{"3.1.1 AUTH", v4, 0, join(0xF0, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				watcher := r.client(v5, "watcher", true)
				watcher.Subscribe("#", 1)
				k := r.client(c.v, "k", true)
				behind := (&packets.Publish{Topic: "behind", Payload: []byte("x")}).Append(nil, c.v)
				k.SendRaw(slices.Concat(c.raw, behind))
				if code := k.ExpectClosed(); code != c.code {
					t.Errorf("told %v, want %v", code, c.code)
				}
				watcher.ExpectNothing()
				if st := r.Server.Stats(); st.Clients != 1 {
					t.Errorf("%d clients", st.Clients)
				}
			})
		})
	}
}

// TestFaultsOfConnect: 5.0 is told in CONNACK what is wrong with its CONNECT, 3.1.1 nothing; then the connection is closed, and never by a
// DISCONNECT [MQTT-3.14.0-1].
func TestFaultsOfConnect(t *testing.T) {
	connect := func(flags int, rest ...any) []byte {
		b := join(rest...)
		return append(join(0x10, 10+len(b), 0, 4, "MQTT", 5, flags, 0, 0), b...)
	}
	properties := func(p ...any) []byte {
		b := join(p...)
		return connect(2, len(b), string(b), 0, 1, "c")
	}
	for _, c := range []struct {
		name string
		code packets.ReasonCode // Success: closed without a word
		raw  []byte
	}{
		{"protocol level 6", packets.UnsupportedProtocolVersion, join(0x10, 14, 0, 4, "MQTT", 6, 2, 0, 0, 0, 0, 1, "c")},           // [MQTT-3.1.2-2]
		{"3.1.1 protocol level 2", packets.UnsupportedProtocolVersion, join(0x10, 13, 0, 4, "MQTT", 2, 2, 0, 0, 0, 1, "c")},        // [v3 MQTT-3.1.2-2]
		{"protocol name mqtt", packets.UnsupportedProtocolVersion, join(0x10, 14, 0, 4, "mqtt", 5, 2, 0, 0, 0, 0, 1, "c")},         // [MQTT-3.1.2-1]
		{"reserved flag", packets.MalformedPacket, connect(3, 0, 0, 1, "c")},                                                       // [MQTT-3.1.2-3] [MQTT-3.1.2.3-a]
		{"will QoS 3", packets.MalformedPacket, connect(0x1E, 0, 0, 1, "c", 0, 0, 1, "w", 0, 1, "x")},                              // [MQTT-3.1.2-12] [MQTT-3.1.2.6-a]
		{"will QoS without will", packets.MalformedPacket, connect(0x0A, 0, 0, 1, "c")},                                            // [MQTT-3.1.2-11]
		{"will retain without will", packets.MalformedPacket, connect(0x22, 0, 0, 1, "c")},                                         // [MQTT-3.1.2-13]
		{"will is missing", packets.MalformedPacket, connect(6, 0, 0, 1, "c")},                                                     // [MQTT-3.1.2-9]
		{"bytes behind the last field", packets.MalformedPacket, connect(2, 0, 0, 1, "c", 0)},                                      // [MQTT-3.1.2-16]
		{"client id with NUL", packets.MalformedPacket, connect(2, 0, 0, 1, 0)},                                                    // [MQTT-1.5.4-2] [MQTT-1.5.4-b]
		{"client id is not UTF-8", packets.MalformedPacket, connect(2, 0, 0, 1, 0xFF)},                                             // [MQTT-3.1.3-4] [MQTT-1.5.4-a]
		{"client id is missing", packets.MalformedPacket, connect(2, 0)},                                                           // [MQTT-3.1.3-3]
		{"session expiry twice", packets.ProtocolError, properties(17, 0, 0, 0, 1, 17, 0, 0, 0, 1)},                                // [MQTT-3.1.2.11.2-a]
		{"receive maximum 0", packets.ProtocolError, properties(33, 0, 0)},                                                         // [MQTT-3.1.2.11.3-a]
		{"maximum packet size 0", packets.ProtocolError, properties(39, 0, 0, 0, 0)},                                               // [MQTT-3.1.2.11.4-a]
		{"topic alias maximum twice", packets.ProtocolError, properties(34, 0, 1, 34, 0, 1)},                                       // [MQTT-3.1.2.11.5-a]
		{"request response information 2", packets.ProtocolError, properties(25, 2)},                                               // [MQTT-3.1.2.11.6-a]
		{"request problem information 2", packets.ProtocolError, properties(23, 2)},                                                // [MQTT-3.1.2.11.7-a]
		{"authentication method twice", packets.ProtocolError, properties(21, 0, 1, "m", 21, 0, 1, "m")},                           // [MQTT-3.1.2.11.9-a]
		{"authentication data without method", packets.ProtocolError, properties(22, 0, 1, "d")},                                   // [MQTT-3.1.2.11.10-a]
		{"will delay twice", packets.ProtocolError, connect(6, 0, 0, 1, "c", 10, 24, 0, 0, 0, 1, 24, 0, 0, 0, 1, 0, 1, "w", 0, 0)}, // [MQTT-3.1.3.2-a]
		{"property of PUBLISH", packets.MalformedPacket, properties(35, 0, 1)},                                                     // [MQTT-2.2.2.2-a]
		{"3.1.1 reserved flag", packets.Success, join(0x10, 13, 0, 4, "MQTT", 4, 3, 0, 0, 0, 1, "c")},                              // [v3 MQTT-3.1.2-3] [v3 MQTT-3.1.4-1]
		{"3.1.1 will QoS 3", packets.Success, join(0x10, 18, 0, 4, "MQTT", 4, 0x1E, 0, 0, 0, 1, "c", 0, 1, "w", 0, 0)},             // [v3 MQTT-3.1.2-14]
		{"3.1.1 password alone", packets.Success, join(0x10, 16, 0, 4, "MQTT", 4, 0x42, 0, 0, 0, 1, "c", 0, 1, "p")},               // [v3 MQTT-3.1.2-22]
		{"3.1.1 client id is not UTF-8", packets.Success, join(0x10, 13, 0, 4, "MQTT", 4, 2, 0, 0, 0, 1, 0xFF)},                    // [v3 MQTT-3.1.3-4] [v3 MQTT-1.5.3-1]
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				v := packets.ConnectVersion(c.raw)
				if v == 0 {
					v = packets.V4 // which every client reads
				}
				k := brokertest.NewClient(t, r.dial(), v)
				k.SendRaw(c.raw)
				if c.code != packets.Success {
					if ack := brokertest.Expect[*packets.Connack](k); ack.Code != c.code {
						t.Errorf("CONNACK %v, want %v", ack.Code, c.code)
					}
				}
				if code := k.ExpectClosed(); code != packets.Success {
					t.Errorf("DISCONNECT %v", code)
				}
				if st := r.Server.Stats(); st.Clients != 0 || st.Sessions != 0 {
					t.Errorf("left behind: %+v", st)
				}
			})
		})
	}
}
