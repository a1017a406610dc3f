package packets

// Pubcomp ends a QoS 2 delivery (section 3.7).
type Pubcomp Ack

// Type is TypePubcomp.
func (*Pubcomp) Type() Type { return TypePubcomp }

// Append writes a PUBCOMP.
func (p *Pubcomp) Append(dst []byte, v Version) []byte { return (*Ack)(p).append(dst, v, TypePubcomp) }

func (p *Pubcomp) terse() Packet {
	t := Pubcomp((*Ack)(p).terse())
	return &t
}
