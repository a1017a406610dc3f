package sparkplug

// appendDataSet writes a data set; a cell without a value, or beyond its row's end, is null.
func appendDataSet(dst []byte, v Value) []byte {
	t, err := ParseTable(v, Limits{})
	if err != nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"columns":[`...)
	for i, c := range t.Columns {
		dst = appendText(comma(dst, i), c)
	}
	dst = append(dst, `],"types":[`...)
	for i, typ := range t.Types {
		dst = appendText(comma(dst, i), typ.String())
	}
	dst = append(dst, `],"rows":[`...)
	for i, row := range t.Rows {
		dst = append(comma(dst, i), '[')
		for k, cell := range row {
			dst = AppendJSON(comma(dst, k), cell)
		}
		dst = append(dst, ']')
	}
	return append(dst, "]}"...)
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// appendTemplate writes a template with its members, each as {"name","datatype","value"}.
func appendTemplate(dst []byte, v Value) []byte {
	t, err := ParseTemplate(v, Limits{})
	if err != nil {
		return append(dst, "null"...)
	}
	dst = appendText(append(dst, `{"template_ref":`...), t.Ref)
	dst = append(dst, `,"is_definition":`...)
	dst = AppendJSON(dst, BoolValue(t.IsDefinition))
	dst = appendText(append(dst, `,"version":`...), t.Version)
	dst = append(dst, `,"metrics":[`...)
	for i := range t.Metrics {
		m := &t.Metrics[i]
		dst = appendPart(comma(dst, i), m.Name, m.Type, m.Value)
	}
	dst = append(dst, `],"parameters":[`...)
	for i, p := range t.Parameters {
		dst = appendPart(comma(dst, i), p.Name, p.Type, p.Value)
	}
	return append(dst, "]}"...)
}

func appendPart(dst []byte, name string, t DataType, v Value) []byte {
	dst = appendText(append(dst, `{"name":`...), name)
	dst = appendText(append(dst, `,"datatype":`...), t.String())
	dst = append(dst, `,"value":`...)
	return append(AppendJSON(dst, v), '}')
}

// appendPropertySet writes a property set, a key that comes twice as often as it comes.
func appendPropertySet(dst []byte, set []Property) []byte {
	dst = append(dst, '{')
	for i := range set {
		dst = append(appendText(comma(dst, i), set[i].Key), ':')
		dst = AppendJSON(dst, set[i].Value)
	}
	return append(dst, '}')
}

// appendPropertySets writes a set as {key: value}, a list of them as [{key: value}].
func appendPropertySets(dst []byte, v Value) []byte {
	list, err := ParseProperties(v, Limits{})
	if err != nil {
		return append(dst, "null"...)
	}
	if v.Type == PropertySet {
		return appendPropertySet(dst, list[0])
	}
	dst = append(dst, '[')
	for i, set := range list {
		dst = appendPropertySet(comma(dst, i), set)
	}
	return append(dst, ']')
}
