package packets

// Pubrel is the second step of a QoS 2 delivery (section 3.6).
type Pubrel Ack

// Type is TypePubrel.
func (*Pubrel) Type() Type { return TypePubrel }

// Append writes a PUBREL.
func (p *Pubrel) Append(dst []byte, v Version) []byte { return (*Ack)(p).append(dst, v, TypePubrel) }

func (p *Pubrel) terse() Packet {
	t := Pubrel((*Ack)(p).terse())
	return &t
}
