package packets

// Disconnect ends a connection (section 3.14). In 3.1.1 only a client sends it, and it has no fields.
type Disconnect struct {
	Code            ReasonCode
	SessionExpiry   Optional[uint32] // seconds; from a client only (section 3.14.2.2.2)
	ReasonString    string
	ServerReference string
	User            []UserProperty
}

// Type is TypeDisconnect.
func (*Disconnect) Type() Type { return TypeDisconnect }

// decodeDisconnect reads the short forms too: an empty body means Success, one byte means no properties.
func decodeDisconnect(r *reader) *Disconnect {
	d := new(Disconnect)
	r.section = "3.14.2"
	if r.v != V5 || !r.more() {
		return d
	}
	d.Code = r.reason(TypeDisconnect)
	if !r.more() {
		return d
	}
	p := r.properties(TypeDisconnect)
	for p.more() {
		switch p.next() {
		case propSessionExpiry:
			d.SessionExpiry = Some(p.uint32())
		case propReasonString:
			d.ReasonString = p.string()
		case propServerReference:
			d.ServerReference = p.string()
		case propUser:
			d.User = p.user(d.User)
		}
	}
	r.close(&p)
	return d
}

// Append writes the shortest form that says everything.
func (d *Disconnect) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeDisconnect, 0)
	at := len(dst) - 1
	if v != V5 {
		return dst
	}
	properties := d.SessionExpiry.Set || d.ReasonString != "" || d.ServerReference != "" || len(d.User) > 0
	if d.Code != Success || properties {
		dst = append(dst, byte(d.Code))
	}
	if properties {
		dst = d.appendProperties(dst)
	}
	return seal(dst, at)
}

func (d *Disconnect) appendProperties(dst []byte) []byte {
	dst = append(dst, 0)
	at := len(dst) - 1
	dst = appendOptional32(dst, propSessionExpiry, d.SessionExpiry)
	dst = appendStringProperty(dst, propReasonString, d.ReasonString)
	dst = appendStringProperty(dst, propServerReference, d.ServerReference)
	return seal(appendUserProperties(dst, d.User), at)
}

// terse is d without what the receiver's Maximum Packet Size may crowd out [MQTT-3.14.2-3] [MQTT-3.14.2-4].
func (d *Disconnect) terse() Packet {
	t := *d
	t.ReasonString, t.User = "", nil
	return &t
}
