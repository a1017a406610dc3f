package sparkplug

import "unicode/utf8"

// propertySet gathers the two parallel lists of a property set. A set may be split over several
// occurrences of its field, so pairing comes last.
type propertySet struct {
	list         []Property
	keys, values int
	unknown      []byte
	seen         bool
}

// at returns the property with an index, which is at most one beyond the list.
func (s *propertySet) at(i int) *Property {
	if i == len(s.list) {
		s.list = append(s.list, Property{Value: Value{Null: true}})
	}
	return &s.list[i]
}

// pair ends a set; what has no partner is dropped.
// [tck-id-payloads-propertyset-keys-array-size] [tck-id-payloads-propertyset-values-array-size]
func (s *propertySet) pair(p *Payload) []Property {
	if s.keys != s.values {
		p.problem("a property set has not as many keys as values [tck-id-payloads-propertyset-keys-array-size]")
	}
	return s.list[:min(s.keys, s.values)]
}

// propertySet reads a property set. Sets inside sets stay bytes; they are checked down to the depth limit.
func (d *decoder) propertySet(s *propertySet, data []byte, depth int) error {
	if depth > d.l.Depth {
		return overLimit("nesting", d.l.Depth)
	}
	if s.seen = true; cap(s.list) == 0 {
		s.list = make([]Property, 0, min(max(count(data, 1<<3|wireBytes), count(data, 2<<3|wireBytes)), d.l.Cells))
	}
	r := reader{data: data}
	for r.next() {
		var err error
		switch r.tag {
		case 1<<3 | wireBytes:
			if err = d.cell(); err == nil {
				p := s.at(s.keys)
				s.keys++
				p.Key, err = d.name(r.b)
			}
		case 2<<3 | wireBytes:
			if err = d.cell(); err == nil {
				p := s.at(s.values)
				s.values++
				err = d.property(p, r.b, depth)
			}
		default:
			s.unknown = append(s.unknown, r.raw()...)
		}
		if err != nil {
			return err
		}
	}
	return r.err()
}

// cell takes one from the budget of small parts: properties, columns, cells, parameters.
func (d *decoder) cell() error {
	if d.cells--; d.cells < 0 {
		return overLimit("properties, columns, cells and parameters", d.l.Cells)
	}
	return nil
}

// property reads a PropertyValue; the key is left as it is.
func (d *decoder) property(p *Property, data []byte, depth int) error {
	var (
		m      Metric // Type, Field and a raw Value, so that as serves both
		isNull bool
	)
	r := reader{data: data}
	for r.next() {
		var err error
		f := propertyField(r.tag >> 3)
		switch {
		case r.tag == 1<<3|wireVarint:
			m.Type = dataType(r.v)
		case r.tag == 2<<3|wireVarint:
			isNull = r.v != 0
		case f != FieldNone && int(r.tag&7) == wireType(f):
			err = d.propertyValue(&m, f, &r, depth)
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
	*p = Property{Key: p.Key, Field: m.Field, Value: m.Value, Unknown: m.Unknown}
	if isNull || m.Field == FieldNone {
		p.Value = Value{Type: m.Type, Null: true}
	} else if v, ok := m.as(m.Type); ok {
		p.Value = v
	} else {
		p.Type = m.Type
	}
	return nil
}

// propertyField maps a member of PropertyValue.value to Field.
func propertyField(num uint64) Field {
	switch {
	case num >= 3 && num <= 8:
		return FieldInt + Field(num-3)
	case num == 9:
		return FieldPropertySet
	case num == 10:
		return FieldPropertySets
	case num == 11:
		return FieldExtension
	}
	return FieldNone
}

// propertyValue takes a member of a property's value, raw.
func (d *decoder) propertyValue(m *Metric, f Field, r *reader, depth int) (err error) {
	again := m.Field == f
	if r.tag&7 != wireBytes {
		m.carry(f, r.v)
		return nil
	}
	switch f {
	case FieldString:
		err = d.text(r.b)
	case FieldPropertySet:
		var nested propertySet
		if err = d.propertySet(&nested, r.b, depth+1); err == nil {
			nested.pair(d.p)
		}
	case FieldPropertySets:
		_, err = d.propertySets(r.b, depth+1, false)
	case FieldExtension:
		err = checkFields(r.b)
	}
	if again && f != FieldString {
		m.Value.Bytes = joined(m.Value.Bytes, r.b)
	} else {
		m.Value.Num, m.Value.Bytes = 0, r.b
	}
	m.Field = f
	return err
}

// propertySets reads a list of property sets; keep: it is returned, not only checked.
func (d *decoder) propertySets(data []byte, depth int, keep bool) (list [][]Property, err error) {
	r := reader{data: data}
	for r.next() {
		if r.tag != 1<<3|wireBytes {
			continue
		}
		if err := d.cell(); err != nil {
			return nil, err
		}
		var set propertySet
		if err := d.propertySet(&set, r.b, depth); err != nil {
			return nil, err
		}
		if set := set.pair(d.p); keep {
			list = append(list, set)
		}
	}
	return list, r.err()
}

// template reads a Template, or only checks it when into is nil. Its members are metrics, one deeper.
// [tck-id-payloads-template-is-definition] [tck-id-payloads-template-definition-ref] [tck-id-payloads-template-instance-ref]
func (d *decoder) template(into *TemplateValue, data []byte, depth int) error {
	if depth > d.l.Depth {
		return overLimit("nesting", d.l.Depth)
	}
	keep := into != nil
	if !keep {
		into = new(TemplateValue)
	}
	if keep {
		into.Metrics = make([]Metric, 0, min(count(data, 2<<3|wireBytes), d.l.Metrics))
	}
	var says bool
	var checked Metric
	r := reader{data: data}
	for r.next() {
		var err error
		switch r.tag {
		case 1<<3 | wireBytes:
			into.Version, err = d.label(r.b, "a template's version is not UTF-8 [tck-id-payloads-template-version]")
		case 2<<3 | wireBytes:
			m := &checked
			if keep {
				into.Metrics = append(into.Metrics, Metric{})
				m = &into.Metrics[len(into.Metrics)-1]
			}
			err = d.metric(m, r.b, depth+1)
		case 3<<3 | wireBytes:
			var p Parameter
			if p, err = d.parameter(r.b); keep {
				into.Parameters = append(into.Parameters, p)
			}
		case 4<<3 | wireBytes:
			into.Ref, err = d.label(r.b, "a template_ref is not UTF-8 [tck-id-payloads-template-ref-instance]")
		case 5<<3 | wireVarint:
			says, into.IsDefinition = true, r.v != 0
		default:
			if keep {
				into.Unknown = append(into.Unknown, r.raw()...)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := r.err(); err != nil {
		return err
	}
	switch {
	case !says:
		d.p.problem("a template without is_definition [tck-id-payloads-template-is-definition]")
	case into.IsDefinition && into.Ref != "":
		d.p.problem("a template's definition with a template_ref [tck-id-payloads-template-definition-ref]")
	case !into.IsDefinition && into.Ref == "":
		d.p.problem("a template's instance without a template_ref [tck-id-payloads-template-instance-ref]")
	}
	return nil
}

// label reads a short text that is not a metric's name; problem is noted if it is not UTF-8.
func (d *decoder) label(b []byte, problem string) (string, error) {
	if len(b) > d.l.Name {
		return "", overLimit("name bytes", d.l.Name)
	}
	if !utf8.Valid(b) {
		d.p.problem(problem)
	}
	return string(b), nil
}

// parameter reads one parameter of a template.
// [tck-id-payloads-template-parameter-name-required] [tck-id-payloads-template-parameter-type-value]
func (d *decoder) parameter(data []byte) (Parameter, error) {
	var (
		p Parameter
		m Metric // Type, Field and a raw Value, so that as serves both
	)
	if err := d.cell(); err != nil {
		return p, err
	}
	r := reader{data: data}
	for r.next() {
		var err error
		f := cellField(r.tag>>3, 3)
		switch {
		case r.tag == 1<<3|wireBytes:
			p.Name, err = d.label(r.b, "a template's parameter has a name that is not UTF-8 [tck-id-payloads-template-parameter-name-type]")
		case r.tag == 2<<3|wireVarint:
			m.Type = dataType(r.v)
		case f != FieldNone && int(r.tag&7) == wireType(f):
			err = d.cellValue(&m, f, &r)
		default:
			p.Unknown = append(p.Unknown, r.raw()...)
		}
		if err != nil {
			return p, err
		}
	}
	if err := r.err(); err != nil {
		return p, err
	}
	if p.Name == "" {
		d.p.problem("a template's parameter has no name [tck-id-payloads-template-parameter-name-required]")
	}
	if m.Type != Unknown && !m.Type.basic() {
		d.p.problem("a template's parameter has no basic datatype [tck-id-payloads-template-parameter-type-value]")
	}
	p.Type, p.Field, p.Value = m.Type, m.Field, m.Value
	if m.Field == FieldNone {
		p.Value = Value{Type: m.Type, Null: true}
	} else if v, ok := m.as(m.Type); ok {
		p.Value = v
	}
	return p, nil
}

// cellField maps a member of a data set's cell, or of a parameter's value, to Field; first is the number of int_value.
func cellField(num, first uint64) Field {
	switch {
	case num >= first && num < first+6:
		return FieldInt + Field(num-first)
	case num == first+6:
		return FieldExtension
	}
	return FieldNone
}

// cellValue takes a member of a cell or a parameter, raw.
func (d *decoder) cellValue(m *Metric, f Field, r *reader) (err error) {
	again := m.Field == f
	if r.tag&7 != wireBytes {
		m.carry(f, r.v)
		return nil
	}
	if f == FieldString {
		err = d.text(r.b)
	} else {
		err = checkFields(r.b)
	}
	if again && f == FieldExtension {
		m.Value.Bytes = joined(m.Value.Bytes, r.b)
	} else {
		m.Value.Num, m.Value.Bytes = 0, r.b
	}
	m.Field = f
	return err
}
