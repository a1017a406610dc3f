package packets

// Auth is a step of enhanced authentication (section 3.15), 5.0 only.
type Auth struct {
	Code         ReasonCode
	Method       string // always present, but in the short form that means Success
	Data         []byte // nil: absent
	ReasonString string
	User         []UserProperty
}

// Type is TypeAuth.
func (*Auth) Type() Type { return TypeAuth }

// decodeAuth reads the short form too: an empty body means Success and no properties (section 3.15.2.1).
func decodeAuth(r *reader) *Auth {
	a := new(Auth)
	r.section = "3.15.2"
	if !r.more() {
		return a
	}
	a.Code = r.reason(TypeAuth)
	p := r.properties(TypeAuth)
	for p.more() {
		switch p.next() {
		case propAuthMethod:
			a.Method = p.authMethod()
		case propAuthData:
			a.Data = p.binary()
		case propReasonString:
			a.ReasonString = p.string()
		case propUser:
			a.User = p.user(a.User)
		}
	}
	if a.Method == "" && p.err == nil {
		p.fail(ProtocolError, "AUTH without an authentication method")
	}
	r.close(&p)
	return a
}

// Append writes an AUTH; without a Method it is the short form.
func (a *Auth) Append(dst []byte, _ Version) []byte {
	dst = open(dst, TypeAuth, 0)
	at := len(dst) - 1
	if a.Method == "" {
		return dst
	}
	dst = append(dst, byte(a.Code), 0)
	props := len(dst) - 1
	dst = appendStringProperty(dst, propAuthMethod, a.Method)
	dst = appendBinaryProperty(dst, propAuthData, a.Data)
	dst = appendStringProperty(dst, propReasonString, a.ReasonString)
	return seal(seal(appendUserProperties(dst, a.User), props), at)
}

// terse is a without what the receiver's Maximum Packet Size may crowd out [MQTT-3.15.2-2] [MQTT-3.15.2-3].
func (a *Auth) terse() Packet { return &Auth{Code: a.Code, Method: a.Method, Data: a.Data} }
