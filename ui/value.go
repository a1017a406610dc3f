package ui

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

func journalValue(v journal.Value) sparkplug.Value {
	return sparkplug.Value{Type: sparkplug.DataType(v.Type), Null: v.Null, Num: v.Num, Bytes: v.Bytes}
}

func valueJSON(v sparkplug.Value) any {
	if v.Null {
		return nil
	}
	switch v.Type {
	case sparkplug.Int8, sparkplug.Int16, sparkplug.Int32:
		return int64(v.Num)
	case sparkplug.Int64:
		return strconv.FormatInt(int64(v.Num), 10)
	case sparkplug.UInt8, sparkplug.UInt16, sparkplug.UInt32:
		return v.Num
	case sparkplug.UInt64:
		return strconv.FormatUint(v.Num, 10)
	case sparkplug.Float:
		return number(math.Float32frombits(uint32(v.Num)))
	case sparkplug.Double:
		return number(math.Float64frombits(v.Num))
	case sparkplug.Boolean:
		return v.Num != 0
	case sparkplug.String, sparkplug.Text, sparkplug.UUID:
		return string(v.Bytes)
	case sparkplug.DateTime:
		return stamp(time.UnixMilli(int64(v.Num)))
	case sparkplug.Unknown:
		return nil
	}
	return base64.StdEncoding.EncodeToString(v.Bytes)
}

// datatypeName is the name of a datatype in the specification; "Unknown" for others.
func datatypeName(t sparkplug.DataType) string {
	if int(t) >= len(datatypeNames) {
		return datatypeNames[0]
	}
	return datatypeNames[t]
}

var datatypeNames = [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
	"String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array",
	"Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray",
	"StringArray", "DateTimeArray"}

func timeOf(m journal.Millis) time.Time { return time.UnixMilli(int64(m)) }

var errValue = errors.New("not a value of this datatype")

// parseValue reads a value that is to be written to a metric of type t, in the form in which values are shown.
// Only numbers, booleans and text can be written.
func parseValue(t sparkplug.DataType, raw json.RawMessage) (sparkplug.Value, error) {
	v := sparkplug.Value{Type: t}
	text := strings.Trim(string(raw), `"`) // Int64 and UInt64 are decimal strings; a form may send any number as one
	var err error
	switch t {
	case sparkplug.Int8, sparkplug.Int16, sparkplug.Int32, sparkplug.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, 8<<(t-sparkplug.Int8))
		v.Num = uint64(n)
	case sparkplug.UInt8, sparkplug.UInt16, sparkplug.UInt32, sparkplug.UInt64:
		v.Num, err = strconv.ParseUint(text, 10, 8<<(t-sparkplug.UInt8))
	case sparkplug.Float:
		var f float64
		f, err = parseFinite(text, 32)
		v.Num = uint64(math.Float32bits(float32(f)))
	case sparkplug.Double:
		var f float64
		f, err = parseFinite(text, 64)
		v.Num = math.Float64bits(f)
	case sparkplug.Boolean:
		var b bool
		if err = json.Unmarshal(raw, &b); b {
			v.Num = 1
		}
	case sparkplug.String, sparkplug.Text, sparkplug.UUID:
		var s *string
		if err = json.Unmarshal(raw, &s); err == nil && s != nil {
			v.Bytes = []byte(*s)
			return v, nil
		}
		err = errValue
	default:
		return v, errors.New("values of this datatype cannot be written here")
	}
	if err != nil {
		return v, errValue
	}
	return v, nil
}

// parseFinite refuses NaN and infinities: no setpoint is meant to be one.
func parseFinite(text string, bits int) (float64, error) {
	f, err := strconv.ParseFloat(text, bits)
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = errValue
	}
	return f, err
}
