package sparkplug

import (
	"cmp"

	"google.golang.org/protobuf/encoding/protowire"
)

// Encode returns the payload's bytes. Fields go out in the order of their numbers.
func Encode(p *Payload) []byte { return AppendPayload(nil, p) }

// AppendPayload appends the payload's bytes to dst.
func AppendPayload(dst []byte, p *Payload) []byte {
	if p.HasTimestamp {
		dst = appendVarint(dst, 1, p.Timestamp)
	}
	var scratch []byte
	for i := range p.Metrics {
		scratch = AppendMetric(scratch[:0], &p.Metrics[i])
		dst = appendBytes(dst, 2, scratch)
	}
	if p.HasSeq {
		dst = appendVarint(dst, 3, p.Seq)
	}
	if p.UUID != "" {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = protowire.AppendString(dst, p.UUID)
	}
	if p.Body != nil {
		dst = appendBytes(dst, 5, p.Body)
	}
	return append(dst, p.Unknown...)
}

// UInt32AsLong has every UInt32 of the payload's metrics travel in long_value: for receivers that read no other, against
// the text, which wants int_value.
func (p *Payload) UInt32AsLong() {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Value.Type == UInt32 {
			m.Field = FieldLong
		}
	}
}

// AppendMetric appends the bytes of one Metric message to dst, without tag and length.
// A metric with neither name nor value is written as it is: what a message needs is the sender's to know.
func AppendMetric(dst []byte, m *Metric) []byte {
	if m.Name != "" {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendString(dst, m.Name)
	}
	if m.HasAlias {
		dst = appendVarint(dst, 2, m.Alias)
	}
	if m.HasTimestamp {
		dst = appendVarint(dst, 3, m.Timestamp)
	}
	if m.Type != Unknown {
		dst = appendVarint(dst, 4, uint64(m.Type))
	}
	if m.Historical {
		dst = appendVarint(dst, 5, 1)
	}
	if m.Transient {
		dst = appendVarint(dst, 6, 1)
	}
	if m.Value.Null && !m.Missing {
		dst = appendVarint(dst, 7, 1)
	}
	if m.Metadata != nil {
		dst = appendBytes(dst, 8, m.Metadata)
	}
	if len(m.Properties)+len(m.PropertiesUnknown) > 0 {
		dst = appendBytes(dst, 9, append(appendProperties(nil, m.Properties), m.PropertiesUnknown...))
	}
	if !m.Value.Null {
		dst = appendValue(dst, m.Value, m.Field, func(f Field) protowire.Number { return protowire.Number(f) })
	}
	return append(dst, m.Unknown...)
}

func appendProperties(dst []byte, set []Property) []byte {
	for i := range set {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendString(dst, set[i].Key)
	}
	var scratch []byte
	for i := range set {
		scratch = appendProperty(scratch[:0], &set[i])
		dst = appendBytes(dst, 2, scratch)
	}
	return dst
}

func appendProperty(dst []byte, p *Property) []byte {
	if t := cmp.Or(p.Value.Type, p.Type); t != Unknown {
		dst = appendVarint(dst, 1, uint64(t))
	}
	if p.Value.Null {
		dst = appendVarint(dst, 2, 1)
	} else {
		dst = appendValue(dst, p.Value, p.Field, propertyNumber)
	}
	return append(dst, p.Unknown...)
}

// propertyNumber is the inverse of propertyField; 0 for members that a property does not have.
func propertyNumber(f Field) protowire.Number {
	switch {
	case f >= FieldInt && f <= FieldString:
		return protowire.Number(f-FieldInt) + 3
	case f == FieldPropertySet:
		return 9
	case f == FieldPropertySets:
		return 10
	case f == FieldExtension:
		return 11
	}
	return 0
}

// appendValue writes the oneof member of v; number gives its field number in the message at hand.
func appendValue(dst []byte, v Value, hint Field, number func(Field) protowire.Number) []byte {
	f := FieldOf(v.Type, hint)
	num := number(f)
	if f == FieldNone || num == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.Type(wireType(f)))
	switch f {
	case FieldInt: // negative numbers are sign-extended to 32 bits, as the peers do
		return protowire.AppendVarint(dst, uint64(uint32(v.Num)))
	case FieldLong, FieldBoolean:
		return protowire.AppendVarint(dst, v.Num)
	case FieldFloat:
		return protowire.AppendFixed32(dst, uint32(v.Num))
	case FieldDouble:
		return protowire.AppendFixed64(dst, v.Num)
	}
	return protowire.AppendBytes(dst, v.Bytes)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendBytes(dst []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), b)
}
