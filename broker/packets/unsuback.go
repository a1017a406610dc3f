package packets

// Unsuback answers UNSUBSCRIBE (section 3.11). 3.1.1 has the packet identifier only.
type Unsuback struct {
	PacketID     uint16
	ReasonString string
	User         []UserProperty
	Codes        []ReasonCode // one per filter, in the order of the filters
}

// Type is TypeUnsuback.
func (*Unsuback) Type() Type { return TypeUnsuback }

func decodeUnsuback(r *reader) *Unsuback {
	u := new(Unsuback)
	r.section = "3.11.2"
	u.PacketID = r.packetID()
	if r.v == V5 {
		u.ReasonString, u.User = decodeReason(r, TypeUnsuback)
		r.section = "3.11.3"
		u.Codes = decodeCodes(r, TypeUnsuback)
	}
	return u
}

// Append writes an UNSUBACK.
func (u *Unsuback) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeUnsuback, 0)
	at := len(dst) - 1
	dst = appendUint16(dst, u.PacketID)
	if v == V5 {
		dst = appendReason(dst, u.ReasonString, u.User)
		for _, c := range u.Codes {
			dst = append(dst, byte(c))
		}
	}
	return seal(dst, at)
}

// terse is u without what the client's Maximum Packet Size may crowd out [MQTT-3.11.2-1] [MQTT-3.11.2-2].
func (u *Unsuback) terse() Packet { return &Unsuback{PacketID: u.PacketID, Codes: u.Codes} }
