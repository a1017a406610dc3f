package sparkplug

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"
)

// Decode reads a payload. The result shares data's memory (bodies, byte values, metadata, unknown fields; not names), so
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

// Decode is the function Decode, reusing the memory of p.Metrics with their properties and unknown fields. With p.Names
// set, data of metrics that came before is decoded without an allocation. After an error p is not to be used.
func (p *Payload) Decode(data []byte, l Limits) error {
	*p = Payload{Metrics: p.Metrics[:0], Problems: p.Problems[:0], Unknown: p.Unknown[:0], Names: p.Names}
	l = l.withDefaults()
	if len(data) > l.Bytes {
		return overLimit("payload bytes", l.Bytes)
	}
	if err := p.read(data, l); err != nil {
		return err
	}
	if p.UUID == compressedUUID {
		return p.inflate(l)
	}
	return nil
}

// read reads a payload that may be a compressed one.
func (p *Payload) read(data []byte, l Limits) error {
	d := decoder{p: p, l: l, metrics: l.Metrics, cells: l.Cells}
	return d.payload(data)
}

// What is kept for the next message: data of a device needs no more.
const (
	maxKeptPayload    = 1024
	maxKeptMetrics    = 4096
	maxKeptProperties = 16
	maxKeptUnknown    = 256
)

// release lets go of a message of size bytes after its use, if it was a large one: each of thousands of reused metrics may
// have been the largest once.
func (p *Payload) release(size int) {
	if size <= maxKeptPayload && !p.Compressed {
		return
	}
	if cap(p.Metrics) > maxKeptMetrics {
		p.Metrics = nil
	}
	for i := range p.Metrics {
		p.Metrics[i].forget()
	}
	p.Unknown = nil
}

func (m *Metric) forget() {
	properties, unknown := m.Properties[:cap(m.Properties)], m.Unknown // pairing may have cut properties off
	if len(properties) > maxKeptProperties {
		properties = nil
	}
	if cap(unknown) > maxKeptUnknown {
		unknown = nil
	}
	clear(properties)
	*m = Metric{Properties: properties[:0], Unknown: unknown[:0]}
}

// Names keeps the names that were decoded last, so that a metric that comes again costs no memory. Its size is fixed:
// 64 KiB, and 512 KiB of names at most. It may serve one Payload after the other, not two at a time.
type Names struct {
	seed  maphash.Seed
	slots [4096]string
}

// maxKeptName is the longest name that is kept.
const maxKeptName = 128

// NewNames returns an empty store of names.
func NewNames() *Names { return &Names{seed: maphash.MakeSeed()} }

// slot is where a name is kept, if it is: the last of those that share the place.
func (n *Names) slot(b []byte) *string {
	return &n.slots[maphash.Bytes(n.seed, b)%uint64(len(n.slots))]
}

// decoder holds what is left of the budgets while a payload is decoded.
type decoder struct {
	p              *Payload
	l              Limits
	metrics, cells int
	misfits        uint64 // datatypes, as bits, of which a misfit was told
}

const payloadMetric = 2<<3 | wireBytes

func (d *decoder) payload(data []byte) error {
	p := d.p
	if cap(p.Metrics) == 0 {
		p.Metrics = make([]Metric, 0, min(count(data, payloadMetric), d.l.Metrics))
	}
	r := reader{data: data}
	for r.next() {
		var err error
		switch r.tag {
		case 1<<3 | wireVarint:
			p.Timestamp, p.HasTimestamp = r.v, true
		case payloadMetric:
			err = d.metric(d.another(), r.b, 1)
		case 3<<3 | wireVarint:
			p.Seq, p.HasSeq = r.v, true
		case 4<<3 | wireBytes:
			if len(r.b) > d.l.Name {
				return overLimit("uuid bytes", d.l.Name)
			}
			p.UUID = string(r.b)
		case 5<<3 | wireBytes:
			p.Body = r.b
		default:
			p.Unknown = append(p.Unknown, r.raw()...)
		}
		if err != nil {
			return err
		}
	}
	return r.err()
}

// another returns room for the payload's next metric, with the memory of an earlier one.
func (d *decoder) another() *Metric {
	p := d.p
	n := len(p.Metrics)
	if n == cap(p.Metrics) {
		p.Metrics = append(p.Metrics, Metric{})
	} else {
		p.Metrics = p.Metrics[:n+1]
	}
	return &p.Metrics[n]
}

// metric decodes one metric; depth counts the templates it is in, itself included. A later member of the oneof replaces
// an earlier one, unless both are the same message.
func (d *decoder) metric(m *Metric, data []byte, depth int) error {
	if d.metrics--; d.metrics < 0 {
		return overLimit("metrics", d.l.Metrics)
	}
	*m = Metric{Properties: m.Properties[:0], Unknown: m.Unknown[:0]}
	var (
		isNull bool
		set    propertySet
	)
	r := reader{data: data}
	for r.next() {
		var err error
		switch r.tag {
		case 1<<3 | wireBytes:
			m.Name, err = d.name(r.b)
		case 2<<3 | wireVarint:
			m.Alias, m.HasAlias = r.v, true
		case 3<<3 | wireVarint:
			m.Timestamp, m.HasTimestamp = r.v, true
		case 4<<3 | wireVarint:
			m.Type = dataType(r.v)
		case 5<<3 | wireVarint:
			m.Historical = r.v != 0
		case 6<<3 | wireVarint:
			m.Transient = r.v != 0
		case 7<<3 | wireVarint:
			isNull = r.v != 0
		case 8<<3 | wireBytes:
			m.Metadata = joined(m.Metadata, r.b)
			err = checkFields(r.b)
		case 9<<3 | wireBytes:
			set.list = m.Properties
			err = d.propertySet(&set, r.b, depth)
			m.Properties = set.list
		case 10<<3 | wireVarint, 11<<3 | wireVarint, 12<<3 | wireFixed32, 13<<3 | wireFixed64, 14<<3 | wireVarint:
			m.carry(Field(r.tag>>3), r.v)
		case 15<<3 | wireBytes, 16<<3 | wireBytes, 17<<3 | wireBytes, 18<<3 | wireBytes, 19<<3 | wireBytes:
			err = d.value(m, Field(r.tag>>3), r.b, depth)
		default:
			m.Unknown = append(m.Unknown, r.raw()...)
		}
		if err != nil {
			return err
		}
	}
	if err := r.err(); err != nil {
		return err
	}
	if set.seen {
		m.Properties, m.PropertiesUnknown = set.pair(d.p), set.unknown
	}
	d.settle(m, isNull)
	return nil
}

func dataType(v uint64) DataType { return DataType(min(uint32(v), 255)) }

// carry takes a member of the oneof that is a number.
func (m *Metric) carry(f Field, v uint64) {
	switch f {
	case FieldInt:
		v = uint64(uint32(v))
	case FieldBoolean:
		v = min(v, 1)
	}
	m.Field, m.Value.Num, m.Value.Bytes = f, v, nil
}

// value takes a member of the oneof that has bytes. What holds messages is checked, so that it decodes later.
func (d *decoder) value(m *Metric, f Field, b []byte, depth int) (err error) {
	switch f {
	case FieldString:
		err = d.text(b)
	case FieldDataSet:
		err = d.table(b)
	case FieldTemplate:
		err = d.template(nil, b, depth)
	case FieldExtension:
		err = checkFields(b)
	}
	if m.Field == f && f >= FieldDataSet {
		b = joined(m.Value.Bytes, b)
	}
	m.Field, m.Value.Num, m.Value.Bytes = f, 0, b
	return err
}

// settle makes Value of what was read, by the presence rules of chapter 6.
func (d *decoder) settle(m *Metric, isNull bool) {
	switch {
	case isNull:
		m.Value = Value{Type: m.Type, Null: true}
		if m.Field != FieldNone {
			m.Field = FieldNone
			d.p.problem("a metric has is_null and a value; taken as null [tck-id-operational-behavior-data-publish-nbirth-values]")
		}
	case m.Field == FieldNone:
		m.Missing = true
		m.Value = Value{Type: m.Type, Null: true}
	case m.Type != Unknown:
		if v, ok := m.as(m.Type); ok {
			m.Value = v
		} else {
			d.misfit(m.Type)
		}
	}
}

func (d *decoder) misfit(t DataType) {
	if bit := uint64(1) << min(t, 63); d.misfits&bit == 0 {
		d.misfits |= bit
		d.p.problem("a metric's value does not fit its datatype " + t.String())
	}
}

// name reads a metric's name or a property's key.
func (d *decoder) name(b []byte) (string, error) {
	if d.p.Names == nil || len(b) > min(maxKeptName, d.l.Name) {
		if err := d.checkName(b); err != nil {
			return "", err
		}
		return string(b), nil
	}
	slot := d.p.Names.slot(b)
	if *slot == string(b) {
		return *slot, nil
	}
	if err := d.checkName(b); err != nil {
		return "", err
	}
	*slot = string(b)
	return *slot, nil
}

func (d *decoder) checkName(b []byte) error {
	switch {
	case len(b) > d.l.Name:
		return overLimit("name bytes", d.l.Name)
	case bytes.IndexByte(b, 0) >= 0:
		return malformed("a name holds U+0000")
	case !utf8.Valid(b):
		return malformed("a name is not UTF-8")
	}
	return nil
}

// text checks a string_value.
func (d *decoder) text(b []byte) error {
	if len(b) > d.l.Text {
		return overLimit("bytes of a text", d.l.Text)
	}
	return nil
}

// wireType returns the wire type of a member of Metric.value.
func wireType(f Field) int {
	switch f {
	case FieldInt, FieldLong, FieldBoolean:
		return wireVarint
	case FieldFloat:
		return wireFixed32
	case FieldDouble:
		return wireFixed64
	}
	return wireBytes
}
