package packets

// Pingresp answers PINGREQ (section 3.13).
type Pingresp struct{}

// Type is TypePingresp.
func (*Pingresp) Type() Type { return TypePingresp }

// Append writes a PINGRESP.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
