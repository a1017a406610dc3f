package packets

// Subscribe asks for subscriptions (section 3.8). In 3.1.1 it has no identifier and no user properties.
type Subscribe struct {
	PacketID       uint16
	SubscriptionID uint32 // 0: absent
	User           []UserProperty
	Filters        []Subscription // at least one [MQTT-3.8.3-2] [v3 MQTT-3.8.3-3]
}

// Subscription is a topic filter and its options. Filter is valid UTF-8 without NUL; whether it is a topic filter is
// for package topic to say. 3.1.1 has QoS only.
type Subscription struct {
	Filter            string
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0 send retained messages, 1 only if the subscription is new, 2 do not
}

// Type is TypeSubscribe.
func (*Subscribe) Type() Type { return TypeSubscribe }

func decodeSubscribe(r *reader) *Subscribe {
	s := new(Subscribe)
	r.section = "3.8.2"
	s.PacketID = r.packetID()
	if r.v == V5 {
		p := r.properties(TypeSubscribe)
		for p.more() {
			switch p.next() {
			case propSubscriptionID:
				s.SubscriptionID = p.subscriptionID()
			case propUser:
				s.User = p.user(s.User)
			}
		}
		r.close(&p)
	}
	r.section = "3.8.3"
	if !r.more() {
		r.fail(ProtocolError, "SUBSCRIBE without a topic filter")
	}
	s.Filters = make([]Subscription, 0, r.entries(1))
	for r.more() {
		s.Filters = append(s.Filters, decodeSubscription(r))
	}
	return s
}

// decodeSubscription refuses reserved option bits [MQTT-3.8.3-5] [v3 MQTT-3.8.3-4], QoS 3 and Retain Handling 3, and
// No Local on a shared subscription [MQTT-3.8.3-4].
func decodeSubscription(r *reader) (s Subscription) {
	s.Filter = r.string()
	options := r.byte()
	s.QoS = options & 3
	reserved := byte(0xFC)
	if r.v == V5 {
		s.NoLocal, s.RetainAsPublished, s.RetainHandling = options&4 != 0, options&8 != 0, options>>4&3
		reserved = 0xC0
	}
	r.section = "3.8.3.1"
	switch {
	case options&reserved != 0:
		r.malformed("reserved subscription option is set")
	case s.QoS == 3:
		r.malformed("subscription with QoS 3")
	case s.RetainHandling == 3:
		r.fail(ProtocolError, "Retain Handling 3")
	case s.NoLocal && len(s.Filter) > 7 && s.Filter[:7] == "$share/":
		r.fail(ProtocolError, "No Local on a shared subscription")
	}
	return s
}

// Append writes a SUBSCRIBE.
func (s *Subscribe) Append(dst []byte, v Version) []byte {
	dst = open(dst, TypeSubscribe, 2)
	at := len(dst) - 1
	dst = appendUint16(dst, s.PacketID)
	if v == V5 {
		dst = append(dst, 0)
		props := len(dst) - 1
		if s.SubscriptionID != 0 {
			dst = appendVarint(append(dst, byte(propSubscriptionID)), int(s.SubscriptionID))
		}
		dst = seal(appendUserProperties(dst, s.User), props)
	}
	for i := range s.Filters {
		f := &s.Filters[i]
		options := f.QoS
		if v == V5 {
			options |= flag(f.NoLocal, 4) | flag(f.RetainAsPublished, 8) | f.RetainHandling<<4
		}
		dst = append(appendString(dst, f.Filter), options)
	}
	return seal(dst, at)
}
