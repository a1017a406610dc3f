package sparkplug

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseJSON reads a value of datatype t as AppendJSON writes it, for writes from the outside. More than AppendJSON
// writes is understood: every integer as a number or as a decimal string, DateTime also as ms.
// Out of range, a fraction for an integer, or null is an error that says so.
//
// not done: data sets and templates, which no page lets a user write.
func ParseJSON(t DataType, raw []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return Value{}, fmt.Errorf("value is not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Value{}, fmt.Errorf("value is more than one JSON value")
	}
	if !t.IsArray() {
		return parseScalar(t, x)
	}
	list, ok := x.([]any)
	if !ok {
		return Value{}, fmt.Errorf("%s wants a list", t)
	}
	elements := make([]Value, len(list))
	for i, e := range list {
		v, err := parseScalar(arrayElements[t], e)
		if err != nil {
			return Value{}, fmt.Errorf("element %d: %w", i, err)
		}
		if bytes.IndexByte(v.Bytes, 0) >= 0 {
			return Value{}, fmt.Errorf("element %d: a string in an array cannot hold U+0000", i)
		}
		elements[i] = v
	}
	return Array(t, elements), nil
}

func parseScalar(t DataType, x any) (Value, error) {
	switch x := x.(type) {
	case bool:
		if t == Boolean {
			return BoolValue(x), nil
		}
	case json.Number:
		return parseNumber(t, x.String())
	case string:
		return parseText(t, x)
	}
	return Value{}, fmt.Errorf("%s cannot be written as this kind of JSON value", t)
}

func parseText(t DataType, s string) (Value, error) {
	switch t {
	case String, Text, UUID:
		return Value{Type: t, Bytes: []byte(s)}, nil
	case Bytes, File:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return Value{}, fmt.Errorf("%s wants base64: %w", t, err)
		}
		return Value{Type: t, Bytes: b}, nil
	case DateTime:
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
			if at.UnixMilli() < 0 {
				return Value{}, fmt.Errorf("%s before 1970", t)
			}
			return Value{Type: t, Num: Millis(at)}, nil
		}
	case Float, Double:
		switch s {
		case "NaN", "Infinity", "-Infinity":
			f, err := strconv.ParseFloat(s, 64)
			return floatValue(t, f), err
		}
		return Value{}, fmt.Errorf("%s wants a number", t)
	case Boolean:
		return Value{}, fmt.Errorf("%s wants true or false", t)
	}
	return parseNumber(t, s)
}

// intBits are the widths of the integer datatypes; negative: signed.
var intBits = [...]int{Int8: -8, Int16: -16, Int32: -32, Int64: -64, UInt8: 8, UInt16: 16, UInt32: 32, UInt64: 64}

func parseNumber(t DataType, s string) (Value, error) {
	switch {
	case t == Float || t == Double:
		bits := 64
		if t == Float {
			bits = 32
		}
		f, err := strconv.ParseFloat(s, bits)
		if err != nil {
			return Value{}, fmt.Errorf("%s out of range: %.40s", t, s)
		}
		return floatValue(t, f), nil
	case t == DateTime:
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%s wants RFC 3339 or ms since 1970: %.40q", t, s)
		}
		return Value{Type: t, Num: n}, nil
	case t < Int8 || t > UInt64:
		return Value{}, fmt.Errorf("%s cannot be written as a number", t)
	}
	bits := intBits[t]
	var (
		n   uint64
		err error
	)
	if bits < 0 {
		var i int64
		i, err = strconv.ParseInt(s, 10, -bits)
		n = uint64(i)
	} else {
		n, err = strconv.ParseUint(s, 10, bits)
	}
	if err != nil || strings.HasPrefix(s, "+") {
		return Value{}, fmt.Errorf("%s wants a whole number in its range: %.40q", t, s)
	}
	return Value{Type: t, Num: n}, nil
}

// floatValue returns f as Float or Double.
func floatValue(t DataType, f float64) Value {
	if t == Float {
		return Value{Type: t, Num: floatBits(float32(f))}
	}
	return Value{Type: t, Num: doubleBits(f)}
}

func floatBits(f float32) uint64 { return uint64(math.Float32bits(f)) }

func doubleBits(f float64) uint64 { return math.Float64bits(f) }

func boolBits(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// DoubleValue returns a Double.
func DoubleValue(f float64) Value { return floatValue(Double, f) }

// FloatValue returns a Float.
func FloatValue(f float32) Value { return floatValue(Float, float64(f)) }
