package packets

// Connect opens a connection (section 3.1). In 3.1 and 3.1.1 CleanStart is CleanSession and nothing below Password exists.
type Connect struct {
	Version    Version
	CleanStart bool
	KeepAlive  uint16 // seconds, 0: off
	ClientID   string // may be empty: the server then assigns one [MQTT-3.1.3-6]
	Will       *Will  // nil: none

	// HasUsername and HasPassword tell an empty field from an absent one.
	HasUsername, HasPassword bool
	Username                 string
	Password                 []byte

	SessionExpiry              uint32 // seconds, 0xFFFFFFFF: never
	ReceiveMaximum             uint16 // 0: absent, which means 65,535
	MaximumPacketSize          uint32 // 0: absent, no limit
	TopicAliasMaximum          uint16
	RequestResponseInformation bool
	NoProblemInformation       bool // Request Problem Information is 0 (section 3.1.2.11.7)
	AuthMethod                 string
	AuthData                   []byte // nil: absent
	User                       []UserProperty
}

// Will is the message that the server publishes when the connection ends without a clean DISCONNECT.
type Will struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Delay      uint32           // seconds
	Expiry     Optional[uint32] // seconds
	Properties *PublishProperties
}

// The bits of the connect flags (section 3.1.2.3).
const (
	connectReserved   = 1 << 0
	connectCleanStart = 1 << 1
	connectWill       = 1 << 2
	connectWillQoS    = 3 << 3
	connectWillRetain = 1 << 5
	connectPassword   = 1 << 6
	connectUsername   = 1 << 7
)

// Type is TypeConnect.
func (*Connect) Type() Type { return TypeConnect }

// ConnectVersion returns the version that a CONNECT names, also when the rest of it is broken, so that the refusal can
// be written as the client reads it; 0 if frame is no CONNECT or names no version of this package.
func ConnectVersion(frame []byte) Version {
	_, used := varint(frame[min(1, len(frame)):])
	if used <= 0 || Type(frame[0]>>4) != TypeConnect {
		return 0
	}
	r := reader{b: frame[1+used:]}
	name := r.string()
	if v := Version(r.byte()); knows(name, v) {
		return v
	}
	return 0
}

// knows tells whether a CONNECT of that protocol name and level is one of ours.
func knows(name string, v Version) bool {
	if v == V31 {
		return name == "MQIsdp"
	}
	return name == "MQTT" && (v == V4 || v == V5)
}

func decodeConnect(r *reader) *Connect {
	c := new(Connect)
	c.decodeVersion(r)
	c.decodeFlags(r)
	r.section = "3.1.2.10"
	c.KeepAlive = r.uint16()
	if r.v == V5 {
		c.decodeProperties(r)
	}
	c.decodePayload(r)
	return c
}

// decodeVersion refuses other protocols and versions [MQTT-3.1.2-1] [MQTT-3.1.2-2] [v3 MQTT-3.1.2-1] [v3 MQTT-3.1.2-2].
func (c *Connect) decodeVersion(r *reader) {
	r.section = "3.1.2.1"
	name := r.string()
	r.section = "3.1.2.2"
	c.Version = Version(r.byte())
	if r.err != nil {
		return
	}
	if !knows(name, c.Version) {
		r.fail(UnsupportedProtocolVersion, "protocol is neither MQTT 3.1, 3.1.1 nor 5.0")
	}
	r.v = c.Version
}

func (c *Connect) decodeFlags(r *reader) {
	r.section = "3.1.2.3"
	flags := r.byte()
	if flags&connectReserved != 0 { // [MQTT-3.1.2-3] [v3 MQTT-3.1.2-3]
		r.malformed("reserved connect flag is set")
	}
	c.CleanStart = flags&connectCleanStart != 0
	c.HasUsername = flags&connectUsername != 0
	c.HasPassword = flags&connectPassword != 0
	if c.HasPassword && !c.HasUsername && r.v != V5 { // [v3 MQTT-3.1.2-22]
		r.malformed("password without user name")
	}
	qos := flags & connectWillQoS >> 3
	if qos == 3 { // [MQTT-3.1.2-12] [v3 MQTT-3.1.2-14]
		r.malformed("will QoS 3")
	}
	if flags&connectWill != 0 {
		c.Will = &Will{QoS: qos, Retain: flags&connectWillRetain != 0}
	} else if flags&(connectWillQoS|connectWillRetain) != 0 { // [MQTT-3.1.2-11] [MQTT-3.1.2-13] [v3 MQTT-3.1.2-11]
		r.malformed("will QoS or will retain without a will")
	}
}

func (c *Connect) decodeProperties(r *reader) {
	r.section = "3.1.2.11"
	p := r.properties(TypeConnect)
	for p.more() {
		switch p.next() {
		case propSessionExpiry:
			c.SessionExpiry = p.uint32()
		case propReceiveMaximum:
			c.ReceiveMaximum = p.nonZero16(ProtocolError)
		case propMaximumPacketSize:
			c.MaximumPacketSize = p.nonZero32()
		case propTopicAliasMaximum:
			c.TopicAliasMaximum = p.uint16()
		case propRequestResponseInformation:
			c.RequestResponseInformation = p.bool()
		case propRequestProblemInformation:
			c.NoProblemInformation = !p.bool()
		case propAuthMethod:
			c.AuthMethod = p.authMethod()
		case propAuthData:
			c.AuthData = p.binary()
		case propUser:
			c.User = p.user(c.User)
		}
	}
	if c.AuthData != nil && c.AuthMethod == "" {
		p.fail(ProtocolError, "authentication data without a method")
	}
	r.close(&p)
}

// decodePayload reads the fields in their one order [MQTT-3.1.3-1] [v3 MQTT-3.1.3-1]; what the flags announce is there
// and what they do not is not, since Decode refuses bytes behind the last field.
func (c *Connect) decodePayload(r *reader) {
	r.section = "3.1.3.1"
	c.ClientID = r.string()
	if c.Will != nil {
		c.Will.decode(r)
	}
	if c.HasUsername {
		r.section = "3.1.3.5"
		c.Username = r.string()
	}
	if c.HasPassword {
		r.section = "3.1.3.6"
		c.Password = r.binary()
	}
}

func (w *Will) decode(r *reader) {
	if r.v == V5 {
		w.decodeProperties(r)
	}
	r.section = "3.1.3.3"
	w.Topic = r.topicName()
	r.section = "3.1.3.4"
	w.Payload = r.binary()
}

func (w *Will) decodeProperties(r *reader) {
	r.section = "3.1.3.2"
	p := r.properties(willProperties)
	for p.more() {
		switch id := p.next(); id {
		case propWillDelay:
			w.Delay = p.uint32()
		case propMessageExpiry:
			w.Expiry = Some(p.uint32())
		default:
			p.message(id, &w.Properties)
		}
	}
	r.close(&p)
}

// Append writes the version that c.Version names; v is not looked at.
func (c *Connect) Append(dst []byte, _ Version) []byte {
	dst = open(dst, TypeConnect, 0)
	at := len(dst) - 1
	if c.Version == V31 {
		dst = appendString(dst, "MQIsdp")
	} else {
		dst = appendString(dst, "MQTT")
	}
	dst = append(dst, byte(c.Version), c.flags())
	dst = appendUint16(dst, c.KeepAlive)
	if c.Version == V5 {
		dst = c.appendProperties(dst)
	}
	dst = appendString(dst, c.ClientID)
	if c.Will != nil {
		dst = c.Will.append(dst, c.Version)
	}
	if c.HasUsername {
		dst = appendString(dst, c.Username)
	}
	if c.HasPassword {
		dst = appendString(dst, c.Password)
	}
	return seal(dst, at)
}

func (c *Connect) flags() byte {
	f := flag(c.CleanStart, connectCleanStart) | flag(c.HasUsername, connectUsername) | flag(c.HasPassword, connectPassword)
	if c.Will != nil {
		f |= connectWill | c.Will.QoS<<3 | flag(c.Will.Retain, connectWillRetain)
	}
	return f
}

func (c *Connect) appendProperties(dst []byte) []byte {
	dst = append(dst, 0)
	at := len(dst) - 1
	dst = appendUint32Property(dst, propSessionExpiry, c.SessionExpiry)
	dst = appendUint16Property(dst, propReceiveMaximum, c.ReceiveMaximum)
	dst = appendUint32Property(dst, propMaximumPacketSize, c.MaximumPacketSize)
	dst = appendUint16Property(dst, propTopicAliasMaximum, c.TopicAliasMaximum)
	if c.RequestResponseInformation {
		dst = appendBoolProperty(dst, propRequestResponseInformation, true)
	}
	if c.NoProblemInformation {
		dst = appendBoolProperty(dst, propRequestProblemInformation, false)
	}
	dst = appendStringProperty(dst, propAuthMethod, c.AuthMethod)
	dst = appendBinaryProperty(dst, propAuthData, c.AuthData)
	dst = appendUserProperties(dst, c.User)
	return seal(dst, at)
}

func (w *Will) append(dst []byte, v Version) []byte {
	if v == V5 {
		dst = append(dst, 0)
		at := len(dst) - 1
		dst = appendUint32Property(dst, propWillDelay, w.Delay)
		dst = appendOptional32(dst, propMessageExpiry, w.Expiry)
		dst = appendMessageProperties(dst, w.Properties)
		dst = seal(dst, at)
	}
	return appendString(appendString(dst, w.Topic), w.Payload)
}
