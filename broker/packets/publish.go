package packets

// Publish carries an application message (section 3.3). 3.1.1 has no field below Payload.
type Publish struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    string // empty only with a TopicAlias
	PacketID uint16 // 0 for QoS 0
	Payload  []byte // aliases the frame that was decoded; copy it before the buffer is used again

	Expiry          Optional[uint32]   // Message Expiry Interval, seconds
	TopicAlias      uint16             // 0: absent
	SubscriptionIDs []uint32           // from server to client only (section 3.3.4)
	Properties      *PublishProperties // nil: none
}

// Type is TypePublish.
func (*Publish) Type() Type { return TypePublish }

// DecodePublish is Decode for a frame that is known to hold a PUBLISH. It writes over *p, so that a reader can use one
// Publish for many packets; Properties and SubscriptionIDs are new each time. topics may be nil.
func DecodePublish(v Version, frame []byte, p *Publish, topics *Topics) error {
	r, err := newReader(v, frame)
	if err != nil {
		return err
	}
	*p = Publish{}
	if Type(frame[0]>>4) != TypePublish {
		return &Error{ProtocolError, "2.1.2", "not a PUBLISH"}
	}
	p.decode(&r, frame[0]&15, topics)
	if r.err != nil {
		return r.err
	}
	return nil
}

func (p *Publish) decode(r *reader, flags byte, topics *Topics) {
	r.section = "3.3.1"
	p.Dup, p.QoS, p.Retain = flags&8 != 0, flags>>1&3, flags&1 != 0
	if p.Dup && p.QoS == 0 { // [MQTT-3.3.1-2] [v3 MQTT-3.3.1-2]
		r.malformed("DUP with QoS 0")
	}
	r.section = "3.3.2.1"
	p.decodeTopic(r, topics)
	if p.QoS > 0 {
		r.section = "3.3.2.2"
		p.PacketID = r.packetID()
	}
	if r.v == V5 {
		p.decodeProperties(r)
	}
	if p.Topic == "" && p.TopicAlias == 0 { // [MQTT-4.7.3-1] [v3 MQTT-4.7.3-1]
		r.section = "3.3.2.1"
		r.fail(ProtocolError, "empty topic name without a topic alias")
	}
	p.Payload = r.take(len(r.b))
}

// decodeTopic reads a name without wildcards [MQTT-3.3.2-2] [v3 MQTT-3.3.2-2].
func (p *Publish) decodeTopic(r *reader, topics *Topics) {
	b := r.take(int(r.uint16()))
	var known bool
	if p.Topic, known = topics.find(b); known {
		return
	}
	p.Topic = r.text(b)
	r.refuseWildcards(p.Topic)
	if r.err == nil && p.Topic != "" {
		topics.remember(p.Topic)
	}
}

func (p *Publish) decodeProperties(r *reader) {
	r.section = "3.3.2.3"
	props := r.properties(TypePublish)
	for props.more() {
		switch id := props.next(); id {
		case propMessageExpiry:
			p.Expiry = Some(props.uint32())
		case propTopicAlias:
			p.TopicAlias = props.nonZero16(TopicAliasInvalid) // [MQTT-3.3.2-8]
		case propSubscriptionID:
			p.SubscriptionIDs = append(p.SubscriptionIDs, props.subscriptionID())
		default:
			props.message(id, &p.Properties)
		}
	}
	r.close(&props)
}

// Append writes a single PUBLISH; who writes one message to many uses Share.
func (p *Publish) Append(dst []byte, v Version) []byte {
	s := Shared{v: v, topic: p.Topic, payload: p.Payload}
	d := Delivery{Dup: p.Dup, QoS: p.QoS, Retain: p.Retain, PacketID: p.PacketID,
		Expiry: p.Expiry, TopicAlias: p.TopicAlias, SubscriptionIDs: p.SubscriptionIDs}
	if v != V5 || p.Properties == nil {
		return s.Append(dst, &d)
	}
	// The properties are written behind the room that dst has for them, and moved into place.
	start := len(dst)
	dst = appendMessageProperties(dst, p.Properties)
	n := len(dst) - start
	s.properties = dst[start : start+n : start+n]
	dst = s.Append(dst, &d)
	copy(dst[start:], dst[start+n:])
	return dst[:len(dst)-n]
}
