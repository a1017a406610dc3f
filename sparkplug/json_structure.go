package sparkplug

import (
	"google.golang.org/protobuf/proto"

	"edge/proto/sparkplugpb"
)

// structureDepth bounds the messages inside each other that are decoded for display: templates take two levels each.
const structureDepth = 40

var unmarshalStructure = proto.UnmarshalOptions{RecursionLimit: structureDepth}

// appendDataSet writes a data set; a cell without a value, or beyond its row's end, is null.
func appendDataSet(dst, b []byte) []byte {
	var ds sparkplugpb.Payload_DataSet
	if err := unmarshalStructure.Unmarshal(b, &ds); err != nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"columns":[`...)
	for i, c := range ds.Columns {
		dst = appendText(comma(dst, i), c)
	}
	dst = append(dst, `],"types":[`...)
	for i, t := range ds.Types {
		dst = appendText(comma(dst, i), DataType(min(t, 255)).String())
	}
	dst = append(dst, `],"rows":[`...)
	for i, row := range ds.Rows {
		dst = append(comma(dst, i), '[')
		for k, cell := range row.Elements {
			t := Unknown
			if k < len(ds.Types) {
				t = DataType(min(ds.Types[k], 255))
			}
			dst = AppendJSON(comma(dst, k), cellValue(cell, t))
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

// cellValue gives a cell the datatype of its column; a cell that does not fit it is null.
func cellValue(c *sparkplugpb.Payload_DataSet_DataSetValue, t DataType) Value {
	var m Metric
	switch v := c.GetValue().(type) {
	case *sparkplugpb.Payload_DataSet_DataSetValue_IntValue:
		m.Field, m.Value.Num = FieldInt, uint64(v.IntValue)
	case *sparkplugpb.Payload_DataSet_DataSetValue_LongValue:
		m.Field, m.Value.Num = FieldLong, v.LongValue
	case *sparkplugpb.Payload_DataSet_DataSetValue_FloatValue:
		m.Field, m.Value.Num = FieldFloat, floatBits(v.FloatValue)
	case *sparkplugpb.Payload_DataSet_DataSetValue_DoubleValue:
		m.Field, m.Value.Num = FieldDouble, doubleBits(v.DoubleValue)
	case *sparkplugpb.Payload_DataSet_DataSetValue_BooleanValue:
		m.Field, m.Value.Num = FieldBoolean, boolBits(v.BooleanValue)
	case *sparkplugpb.Payload_DataSet_DataSetValue_StringValue:
		m.Field, m.Value.Bytes = FieldString, []byte(v.StringValue)
	}
	return orNull(&m, t)
}

// parameterValue does the same for a template's parameter.
func parameterValue(p *sparkplugpb.Payload_Template_Parameter) Value {
	var m Metric
	switch v := p.GetValue().(type) {
	case *sparkplugpb.Payload_Template_Parameter_IntValue:
		m.Field, m.Value.Num = FieldInt, uint64(v.IntValue)
	case *sparkplugpb.Payload_Template_Parameter_LongValue:
		m.Field, m.Value.Num = FieldLong, v.LongValue
	case *sparkplugpb.Payload_Template_Parameter_FloatValue:
		m.Field, m.Value.Num = FieldFloat, floatBits(v.FloatValue)
	case *sparkplugpb.Payload_Template_Parameter_DoubleValue:
		m.Field, m.Value.Num = FieldDouble, doubleBits(v.DoubleValue)
	case *sparkplugpb.Payload_Template_Parameter_BooleanValue:
		m.Field, m.Value.Num = FieldBoolean, boolBits(v.BooleanValue)
	case *sparkplugpb.Payload_Template_Parameter_StringValue:
		m.Field, m.Value.Bytes = FieldString, []byte(v.StringValue)
	}
	return orNull(&m, DataType(min(p.GetType(), 255)))
}

func orNull(m *Metric, t DataType) Value {
	if v, err := m.As(t); err == nil && m.Field != FieldNone {
		return v
	}
	return Value{Type: t, Null: true}
}

// appendTemplate writes a template with its members, each as {"name","datatype","value"}.
func appendTemplate(dst, b []byte) []byte {
	d := decoder{p: new(Payload), l: Limits{}.withDefaults()}
	d.metrics, d.properties = d.l.Metrics, 4*d.l.Metrics
	if d.template(b, 1) != nil {
		return append(dst, "null"...)
	}
	return d.appendTemplate(dst, b)
}

// appendTemplate walks a template that has been checked, so its depth is bounded.
func (d *decoder) appendTemplate(dst, b []byte) []byte {
	var t sparkplugpb.Payload_Template
	if err := unmarshalStructure.Unmarshal(b, &t); err != nil {
		return append(dst, "null"...)
	}
	dst = appendText(append(dst, `{"template_ref":`...), t.GetTemplateRef())
	dst = append(dst, `,"is_definition":`...)
	dst = AppendJSON(dst, BoolValue(t.GetIsDefinition()))
	dst = appendText(append(dst, `,"version":`...), t.GetVersion())
	dst = append(dst, `,"metrics":[`...)
	for i, m := range t.Metrics {
		dst = d.appendMember(comma(dst, i), m)
	}
	dst = append(dst, `],"parameters":[`...)
	for i, p := range t.Parameters {
		v := parameterValue(p)
		dst = appendText(append(comma(dst, i), `{"name":`...), p.GetName())
		dst = appendText(append(dst, `,"datatype":`...), v.Type.String())
		dst = append(AppendJSON(append(dst, `,"value":`...), v), '}')
	}
	return append(dst, "]}"...)
}

func (d *decoder) appendMember(dst []byte, pb *sparkplugpb.Payload_Metric) []byte {
	var m Metric
	if b, err := proto.Marshal(pb); err != nil || d.metric(&m, b) != nil {
		return append(dst, "null"...)
	}
	dst = appendText(append(dst, `{"name":`...), m.Name)
	dst = appendText(append(dst, `,"datatype":`...), m.Type.String())
	dst = append(dst, `,"value":`...)
	return append(AppendJSON(dst, m.Value), '}')
}
