package packets

import "strings"

// wireCase is a packet and its bytes. The cases are shared by the decode, encode and truncation tests and seed the fuzzer.
type wireCase struct {
	name   string
	v      Version
	packet Packet
	bytes  []byte
	// decodeOnly: valid bytes that Append writes in another, shorter way.
	decodeOnly bool
}

// wire joins bytes (as ints) and strings, so that a packet can be written out line by line.
func wire(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			if p < 0 || p > 255 {
				panic("BUG: not a byte")
			}
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		}
	}
	return b
}

var wireCases = []wireCase{
	{name: "connect 3.1.1, smallest", v: V4,
		packet: &Connect{Version: V4, CleanStart: true},
		bytes: wire(
			0x10, 12, // CONNECT
			0, 4, "MQTT", // protocol name
			4,    // protocol level
			0x02, // clean session
			0, 0, // keep alive off
			0, 0, // empty client id
		)},
	{name: "connect 3.1.1, everything in its order [v3 MQTT-3.1.3-1]", v: V4,
		packet: &Connect{Version: V4, KeepAlive: 300, ClientID: "oven",
			Will:        &Will{Topic: "will/oven", Payload: []byte{0, 0xFF}, QoS: 2, Retain: true},
			HasUsername: true, Username: "bob", HasPassword: true, Password: []byte("secret")},
		bytes: wire(
			0x10, 44, // CONNECT
			0, 4, "MQTT", 4,
			0xF4,    // user name, password, will retain, will QoS 2, will, session kept
			1, 0x2C, // keep alive 300 s
			0, 4, "oven", // client id
			0, 9, "will/oven", // will topic
			0, 2, 0, 0xFF, // will payload
			0, 3, "bob", // user name
			0, 6, "secret", // password
		)},
	{name: "connect 3.1.1, empty user name", v: V4,
		packet: &Connect{Version: V4, CleanStart: true, ClientID: "c", HasUsername: true},
		bytes: wire(
			0x10, 15, 0, 4, "MQTT", 4,
			0x82, // user name, clean session
			0, 0, 0, 1, "c",
			0, 0, // user name "" is not the same as none
		)},
	{name: "connect 3.1", v: V31,
		packet: &Connect{Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "old"},
		bytes: wire(
			0x10, 17, // CONNECT
			0, 6, "MQIsdp", // protocol name
			3,     // protocol level
			0x02,  // clean session
			0, 60, // keep alive
			0, 3, "old", // client id
		)},
	{name: "pubrel 3.1, sent again", v: V31, decodeOnly: true,
		packet: &Pubrel{PacketID: 1},
		bytes:  wire(0x6A, 2, 0, 1)},
	{name: "subscribe 3.1, sent again", v: V31, decodeOnly: true,
		packet: &Subscribe{PacketID: 1, Filters: []Subscription{{Filter: "a", QoS: 1}}},
		bytes:  wire(0x8A, 6, 0, 1, 0, 1, "a", 1)},
	{name: "connect 5.0, smallest [MQTT-2.2.2-1]", v: V5,
		packet: &Connect{Version: V5, CleanStart: true, ClientID: "c"},
		bytes: wire(
			0x10, 14, 0, 4, "MQTT",
			5,    // protocol version
			0x02, // clean start
			0, 0,
			0, // no properties
			0, 1, "c",
		)},
	{name: "connect 5.0, everything in its order [MQTT-3.1.3-1] [MQTT-3.1.2-19]", v: V5,
		packet: &Connect{Version: V5, KeepAlive: 10, ClientID: "c", SessionExpiry: 0xFFFFFFFF, ReceiveMaximum: 20,
			MaximumPacketSize: 65536, TopicAliasMaximum: 5, RequestResponseInformation: true, NoProblemInformation: true,
			AuthMethod: "m", AuthData: []byte{7}, User: []UserProperty{{"k", "1"}, {"k", "2"}},
			Will: &Will{Topic: "w", Payload: []byte("x"), QoS: 1, Delay: 30, Expiry: Some(uint32(60)),
				Properties: &PublishProperties{PayloadFormat: 1, ContentType: "text", ResponseTopic: "r",
					CorrelationData: []byte{9}, User: []UserProperty{{"a", "b"}}}},
			HasPassword: true, Password: []byte("p")},
		bytes: wire(
			0x10, 100, 0, 4, "MQTT", 5,
			0x4C,  // password without user name, will QoS 1, will
			0, 10, // keep alive
			42,                         // property length
			17, 0xFF, 0xFF, 0xFF, 0xFF, // session expiry: never
			33, 0, 20, // receive maximum
			39, 0, 1, 0, 0, // maximum packet size
			34, 0, 5, // topic alias maximum
			25, 1, // request response information
			23, 0, // request problem information
			21, 0, 1, "m", // authentication method
			22, 0, 1, 7, // authentication data
			38, 0, 1, "k", 0, 1, "1", // user properties; a name may come again
			38, 0, 1, "k", 0, 1, "2",
			0, 1, "c", // client id
			34,              // will property length
			24, 0, 0, 0, 30, // will delay
			2, 0, 0, 0, 60, // message expiry
			1, 1, // payload format
			3, 0, 4, "text", // content type
			8, 0, 1, "r", // response topic
			9, 0, 1, 9, // correlation data
			38, 0, 1, "a", 0, 1, "b",
			0, 1, "w", // will topic
			0, 1, "x", // will payload
			0, 1, "p", // password
		)},
	{name: "connack 3.1.1, accepted", v: V4,
		packet: &Connack{SessionPresent: true},
		bytes: wire(
			0x20, 2, // CONNACK
			1, // session present
			0, // accepted
		)},
	{name: "connack 3.1.1, bad user name or password", v: V4,
		packet: &Connack{Code: BadUserNameOrPassword},
		bytes:  wire(0x20, 2, 0, 4)},
	{name: "connack 5.0, smallest", v: V5,
		packet: &Connack{},
		bytes:  wire(0x20, 3, 0, 0, 0)},
	{name: "connack 5.0, everything", v: V5,
		packet: &Connack{Code: ServerMoved, SessionExpiry: Some(uint32(0)), ReceiveMaximum: 100, MaximumQoS: Some(byte(1)),
			NoRetain: true, MaximumPacketSize: 1000, AssignedClientID: "id", TopicAliasMaximum: 9, ReasonString: "why",
			User: []UserProperty{{"", ""}}, NoWildcards: true, NoSubscriptionIDs: true, NoShared: true,
			ServerKeepAlive: Some(uint16(300)), ResponseInfo: "ri", ServerReference: "sr", AuthMethod: "m", AuthData: []byte{}},
		bytes: wire(
			0x20, 65, 0,
			0x9D,           // server moved
			62,             // property length
			17, 0, 0, 0, 0, // session expiry 0 is not the same as none
			33, 0, 100, // receive maximum
			36, 1, // maximum QoS
			37, 0, // retain available
			39, 0, 0, 3, 0xE8, // maximum packet size
			18, 0, 2, "id", // assigned client identifier
			34, 0, 9, // topic alias maximum
			31, 0, 3, "why", // reason string
			38, 0, 0, 0, 0, // user property of two empty strings
			40, 0, // wildcard subscription available
			41, 0, // subscription identifiers available
			42, 0, // shared subscription available
			19, 1, 0x2C, // server keep alive
			26, 0, 2, "ri", // response information
			28, 0, 2, "sr", // server reference
			21, 0, 1, "m", // authentication method
			22, 0, 0, // authentication data, empty
		)},
	{name: "publish 3.1.1, QoS 0 has no packet identifier [v3 MQTT-2.3.1-5]", v: V4,
		packet: &Publish{Topic: "a/b", Payload: []byte("hi")},
		bytes: wire(
			0x30, 7, // PUBLISH
			0, 3, "a/b", // topic
			"hi", // payload
		)},
	{name: "publish 3.1.1, QoS 2, dup, retain, empty payload", v: V4,
		packet: &Publish{Dup: true, QoS: 2, Retain: true, Topic: "a", PacketID: 0x0102},
		bytes: wire(
			0x3D, 5, // PUBLISH, DUP, QoS 2, RETAIN
			0, 1, "a",
			1, 2, // packet identifier
		)},
	{name: "publish 3.1.1 with U+FEFF in the topic [v3 MQTT-1.5.3-3]", v: V4,
		packet: &Publish{Topic: "\uFEFFa"},
		bytes:  wire(0x30, 6, 0, 4, 0xEF, 0xBB, 0xBF, "a")},
	{name: "publish 5.0 with U+FEFF in the topic [MQTT-1.5.4-3]", v: V5,
		packet: &Publish{Topic: "a\uFEFF"},
		bytes:  wire(0x30, 7, 0, 4, "a", 0xEF, 0xBB, 0xBF, 0)},
	{name: "publish 3.1.1, Remaining Length of two bytes", v: V4,
		packet: &Publish{Topic: "a", Payload: []byte(strings.Repeat("x", 125))},
		bytes: wire(
			0x30, 0x80, 1, // PUBLISH, 128 bytes follow
			0, 1, "a", strings.Repeat("x", 125),
		)},
	{name: "publish 5.0, QoS 0 has no packet identifier [MQTT-2.2.1-2]", v: V5,
		packet: &Publish{Topic: "a", Payload: []byte("hi")},
		bytes:  wire(0x30, 6, 0, 1, "a", 0, "hi")},
	{name: "publish 5.0, QoS 1, no properties [MQTT-2.2.2-1]", v: V5,
		packet: &Publish{QoS: 1, Topic: "a", PacketID: 10, Payload: []byte("x")},
		bytes:  wire(0x32, 7, 0, 1, "a", 0, 10, 0, "x")},
	{name: "publish 5.0, everything, user properties in their order [MQTT-3.3.2-18]", v: V5,
		packet: &Publish{QoS: 1, Topic: "a", PacketID: 10, Payload: []byte("x"), Expiry: Some(uint32(1)), TopicAlias: 3,
			SubscriptionIDs: []uint32{1, 268_435_455},
			Properties: &PublishProperties{PayloadFormat: 1, ContentType: "t", ResponseTopic: "r", CorrelationData: []byte{0},
				User: []UserProperty{{"b", "1"}, {"a", "2"}}}},
		bytes: wire(
			0x32, 50, 0, 1, "a", 0, 10,
			43,            // property length
			2, 0, 0, 0, 1, // message expiry
			35, 0, 3, // topic alias
			11, 1, // subscription identifiers
			11, 0xFF, 0xFF, 0xFF, 0x7F,
			1, 1, // payload format
			3, 0, 1, "t", // content type
			8, 0, 1, "r", // response topic
			9, 0, 1, 0, // correlation data
			38, 0, 1, "b", 0, 1, "1", // user properties
			38, 0, 1, "a", 0, 1, "2",
			"x",
		)},
	{name: "publish 5.0, properties that say what their absence says", v: V5,
		packet: &Publish{Topic: "a", Properties: &PublishProperties{ZeroPayloadFormat: true, EmptyContentType: true, CorrelationData: []byte{}}},
		bytes: wire(
			0x30, 12, 0, 1, "a",
			8,    // property length
			1, 0, // payload format: bytes
			3, 0, 0, // content type, empty
			9, 0, 0, // correlation data, empty
		)},
	{name: "publish 5.0, topic alias instead of a topic", v: V5,
		packet: &Publish{TopicAlias: 1, Payload: []byte("x")},
		bytes: wire(
			0x30, 7,
			0, 0, // empty topic
			3, 35, 0, 1, // topic alias 1
			"x",
		)},
	{name: "puback 3.1.1", v: V4, packet: &Puback{PacketID: 258}, bytes: wire(0x40, 2, 1, 2)},
	{name: "puback 5.0, success [MQTT-3.4-a]", v: V5, packet: &Puback{PacketID: 1}, bytes: wire(0x40, 2, 0, 1)},
	{name: "puback 5.0, success said [MQTT-3.4-a]", v: V5, packet: &Puback{PacketID: 1}, bytes: wire(0x40, 3, 0, 1, 0), decodeOnly: true},
	{name: "puback 5.0, empty properties said", v: V5, packet: &Puback{PacketID: 1}, bytes: wire(0x40, 4, 0, 1, 0, 0), decodeOnly: true},
	{name: "puback 5.0, code only", v: V5, packet: &Puback{PacketID: 1, Code: NoMatchingSubscribers},
		bytes: wire(0x40, 3, 0, 1, 0x10)},
	{name: "puback 5.0, everything", v: V5,
		packet: &Puback{PacketID: 1, Code: QuotaExceeded, ReasonString: "full", User: []UserProperty{{"k", "v"}}},
		bytes: wire(
			0x40, 18, 0, 1,
			0x97,             // quota exceeded
			14,               // property length
			31, 0, 4, "full", // reason string
			38, 0, 1, "k", 0, 1, "v",
		)},
	{name: "pubrec 5.0, code only [MQTT-3.4-a]", v: V5, packet: &Pubrec{PacketID: 7, Code: PacketIdentifierInUse}, bytes: wire(0x50, 3, 0, 7, 0x91)},
	{name: "pubrel 3.1.1", v: V4, packet: &Pubrel{PacketID: 7}, bytes: wire(0x62, 2, 0, 7)},
	{name: "pubrel 5.0, unknown identifier [MQTT-3.4-a]", v: V5, packet: &Pubrel{PacketID: 7, Code: PacketIdentifierNotFound},
		bytes: wire(0x62, 3, 0, 7, 0x92)},
	{name: "pubcomp 5.0, unknown identifier [MQTT-3.4-a]", v: V5, packet: &Pubcomp{PacketID: 7, Code: PacketIdentifierNotFound},
		bytes: wire(0x70, 3, 0, 7, 0x92)},
	{name: "pubcomp 3.1.1", v: V4, packet: &Pubcomp{PacketID: 7}, bytes: wire(0x70, 2, 0, 7)},
	{name: "subscribe 3.1.1", v: V4,
		packet: &Subscribe{PacketID: 10, Filters: []Subscription{{Filter: "a/+", QoS: 1}, {Filter: "#", QoS: 2}}},
		bytes: wire(
			0x82, 12, // SUBSCRIBE, reserved flags 0010
			0, 10, // packet identifier
			0, 3, "a/+", 1, // filter, QoS
			0, 1, "#", 2,
		)},
	{name: "subscribe 5.0", v: V5,
		packet: &Subscribe{PacketID: 10, SubscriptionID: 128, User: []UserProperty{{"k", ""}}, Filters: []Subscription{
			{Filter: "a", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}},
		bytes: wire(
			0x82, 16, 0, 10,
			9,           // property length
			11, 0x80, 1, // subscription identifier 128
			38, 0, 1, "k", 0, 0,
			0, 1, "a",
			0x2E, // retain handling 2, retain as published, no local, QoS 2
		)},
	{name: "suback 3.1.1", v: V4,
		packet: &Suback{PacketID: 10, Codes: []ReasonCode{GrantedQoS0, GrantedQoS2, UnspecifiedError}},
		bytes:  wire(0x90, 5, 0, 10, 0, 2, 0x80)},
	{name: "suback 5.0, a code per filter [MQTT-3.9.3-1]", v: V5,
		packet: &Suback{PacketID: 10, ReasonString: "r", Codes: []ReasonCode{GrantedQoS1, NotAuthorized}},
		bytes: wire(
			0x90, 9, 0, 10,
			4, 31, 0, 1, "r",
			1, 0x87,
		)},
	{name: "unsubscribe 3.1.1", v: V4, packet: &Unsubscribe{PacketID: 3, Filters: []string{"a", "b/#"}},
		bytes: wire(0xA2, 10, 0, 3, 0, 1, "a", 0, 3, "b/#")},
	{name: "unsubscribe 5.0", v: V5, packet: &Unsubscribe{PacketID: 3, User: []UserProperty{{"k", "v"}}, Filters: []string{"a"}},
		bytes: wire(0xA2, 13, 0, 3, 7, 38, 0, 1, "k", 0, 1, "v", 0, 1, "a")},
	{name: "unsuback 3.1.1", v: V4, packet: &Unsuback{PacketID: 3}, bytes: wire(0xB0, 2, 0, 3)},
	{name: "unsuback 5.0", v: V5, packet: &Unsuback{PacketID: 3, Codes: []ReasonCode{Success, NoSubscriptionExisted}},
		bytes: wire(0xB0, 5, 0, 3, 0, 0, 0x11)},
	{name: "pingreq", v: V4, packet: &Pingreq{}, bytes: wire(0xC0, 0)},
	{name: "pingresp", v: V5, packet: &Pingresp{}, bytes: wire(0xD0, 0)},
	{name: "disconnect 3.1.1", v: V4, packet: &Disconnect{}, bytes: wire(0xE0, 0)},
	{name: "disconnect 5.0, success [MQTT-3.14.1-a]", v: V5, packet: &Disconnect{}, bytes: wire(0xE0, 0)},
	{name: "disconnect 5.0, code only [MQTT-3.14.1-a]", v: V5, packet: &Disconnect{Code: DisconnectWithWill}, bytes: wire(0xE0, 1, 4)},
	{name: "disconnect 5.0, empty properties said", v: V5, packet: &Disconnect{Code: DisconnectWithWill},
		bytes: wire(0xE0, 2, 4, 0), decodeOnly: true},
	{name: "disconnect 5.0, everything", v: V5,
		packet: &Disconnect{Code: UseAnotherServer, SessionExpiry: Some(uint32(0)), ReasonString: "go", ServerReference: "b:1",
			User: []UserProperty{{"k", "v"}}},
		bytes: wire(
			0xE0, 25,
			0x9C,           // use another server
			23,             // property length
			17, 0, 0, 0, 0, // session expiry
			31, 0, 2, "go", // reason string
			28, 0, 3, "b:1", // server reference
			38, 0, 1, "k", 0, 1, "v",
		)},
	{name: "auth, short form", v: V5, packet: &Auth{}, bytes: wire(0xF0, 0)},
	{name: "auth, everything", v: V5,
		packet: &Auth{Code: ContinueAuthentication, Method: "SCRAM", Data: []byte{1}, ReasonString: "r", User: []UserProperty{{"k", "v"}}},
		bytes: wire(
			0xF0, 25,
			0x18,              // continue authentication
			23,                // property length
			21, 0, 5, "SCRAM", // authentication method
			22, 0, 1, 1, // authentication data
			31, 0, 1, "r", // reason string
			38, 0, 1, "k", 0, 1, "v",
		)},
	{name: "publish 5.0, property length of two bytes", v: V5,
		packet: &Publish{Topic: "a", Properties: &PublishProperties{ContentType: strings.Repeat("c", 125)}},
		bytes: wire(
			0x30, 0x85, 1, 0, 1, "a",
			0x80, 1, // property length 128
			3, 0, 125, strings.Repeat("c", 125),
		)},
	{name: "puback 5.0, lengths of two bytes", v: V5,
		packet: &Puback{PacketID: 1, Code: UnspecifiedError, ReasonString: strings.Repeat("r", 200)},
		bytes: wire(
			0x40, 0xD0, 1, 0, 1, 0x80,
			0xCB, 1, // property length 203
			31, 0, 200, strings.Repeat("r", 200),
		)},
}
