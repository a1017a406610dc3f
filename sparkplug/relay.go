package sparkplug

// Relayed makes of a metric as a plant's birth has it what another session may send of it: a template without aliases of its
// members, which mean something to the plant's node only, and a file as a whole one. A part of a file is no value: it
// becomes a null. The metric's own alias is the caller's to take off.
func (m *Metric) Relayed(l Limits) {
	m.Value = Unaliased(m.Value, l)
	md, err := ParseMetadata(m.Metadata)
	if err != nil || !md.MultiPart {
		return
	}
	md.MultiPart, md.HasSeq, md.HasSize, md.MD5 = false, false, false, ""
	m.Metadata = md.Bytes()
	m.Value, m.Field, m.Missing = Value{Type: m.Type, Null: true}, FieldNone, true
}

// Unaliased returns a template without the aliases of those members, and of their members, that have names: what they mean is
// not said anywhere. Any other value comes back as it is. [tck-id-payloads-alias-uniqueness]
func Unaliased(v Value, l Limits) Value {
	v, _ = unaliased(v, l)
	return v
}

func unaliased(v Value, l Limits) (_ Value, changed bool) {
	t, err := ParseTemplate(v, l)
	if err != nil {
		return v, false
	}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		if m.HasAlias && m.Name != "" {
			m.Alias, m.HasAlias, changed = 0, false, true
		}
		if inner, other := unaliased(m.Value, l); other {
			m.Value, changed = inner, true
		}
	}
	if !changed {
		return v, false
	}
	return t.Value(), true
}
