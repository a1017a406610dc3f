package sparkplug

import (
	"fmt"
	"math"
)

var dataTypeNames = [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float",
	"Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet",
	"PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array",
	"UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray"}

// String returns the name that the specification gives the datatype.
func (t DataType) String() string {
	if int(t) >= len(dataTypeNames) {
		return fmt.Sprintf("datatype %d", uint8(t))
	}
	return dataTypeNames[t]
}

// ParseDataType is the inverse of String, for the known datatypes.
func ParseDataType(name string) (DataType, bool) {
	for t := Int8; t <= DateTimeArray; t++ {
		if dataTypeNames[t] == name {
			return t, true
		}
	}
	return Unknown, false
}

// OfMetric tells whether a metric may have the datatype: 1 to 34 without the two kinds of property sets.
// [tck-id-payloads-metric-datatype-value]
func (t DataType) OfMetric() bool {
	return t >= Int8 && t <= DateTimeArray && t != PropertySet && t != PropertySetList
}

// basic tells whether a data set's column, or a template's parameter, may have the datatype.
func (t DataType) basic() bool { return t >= Int8 && t <= Text }

// IsArray tells whether values are packed arrays.
func (t DataType) IsArray() bool { return t >= Int8Array && t <= DateTimeArray }

// FieldOf returns the oneof member for a value of type t. The hint (how the peer sends it) decides for UInt32,
// and for values whose type is Unknown, which go out as they came. FieldNone: such a value cannot be sent.
func FieldOf(t DataType, hint Field) Field {
	switch t {
	case Unknown:
		return hint
	case UInt32:
		if hint == FieldLong {
			return FieldLong
		}
		return FieldInt
	case Int8, Int16, Int32, UInt8, UInt16:
		return FieldInt
	case Int64, UInt64, DateTime:
		return FieldLong
	case Float:
		return FieldFloat
	case Double:
		return FieldDouble
	case Boolean:
		return FieldBoolean
	case String, Text, UUID:
		return FieldString
	case DataSet:
		return FieldDataSet
	case Template:
		return FieldTemplate
	case PropertySet:
		return FieldPropertySet
	case PropertySetList:
		return FieldPropertySets
	}
	if t == Bytes || t == File || t.IsArray() {
		return FieldBytes
	}
	return FieldNone
}

// As returns the metric's value as datatype t: the one in the birth, for a message that names none. A null stays null.
// Numbers are masked to the datatype's width, then sign-extended: peers send Int8 -1 as 0xFF or as 0xFFFFFFFF.
// The error says that the member the sender used cannot hold such a value.
func (m *Metric) As(t DataType) (Value, error) {
	v, ok := m.as(t)
	if ok {
		return v, nil
	}
	if t.IsArray() && m.Field == FieldBytes {
		return Value{}, checkArray(t, m.Value.Bytes)
	}
	return Value{}, fmt.Errorf("%s in %s", t, m.Field)
}

// as is As without the words.
func (m *Metric) as(t DataType) (v Value, ok bool) {
	if m.Value.Null || m.Value.Type == t && t != Unknown {
		v = m.Value
		v.Type = t
		return v, true
	}
	n, b := m.Value.Num, m.Value.Bytes
	integer := m.Field == FieldInt || m.Field == FieldLong
	switch {
	case t >= Int8 && t <= UInt64 && integer, t == DateTime && integer:
		return Value{Type: t, Num: widen(t, m.Field, n)}, true
	case t == Float && m.Field == FieldDouble:
		return Value{Type: t, Num: uint64(math.Float32bits(float32(math.Float64frombits(n))))}, true
	case t == Double && m.Field == FieldFloat:
		return Value{Type: t, Num: math.Float64bits(float64(math.Float32frombits(uint32(n))))}, true
	case t == Boolean && (integer || m.Field == FieldBoolean):
		return Value{Type: t, Num: min(n, 1)}, true
	case t == Unknown || m.Field == FieldNone || FieldOf(t, FieldNone) != m.Field:
		return Value{}, false
	}
	return Value{Type: t, Num: n, Bytes: b}, !t.IsArray() || checkArray(t, b) == nil
}

// widen brings an integer from the wire to 64 bits. An int_value has 32 bits, whatever the varint held.
func widen(t DataType, f Field, n uint64) uint64 {
	if f == FieldInt {
		n = uint64(uint32(n))
	}
	switch t {
	case Int8:
		return uint64(int64(int8(n)))
	case Int16:
		return uint64(int64(int16(n)))
	case Int32:
		return uint64(int64(int32(n)))
	case Int64:
		if f == FieldInt {
			return uint64(int64(int32(n)))
		}
	case UInt8:
		return uint64(uint8(n))
	case UInt16:
		return uint64(uint16(n))
	case UInt32:
		return uint64(uint32(n))
	}
	return n
}
