package packets

// malformedCase is a frame that Decode refuses with code; its name ends with the rule it breaks.
type malformedCase struct {
	name  string
	v     Version
	code  ReasonCode
	bytes []byte
}

// Where both versions have a rule, each has a case: the bytes differ where 5.0 has properties.

// connect5, will5, publish5, subscribe5 and disconnect5 are small packets of 5.0 with the given properties.
func connect5(props ...any) []byte {
	p := wire(props...)
	return wire(0x10, 14+len(p), 0, 4, "MQTT", 5, 2, 0, 0, len(p), string(p), 0, 1, "c")
}

func will5(props ...any) []byte {
	p := wire(props...)
	return wire(0x10, 21+len(p), 0, 4, "MQTT", 5, 6, 0, 0, 0, 0, 1, "c", len(p), string(p), 0, 1, "w", 0, 1, "x")
}

func publish5(props ...any) []byte {
	p := wire(props...)
	return wire(0x30, 4+len(p), 0, 1, "a", len(p), string(p))
}

func subscribe5(props ...any) []byte {
	p := wire(props...)
	return wire(0x82, 7+len(p), 0, 1, len(p), string(p), 0, 1, "a", 0)
}

func disconnect5(props ...any) []byte {
	p := wire(props...)
	return wire(0xE0, 2+len(p), 0x81, len(p), string(p))
}

func auth5(props ...any) []byte {
	p := wire(props...)
	return wire(0xF0, 2+len(p), 0x18, len(p), string(p))
}

var malformedCases = []malformedCase{
	// Fixed header.
	{"packet type 0", V4, MalformedPacket, wire(0x00, 0)},
	{"AUTH in 3.1.1", V4, MalformedPacket, wire(0xF0, 0)},
	{"3.1.1 PUBREL flags 0000 [v3 MQTT-3.6.1-1]", V4, MalformedPacket, wire(0x60, 2, 0, 1)},
	{"PUBREL flags 0000 [MQTT-3.6.1-1] [MQTT-2.1.3-a]", V5, MalformedPacket, wire(0x60, 2, 0, 1)},
	{"3.1.1 SUBSCRIBE flags 0000 [v3 MQTT-3.8.1-1]", V4, MalformedPacket, wire(0x80, 6, 0, 1, 0, 1, "a", 0)},
	{"SUBSCRIBE flags 0000 [MQTT-3.8.1-1]", V5, MalformedPacket, wire(0x80, 7, 0, 1, 0, 0, 1, "a", 0)},
	{"3.1.1 UNSUBSCRIBE flags 0000 [v3 MQTT-3.10.1-1]", V4, MalformedPacket, wire(0xA0, 5, 0, 1, 0, 1, "a")},
	{"UNSUBSCRIBE flags 0000 [MQTT-3.10.1-1]", V5, MalformedPacket, wire(0xA0, 6, 0, 1, 0, 0, 1, "a")},
	{"3.1.1 PUBREL flags 1010, which only 3.1 has [v3 MQTT-3.6.1-1]", V4, MalformedPacket, wire(0x6A, 2, 0, 1)},
	{"SUBSCRIBE flags 1010, which only 3.1 has [MQTT-3.8.1-1]", V5, MalformedPacket, wire(0x8A, 7, 0, 1, 0, 0, 1, "a", 0)},
	{"3.1.1 UNSUBSCRIBE flags 1010, which only 3.1 has [v3 MQTT-3.10.1-1]", V4, MalformedPacket, wire(0xAA, 5, 0, 1, 0, 1, "a")},
	{"3.1.1 DISCONNECT flags 0001 [v3 MQTT-3.14.1-1]", V4, MalformedPacket, wire(0xE1, 0)},
	{"DISCONNECT flags 0001 [MQTT-3.14.1-1]", V5, MalformedPacket, wire(0xE1, 0)},
	{"AUTH flags 0001 [MQTT-3.15.1-1]", V5, MalformedPacket, wire(0xF1, 0)},
	{"3.1.1 QoS 3 [v3 MQTT-3.3.1-4]", V4, MalformedPacket, wire(0x36, 5, 0, 1, "a", 0, 1)},
	{"QoS 3 [MQTT-3.3.1-4] [MQTT-3.3.1.2-a]", V5, MalformedPacket, wire(0x36, 6, 0, 1, "a", 0, 1, 0)},
	{"Remaining Length 80 00 [MQTT-1.5.5-1]", V5, MalformedPacket, wire(0xC0, 0x80, 0)},
	{"3.1.1 Remaining Length of five bytes [v3 MQTT-2.2.3-a]", V4, MalformedPacket, wire(0xC0, 0x80, 0x80, 0x80, 0x80, 1)},
	{"Remaining Length of five bytes [MQTT-2.1.4-a]", V5, MalformedPacket, wire(0xC0, 0x80, 0x80, 0x80, 0x80, 1)},
	{"3.1.1 PINGREQ with a body", V4, MalformedPacket, wire(0xC0, 1, 0)},
	{"PINGREQ with a body [MQTT-3.12-a]", V5, MalformedPacket, wire(0xC0, 1, 0)},
	{"PINGREQ flags 0001 [MQTT-3.12-a]", V5, MalformedPacket, wire(0xC1, 0)},
	{"PINGRESP with a body [MQTT-3.12-a]", V5, MalformedPacket, wire(0xD0, 1, 0)},
	{"PINGRESP flags 1000 [MQTT-3.12-a]", V5, MalformedPacket, wire(0xD8, 0)},
	{"3.1.1 DISCONNECT with a body", V4, MalformedPacket, wire(0xE0, 1, 0)},
	{"3.1.1 PUBACK with a code", V4, MalformedPacket, wire(0x40, 3, 0, 1, 0)},
	{"PUBACK without identifier", V5, MalformedPacket, wire(0x40, 1, 0)},

	// CONNECT.
	{"protocol name MQIsdp with level 4 [v3 MQTT-3.1.2-1]", V4, UnsupportedProtocolVersion,
		wire(0x10, 15, 0, 6, "MQIsdp", 4, 2, 0, 0, 0, 1, "c")},
	{"protocol level 3 without MQIsdp [v3 MQTT-3.1.2-2]", V4, UnsupportedProtocolVersion, wire(0x10, 13, 0, 4, "MQTT", 3, 2, 0, 0, 0, 1, "c")},
	{"3.1.1 protocol name mqtt [v3 MQTT-3.1.2-1]", V4, UnsupportedProtocolVersion,
		wire(0x10, 13, 0, 4, "mqtt", 4, 2, 0, 0, 0, 1, "c")},
	{"protocol name MQTTT [MQTT-3.1.2-1]", V5, UnsupportedProtocolVersion,
		wire(0x10, 15, 0, 5, "MQTTT", 5, 2, 0, 0, 0, 0, 1, "c")},
	{"protocol name empty [MQTT-3.1.2-1]", V5, UnsupportedProtocolVersion, wire(0x10, 10, 0, 0, 5, 2, 0, 0, 0, 0, 1, "c")},
	{"protocol level 2 [v3 MQTT-3.1.2-2]", V4, UnsupportedProtocolVersion,
		wire(0x10, 13, 0, 4, "MQTT", 2, 2, 0, 0, 0, 1, "c")},
	{"protocol level 6 [MQTT-3.1.2-2]", V5, UnsupportedProtocolVersion,
		wire(0x10, 14, 0, 4, "MQTT", 6, 2, 0, 0, 0, 0, 1, "c")},
	{"protocol level 0x84, a bridge", V4, UnsupportedProtocolVersion, wire(0x10, 13, 0, 4, "MQTT", 0x84, 2, 0, 0, 0, 1, "c")},
	{"3.1.1 reserved connect flag [v3 MQTT-3.1.2-3]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 3, 0, 0, 0, 1, "c")},
	{"reserved connect flag [MQTT-3.1.2-3] [MQTT-3.1.2.3-a]", V5, MalformedPacket,
		wire(0x10, 14, 0, 4, "MQTT", 5, 3, 0, 0, 0, 0, 1, "c")},
	{"3.1.1 will QoS without will [v3 MQTT-3.1.2-11] [v3 MQTT-3.1.2-13]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 0x0A, 0, 0, 0, 1, "c")},
	{"will QoS without will [MQTT-3.1.2-11]", V5, MalformedPacket, wire(0x10, 14, 0, 4, "MQTT", 5, 0x0A, 0, 0, 0, 0, 1, "c")},
	{"3.1.1 will retain without will [v3 MQTT-3.1.2-11] [v3 MQTT-3.1.2-15]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 0x22, 0, 0, 0, 1, "c")},
	{"will retain without will [MQTT-3.1.2-13]", V5, MalformedPacket, wire(0x10, 14, 0, 4, "MQTT", 5, 0x22, 0, 0, 0, 0, 1, "c")},
	{"3.1.1 will fields without will [v3 MQTT-3.1.2-11]", V4, MalformedPacket,
		wire(0x10, 19, 0, 4, "MQTT", 4, 2, 0, 0, 0, 1, "c", 0, 1, "w", 0, 1, "x")},
	{"3.1.1 will QoS 3 [v3 MQTT-3.1.2-14]", V4, MalformedPacket,
		wire(0x10, 19, 0, 4, "MQTT", 4, 0x1E, 0, 0, 0, 1, "c", 0, 1, "w", 0, 1, "x")},
	{"will QoS 3 [MQTT-3.1.2-12] [MQTT-3.1.2.6-a]", V5, MalformedPacket,
		wire(0x10, 21, 0, 4, "MQTT", 5, 0x1E, 0, 0, 0, 0, 1, "c", 0, 0, 1, "w", 0, 1, "x")},
	{"3.1.1 password without user name [v3 MQTT-3.1.2-22]", V4, MalformedPacket,
		wire(0x10, 16, 0, 4, "MQTT", 4, 0x42, 0, 0, 0, 1, "c", 0, 1, "p")},
	{"3.1.1 will flag without will fields [v3 MQTT-3.1.2-9]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 0x06, 0, 0, 0, 1, "c")},
	{"will flag without will fields [MQTT-3.1.2-9]", V5, MalformedPacket,
		wire(0x10, 14, 0, 4, "MQTT", 5, 0x06, 0, 0, 0, 0, 1, "c")},
	{"will flag without will payload [MQTT-3.1.2-9]", V5, MalformedPacket,
		wire(0x10, 18, 0, 4, "MQTT", 5, 0x06, 0, 0, 0, 0, 1, "c", 0, 0, 1, "w")},
	{"3.1.1 user name flag without user name [v3 MQTT-3.1.2-19]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 0x82, 0, 0, 0, 1, "c")},
	{"user name flag without user name [MQTT-3.1.2-17]", V5, MalformedPacket,
		wire(0x10, 14, 0, 4, "MQTT", 5, 0x82, 0, 0, 0, 0, 1, "c")},
	{"3.1.1 user name without its flag [v3 MQTT-3.1.2-18]", V4, MalformedPacket,
		wire(0x10, 16, 0, 4, "MQTT", 4, 0x02, 0, 0, 0, 1, "c", 0, 1, "u")},
	{"user name without its flag [MQTT-3.1.2-16]", V5, MalformedPacket,
		wire(0x10, 17, 0, 4, "MQTT", 5, 0x02, 0, 0, 0, 0, 1, "c", 0, 1, "u")},
	{"3.1.1 password flag without password [v3 MQTT-3.1.2-21]", V4, MalformedPacket,
		wire(0x10, 16, 0, 4, "MQTT", 4, 0xC2, 0, 0, 0, 1, "c", 0, 1, "u")},
	{"password flag without password [MQTT-3.1.2-19]", V5, MalformedPacket,
		wire(0x10, 17, 0, 4, "MQTT", 5, 0xC2, 0, 0, 0, 0, 1, "c", 0, 1, "u")},
	{"3.1.1 password without its flag [v3 MQTT-3.1.2-20]", V4, MalformedPacket,
		wire(0x10, 19, 0, 4, "MQTT", 4, 0x82, 0, 0, 0, 1, "c", 0, 1, "u", 0, 1, "p")},
	{"password without its flag [MQTT-3.1.2-18]", V5, MalformedPacket,
		wire(0x10, 20, 0, 4, "MQTT", 5, 0x82, 0, 0, 0, 0, 1, "c", 0, 1, "u", 0, 1, "p")},
	{"3.1.1 client id missing [v3 MQTT-3.1.3-3]", V4, MalformedPacket, wire(0x10, 10, 0, 4, "MQTT", 4, 2, 0, 0)},
	{"client id missing [MQTT-3.1.3-3]", V5, MalformedPacket, wire(0x10, 11, 0, 4, "MQTT", 5, 2, 0, 0, 0)},
	{"3.1.1 client id is not UTF-8 [v3 MQTT-3.1.3-4]", V4, MalformedPacket,
		wire(0x10, 13, 0, 4, "MQTT", 4, 2, 0, 0, 0, 1, 0xFF)},
	{"client id is not UTF-8 [MQTT-3.1.3-4] [MQTT-1.5.4-a]", V5, MalformedPacket,
		wire(0x10, 14, 0, 4, "MQTT", 5, 2, 0, 0, 0, 0, 1, 0xFF)},
	{"client id with NUL [MQTT-1.5.4-2] [MQTT-1.5.4-b]", V5, MalformedPacket, wire(0x10, 14, 0, 4, "MQTT", 5, 2, 0, 0, 0, 0, 1, 0)},
	{"3.1.1 user name is not UTF-8 [v3 MQTT-3.1.3-11]", V4, MalformedPacket,
		wire(0x10, 16, 0, 4, "MQTT", 4, 0x82, 0, 0, 0, 1, "c", 0, 1, 0xFF)},
	{"user name is not UTF-8 [MQTT-3.1.3-12] [MQTT-1.5.4-a]", V5, MalformedPacket,
		wire(0x10, 17, 0, 4, "MQTT", 5, 0x82, 0, 0, 0, 0, 1, "c", 0, 1, 0xFF)},
	{"3.1.1 will topic is not UTF-8 [v3 MQTT-3.1.3-10]", V4, MalformedPacket,
		wire(0x10, 19, 0, 4, "MQTT", 4, 6, 0, 0, 0, 1, "c", 0, 1, 0xFF, 0, 1, "x")},
	{"will topic is not UTF-8 [MQTT-3.1.3-11] [MQTT-1.5.4-a]", V5, MalformedPacket,
		wire(0x10, 21, 0, 4, "MQTT", 5, 6, 0, 0, 0, 0, 1, "c", 0, 0, 1, 0xFF, 0, 1, "x")},
	{"3.1.1 will topic with NUL [v3 MQTT-1.5.3-2]", V4, MalformedPacket,
		wire(0x10, 19, 0, 4, "MQTT", 4, 6, 0, 0, 0, 1, "c", 0, 1, 0, 0, 1, "x")},
	{"will topic with NUL [MQTT-1.5.4-2] [MQTT-1.5.4-b]", V5, MalformedPacket,
		wire(0x10, 21, 0, 4, "MQTT", 5, 6, 0, 0, 0, 0, 1, "c", 0, 0, 1, 0, 0, 1, "x")},
	{"will topic with wildcard [v3 MQTT-4.7.1-1]", V4, TopicNameInvalid,
		wire(0x10, 19, 0, 4, "MQTT", 4, 6, 0, 0, 0, 1, "c", 0, 1, "#", 0, 1, "x")},
	{"will topic empty [v3 MQTT-4.7.3-1]", V4, ProtocolError,
		wire(0x10, 18, 0, 4, "MQTT", 4, 6, 0, 0, 0, 1, "c", 0, 0, 0, 1, "x")},
	{"session expiry twice [MQTT-3.1.2.11.2-a]", V5, ProtocolError, connect5(17, 0, 0, 0, 1, 17, 0, 0, 0, 1)},
	{"receive maximum 0 [MQTT-3.1.2.11.3-a]", V5, ProtocolError, connect5(33, 0, 0)},
	{"receive maximum twice [MQTT-3.1.2.11.3-a]", V5, ProtocolError, connect5(33, 0, 1, 33, 0, 1)},
	{"maximum packet size 0 [MQTT-3.1.2.11.4-a]", V5, ProtocolError, connect5(39, 0, 0, 0, 0)},
	{"maximum packet size twice [MQTT-3.1.2.11.4-a]", V5, ProtocolError, connect5(39, 0, 0, 0, 9, 39, 0, 0, 0, 9)},
	{"topic alias maximum twice [MQTT-3.1.2.11.5-a]", V5, ProtocolError, connect5(34, 0, 1, 34, 0, 1)},
	{"request response information 2 [MQTT-3.1.2.11.6-a]", V5, ProtocolError, connect5(25, 2)},
	{"request response information twice [MQTT-3.1.2.11.6-a]", V5, ProtocolError, connect5(25, 1, 25, 1)},
	{"request problem information 2 [MQTT-3.1.2.11.7-a]", V5, ProtocolError, connect5(23, 2)},
	{"request problem information twice [MQTT-3.1.2.11.7-a]", V5, ProtocolError, connect5(23, 1, 23, 1)},
	{"authentication method twice [MQTT-3.1.2.11.9-a]", V5, ProtocolError, connect5(21, 0, 1, "m", 21, 0, 1, "m")},
	{"authentication data without method [MQTT-3.1.2.11.10-a]", V5, ProtocolError, connect5(22, 0, 1, 1)},
	{"authentication data twice [MQTT-3.1.2.11.10-a]", V5, ProtocolError, connect5(21, 0, 1, "m", 22, 0, 1, 1, 22, 0, 1, 1)},
	{"empty authentication method", V5, BadAuthenticationMethod, connect5(21, 0, 0)},
	{"authentication method is not UTF-8 [MQTT-1.5.4-a]", V5, MalformedPacket, connect5(21, 0, 1, 0xFF)},
	{"property of PUBLISH in CONNECT [MQTT-2.2.2.2-a]", V5, MalformedPacket, connect5(35, 0, 1)},
	{"property of a will in CONNECT [MQTT-2.2.2.2-a]", V5, MalformedPacket, connect5(24, 0, 0, 0, 1)},
	{"will delay twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(24, 0, 0, 0, 1, 24, 0, 0, 0, 1)},
	{"will payload format twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(1, 1, 1, 1)},
	{"will message expiry twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(2, 0, 0, 0, 1, 2, 0, 0, 0, 1)},
	{"will content type twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(3, 0, 1, "t", 3, 0, 1, "t")},
	{"will response topic twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(8, 0, 1, "r", 8, 0, 1, "r")},
	{"will correlation data twice [MQTT-3.1.3.2-a]", V5, ProtocolError, will5(9, 0, 0, 9, 0, 0)},
	{"topic alias in a will [MQTT-2.2.2.2-a]", V5, MalformedPacket, will5(35, 0, 1)},
	{"user property with NUL in a will [MQTT-1.5.7-1] [MQTT-1.5.7-a] [MQTT-1.5.4-2]", V5, MalformedPacket, will5(38, 0, 1, "k", 0, 1, 0)},

	// Properties in general.
	{"unknown property 0 [MQTT-2.2.2.2-a]", V5, MalformedPacket, wire(0x40, 5, 0, 1, 0, 1, 0)},
	{"unknown property 43 [MQTT-2.2.2.2-a]", V5, MalformedPacket, wire(0x40, 6, 0, 1, 0, 2, 43, 0)},
	{"unknown property 127 [MQTT-2.2.2.2-a]", V5, MalformedPacket, wire(0x40, 6, 0, 1, 0, 2, 127, 0)},
	{"property identifier of two bytes [MQTT-2.2.2.2-a]", V5, MalformedPacket, wire(0x40, 7, 0, 1, 0, 3, 0x80, 1, 0)},
	{"property length past the end [MQTT-2.2.2.2-b]", V5, MalformedPacket, wire(0x40, 4, 0, 1, 0, 200)},
	{"property length 80 00 [MQTT-1.5.5-1]", V5, MalformedPacket, wire(0x40, 5, 0, 1, 0, 0x80, 0)},
	{"property longer than the block [MQTT-2.2.2.2-a]", V5, MalformedPacket, wire(0x40, 8, 0, 1, 0x80, 4, 31, 0, 2, "r")},
	{"bytes behind the properties", V5, MalformedPacket, wire(0x40, 5, 0, 1, 0, 0, 0)},
	{"reason string twice in PUBACK [MQTT-3.4-a]", V5, ProtocolError, wire(0x40, 10, 0, 1, 0x80, 6, 31, 0, 0, 31, 0, 0)},
	{"reason string twice in PUBREC [MQTT-3.4-a]", V5, ProtocolError, wire(0x50, 10, 0, 1, 0x80, 6, 31, 0, 0, 31, 0, 0)},
	{"reason string twice in PUBREL [MQTT-3.4-a]", V5, ProtocolError, wire(0x62, 10, 0, 1, 0x92, 6, 31, 0, 0, 31, 0, 0)},
	{"reason string twice in PUBCOMP [MQTT-3.4-a]", V5, ProtocolError, wire(0x70, 10, 0, 1, 0x92, 6, 31, 0, 0, 31, 0, 0)},
	{"reason string is not UTF-8 [MQTT-1.5.4-a]", V5, MalformedPacket, wire(0x40, 8, 0, 1, 0x80, 4, 31, 0, 1, 0xFF)},
	{"user property with bad UTF-8 in its name [MQTT-1.5.7-1] [MQTT-1.5.7-a]", V5, MalformedPacket,
		wire(0x40, 10, 0, 1, 0x80, 6, 38, 0, 1, 0xFF, 0, 0)},
	{"user property with NUL in its value [MQTT-1.5.7-1] [MQTT-1.5.7-a] [MQTT-1.5.4-2]", V5, MalformedPacket,
		wire(0x40, 10, 0, 1, 0x80, 6, 38, 0, 0, 0, 1, 0)},
	{"reason code not listed for PUBACK [MQTT-3.4.2-1]", V5, ProtocolError, wire(0x40, 3, 0, 1, 0x92)},
	{"reason code not listed for PUBREC [MQTT-3.5.2-1]", V5, ProtocolError, wire(0x50, 3, 0, 1, 0x92)},
	{"reason code not listed for PUBREL [MQTT-3.6.2-1]", V5, ProtocolError, wire(0x62, 3, 0, 1, 0x80)},
	{"reason code not listed for PUBCOMP [MQTT-3.7.2-1]", V5, ProtocolError, wire(0x70, 3, 0, 1, 0x80)},
	{"reason code not listed for SUBACK [MQTT-3.9.3-2]", V5, ProtocolError, wire(0x90, 4, 0, 1, 0, 3)},
	{"return code not listed for SUBACK [v3 MQTT-3.9.3-2]", V4, MalformedPacket, wire(0x90, 3, 0, 1, 0x87)},
	{"reason code not listed for UNSUBACK [MQTT-3.11.3-2]", V5, ProtocolError, wire(0xB0, 4, 0, 1, 0, 1)},
	{"reason code not listed for DISCONNECT [MQTT-3.14.2-1]", V5, ProtocolError, wire(0xE0, 1, 0x85)},
	{"reason code not listed for AUTH [MQTT-3.15.2-1]", V5, ProtocolError, wire(0xF0, 6, 0x17, 4, 21, 0, 1, "m")},
	{"reason code not listed for CONNACK [MQTT-3.2.2-8]", V5, ProtocolError, wire(0x20, 3, 0, 0x8E, 0)},
	{"return code not listed for CONNACK", V4, MalformedPacket, wire(0x20, 2, 0, 6)},

	// CONNACK.
	{"reserved CONNACK flag [MQTT-3.2.2-1]", V5, MalformedPacket, wire(0x20, 3, 2, 0, 0)},
	{"session present in a refusal [MQTT-3.2.2-6]", V5, ProtocolError, wire(0x20, 3, 1, 0x87, 0)},
	{"session present in a refusal [v3 MQTT-3.2.2-4]", V4, ProtocolError, wire(0x20, 2, 1, 5)},
	{"CONNACK reason string twice [MQTT-3.2.2.3-a]", V5, ProtocolError, wire(0x20, 9, 0, 0, 6, 31, 0, 0, 31, 0, 0)},
	{"CONNACK server keep alive twice [MQTT-3.2.2.3-a]", V5, ProtocolError, wire(0x20, 9, 0, 0, 6, 19, 0, 1, 19, 0, 1)},
	{"CONNACK maximum QoS 2 [MQTT-3.2.2.3.4-a]", V5, ProtocolError, wire(0x20, 5, 0, 0, 2, 36, 2)},
	{"CONNACK receive maximum 0 [MQTT-3.2.2.3.3-a]", V5, ProtocolError, wire(0x20, 6, 0, 0, 3, 33, 0, 0)},

	// PUBLISH.
	{"3.1.1 DUP with QoS 0 [v3 MQTT-3.3.1-2]", V4, MalformedPacket, wire(0x38, 3, 0, 1, "a")},
	{"DUP with QoS 0 [MQTT-3.3.1-2]", V5, MalformedPacket, wire(0x38, 4, 0, 1, "a", 0)},
	{"3.1.1 topic is not UTF-8 [v3 MQTT-3.3.2-1]", V4, MalformedPacket, wire(0x30, 3, 0, 1, 0x80)},
	{"topic is not UTF-8 [MQTT-3.3.2-1] [MQTT-1.5.4-a]", V5, MalformedPacket, wire(0x30, 4, 0, 1, 0x80, 0)},
	{"3.1.1 topic with a surrogate [v3 MQTT-1.5.3-1]", V4, MalformedPacket, wire(0x30, 5, 0, 3, 0xED, 0xA0, 0x80)},
	{"topic with a surrogate [MQTT-1.5.4-1] [MQTT-1.5.4-a]", V5, MalformedPacket, wire(0x30, 6, 0, 3, 0xED, 0xA0, 0x80, 0)},
	{"topic with an over-long NUL [MQTT-1.5.4-1]", V5, MalformedPacket, wire(0x30, 5, 0, 2, 0xC0, 0x80, 0)},
	{"3.1.1 topic with NUL [v3 MQTT-1.5.3-2] [v3 MQTT-4.7.3-2]", V4, MalformedPacket, wire(0x30, 5, 0, 3, "a", 0, "b")},
	{"topic with NUL [MQTT-1.5.4-2] [MQTT-1.5.4-b] [MQTT-4.7.3-2]", V5, MalformedPacket, wire(0x30, 6, 0, 3, "a", 0, "b", 0)},
	{"3.1.1 topic with + [v3 MQTT-3.3.2-2] [v3 MQTT-4.7.1-1]", V4, TopicNameInvalid, wire(0x30, 5, 0, 3, "a/+")},
	{"topic with + [MQTT-3.3.2-2] [MQTT-4.7.0-1]", V5, TopicNameInvalid, wire(0x30, 6, 0, 3, "a/+", 0)},
	{"topic with # [MQTT-3.3.2-2] [MQTT-4.7.0-1]", V5, TopicNameInvalid, wire(0x30, 4, 0, 1, "#", 0)},
	{"3.1.1 empty topic [v3 MQTT-4.7.3-1] [v3 MQTT-3.3.2-a]", V4, ProtocolError, wire(0x30, 2, 0, 0)},
	{"empty topic without alias [MQTT-4.7.3-1] [MQTT-3.3.2.1-a]", V5, ProtocolError, wire(0x30, 3, 0, 0, 0)},
	{"3.1.1 packet identifier 0 [v3 MQTT-2.3.1-1]", V4, ProtocolError, wire(0x32, 5, 0, 1, "a", 0, 0)},
	{"packet identifier 0 [MQTT-2.2.1-3] [MQTT-2.2.1-a]", V5, ProtocolError, wire(0x32, 6, 0, 1, "a", 0, 0, 0)},
	{"3.1.1 QoS 1 without packet identifier", V4, MalformedPacket, wire(0x32, 3, 0, 1, "a")},
	{"PUBACK of packet identifier 0 [MQTT-2.2.1-a]", V5, ProtocolError, wire(0x40, 2, 0, 0)},
	{"PUBREL of packet identifier 0 [MQTT-2.2.1-a]", V5, ProtocolError, wire(0x62, 2, 0, 0)},
	{"topic alias 0 [MQTT-3.3.2-8] [MQTT-3.3.2.3.4-a]", V5, TopicAliasInvalid, publish5(35, 0, 0)},
	{"topic alias twice [MQTT-3.3.2.3.4-a]", V5, ProtocolError, publish5(35, 0, 1, 35, 0, 1)},
	{"subscription identifier 0 [MQTT-3.3.2.3.8-a]", V5, ProtocolError, publish5(11, 0)},
	{"payload format 2", V5, ProtocolError, publish5(1, 2)},
	{"payload format twice [MQTT-3.3.2.3.2-a]", V5, ProtocolError, publish5(1, 1, 1, 1)},
	{"message expiry twice [MQTT-3.3.2.3.3-a]", V5, ProtocolError, publish5(2, 0, 0, 0, 1, 2, 0, 0, 0, 1)},
	{"response topic twice [MQTT-3.3.2.3.5-a]", V5, ProtocolError, publish5(8, 0, 1, "r", 8, 0, 1, "r")},
	{"response topic with # [MQTT-3.3.2-14] [MQTT-3.3.2.3.5-a]", V5, ProtocolError, publish5(8, 0, 1, "#")},
	{"response topic with + [MQTT-3.3.2-14] [MQTT-3.3.2.3.5-a]", V5, ProtocolError, publish5(8, 0, 3, "r/+")},
	{"response topic is not UTF-8 [MQTT-3.3.2-13]", V5, MalformedPacket, publish5(8, 0, 1, 0xFF)},
	{"correlation data twice [MQTT-3.3.2.3.6-a]", V5, ProtocolError, publish5(9, 0, 0, 9, 0, 0)},
	{"content type twice [MQTT-3.3.2.3.9-a]", V5, ProtocolError, publish5(3, 0, 1, "t", 3, 0, 1, "t")},
	{"content type is not UTF-8 [MQTT-3.3.2-19]", V5, MalformedPacket, publish5(3, 0, 1, 0xFF)},
	{"content type with NUL [MQTT-1.5.4-2]", V5, MalformedPacket, publish5(3, 0, 1, 0)},
	{"session expiry in PUBLISH [MQTT-2.2.2.2-a]", V5, MalformedPacket, publish5(17, 0, 0, 0, 1)},

	// SUBSCRIBE and UNSUBSCRIBE.
	{"3.1.1 SUBSCRIBE without filter [v3 MQTT-3.8.3-3]", V4, ProtocolError, wire(0x82, 2, 0, 1)},
	{"SUBSCRIBE without filter [MQTT-3.8.3-2] [MQTT-3.8.3-a]", V5, ProtocolError, wire(0x82, 3, 0, 1, 0)},
	{"filter without options [MQTT-3.8.3-2]", V5, MalformedPacket, wire(0x82, 6, 0, 1, 0, 0, 1, "a")},
	{"3.1.1 filter is not UTF-8 [v3 MQTT-3.8.3-1]", V4, MalformedPacket, wire(0x82, 6, 0, 1, 0, 1, 0xFF, 0)},
	{"filter is not UTF-8 [MQTT-3.8.3-1] [MQTT-1.5.4-a]", V5, MalformedPacket, wire(0x82, 7, 0, 1, 0, 0, 1, 0xFF, 0)},
	{"3.1.1 SUBSCRIBE with identifier 0 [v3 MQTT-2.3.1-1]", V4, ProtocolError, wire(0x82, 6, 0, 0, 0, 1, "a", 0)},
	{"SUBSCRIBE with identifier 0 [MQTT-2.2.1-3] [MQTT-2.2.1-a]", V5, ProtocolError, wire(0x82, 7, 0, 0, 0, 0, 1, "a", 0)},
	{"3.1.1 requested QoS 3 [v3 MQTT-3.8.3-4]", V4, MalformedPacket, wire(0x82, 6, 0, 1, 0, 1, "a", 3)},
	{"requested QoS 3 [MQTT-3.8.3.1-a]", V5, MalformedPacket, wire(0x82, 7, 0, 1, 0, 0, 1, "a", 3)},
	{"5.0 options in 3.1.1 [v3 MQTT-3.8.3-4]", V4, MalformedPacket, wire(0x82, 6, 0, 1, 0, 1, "a", 4)},
	{"reserved option bit 6 [MQTT-3.8.3-5]", V5, MalformedPacket, wire(0x82, 7, 0, 1, 0, 0, 1, "a", 0x40)},
	{"reserved option bit 7 [MQTT-3.8.3-5]", V5, MalformedPacket, wire(0x82, 7, 0, 1, 0, 0, 1, "a", 0x80)},
	{"retain handling 3 [MQTT-3.8.3.1-b]", V5, ProtocolError, wire(0x82, 7, 0, 1, 0, 0, 1, "a", 0x30)},
	{"no local on a shared subscription [MQTT-3.8.3-4]", V5, ProtocolError, wire(0x82, 16, 0, 1, 0, 0, 10, "$share/g/a", 4)},
	{"subscription identifier 0 in SUBSCRIBE [MQTT-3.8.2.1.2-a]", V5, ProtocolError, subscribe5(11, 0)},
	{"subscription identifier twice in SUBSCRIBE [MQTT-3.8.2.1.2-a]", V5, ProtocolError, subscribe5(11, 1, 11, 1)},
	{"reason string in SUBSCRIBE [MQTT-2.2.2.2-a]", V5, MalformedPacket, subscribe5(31, 0, 1, "r")},
	{"3.1.1 UNSUBSCRIBE without filter [v3 MQTT-3.10.3-2]", V4, ProtocolError, wire(0xA2, 2, 0, 1)},
	{"UNSUBSCRIBE without filter [MQTT-3.10.3-2] [MQTT-3.10.3-a]", V5, ProtocolError, wire(0xA2, 3, 0, 1, 0)},
	{"UNSUBSCRIBE with identifier 0 [MQTT-2.2.1-a]", V5, ProtocolError, wire(0xA2, 6, 0, 0, 0, 0, 1, "a")},
	{"3.1.1 UNSUBSCRIBE with identifier 0 [v3 MQTT-2.3.1-1]", V4, ProtocolError, wire(0xA2, 5, 0, 0, 0, 1, "a")},
	{"3.1.1 UNSUBSCRIBE filter is not UTF-8 [v3 MQTT-3.10.3-1]", V4, MalformedPacket, wire(0xA2, 5, 0, 1, 0, 1, 0xFF)},
	{"UNSUBSCRIBE filter is not UTF-8 [MQTT-3.10.3-1] [MQTT-1.5.4-a]", V5, MalformedPacket, wire(0xA2, 6, 0, 1, 0, 0, 1, 0xFF)},
	{"SUBACK without codes", V5, ProtocolError, wire(0x90, 3, 0, 1, 0)},

	// DISCONNECT and AUTH.
	{"reason string twice in DISCONNECT [MQTT-3.14.2.2-a]", V5, ProtocolError, disconnect5(31, 0, 1, "r", 31, 0, 1, "r")},
	{"server reference twice [MQTT-3.14.2.2-a]", V5, ProtocolError, disconnect5(28, 0, 1, "b", 28, 0, 1, "b")},
	{"AUTH without method [MQTT-3.15.2.2-a]", V5, ProtocolError, auth5()},
	{"AUTH method twice [MQTT-3.15.2.2-a]", V5, ProtocolError, auth5(21, 0, 1, "m", 21, 0, 1, "m")},
	{"AUTH data twice [MQTT-3.15.2.2-a]", V5, ProtocolError, auth5(21, 0, 1, "m", 22, 0, 0, 22, 0, 0)},
	{"AUTH reason string twice [MQTT-3.15.2.2-a]", V5, ProtocolError, auth5(21, 0, 1, "m", 31, 0, 0, 31, 0, 0)},
}
