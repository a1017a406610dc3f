package sparkplug

import "google.golang.org/protobuf/encoding/protowire"

// propertyPairs gathers the two parallel lists of a property set. A set may be split over several
// occurrences of its field, so pairing comes last.
type propertyPairs struct {
	keys   []string
	values []Property
}

// pair joins keys and values; what has no partner is dropped.
// [tck-id-payloads-propertyset-keys-array-size] [tck-id-payloads-propertyset-values-array-size]
func (s *propertyPairs) pair(p *Payload) []Property {
	if len(s.keys) != len(s.values) {
		p.problem("a property set has not as many keys as values [tck-id-payloads-propertyset-keys-array-size]")
	}
	out := s.values[:min(len(s.keys), len(s.values))]
	for i := range out {
		out[i].Key = s.keys[i]
	}
	return out
}

// propertySet reads a property set. Sets inside sets stay bytes; they are checked down to the depth limit.
func (d *decoder) propertySet(s *propertyPairs, data []byte, depth int) error {
	if depth > d.l.Depth {
		return overLimit("nesting", d.l.Depth)
	}
	return fields(data, nil, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) (bool, error) {
		if num > 2 || typ != protowire.BytesType {
			return false, nil
		}
		if d.properties--; d.properties < 0 {
			return true, overLimit("properties", 4*d.l.Metrics)
		}
		if num == 1 {
			if err := d.name(b); err != nil {
				return true, err
			}
			s.keys = append(s.keys, string(b))
			return true, nil
		}
		pr, err := d.property(b, depth)
		s.values = append(s.values, pr)
		return true, err
	})
}

// property reads a PropertyValue.
func (d *decoder) property(data []byte, depth int) (Property, error) {
	var (
		m      Metric // Type, Field and a raw Value, so that As serves both
		isNull bool
	)
	err := fields(data, nil, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		f := propertyField(num)
		switch {
		case num == 1 && typ == protowire.VarintType:
			m.Type = DataType(min(uint32(v), 255))
		case num == 2 && typ == protowire.VarintType:
			isNull = v != 0
		case f != FieldNone && typ == wireType(f):
			m.Field, m.Value = f, Value{Num: v, Bytes: b}
			return true, d.nestedProperty(f, b, depth)
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return Property{}, err
	}
	pr := Property{Field: m.Field, Value: m.Value}
	if isNull || m.Field == FieldNone {
		pr.Value = Value{Type: m.Type, Null: true}
	} else if v, err := m.As(m.Type); err == nil {
		pr.Value = v
	}
	return pr, nil
}

// propertyField maps a member of PropertyValue.value to Field.
func propertyField(num protowire.Number) Field {
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

func (d *decoder) nestedProperty(f Field, b []byte, depth int) error {
	var nested propertyPairs
	switch f {
	case FieldPropertySet:
		return d.propertySet(&nested, b, depth+1)
	case FieldPropertySets:
		return fields(b, nil, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) (bool, error) {
			if num != 1 || typ != protowire.BytesType {
				return false, nil
			}
			nested = propertyPairs{}
			return true, d.propertySet(&nested, b, depth+1)
		})
	case FieldExtension:
		return checkFields(b)
	}
	return nil
}

// dataSet checks the wire form of a DataSet: rows of cells. Its columns and cells count as properties.
// [tck-id-payloads-dataset-column-size] [tck-id-payloads-dataset-types-num] [tck-id-payloads-dataset-types-value]
func (d *decoder) dataSet(data []byte) error {
	var columns, names, types uint64
	datatype := func(t uint64) {
		if types++; t < uint64(Int8) || t > uint64(Text) {
			d.p.problem("a data set's column has no basic datatype [tck-id-payloads-dataset-types-value]")
		}
	}
	err := fields(data, nil, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		switch {
		case num == 1 && typ == protowire.VarintType:
			columns = v
		case num == 3 && typ == protowire.VarintType:
			datatype(v)
		case typ != protowire.BytesType:
		case num == 3: // packed, which proto2 readers accept
			return true, packed(b, datatype)
		case num == 2 || num == 4:
			if d.properties--; d.properties < 0 {
				return true, overLimit("data set columns and cells", 4*d.l.Metrics)
			}
			if num == 4 {
				return true, d.row(b)
			}
			names++
		}
		return true, nil
	})
	if columns != names {
		d.p.problem("a data set's num_of_columns is not the number of its columns [tck-id-payloads-dataset-column-size]")
	}
	if types != names {
		d.p.problem("a data set has not as many types as columns [tck-id-payloads-dataset-types-num]")
	}
	return err
}

func (d *decoder) row(data []byte) error {
	return fields(data, nil, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) (bool, error) {
		if num != 1 || typ != protowire.BytesType {
			return false, nil
		}
		if d.properties--; d.properties < 0 {
			return true, overLimit("data set cells", 4*d.l.Metrics)
		}
		return true, fields(b, nil, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) (bool, error) {
			if num == 7 && typ == protowire.BytesType {
				return true, checkFields(b)
			}
			return true, nil
		})
	})
}

// packed calls f for each varint of a packed list.
func packed(b []byte, f func(uint64)) error {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return malformed("packed types: %v", protowire.ParseError(n))
		}
		f(v)
		b = b[n:]
	}
	return nil
}

// template checks the wire form of a Template and of the templates among its members. Members count as metrics.
// [tck-id-payloads-template-is-definition] [tck-id-payloads-template-definition-ref] [tck-id-payloads-template-instance-ref]
func (d *decoder) template(data []byte, depth int) error {
	if depth > d.l.Depth {
		return overLimit("nesting", d.l.Depth)
	}
	var says, definition, refers bool
	err := fields(data, nil, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		if num == 5 && typ == protowire.VarintType {
			says, definition = true, v != 0
		}
		if typ != protowire.BytesType {
			return true, nil
		}
		switch num {
		case 2:
			return true, d.member(b, depth)
		case 3:
			return true, d.parameter(b)
		case 4:
			refers = len(b) > 0
		}
		return true, nil
	})
	switch {
	case !says:
		d.p.problem("a template without is_definition [tck-id-payloads-template-is-definition]")
	case definition && refers:
		d.p.problem("a template's definition with a template_ref [tck-id-payloads-template-definition-ref]")
	case !definition && !refers:
		d.p.problem("a template's instance without a template_ref [tck-id-payloads-template-instance-ref]")
	}
	return err
}

func (d *decoder) member(data []byte, depth int) error {
	if d.metrics--; d.metrics < 0 {
		return overLimit("metrics", d.l.Metrics)
	}
	var nested propertyPairs
	return fields(data, nil, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) (bool, error) {
		if typ != protowire.BytesType {
			return false, nil
		}
		switch {
		case num == 1:
			return true, d.name(b)
		case num == 8:
			return true, checkFields(b)
		case num == 9:
			nested = propertyPairs{}
			return true, d.propertySet(&nested, b, depth)
		case Field(num) == FieldTemplate:
			return true, d.template(b, depth+1)
		case Field(num) == FieldDataSet, Field(num) == FieldExtension:
			return true, d.structure(Field(num), b)
		}
		return true, nil
	})
}

// parameter checks one parameter of a template.
// [tck-id-payloads-template-parameter-name-required] [tck-id-payloads-template-parameter-type-value]
func (d *decoder) parameter(data []byte) error {
	if d.properties--; d.properties < 0 {
		return overLimit("template parameters", 4*d.l.Metrics)
	}
	var named bool
	err := fields(data, nil, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) (bool, error) {
		switch {
		case num == 1 && typ == protowire.BytesType:
			named = len(b) > 0
		case num == 2 && typ == protowire.VarintType && (v < uint64(Int8) || v > uint64(Text)):
			d.p.problem("a template's parameter has no basic datatype [tck-id-payloads-template-parameter-type-value]")
		case num == 9 && typ == protowire.BytesType:
			return true, checkFields(b)
		}
		return true, nil
	})
	if !named {
		d.p.problem("a template's parameter has no name [tck-id-payloads-template-parameter-name-required]")
	}
	return err
}
