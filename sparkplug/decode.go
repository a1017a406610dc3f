package sparkplug

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decode reads a payload. The result shares data's memory (bodies, byte values, unknown fields; not names), so
// data must not change afterwards. A compressed payload (uuid SPBV1.0_COMPRESSED) is inflated: the result then has
// the inner metrics and the outer seq.
//
// It is written by hand and walks the bytes once, because it must stop at the limits before it allocates, and
// because it keeps what generated code forgets: the member a value came in, and the bytes of structures.
// The generated code is its referee in the tests.
func Decode(data []byte, l Limits) (*Payload, error) {
	p := new(Payload)
	if err := p.Decode(data, l); err != nil {
		return nil, err
	}
	return p, nil
}

// Decode is the function Decode, reusing the memory of p.Metrics. After an error p is not to be used.
func (p *Payload) Decode(data []byte, l Limits) error {
	metrics, problems := p.Metrics[:0], p.Problems[:0]
	*p = Payload{Metrics: metrics, Problems: problems}
	l = l.withDefaults()
	if len(data) > l.Bytes {
		return overLimit("payload bytes", l.Bytes)
	}
	d := decoder{p: p, l: l, metrics: l.Metrics, properties: 4 * l.Metrics}
	if err := d.payload(data); err != nil {
		return err
	}
	if p.UUID == compressedUUID {
		return p.inflate(l)
	}
	return nil
}

// decoder holds what is left of the budgets while a payload is decoded.
type decoder struct {
	p                   *Payload
	l                   Limits
	metrics, properties int
}

// fields calls f for each field of a message: v is the varint or fixed value, b the bytes of a
// length-delimited one, raw the whole field with its tag. f returns false for a field it does not know,
// which a wrong wire type makes it; its bytes are then appended to *unknown.
func fields(data []byte, unknown *[]byte, f func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error)) error {
	for len(data) > 0 {
		num, typ, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return malformed("field tag: %v", protowire.ParseError(tag))
		}
		if num > protowire.MaxValidNumber {
			return malformed("field number %d", num)
		}
		v, b, n := consume(num, typ, data[tag:])
		if n < 0 {
			return malformed("field %d: %v", num, protowire.ParseError(n))
		}
		known, err := f(num, typ, v, b)
		if err != nil {
			return err
		}
		if !known && unknown != nil {
			*unknown = append(*unknown, data[:tag+n]...)
		}
		data = data[tag+n:]
	}
	return nil
}

func consume(num protowire.Number, typ protowire.Type, data []byte) (v uint64, b []byte, n int) {
	switch typ {
	case protowire.VarintType:
		v, n = protowire.ConsumeVarint(data)
	case protowire.Fixed32Type:
		var v32 uint32
		v32, n = protowire.ConsumeFixed32(data)
		v = uint64(v32)
	case protowire.Fixed64Type:
		v, n = protowire.ConsumeFixed64(data)
	case protowire.BytesType:
		b, n = protowire.ConsumeBytes(data)
	default:
		n = protowire.ConsumeFieldValue(num, typ, data)
	}
	return v, b, n
}

func (d *decoder) payload(data []byte) error {
	p := d.p
	return fields(data, &p.Unknown, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		switch {
		case num == 1 && typ == protowire.VarintType:
			p.Timestamp, p.HasTimestamp = v, true
		case num == 2 && typ == protowire.BytesType:
			return true, d.appendMetric(b)
		case num == 3 && typ == protowire.VarintType:
			p.Seq, p.HasSeq = v, true
		case num == 4 && typ == protowire.BytesType:
			p.UUID = string(b)
		case num == 5 && typ == protowire.BytesType:
			p.Body = b
		default:
			return false, nil
		}
		return true, nil
	})
}

func (d *decoder) appendMetric(b []byte) error {
	p := d.p
	if d.metrics--; d.metrics < 0 {
		return overLimit("metrics", d.l.Metrics)
	}
	if len(p.Metrics) < cap(p.Metrics) {
		p.Metrics = p.Metrics[:len(p.Metrics)+1]
		p.Metrics[len(p.Metrics)-1] = Metric{}
	} else {
		p.Metrics = append(p.Metrics, Metric{})
	}
	return d.metric(&p.Metrics[len(p.Metrics)-1], b)
}

// metric decodes one metric of the payload. A later member of the oneof replaces an earlier one.
func (d *decoder) metric(m *Metric, data []byte) error {
	var (
		num    uint64
		bytes  []byte
		isNull bool
		props  propertyPairs
	)
	err := fields(data, &m.Unknown, func(n protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		if n >= protowire.Number(FieldInt) && n <= protowire.Number(FieldExtension) {
			if typ != wireType(Field(n)) {
				return false, nil
			}
			m.Field, num, bytes = Field(n), v, b
			return true, d.structure(m.Field, b)
		}
		switch {
		case n == 1 && typ == protowire.BytesType:
			if err := d.name(b); err != nil {
				return true, err
			}
			m.Name = string(b)
		case n == 2 && typ == protowire.VarintType:
			m.Alias, m.HasAlias = v, true
		case n == 3 && typ == protowire.VarintType:
			m.Timestamp, m.HasTimestamp = v, true
		case n == 4 && typ == protowire.VarintType:
			m.Type = DataType(min(uint32(v), 255))
		case n == 5 && typ == protowire.VarintType:
			m.Historical = v != 0
		case n == 6 && typ == protowire.VarintType:
			m.Transient = v != 0
		case n == 7 && typ == protowire.VarintType:
			isNull = v != 0
		case n == 8 && typ == protowire.BytesType:
			m.Metadata = append(m.Metadata[:len(m.Metadata):len(m.Metadata)], b...)
			if m.Metadata == nil {
				m.Metadata = []byte{}
			}
			return true, checkFields(b)
		case n == 9 && typ == protowire.BytesType:
			return true, d.propertySet(&props, b, 1)
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	m.Properties = props.pair(d.p)
	d.settle(m, isNull, num, bytes)
	return nil
}

// settle makes Value of what was read, by the presence rules of chapter 6.
func (d *decoder) settle(m *Metric, isNull bool, num uint64, b []byte) {
	switch {
	case isNull:
		m.Value = Value{Type: m.Type, Null: true}
		if m.Field != FieldNone {
			d.p.problem("a metric has is_null and a value; taken as null [tck-id-operational-behavior-data-publish-nbirth-values]")
		}
	case m.Field == FieldNone:
		m.Missing = true
		m.Value = Value{Type: m.Type, Null: true}
	default:
		m.Value = Value{Num: num, Bytes: b}
		if m.Type == Unknown {
			return
		}
		v, err := m.As(m.Type)
		if err != nil {
			d.p.problem("a metric's value does not fit its datatype " + m.Type.String())
			return
		}
		m.Value = v
	}
}

// name checks a metric's name or a property's key.
func (d *decoder) name(b []byte) error {
	if len(b) > d.l.Name {
		return overLimit("name bytes", d.l.Name)
	}
	for _, c := range b {
		if c == 0 {
			return malformed("a name holds U+0000")
		}
	}
	if !utf8.Valid(b) {
		return malformed("a name is not UTF-8")
	}
	return nil
}

// wireType returns the wire type of a member of Metric.value.
func wireType(f Field) protowire.Type {
	switch f {
	case FieldInt, FieldLong, FieldBoolean:
		return protowire.VarintType
	case FieldFloat:
		return protowire.Fixed32Type
	case FieldDouble:
		return protowire.Fixed64Type
	}
	return protowire.BytesType
}

// structure checks the members that hold messages, so that what is kept as bytes decodes later.
func (d *decoder) structure(f Field, b []byte) error {
	switch f {
	case FieldDataSet:
		return d.dataSet(b)
	case FieldTemplate:
		return d.template(b, 1)
	case FieldExtension:
		return checkFields(b)
	}
	return nil
}

// checkFields checks that b is a sequence of fields.
func checkFields(b []byte) error {
	return fields(b, nil, func(protowire.Number, protowire.Type, uint64, []byte) (bool, error) { return true, nil })
}
