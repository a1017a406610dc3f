package packets

// Shared is a message encoded for all subscribers of one protocol version. The fields that every subscriber gets are
// encoded once; Append adds what differs.
//
//	first byte │ remaining length │ topic │ packet id │ property length │ own properties │ shared properties │ payload
//	own          own                shared  own         own               own              shared              shared
//
// A Shared is immutable and may be used by many goroutines at once. It keeps the topic and the payload it was made of.
type Shared struct {
	v          Version
	topic      string
	properties []byte // encoded, without the length in front
	payload    []byte
}

// Delivery is what differs between the copies of one message.
type Delivery struct {
	Dup             bool
	QoS             byte
	Retain          bool
	PacketID        uint16 // for QoS 1 and 2
	OmitTopic       bool   // send an empty topic name: TopicAlias stands for it
	TopicAlias      uint16 // 0: none
	Expiry          Optional[uint32]
	SubscriptionIDs []uint32
}

// Share encodes what all subscribers of version v share. It allocates only for properties.
func Share(v Version, topic string, properties *PublishProperties, payload []byte) Shared {
	s := Shared{v: v, topic: topic, payload: payload}
	if v == V5 && properties != nil {
		s.properties = appendMessageProperties(nil, properties)
	}
	return s
}

// Size is the number of bytes that Append appends. The caller compares it with the client's Maximum Packet Size and
// with MaxPacketSize, and drops the message if it is larger [MQTT-3.1.2-24] [MQTT-3.1.2-25].
func (s *Shared) Size(d *Delivery) int {
	n := s.remaining(d)
	return 1 + varintLen(n) + n
}

// Append appends the PUBLISH that one subscriber gets. It allocates only to grow dst.
func (s *Shared) Append(dst []byte, d *Delivery) []byte {
	return append(s.AppendHead(dst, d), s.payload...)
}

// AppendHead appends all of the PUBLISH but its payload, for writers that do not copy a large one.
func (s *Shared) AppendHead(dst []byte, d *Delivery) []byte {
	dst = append(dst, byte(TypePublish)<<4|flag(d.Dup, 8)|d.QoS<<1|flag(d.Retain, 1))
	dst = appendVarint(dst, s.remaining(d))
	if d.OmitTopic {
		dst = append(dst, 0, 0)
	} else {
		dst = appendString(dst, s.topic)
	}
	if d.QoS > 0 {
		dst = appendUint16(dst, d.PacketID)
	}
	if s.v != V5 {
		return dst
	}
	dst = appendVarint(dst, d.propertiesLen()+len(s.properties))
	dst = appendOptional32(dst, propMessageExpiry, d.Expiry)
	dst = appendUint16Property(dst, propTopicAlias, d.TopicAlias)
	for _, id := range d.SubscriptionIDs {
		dst = appendVarint(append(dst, byte(propSubscriptionID)), int(id))
	}
	return append(dst, s.properties...)
}

// Topic is the topic name that is sent where a Delivery does not omit it.
func (s *Shared) Topic() string { return s.topic }

// Payload is the end of the packet, behind what AppendHead appends.
func (s *Shared) Payload() []byte { return s.payload }

// remaining is the Remaining Length.
func (s *Shared) remaining(d *Delivery) int {
	n := 2 + len(s.payload)
	if !d.OmitTopic {
		n += min(len(s.topic), maxField)
	}
	if d.QoS > 0 {
		n += 2
	}
	if s.v == V5 {
		props := d.propertiesLen() + len(s.properties)
		n += varintLen(props) + props
	}
	return n
}

// propertiesLen is the length of the properties that belong to one subscriber.
func (d *Delivery) propertiesLen() int {
	n := 0
	if d.Expiry.Set {
		n += 5
	}
	if d.TopicAlias != 0 {
		n += 3
	}
	for _, id := range d.SubscriptionIDs {
		n += 1 + varintLen(int(id))
	}
	return n
}
