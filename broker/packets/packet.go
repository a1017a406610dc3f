package packets

// Version is the protocol level that CONNECT names.
type Version byte

// The versions this package speaks.
const (
	V31 Version = 3 // MQTT 3.1, which calls itself MQIsdp: read and written as 3.1.1, but for flags that it allowed
	V4  Version = 4 // MQTT 3.1.1
	V5  Version = 5 // MQTT 5.0
)

// Type is the packet type, the upper half of the first byte.
type Type byte

// The packet types, in the order of the specification (section 2.1.2).
const (
	TypeConnect Type = iota + 1
	TypeConnack
	TypePublish
	TypePuback
	TypePubrec
	TypePubrel
	TypePubcomp
	TypeSubscribe
	TypeSuback
	TypeUnsubscribe
	TypeUnsuback
	TypePingreq
	TypePingresp
	TypeDisconnect
	TypeAuth // 5.0 only
)

var typeNames = [16]string{"reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

func (t Type) String() string { return typeNames[t&15] }

// Packet is one MQTT control packet: *Connect, *Connack, *Publish, *Puback, *Pubrec, *Pubrel, *Pubcomp,
// *Subscribe, *Suback, *Unsubscribe, *Unsuback, *Pingreq, *Pingresp, *Disconnect or *Auth.
type Packet interface {
	Type() Type

	// Append appends the whole packet as version v writes it and returns the longer slice; it allocates only to
	// grow dst. What v has no field for is left out. Strings and binary fields must be at most 65,535 bytes and
	// the packet at most MaxPacketSize; both hold for what was decoded and for what package topic accepts.
	Append(dst []byte, v Version) []byte
}

// Optional is a property whose absence means something else than zero.
type Optional[T any] struct {
	Value T
	Set   bool
}

// Some is a property that is present.
func Some[T any](v T) Optional[T] { return Optional[T]{Value: v, Set: true} }

// Decode returns the packet that fills frame, as FrameLength delimited it. CONNECT carries its version itself and
// ignores v. The error is always a *Error. A decoded Publish's Payload aliases frame; everything else is copied.
func Decode(v Version, frame []byte) (Packet, error) {
	r, err := newReader(v, frame)
	if err != nil {
		return nil, err
	}
	p := decodeBody(Type(frame[0]>>4), &r, frame[0]&15)
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

func decodeBody(t Type, r *reader, flags byte) Packet {
	switch t {
	case TypeConnect:
		return decodeConnect(r)
	case TypeConnack:
		return decodeConnack(r)
	case TypePublish:
		p := new(Publish)
		p.decode(r, flags, nil)
		return p
	case TypePuback:
		p := Puback(decodeAck(r, TypePuback))
		return &p
	case TypePubrec:
		p := Pubrec(decodeAck(r, TypePubrec))
		return &p
	case TypePubrel:
		p := Pubrel(decodeAck(r, TypePubrel))
		return &p
	case TypePubcomp:
		p := Pubcomp(decodeAck(r, TypePubcomp))
		return &p
	case TypeSubscribe:
		return decodeSubscribe(r)
	case TypeSuback:
		return decodeSuback(r)
	case TypeUnsubscribe:
		return decodeUnsubscribe(r)
	case TypeUnsuback:
		return decodeUnsuback(r)
	case TypePingreq:
		return &Pingreq{}
	case TypePingresp:
		return &Pingresp{}
	case TypeDisconnect:
		return decodeDisconnect(r)
	default: // newReader let nothing else through
		return decodeAuth(r)
	}
}

// AppendWithin appends p unless it is longer than max bytes (0: no limit). A packet that is too long is tried again
// without its Reason String and user properties [MQTT-3.4.2-2] [MQTT-3.4.2-3]; if it is still too long, ok is false
// and dst comes back as it was.
func AppendWithin(dst []byte, v Version, p Packet, max int) (out []byte, ok bool) {
	out = p.Append(dst, v)
	if max == 0 || len(out)-len(dst) <= max {
		return out, true
	}
	if t, can := p.(interface{ terse() Packet }); can {
		if out = t.terse().Append(dst, v); len(out)-len(dst) <= max {
			return out, true
		}
	}
	return dst, false
}
