package packets

// Puback acknowledges a QoS 1 PUBLISH (section 3.4).
type Puback Ack

// Type is TypePuback.
func (*Puback) Type() Type { return TypePuback }

// Append writes a PUBACK.
func (p *Puback) Append(dst []byte, v Version) []byte { return (*Ack)(p).append(dst, v, TypePuback) }

func (p *Puback) terse() Packet {
	t := Puback((*Ack)(p).terse())
	return &t
}
