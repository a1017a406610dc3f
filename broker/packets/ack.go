package packets

// Ack holds the fields of PUBACK, PUBREC, PUBREL and PUBCOMP, which are alike (sections 3.4 to 3.7).
// 3.1.1 has the packet identifier only.
type Ack struct {
	PacketID     uint16
	Code         ReasonCode
	ReasonString string
	User         []UserProperty
}

// decodeAck reads the short forms too: two bytes mean Success, three mean no properties. A property block that is
// there may be empty.
func decodeAck(r *reader, t Type) (a Ack) {
	r.section = ackSections[t-TypePuback]
	a.PacketID = r.packetID()
	if r.v != V5 || !r.more() {
		return a
	}
	a.Code = r.reason(t)
	if !r.more() {
		return a
	}
	p := r.properties(t)
	for p.more() {
		switch p.next() {
		case propReasonString:
			a.ReasonString = p.string()
		case propUser:
			a.User = p.user(a.User)
		}
	}
	r.close(&p)
	return a
}

var ackSections = [...]string{"3.4.2", "3.5.2", "3.6.2", "3.7.2"}

// append writes the shortest form that says everything.
func (a *Ack) append(dst []byte, v Version, t Type) []byte {
	dst = open(dst, t, flag(t == TypePubrel, 2)) // [MQTT-3.6.1-1] [v3 MQTT-3.6.1-1]
	at := len(dst) - 1
	dst = appendUint16(dst, a.PacketID)
	properties := a.ReasonString != "" || len(a.User) > 0
	if v == V5 && (a.Code != Success || properties) {
		dst = append(dst, byte(a.Code))
		if properties {
			dst = appendReason(dst, a.ReasonString, a.User)
		}
	}
	return seal(dst, at)
}

// appendReason appends a property block of a Reason String and user properties.
func appendReason(dst []byte, reason string, user []UserProperty) []byte {
	dst = append(dst, 0)
	at := len(dst) - 1
	dst = appendStringProperty(dst, propReasonString, reason)
	return seal(appendUserProperties(dst, user), at)
}

// terse is the packet without what the receiver's Maximum Packet Size may crowd out.
func (a *Ack) terse() Ack { return Ack{PacketID: a.PacketID, Code: a.Code} }

// PlainAck returns the packet identifier of a PUBACK, PUBREC, PUBREL or PUBCOMP that says success and nothing more, as nearly all
// do; for any other packet, and with the flag DUP that only 3.1 has, ok is false. frame is as FrameLength delimited it.
func PlainAck(frame []byte) (id uint16, ok bool) {
	if t := Type(frame[0] >> 4); len(frame) != 4 || t < TypePuback || t > TypePubcomp || frame[0]&flagDup != 0 {
		return 0, false
	}
	id = uint16(frame[2])<<8 | uint16(frame[3])
	return id, id != 0
}

// AppendPlainAck appends such a packet.
func AppendPlainAck(dst []byte, t Type, id uint16) []byte {
	return append(dst, byte(t)<<4|flag(t == TypePubrel, 2), 2, byte(id>>8), byte(id))
}
