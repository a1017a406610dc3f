package packets

// Suback answers SUBSCRIBE with one code per filter, in the order of the filters (section 3.9).
type Suback struct {
	PacketID     uint16
	ReasonString string
	User         []UserProperty
	Codes        []ReasonCode // GrantedQoS0 to GrantedQoS2, or a failure
}

// Type is TypeSuback.
func (*Suback) Type() Type { return TypeSuback }

func decodeSuback(r *reader) *Suback {
	s := new(Suback)
	r.section = "3.9.2"
	s.PacketID = r.packetID()
	if r.v == V5 {
		s.ReasonString, s.User = decodeReason(r, TypeSuback)
	}
	r.section = "3.9.3"
	s.Codes = decodeCodes(r, TypeSuback)
	for _, c := range s.Codes {
		if r.v != V5 && c > GrantedQoS2 && c != UnspecifiedError { // [v3 MQTT-3.9.3-2]
			r.malformed("return code is not listed for SUBACK")
		}
	}
	return s
}

// decodeReason reads a property block of a Reason String and user properties.
func decodeReason(r *reader, t Type) (reason string, user []UserProperty) {
	p := r.properties(t)
	for p.more() {
		switch p.next() {
		case propReasonString:
			reason = p.string()
		case propUser:
			user = p.user(user)
		}
	}
	r.close(&p)
	return reason, user
}

// decodeCodes reads the reason codes that fill the rest of the packet, at least one.
func decodeCodes(r *reader, t Type) []ReasonCode {
	if !r.more() {
		r.fail(ProtocolError, t.String()+" without a reason code")
		return nil
	}
	list := make([]ReasonCode, 0, len(r.b))
	for r.more() {
		list = append(list, r.reason(t))
	}
	return list
}

// Append writes a SUBACK. For 3.1.1 every failure is 0x80 [v3 MQTT-3.9.3-2].
func (s *Suback) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeSuback, 0)
	at := len(dst) - 1
	dst = appendUint16(dst, s.PacketID)
	if v == V5 {
		dst = appendReason(dst, s.ReasonString, s.User)
	}
	for _, c := range s.Codes {
		if v != V5 && c.Failed() {
			c = UnspecifiedError
		}
		dst = append(dst, byte(c))
	}
	return seal(dst, at)
}

// terse is s without what the client's Maximum Packet Size may crowd out [MQTT-3.9.2-1] [MQTT-3.9.2-2].
func (s *Suback) terse() Packet { return &Suback{PacketID: s.PacketID, Codes: s.Codes} }
