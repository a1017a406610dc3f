package sparkplug

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	tests := []struct {
		typ  DataType
		json string // written, and read back to the same value
	}{
		{Int8, "-128"}, {Int16, "32767"}, {Int32, "-2147483648"}, {Int64, `"-9223372036854775808"`},
		{UInt8, "255"}, {UInt16, "0"}, {UInt32, "4294967295"}, {UInt64, `"18446744073709551615"`},
		{Float, "0.1"}, {Float, `"NaN"`}, {Float, "3.4028235e+38"}, {Double, `"Infinity"`}, {Double, `"-Infinity"`}, {Double, "0.1"},
		{Double, "1e-07"}, {Double, "123456789012345680"}, {Boolean, "true"}, {Boolean, "false"},
		{String, `"a\"b\u003c\n"`}, {Text, `""`}, {UUID, `"x"`}, {Bytes, `"AP8="`}, {File, `""`},
		{DateTime, `"2026-08-06T07:06:40.001Z"`}, {DateTime, `"253402300800000"`},
		{Int8Array, "[-1,2]"}, {Int64Array, `["-1"]`}, {UInt64Array, `["18446744073709551615"]`}, {FloatArray, `[0.1,"NaN"]`},
		{BooleanArray, "[true,false,true,true,false,false,false,false,true]"}, {BooleanArray, "[]"}, {StringArray, `["a","","b"]`},
		{StringArray, "[]"}, {DateTimeArray, `["1970-01-01T00:00:00.000Z"]`},
	}
	for _, tt := range tests {
		v, err := ParseJSON(tt.typ, []byte(tt.json))
		if err != nil {
			t.Errorf("%s %s: %v", tt.typ, tt.json, err)
			continue
		}
		if got := string(AppendJSON(nil, v)); got != tt.json {
			t.Errorf("%s: %s came back as %s", tt.typ, tt.json, got)
		}
		if !json.Valid(AppendJSON(nil, v)) {
			t.Errorf("%s: %s is not JSON", tt.typ, AppendJSON(nil, v))
		}
	}
	for _, v := range []Value{{Type: DataSet, Bytes: []byte{0xff}}, {Type: Template, Bytes: []byte{0xff}}, {Type: Int8, Null: true}, {},
		{Type: 99}, {Type: Template, Bytes: nested(40)}} {
		if got := string(AppendJSON(nil, v)); got != "null" {
			t.Errorf("%+v is %.60s, want null", v.Type, got)
		}
	}
	if got := string(AppendJSON(nil, Value{Type: String, Bytes: []byte("a\xffb")})); got != "\"a\ufffdb\"" {
		t.Errorf("text that is not UTF-8 is %s", got)
	}
}

// [tck-id-operational-behavior-data-commands-ncmd-metric-value] [tck-id-operational-behavior-data-commands-dcmd-metric-value]
func TestParseJSONRefuses(t *testing.T) {
	tests := []struct {
		typ  DataType
		json string
	}{
		{Int8, "128"}, {Int8, "1.5"}, {Int8, "true"}, {Int8, `"x"`}, {Int8, "null"}, {Int8, ""}, {Int8, "1 2"}, {Int8, "[1]"}, {Int8, `"+1"`},
		{UInt8, "-1"}, {UInt32, "4294967296"}, {UInt64, "18446744073709551616"}, {Int64, "1e3"}, {Float, "1e39"}, {Double, "1e400"},
		{Double, `"1"`}, {Boolean, "1"}, {Boolean, `"true"`}, {String, "1"}, {Bytes, `"*"`}, {DateTime, `"yesterday"`},
		{DateTime, `"1969-12-31T23:59:59Z"`}, {DateTime, "-1"}, {Int8Array, "1"}, {Int8Array, "[200]"}, {StringArray, `["a\u0000b"]`},
		{DataSet, "{}"}, {Template, "{}"}, {Unknown, "1"}, {Int32, "{}"},
	}
	for _, tt := range tests {
		if v, err := ParseJSON(tt.typ, []byte(tt.json)); err == nil {
			t.Errorf("%s accepts %s as %+v", tt.typ, tt.json, v)
		}
	}
	if v, err := ParseJSON(DateTime, []byte("1786000000000")); err != nil || v.Num != 1786000000000 {
		t.Errorf("DateTime in ms: %v %v", v, err)
	}
	if v, err := ParseJSON(Int64, []byte("-7")); err != nil || int64(v.Num) != -7 {
		t.Errorf("Int64 as a number: %v %v", v, err)
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add(uint8(Int8Array), "[1,2]")
	f.Add(uint8(DateTime), `"2026-08-06T07:06:40.001Z"`)
	f.Add(uint8(Double), "1e5")
	f.Fuzz(func(t *testing.T, typ uint8, text string) {
		v, err := ParseJSON(DataType(typ), []byte(text))
		if err != nil {
			return
		}
		out := AppendJSON(nil, v)
		w, err := ParseJSON(DataType(typ), out)
		if err != nil || w.Num != v.Num || string(w.Bytes) != string(v.Bytes) {
			t.Fatalf("%s %q -> %+v -> %s -> %+v %v", DataType(typ), text, v, out, w, err)
		}
	})
}

func TestFloat64(t *testing.T) {
	tests := []struct {
		v    Value
		want float64
		ok   bool
	}{
		{Int64Value(Int8, -3), -3, true}, {Int64Value(UInt64, -1), math.MaxUint64, true}, {FloatValue(0.5), 0.5, true},
		{DoubleValue(-2), -2, true}, {BoolValue(true), 1, true}, {StringValue("1"), 0, false}, {Value{Type: Int8, Null: true}, 0, false},
	}
	for _, tt := range tests {
		if got, ok := tt.v.Float64(); got != tt.want || ok != tt.ok {
			t.Errorf("%+v: %v %v", tt.v, got, ok)
		}
	}
}

func TestDataTypeNames(t *testing.T) {
	for d := Int8; d <= DateTimeArray; d++ {
		if got, ok := ParseDataType(d.String()); !ok || got != d || strings.Contains(d.String(), " ") {
			t.Errorf("datatype %d is %q, which parses to %d", d, d.String(), got)
		}
	}
	if DataType(77).String() != "datatype 77" {
		t.Error(DataType(77).String())
	}
	if _, ok := ParseDataType("Unknown"); ok {
		t.Error("Unknown is no datatype to write")
	}
}
