package packets

// Connack answers CONNECT (section 3.2). 3.1.1 has the first two fields only.
type Connack struct {
	SessionPresent bool
	Code           ReasonCode // for 3.1.1 see ConnackV4

	SessionExpiry     Optional[uint32] // seconds; absent: the client's own
	ReceiveMaximum    uint16           // 0: absent, which means 65,535
	MaximumQoS        Optional[byte]   // 0 or 1; absent: 2
	NoRetain          bool             // Retain Available is 0
	MaximumPacketSize uint32           // 0: absent, no limit
	AssignedClientID  string
	TopicAliasMaximum uint16
	ReasonString      string
	User              []UserProperty
	NoWildcards       bool             // Wildcard Subscription Available is 0
	NoSubscriptionIDs bool             // Subscription Identifiers Available is 0
	NoShared          bool             // Shared Subscription Available is 0
	ServerKeepAlive   Optional[uint16] // seconds; absent: the client's own
	ResponseInfo      string
	ServerReference   string
	AuthMethod        string
	AuthData          []byte // nil: absent
}

// connackV4 are the return codes 0 to 5 of 3.1.1 (section 3.2.2.3), at their index.
var connackV4 = [...]ReasonCode{Success, UnsupportedProtocolVersion, ClientIdentifierNotValid, ServerUnavailable,
	BadUserNameOrPassword, NotAuthorized}

// ConnackV4 returns the 3.1.1 return code for c. If ok is false there is none: the server closes the connection
// without a CONNACK [v3 MQTT-3.2.2-6].
func ConnackV4(c ReasonCode) (code byte, ok bool) {
	switch c {
	case ServerBusy, ServerShuttingDown, QuotaExceeded, ConnectionRateExceeded, UseAnotherServer, ServerMoved:
		return 3, true
	case Banned, BadAuthenticationMethod:
		return 5, true
	}
	for i, known := range connackV4 {
		if c == known {
			return byte(i), true
		}
	}
	return 3, false
}

// Type is TypeConnack.
func (*Connack) Type() Type { return TypeConnack }

func decodeConnack(r *reader) *Connack {
	c := new(Connack)
	r.section = "3.2.2.1"
	flags := r.byte()
	if flags > 1 { // [MQTT-3.2.2-1]
		r.malformed("reserved connack flag is set")
	}
	c.SessionPresent = flags == 1
	r.section = "3.2.2.2"
	if r.v == V5 {
		c.Code = r.reason(TypeConnack)
		c.decodeProperties(r)
	} else if code := r.byte(); int(code) < len(connackV4) {
		c.Code = connackV4[code]
	} else {
		r.malformed("return code is not listed for CONNACK")
	}
	if c.SessionPresent && c.Code != Success { // [MQTT-3.2.2-6] [v3 MQTT-3.2.2-4]
		r.fail(ProtocolError, "session present in a refusal")
	}
	return c
}

func (c *Connack) decodeProperties(r *reader) {
	r.section = "3.2.2.3"
	p := r.properties(TypeConnack)
	for p.more() {
		switch p.next() {
		case propSessionExpiry:
			c.SessionExpiry = Some(p.uint32())
		case propReceiveMaximum:
			c.ReceiveMaximum = p.nonZero16(ProtocolError)
		case propMaximumQoS:
			c.MaximumQoS = Some(flag(p.bool(), 1))
		case propRetainAvailable:
			c.NoRetain = !p.bool()
		case propMaximumPacketSize:
			c.MaximumPacketSize = p.nonZero32()
		case propAssignedClientID:
			c.AssignedClientID = p.string()
		case propTopicAliasMaximum:
			c.TopicAliasMaximum = p.uint16()
		case propReasonString:
			c.ReasonString = p.string()
		case propUser:
			c.User = p.user(c.User)
		case propWildcardAvailable:
			c.NoWildcards = !p.bool()
		case propSubscriptionIDAvailable:
			c.NoSubscriptionIDs = !p.bool()
		case propSharedAvailable:
			c.NoShared = !p.bool()
		case propServerKeepAlive:
			c.ServerKeepAlive = Some(p.uint16())
		case propResponseInformation:
			c.ResponseInfo = p.string()
		case propServerReference:
			c.ServerReference = p.string()
		case propAuthMethod:
			c.AuthMethod = p.authMethod()
		case propAuthData:
			c.AuthData = p.binary()
		}
	}
	if c.AuthData != nil && c.AuthMethod == "" {
		p.fail(ProtocolError, "authentication data without a method")
	}
	r.close(&p)
}

// Append writes a CONNACK. For 3.1.1 a Code that ConnackV4 has no number for is written as 3, server unavailable.
func (c *Connack) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeConnack, 0)
	at := len(dst) - 1
	dst = append(dst, flag(c.SessionPresent, 1))
	if v == V5 {
		dst = c.appendProperties(append(dst, byte(c.Code)))
	} else {
		code, _ := ConnackV4(c.Code)
		dst = append(dst, code)
	}
	return seal(dst, at)
}

func (c *Connack) appendProperties(dst []byte) []byte {
	dst = append(dst, 0)
	at := len(dst) - 1
	dst = appendOptional32(dst, propSessionExpiry, c.SessionExpiry)
	dst = appendUint16Property(dst, propReceiveMaximum, c.ReceiveMaximum)
	if c.MaximumQoS.Set {
		dst = append(dst, byte(propMaximumQoS), c.MaximumQoS.Value)
	}
	dst = appendUnavailable(dst, propRetainAvailable, c.NoRetain)
	dst = appendUint32Property(dst, propMaximumPacketSize, c.MaximumPacketSize)
	dst = appendStringProperty(dst, propAssignedClientID, c.AssignedClientID)
	dst = appendUint16Property(dst, propTopicAliasMaximum, c.TopicAliasMaximum)
	dst = appendStringProperty(dst, propReasonString, c.ReasonString)
	dst = appendUserProperties(dst, c.User)
	dst = appendUnavailable(dst, propWildcardAvailable, c.NoWildcards)
	dst = appendUnavailable(dst, propSubscriptionIDAvailable, c.NoSubscriptionIDs)
	dst = appendUnavailable(dst, propSharedAvailable, c.NoShared)
	if c.ServerKeepAlive.Set {
		dst = appendUint16(append(dst, byte(propServerKeepAlive)), c.ServerKeepAlive.Value)
	}
	dst = appendStringProperty(dst, propResponseInformation, c.ResponseInfo)
	dst = appendStringProperty(dst, propServerReference, c.ServerReference)
	dst = appendStringProperty(dst, propAuthMethod, c.AuthMethod)
	dst = appendBinaryProperty(dst, propAuthData, c.AuthData)
	return seal(dst, at)
}

// appendUnavailable appends a property whose absence means that a feature is there.
func appendUnavailable(dst []byte, id property, missing bool) []byte {
	if !missing {
		return dst
	}
	return appendBoolProperty(dst, id, false)
}

// terse is c without what the client's Maximum Packet Size may crowd out [MQTT-3.2.2-19] [MQTT-3.2.2-20].
func (c *Connack) terse() Packet {
	t := *c
	t.ReasonString, t.User = "", nil
	return &t
}
