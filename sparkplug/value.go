package sparkplug

import "math"

// DataType is a Sparkplug datatype code (specification 3.0, section 6.4.16).
type DataType uint8

// The datatypes. Unknown is never sent.
const (
	Unknown DataType = iota
	Int8
	Int16
	Int32
	Int64
	UInt8
	UInt16
	UInt32
	UInt64
	Float
	Double
	Boolean
	String
	DateTime
	Text
	UUID
	DataSet
	Bytes
	File
	Template
	PropertySet
	PropertySetList
	Int8Array
	Int16Array
	Int32Array
	Int64Array
	UInt8Array
	UInt16Array
	UInt32Array
	UInt64Array
	FloatArray
	DoubleArray
	BooleanArray
	StringArray
	DateTimeArray
)

// Value is one typed value, in the same form as journal.Value: Num for numbers (integers sign-extended
// two's complement, Float as Float32bits, Double as Float64bits, Boolean 0 or 1, DateTime in ms),
// Bytes for text, bytes, arrays (as in bytes_value) and the protobuf bytes of data sets and templates.
type Value struct {
	Type  DataType
	Null  bool
	Num   uint64
	Bytes []byte
}

// Float64 returns the value as a number; ok is false for null, text, bytes and structures.
func (v Value) Float64() (f float64, ok bool) {
	if v.Null {
		return 0, false
	}
	switch v.Type {
	case Int8, Int16, Int32, Int64, DateTime:
		return float64(int64(v.Num)), true
	case UInt8, UInt16, UInt32, UInt64, Boolean:
		return float64(v.Num), true
	case Float:
		return float64(math.Float32frombits(uint32(v.Num))), true
	case Double:
		return math.Float64frombits(v.Num), true
	}
	return 0, false
}
