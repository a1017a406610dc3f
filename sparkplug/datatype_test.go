package sparkplug

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// strs are the elements of a StringArray; numbers those of the others.
func strs(list ...string) (out []Value) {
	for _, s := range list {
		out = append(out, StringValue(s))
	}
	return out
}

func numbers[N int64 | uint64](t DataType, list ...N) (out []Value) {
	for _, n := range list {
		out = append(out, Value{Type: t, Num: uint64(n)})
	}
	return out
}

func bools(list ...bool) (out []Value) {
	for _, b := range list {
		out = append(out, BoolValue(b))
	}
	return out
}

// datatypeBytes are the metrics of the specification's section 6.4.16 on the wire: datatype and value, both ways.
var datatypeBytes = []struct {
	name  string
	value Value
	hex   string
}{
	{"Int8", Int64Value(Int8, -1), "20 01 50 ff ff ff ff 0f"}, // sign-extended to 32 bits
	{"Int8 least", Int64Value(Int8, -128), "20 01 50 80 ff ff ff 0f"},
	{"Int16", Int64Value(Int16, -30000), "20 02 50 d0 95 fe ff 0f"},
	{"Int32", Int64Value(Int32, -12), "20 03 50 f4 ff ff ff 0f"},
	{"Int32 zero", Int64Value(Int32, 0), "20 03 50 00"}, // a zero is written
	{"Int64", Int64Value(Int64, -5), "20 04 58 fb ff ff ff ff ff ff ff ff 01"},
	{"UInt8", Int64Value(UInt8, 255), "20 05 50 ff 01"},
	{"UInt16", Int64Value(UInt16, 65535), "20 06 50 ff ff 03"},
	{"UInt32", Int64Value(UInt32, math.MaxUint32), "20 07 50 ff ff ff ff 0f"},
	{"UInt64", Int64Value(UInt64, -1), "20 08 58 ff ff ff ff ff ff ff ff ff 01"},
	{"Float", FloatValue(1.5), "20 09 65 00 00 c0 3f"},
	{"Float NaN", FloatValue(float32(math.NaN())), "20 09 65 00 00 c0 7f"},
	{"Double", DoubleValue(1.5), "20 0a 69 00 00 00 00 00 00 f8 3f"},
	{"Double infinite", DoubleValue(math.Inf(-1)), "20 0a 69 00 00 00 00 00 00 f0 ff"},
	{"Boolean", BoolValue(true), "20 0b 70 01"},
	{"Boolean false", BoolValue(false), "20 0b 70 00"},
	{"String", StringValue("Öl"), "20 0c 7a 03 c3 96 6c"},
	{"String empty", Value{Type: String, Bytes: []byte{}}, "20 0c 7a 00"},
	{"DateTime", Int64Value(DateTime, 1786000000000), "20 0d 58 80 88 95 af fd 33"},
	{"Text", Value{Type: Text, Bytes: []byte("a\nb")}, "20 0e 7a 03 61 0a 62"},
	{"UUID", Value{Type: UUID, Bytes: []byte("0d2b")}, "20 0f 7a 04 30 64 32 62"},
	{"DataSet", TableValue(Table{Columns: []string{"id", "at"}, Types: []DataType{Int32, DateTime},
		Rows: [][]Value{{Int64Value(Int32, -1), Int64Value(DateTime, 5)}, {Int64Value(Int32, 2), {Type: DateTime, Null: true}}}}), `
		20 10 8a 01 24
		08 02                          // num_of_columns
		12 02 69 64 12 02 61 74        // columns
		18 03 18 0d                    // types, not packed
		22 0c                          // row
		   0a 06 08 ff ff ff ff 0f     //   int_value -1
		   0a 02 10 05                 //   long_value: a DateTime
		22 06                          // row
		   0a 02 08 02
		   0a 00                       //   null: a cell without a value`},
	{"Bytes", Value{Type: Bytes, Bytes: []byte{0, 255}}, "20 11 82 01 02 00 ff"},
	{"File", Value{Type: File, Bytes: []byte("hi")}, "20 12 82 01 02 68 69"},
	{"Template", (&TemplateValue{Ref: "M", Metrics: []Metric{{Name: "a", Type: Int32, Value: Int64Value(Int32, 1)}}}).Value(), `
		20 13 92 01 0e
		12 07 0a 01 61 20 03 50 01 // member
		22 01 4d                   // template_ref
		28 00                      // is_definition: false is written`},

	{"Int8Array", Array(Int8Array, numbers[int64](Int8, -23, 123)), "20 16 82 01 02 E9 7B"},
	{"Int16Array", Array(Int16Array, numbers[int64](Int16, -30000, 30000)), "20 17 82 01 04 D0 8A 30 75"},
	{"Int32Array", Array(Int32Array, numbers[int64](Int32, -1, 315338746)), "20 18 82 01 08 FF FF FF FF FA AF CB 12"},
	{"Int64Array", Array(Int64Array, numbers[int64](Int64, -4270929666821191986, -3601064768563266876)),
		"20 19 82 01 10 CE 06 72 AC 18 9C BA C4 C4 BA 9C 18 AC 72 06 CE"},
	{"UInt8Array", Array(UInt8Array, numbers[uint64](UInt8, 23, 250)), "20 1a 82 01 02 17 FA"},
	{"UInt16Array", Array(UInt16Array, numbers[uint64](UInt16, 30, 52360)), "20 1b 82 01 04 1E 00 88 CC"},
	{"UInt32Array", Array(UInt32Array, numbers[uint64](UInt32, 52, 3293969225)), "20 1c 82 01 08 34 00 00 00 49 FB 55 C4"},
	{"UInt64Array", Array(UInt64Array, numbers[uint64](UInt64, 52, 16444743074749521625)),
		"20 1d 82 01 10 34 00 00 00 00 00 00 00 D9 9E 02 D1 B2 76 37 E4"},
	{"FloatArray", Array(FloatArray, []Value{FloatValue(1.23), FloatValue(89.341)}), "20 1e 82 01 08 A4 70 9D 3F 98 AE B2 42"},
	{"DoubleArray", Array(DoubleArray, []Value{DoubleValue(12.354213), DoubleValue(1022.9123213)}),
		"20 1f 82 01 10 D7 A2 05 68 5B B5 28 40 8E 17 1C 6F 4C F7 8F 40"},
	{"BooleanArray", Array(BooleanArray, bools(false, false, true, true, false, true, false, false, true, true, false, true)),
		"20 20 82 01 06 0C 00 00 00 34 D0"}, // count, then the first in the most significant bit
	{"BooleanArray of eight", Array(BooleanArray, bools(true, false, false, false, false, false, false, false)), "20 20 82 01 05 08 00 00 00 80"},
	{"StringArray", Array(StringArray, strs("ABC", "hello")), "20 21 82 01 0a 41 42 43 00 68 65 6C 6C 6F 00"},
	{"StringArray of an empty string", Array(StringArray, strs("")), "20 21 82 01 01 00"},
	{"DateTimeArray", Array(DateTimeArray, numbers[int64](DateTime, 1256102875335, 1656107875000)),
		"20 22 82 01 10 C7 D0 90 75 24 01 00 00 B8 BA B8 97 81 01 00 00"},
	{"Int32Array empty", Array(Int32Array, nil), "20 18 82 01 00"},
	{"BooleanArray empty", Array(BooleanArray, nil), "20 20 82 01 04 00 00 00 00"},
	{"StringArray empty", Array(StringArray, nil), "20 21 82 01 00"},
	{"null", Value{Type: Double, Null: true}, "20 0a 38 01"},
}

// [tck-id-payloads-metric-datatype-value] [tck-id-payloads-metric-datatype-value-type] [tck-id-payloads-metric-timestamp-in-UTC]
// [tck-id-payloads-dataset-types-def] [tck-id-payloads-dataset-types-type] [tck-id-payloads-dataset-parameter-type-req]
// [tck-id-payloads-template-dataset-value]
func TestDatatypeBytes(t *testing.T) {
	met := map[DataType]bool{Unknown: true, PropertySet: true, PropertySetList: true} // never a metric's; see TestPropertyBytes
	for _, tt := range datatypeBytes {
		t.Run(tt.name, func(t *testing.T) {
			met[tt.value.Type] = true
			want := raw(t, tt.hex)
			m := Metric{Type: tt.value.Type, Value: tt.value}
			if got := AppendMetric(nil, &m); !bytes.Equal(got, want) {
				t.Fatalf("written:\n got %x\nwant %x", got, want)
			}
			p := mustDecode(t, appendBytes(nil, 2, want))
			if d := cmp.Diff(tt.value, p.Metrics[0].Value, cmpopts.EquateEmpty()); d != "" || len(p.Problems) > 0 {
				t.Errorf("read (-want +got):\n%s%q", d, p.Problems)
			}
			if tt.value.Null {
				return
			}
			bare := Metric{Field: p.Metrics[0].Field, Value: Value{Num: tt.value.Num, Bytes: tt.value.Bytes}}
			data := mustDecode(t, appendBytes(nil, 2, AppendMetric(nil, &bare))) // DATA: the datatype is in the birth
			v, err := data.Metrics[0].As(tt.value.Type)
			if d := cmp.Diff(tt.value, v, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("without its datatype (-want +got):\n%s%v", d, err)
			}
		})
	}
	for typ := Unknown; typ <= DateTimeArray; typ++ {
		if !met[typ] {
			t.Errorf("%s is not in the table", typ)
		}
	}
}

// TestLenient reads what the text does not allow and the field sends.
func TestLenient(t *testing.T) {
	tests := []struct {
		name, hex string
		want      string // JSON
	}{
		{"Int8 in 8 bits", "20 01 50 ff 01", "-1"},
		{"Int16 in 16 bits", "20 02 50 ff ff 03", "-1"},
		{"Int8 sign-extended to 64 bits", "20 01 50 ff ff ff ff ff ff ff ff ff 01", "-1"},
		{"Int32 in long_value", "20 03 58 f4 ff ff ff ff ff ff ff ff 01", "-12"},
		{"Int64 in int_value", "20 04 50 fb ff ff ff 0f", `"-5"`},
		{"UInt32 in long_value", "20 07 58 ff ff ff ff 0f", "4294967295"},
		{"UInt64 in int_value", "20 08 50 07", `"7"`},
		{"Float in double_value", "20 09 69 00 00 00 00 00 00 f8 3f", "1.5"},
		{"Double in float_value", "20 0a 65 00 00 c0 3f", "1.5"},
		{"Boolean in int_value", "20 0b 50 01", "true"},
		{"Boolean above 1", "20 0b 70 07", "true"},
		{"StringArray without its last 00", "20 21 82 01 04 41 00 42 43", `["A","BC"]`},
		{"StringArray of one unterminated", "20 21 82 01 01 41", `["A"]`},
		{"BooleanArray with spare bytes", "20 20 82 01 06 02 00 00 00 c0 ff", "[true,true]"},
		{"DataSet with packed types", "20 10 8a 01 0e 08 02 12 01 61 12 01 62 1a 02 0b 0d 22 00", `{"columns":["a","b"],"types":["Boolean","DateTime"],"rows":[[]]}`},
		{"DataSet, rows before types", "20 10 8a 01 0d 22 04 0a 02 08 05 08 01 12 01 61 18 03", `{"columns":["a"],"types":["Int32"],"rows":[[5]]}`},
		{"DataSet, a cell that does not fit", "20 10 8a 01 0f 08 01 12 01 61 18 0c 22 06 0a 02 08 05 0a 00", `{"columns":["a"],"types":["String"],"rows":[[null,null]]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustDecode(t, appendBytes(nil, 2, raw(t, tt.hex)))
			if got := string(AppendJSON(nil, p.Metrics[0].Value)); got != tt.want {
				t.Errorf("%s, want %s; problems %q", got, tt.want, p.Problems)
			}
		})
	}
}

// TestPropertyBytes: every datatype of a property both ways, nested sets and lists included.
// [tck-id-payloads-metric-propertyvalue-type-type] [tck-id-payloads-metric-propertyvalue-type-value]
// [tck-id-payloads-propertyset-keys-array-size] [tck-id-payloads-propertyset-values-array-size]
func TestPropertyBytes(t *testing.T) {
	inner := []Property{{Key: "k", Value: Int64Value(Int32, 7)}}
	tests := []struct {
		name  string
		value Value
		hex   string // of the PropertyValue
		json  string
	}{
		{"Int32", Int64Value(Int32, 192), "08 03 18 c0 01", "192"},
		{"Int64", Int64Value(Int64, -5), "08 04 20 fb ff ff ff ff ff ff ff ff 01", `"-5"`},
		{"UInt32", Int64Value(UInt32, 5), "08 07 18 05", "5"},
		{"Float", FloatValue(1.5), "08 09 2d 00 00 c0 3f", "1.5"},
		{"Double", DoubleValue(1.5), "08 0a 31 00 00 00 00 00 00 f8 3f", "1.5"},
		{"Boolean", BoolValue(false), "08 0b 38 00", "false"},
		{"String", StringValue("C"), "08 0c 42 01 43", `"C"`},
		{"DateTime", Int64Value(DateTime, 0), "08 0d 20 00", `"1970-01-01T00:00:00.000Z"`},
		{"null", Value{Type: String, Null: true}, "08 0c 10 01", "null"},
		{"PropertySet", PropertySetValue(inner), "08 14 4a 09 0a 01 6b 12 04 08 03 18 07", `{"k":7}`},
		{"PropertySet empty", PropertySetValue(nil), "08 14 4a 00", `{}`},
		{"PropertySetList", PropertySetListValue([][]Property{inner, nil}), "08 15 52 0d 0a 09 0a 01 6b 12 04 08 03 18 07 0a 00", `[{"k":7},{}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Metric{Properties: []Property{{Key: "p", Value: tt.value}}}
			want := append(raw(t, "0a 01 70"), appendBytes(nil, 2, raw(t, tt.hex))...)
			if got := AppendMetric(nil, &m); !bytes.Equal(got, appendBytes(nil, 9, want)) {
				t.Fatalf("written:\n got %x\nwant %x", got, want)
			}
			p := mustDecode(t, Encode(&Payload{Metrics: []Metric{m}}))
			v, ok := p.Metrics[0].Property("p")
			if d := cmp.Diff(tt.value, v, cmpopts.EquateEmpty()); d != "" || !ok || len(p.Problems) > 0 {
				t.Errorf("read (-want +got):\n%s%q", d, p.Problems)
			}
			if got := string(AppendJSON(nil, v)); got != tt.json {
				t.Errorf("shown %s, want %s", got, tt.json)
			}
		})
	}
	if _, err := ParseProperties(StringValue("x"), Limits{}); err != ErrStructure {
		t.Errorf("a string as a property set: %v", err)
	}
}

// TestUnknownFieldsEverywhere: what later versions and extensions add survives decoding and encoding, at every level.
func TestUnknownFieldsEverywhere(t *testing.T) {
	const ext = "fa 07 01 41" // field 127, bytes "A"
	const name = "0a 01 6e "
	message := func(tag, body string) string {
		b := raw(t, body)
		if len(b) > 127 {
			t.Fatal("too long for this test")
		}
		return tag + " " + string("0123456789abcdef"[len(b)>>4]) + string("0123456789abcdef"[len(b)&15]) + " " + body + " "
	}
	tests := []struct{ name, hex string }{
		{"payload", "18 07 " + ext},
		{"metric", message("12", name+ext)},
		{"metadata", message("12", name+message("42", "08 01 "+ext))},
		{"property set", message("12", name+message("4a", "0a 01 6b 12 04 08 03 18 07 "+ext))},
		{"property set with nothing else", message("12", name+message("4a", ext))},
		{"property", message("12", name+message("4a", "0a 01 6b "+message("12", "08 03 18 07 "+ext)))},
		{"property's extension", message("12", name+message("4a", "0a 01 6b "+message("12", message("5a", ext))))},
		{"property of a later datatype", message("12", name+message("4a", "0a 01 6b "+message("12", "08 63 18 07")))},
		{"set in a property", message("12", name+message("4a", "0a 01 6b "+message("12", "08 14 "+message("4a", ext))))},
		{"list in a property", message("12", name+message("4a", "0a 01 6b "+message("12", "08 15 "+message("52", message("0a", ext)+ext))))},
		{"data set", message("12", name+"20 10 "+message("8a 01", "08 00 "+ext))},
		{"row and cell", message("12", name+"20 10 "+message("8a 01", "08 00 "+message("22", message("0a", ext)+ext)))},
		{"cell's extension", message("12", name+"20 10 "+message("8a 01", "08 00 "+message("22", message("0a", message("3a", ext)))))},
		{"template", message("12", name+"20 13 "+message("92 01", "28 01 "+ext))},
		{"member", message("12", name+"20 13 "+message("92 01", message("12", name+ext)+"28 01 "))},
		{"parameter", message("12", name+"20 13 "+message("92 01", message("1a", name+ext)+"28 01 "))},
		{"parameter's extension", message("12", name+"20 13 "+message("92 01", message("1a", name+message("4a", ext))+"28 01 "))},
		{"metric's extension", message("12", name+message("9a 01", ext))},
		{"metric of a later datatype", message("12", name+"20 63 50 07")},
		{"wrong wire type", "0d 01 00 00 00"},
		{"a group", "7b 08 01 7c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := raw(t, tt.hex)
			p := mustDecode(t, in)
			if got := Encode(p); !bytes.Equal(got, in) {
				t.Errorf("encoded again:\n got %x\nwant %x", got, in)
			}
			for i := range p.Metrics {
				m := &p.Metrics[i]
				if m.Type == Template { // apart and together again
					tv, err := ParseTemplate(m.Value, Limits{})
					if err != nil || !bytes.Equal(tv.Value().Bytes, m.Value.Bytes) {
						t.Errorf("template:\n got %x\nwant %x: %v", tv.Value().Bytes, m.Value.Bytes, err)
					}
				}
				if m.Metadata != nil {
					md, err := ParseMetadata(m.Metadata)
					if err != nil || !bytes.Equal(md.Bytes(), m.Metadata) {
						t.Errorf("metadata:\n got %x\nwant %x: %v", md.Bytes(), m.Metadata, err)
					}
				}
			}
		})
	}
}

// TestArrayTooLong: a boolean takes a bit on the wire and much more as an element; nobody makes a million of them.
func TestArrayTooLong(t *testing.T) {
	b := make([]byte, 4+maxElements/8+1)
	for name, n := range map[string]int{"most": maxElements, "one more": maxElements + 1} {
		b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16)
		p := mustDecode(t, Encode(&Payload{Metrics: []Metric{{Name: "a", Type: BooleanArray, Value: Value{Type: BooleanArray, Bytes: b}}}}))
		if fits := p.Metrics[0].Value.Type == BooleanArray; fits != (n == maxElements) {
			t.Errorf("%s: fits %v, problems %q", name, fits, p.Problems)
		}
		if _, err := (&Metric{Field: FieldBytes, Value: Value{Bytes: b}}).As(BooleanArray); (err == nil) != (n == maxElements) ||
			err != nil && !strings.Contains(err.Error(), "elements") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
