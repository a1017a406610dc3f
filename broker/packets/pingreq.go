package packets

// Pingreq asks whether the server is alive (section 3.12).
type Pingreq struct{}

// Type is TypePingreq.
func (*Pingreq) Type() Type { return TypePingreq }

// Append writes a PINGREQ.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return append(dst, byte(TypePingreq)<<4, 0) }
