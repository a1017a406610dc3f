package sparkplug

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDate is the last ms of the year 9999, the last that RFC 3339 can write.
const maxDate = 253402300799999

const dateLayout = "2006-01-02T15:04:05.000Z"

// AppendJSON appends a value as the HTTP interface shows it:
//
//	Int8..Int32, UInt8..UInt32    number         Boolean     true, false
//	Int64, UInt64                 "decimal"      DateTime    "2006-01-02T15:04:05.000Z", "decimal" after the year 9999
//	Float, Double                 number, "NaN", "Infinity", "-Infinity"
//	String, Text, UUID            string         Bytes, File "base64"
//	arrays                        [element, …]   null        null
//	DataSet                       {"columns":[…],"types":[…],"rows":[[…],…]}
//	Template                      {"template_ref":…,"is_definition":…,"version":…,"metrics":[…],"parameters":[…]}
//	PropertySet, PropertySetList  {key: value, …}, [{key: value, …}, …]
//
// A structure that does not decode, or nests too deep, is null.
func AppendJSON(dst []byte, v Value) []byte {
	if v.Null {
		return append(dst, "null"...)
	}
	switch t := v.Type; {
	case t >= Int8 && t <= Int32:
		return strconv.AppendInt(dst, int64(v.Num), 10)
	case t >= UInt8 && t <= UInt32:
		return strconv.AppendUint(dst, v.Num, 10)
	case t == Int64:
		return append(strconv.AppendInt(append(dst, '"'), int64(v.Num), 10), '"')
	case t == UInt64, t == DateTime && v.Num > maxDate:
		return append(strconv.AppendUint(append(dst, '"'), v.Num, 10), '"')
	case t == DateTime:
		dst = append(dst, '"')
		dst = time.UnixMilli(int64(v.Num)).UTC().AppendFormat(dst, dateLayout)
		return append(dst, '"')
	case t == Float:
		return appendFloat(dst, float64(math.Float32frombits(uint32(v.Num))), 32)
	case t == Double:
		return appendFloat(dst, math.Float64frombits(v.Num), 64)
	case t == Boolean:
		return strconv.AppendBool(dst, v.Num != 0)
	case t == String, t == Text, t == UUID:
		return appendText(dst, string(v.Bytes))
	case t == Bytes, t == File:
		return appendBase64(dst, v.Bytes)
	case t.IsArray():
		return appendArray(dst, v)
	case t == DataSet:
		return appendDataSet(dst, v)
	case t == Template:
		return appendTemplate(dst, v)
	case t == PropertySet, t == PropertySetList:
		return appendPropertySets(dst, v)
	}
	return append(dst, "null"...)
}

// MarshalJSON returns the value as AppendJSON does.
func (v Value) MarshalJSON() ([]byte, error) { return AppendJSON(nil, v), nil }

func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

// appendText writes a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendText(dst []byte, s string) []byte {
	b, err := json.Marshal(strings.ToValidUTF8(s, string(utf8.RuneError)))
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, b...)
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

func appendArray(dst []byte, v Value) []byte {
	dst = append(dst, '[')
	i := 0
	for e := range v.elements() {
		dst = AppendJSON(comma(dst, i), e)
		i++
	}
	return append(dst, ']')
}
