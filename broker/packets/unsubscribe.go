package packets

// Unsubscribe ends subscriptions (section 3.10).
type Unsubscribe struct {
	PacketID uint16
	User     []UserProperty
	Filters  []string // at least one [MQTT-3.10.3-2] [v3 MQTT-3.10.3-2]
}

// Type is TypeUnsubscribe.
func (*Unsubscribe) Type() Type { return TypeUnsubscribe }

func decodeUnsubscribe(r *reader) *Unsubscribe {
	u := new(Unsubscribe)
	r.section = "3.10.2"
	u.PacketID = r.packetID()
	if r.v == V5 {
		_, u.User = decodeReason(r, TypeUnsubscribe)
	}
	r.section = "3.10.3"
	if !r.more() {
		r.fail(ProtocolError, "UNSUBSCRIBE without a topic filter")
	}
	u.Filters = make([]string, 0, r.entries(0))
	for r.more() {
		u.Filters = append(u.Filters, r.string())
	}
	return u
}

// Append writes an UNSUBSCRIBE.
func (u *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeUnsubscribe, 2)
	at := len(dst) - 1
	dst = appendUint16(dst, u.PacketID)
	if v == V5 {
		dst = appendReason(dst, "", u.User)
	}
	for _, f := range u.Filters {
		dst = appendString(dst, f)
	}
	return seal(dst, at)
}
