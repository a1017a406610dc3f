package sparkplug

// ParseProperties reads a property's value that is a property set, or a list of them: a set comes as the only one of a list.
// Nested ones stay bytes. The result shares the value's memory.
func ParseProperties(v Value, l Limits) ([][]Property, error) {
	d := structureDecoder(l)
	switch {
	case v.Null:
	case v.Type == PropertySet:
		var set propertySet
		if err := d.propertySet(&set, v.Bytes, 1); err != nil {
			return nil, err
		}
		return [][]Property{set.pair(d.p)}, nil
	case v.Type == PropertySetList:
		return d.propertySets(v.Bytes, 1, true)
	}
	return nil, ErrStructure
}

// PropertySetValue returns a property's value that is a property set.
func PropertySetValue(set []Property) Value {
	return Value{Type: PropertySet, Bytes: appendProperties([]byte{}, set)}
}

// PropertySetListValue returns a property's value that is a list of property sets.
func PropertySetListValue(list [][]Property) Value {
	b := []byte{}
	for _, set := range list {
		b = appendBytes(b, 1, appendProperties(nil, set))
	}
	return Value{Type: PropertySetList, Bytes: b}
}
