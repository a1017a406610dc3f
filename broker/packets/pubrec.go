package packets

// Pubrec is the first answer to a QoS 2 PUBLISH (section 3.5).
type Pubrec Ack

// Type is TypePubrec.
func (*Pubrec) Type() Type { return TypePubrec }

// Append writes a PUBREC.
func (p *Pubrec) Append(dst []byte, v Version) []byte { return (*Ack)(p).append(dst, v, TypePubrec) }

func (p *Pubrec) terse() Packet {
	t := Pubrec((*Ack)(p).terse())
	return &t
}
