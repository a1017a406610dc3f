package packets

import "slices"

// property is the identifier of a 5.0 property (section 2.2.2.2).
type property byte

const (
	propPayloadFormat              property = 1
	propMessageExpiry              property = 2
	propContentType                property = 3
	propResponseTopic              property = 8
	propCorrelationData            property = 9
	propSubscriptionID             property = 11
	propSessionExpiry              property = 17
	propAssignedClientID           property = 18
	propServerKeepAlive            property = 19
	propAuthMethod                 property = 21
	propAuthData                   property = 22
	propRequestProblemInformation  property = 23
	propWillDelay                  property = 24
	propRequestResponseInformation property = 25
	propResponseInformation        property = 26
	propServerReference            property = 28
	propReasonString               property = 31
	propReceiveMaximum             property = 33
	propTopicAliasMaximum          property = 34
	propTopicAlias                 property = 35
	propMaximumQoS                 property = 36
	propRetainAvailable            property = 37
	propUser                       property = 38
	propMaximumPacketSize          property = 39
	propWildcardAvailable          property = 40
	propSubscriptionIDAvailable    property = 41
	propSharedAvailable            property = 42
)

// willProperties stands for the properties of a will where others are named by their packet type.
const willProperties Type = 0

// propertySet holds one bit for each property identifier.
type propertySet uint64

func set(ids ...property) (s propertySet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

// messageProperties travel with a message (PublishProperties).
var messageProperties = set(propPayloadFormat, propMessageExpiry, propContentType, propResponseTopic, propCorrelationData, propUser)

// allowedProperties is table 2-4: which packet may hold which property.
var allowedProperties = [16]propertySet{
	willProperties: messageProperties | set(propWillDelay),
	TypeConnect: set(propSessionExpiry, propAuthMethod, propAuthData, propRequestProblemInformation,
		propRequestResponseInformation, propReceiveMaximum, propTopicAliasMaximum, propUser, propMaximumPacketSize),
	TypeConnack: set(propSessionExpiry, propAssignedClientID, propServerKeepAlive, propAuthMethod, propAuthData,
		propResponseInformation, propServerReference, propReasonString, propReceiveMaximum, propTopicAliasMaximum,
		propMaximumQoS, propRetainAvailable, propUser, propMaximumPacketSize, propWildcardAvailable,
		propSubscriptionIDAvailable, propSharedAvailable),
	TypePublish:     messageProperties | set(propSubscriptionID, propTopicAlias),
	TypePuback:      set(propReasonString, propUser),
	TypePubrec:      set(propReasonString, propUser),
	TypePubrel:      set(propReasonString, propUser),
	TypePubcomp:     set(propReasonString, propUser),
	TypeSubscribe:   set(propSubscriptionID, propUser),
	TypeSuback:      set(propReasonString, propUser),
	TypeUnsubscribe: set(propUser),
	TypeUnsuback:    set(propReasonString, propUser),
	TypeDisconnect:  set(propSessionExpiry, propServerReference, propReasonString, propUser),
	TypeAuth:        set(propAuthMethod, propAuthData, propReasonString, propUser),
}

// propertyReader walks over the properties of one packet.
type propertyReader struct {
	reader
	owner Type
	seen  propertySet
	texts string // the block from the first of many user properties on: their texts are parts of it
}

// properties takes the property block from r. The caller loops while it has more, switches on next and hands it
// back with close.
func (r *reader) properties(owner Type) propertyReader {
	block := r.take(r.varint())
	return propertyReader{reader: reader{v: r.v, b: block, section: r.section, err: r.err}, owner: owner}
}

// close takes over the failure of p, if any.
func (r *reader) close(p *propertyReader) {
	if p.err != nil && r.err == nil {
		r.err, r.b = p.err, nil
	}
}

// next returns the identifier of the next property, whose value the caller reads. One that the packet may not hold is
// malformed; one that comes twice is a protocol error, but for user properties and, in PUBLISH, subscription identifiers.
func (p *propertyReader) next() property {
	n := p.varint()
	if p.err != nil {
		return 0
	}
	if n > 63 || allowedProperties[p.owner]&(1<<n) == 0 {
		p.malformed("property is unknown or not allowed here")
		return 0
	}
	id := property(n)
	repeats := id == propUser || id == propSubscriptionID && p.owner == TypePublish
	if p.seen&(1<<id) != 0 && !repeats {
		p.fail(ProtocolError, "property comes twice")
		return 0
	}
	p.seen |= 1 << id
	return id
}

// bool reads a byte that must be 0 or 1.
func (p *propertyReader) bool() bool {
	b := p.byte()
	if b > 1 {
		p.fail(ProtocolError, "property must be 0 or 1")
	}
	return b == 1
}

// nonZero16 reads a two byte integer for which 0 is not allowed and fails with code otherwise.
func (p *propertyReader) nonZero16(code ReasonCode) uint16 {
	n := p.uint16()
	if n == 0 && p.err == nil {
		p.fail(code, "property must not be 0")
	}
	return n
}

func (p *propertyReader) nonZero32() uint32 {
	n := p.uint32()
	if n == 0 && p.err == nil {
		p.fail(ProtocolError, "property must not be 0")
	}
	return n
}

// subscriptionID reads an identifier from 1 to 268,435,455 (section 3.3.2.3.8).
func (p *propertyReader) subscriptionID() uint32 {
	n := p.varint()
	if n == 0 && p.err == nil {
		p.fail(ProtocolError, "subscription identifier 0")
	}
	return uint32(n)
}

// authMethod reads an authentication method. An empty one names no method that could exist.
func (p *propertyReader) authMethod() string {
	s := p.string()
	if s == "" && p.err == nil {
		p.fail(BadAuthenticationMethod, "empty authentication method")
	}
	return s
}

// user reads a pair of strings [MQTT-1.5.7-1] and appends it to list, which gets room for all pairs that follow: so
// the cost of many stays proportional to their bytes.
func (p *propertyReader) user(list []UserProperty) []UserProperty {
	if len(list) == cap(list) {
		ahead := pairsAhead(p.b)
		if len(list)+ahead >= MaxEntries {
			p.fail(QuotaExceeded, "more user properties than a packet may have")
			return list
		}
		list = slices.Grow(list, 1+ahead)
		if ahead >= manyPairs && p.texts == "" {
			p.texts = string(p.b)
		}
	}
	name := p.userText()
	return append(list, UserProperty{Name: name, Value: p.userText()})
}

// manyPairs is how many user properties share one copy of their bytes, instead of a small one for each text.
const manyPairs = 8

func (p *propertyReader) userText() string {
	b := p.take(int(p.uint16()))
	if p.texts == "" {
		return p.text(b)
	}
	p.check(b)
	end := len(p.texts) - len(p.b)
	return p.texts[end-len(b) : end]
}

// pairsAhead counts the user properties that follow the pair at the start of b without another property in between, not far beyond what
// is taken.
func pairsAhead(b []byte) (n int) {
	for {
		b = skipString(skipString(b))
		if len(b) == 0 || property(b[0]) != propUser || n > MaxEntries {
			return n
		}
		n, b = n+1, b[1:]
	}
}

// message reads a property that travels with a message into *m, making it when the first one comes.
func (p *propertyReader) message(id property, m **PublishProperties) {
	if *m == nil {
		*m = new(PublishProperties)
	}
	switch id {
	case propPayloadFormat:
		(*m).PayloadFormat = flag(p.bool(), 1)
		(*m).ZeroPayloadFormat = (*m).PayloadFormat == 0
	case propContentType:
		(*m).ContentType = p.string()
		(*m).EmptyContentType = (*m).ContentType == ""
	case propResponseTopic:
		(*m).ResponseTopic = p.responseTopic()
	case propCorrelationData:
		(*m).CorrelationData = p.binary()
	case propUser:
		(*m).User = p.user((*m).User)
	}
}

// responseTopic reads a topic name; what it is not is a protocol error (section 3.3.2.3.5) [MQTT-3.3.2-14].
func (p *propertyReader) responseTopic() string {
	s := p.topicName()
	if p.err != nil && p.err.Code == TopicNameInvalid {
		p.err.Code = ProtocolError
	}
	return s
}

func appendBoolProperty(dst []byte, id property, v bool) []byte {
	return append(dst, byte(id), flag(v, 1))
}

// The appendXProperty functions leave a property out where its value says absent.

func appendUint16Property(dst []byte, id property, v uint16) []byte {
	if v == 0 {
		return dst
	}
	return appendUint16(append(dst, byte(id)), v)
}

func appendUint32Property(dst []byte, id property, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return appendUint32(append(dst, byte(id)), v)
}

func appendOptional32(dst []byte, id property, v Optional[uint32]) []byte {
	if !v.Set {
		return dst
	}
	return appendUint32(append(dst, byte(id)), v.Value)
}

func appendStringProperty(dst []byte, id property, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(append(dst, byte(id)), s)
}

func appendBinaryProperty(dst []byte, id property, b []byte) []byte {
	if b == nil {
		return dst
	}
	return appendString(append(dst, byte(id)), b)
}

func appendUserProperties(dst []byte, user []UserProperty) []byte {
	for _, u := range user {
		dst = appendString(appendString(append(dst, byte(propUser)), u.Name), u.Value)
	}
	return dst
}

// appendMessageProperties appends what travels with a message, without the length in front.
func appendMessageProperties(dst []byte, m *PublishProperties) []byte {
	if m == nil {
		return dst
	}
	if m.PayloadFormat != 0 || m.ZeroPayloadFormat {
		dst = append(dst, byte(propPayloadFormat), m.PayloadFormat)
	}
	if m.EmptyContentType {
		dst = append(dst, byte(propContentType), 0, 0)
	}
	dst = appendStringProperty(dst, propContentType, m.ContentType)
	dst = appendStringProperty(dst, propResponseTopic, m.ResponseTopic)
	dst = appendBinaryProperty(dst, propCorrelationData, m.CorrelationData)
	return appendUserProperties(dst, m.User)
}
