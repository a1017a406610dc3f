package sparkplug

// TemplateValue is what a template holds: a definition, or an instance of one.
type TemplateValue struct {
	Version      string
	Ref          string // an instance's definition, by the name of its metric; empty in definitions
	IsDefinition bool
	Metrics      []Metric // the members
	Parameters   []Parameter
	Unknown      []byte // fields this schema does not know, as they came; Value appends them
}

// Parameter is one parameter of a template. As with a Metric, Value is what Field carried if it does not fit Type, or if
// the message names no Type, as DATA may do.
type Parameter struct {
	Name    string
	Type    DataType
	Field   Field
	Value   Value
	Unknown []byte // fields this schema does not know, as they came; Value appends them
}

// ParseTemplate reads a value of datatype Template. The result shares the value's memory.
func ParseTemplate(v Value, l Limits) (TemplateValue, error) {
	var t TemplateValue
	if v.Null || v.Type != Template {
		return t, ErrStructure
	}
	err := structureDecoder(l).template(&t, v.Bytes, 1)
	return t, err
}

// Value returns the template as a metric's value. is_definition is always written; a definition has no template_ref.
// [tck-id-payloads-template-is-definition] [tck-id-payloads-template-ref-definition]
func (t *TemplateValue) Value() Value { return Value{Type: Template, Bytes: t.append([]byte{})} }

func (t *TemplateValue) append(dst []byte) []byte {
	if t.Version != "" {
		dst = appendBytes(dst, 1, []byte(t.Version))
	}
	var scratch []byte
	for i := range t.Metrics {
		scratch = AppendMetric(scratch[:0], &t.Metrics[i])
		dst = appendBytes(dst, 2, scratch)
	}
	for i := range t.Parameters {
		scratch = t.Parameters[i].append(scratch[:0])
		dst = appendBytes(dst, 3, scratch)
	}
	if t.Ref != "" && !t.IsDefinition {
		dst = appendBytes(dst, 4, []byte(t.Ref))
	}
	dst = appendVarint(dst, 5, boolBits(t.IsDefinition))
	return append(dst, t.Unknown...)
}

func (p *Parameter) append(dst []byte) []byte {
	if p.Name != "" {
		dst = appendBytes(dst, 1, []byte(p.Name))
	}
	if p.Type != Unknown {
		dst = appendVarint(dst, 2, uint64(p.Type))
	}
	if !p.Value.Null {
		dst = appendValue(dst, p.Value, p.Field, cellNumber(3))
	}
	return append(dst, p.Unknown...)
}

// as gives a parameter that names no datatype the one of its definition.
func (p *Parameter) as(t DataType) {
	m := Metric{Field: p.Field, Value: p.Value}
	if v, ok := m.as(t); ok && p.Type == Unknown {
		p.Type, p.Value = t, v
	}
}

// isDefinition finds is_definition = true in the bytes of a template.
func isDefinition(b []byte) bool {
	definition := false
	r := reader{data: b}
	for r.next() {
		if r.tag == 5<<3|wireVarint {
			definition = r.v != 0
		}
	}
	return definition && r.err() == nil
}
