package sparkplug

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// raw joins hex bytes written with spaces; what follows "//" on a line is a comment.
func raw(t testing.TB, lines string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(lines) {
		line, _, _ = strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Bytes that other programs put on the wire.
var peerBytes = []struct {
	name, hex string
	want      Metric
}{
	{"npm null metric", `
		12 07       // metric, 7 bytes
		0a 01 6e    //   name "n"
		20 0a       //   datatype Double
		38 01       //   is_null`,
		Metric{Name: "n", Type: Double, Value: Value{Type: Double, Null: true}}},
	{"npm alias-only double", `
		12 0d                      // metric, 13 bytes
		10 05                      //   alias 5
		20 0a                      //   datatype Double
		69 00 00 00 00 00 00 f8 3f //   double_value 1.5`,
		Metric{Alias: 5, HasAlias: true, Type: Double, Field: FieldDouble, Value: DoubleValue(1.5)}},
	{"int8 -1, sign-extended to 32 bits", `
		12 08
		20 01             // datatype Int8
		50 ff ff ff ff 0f // int_value`,
		Metric{Type: Int8, Field: FieldInt, Value: Int64Value(Int8, -1)}},
	{"int8 -1 in a 64-bit varint", `
		12 0d
		20 01
		50 ff ff ff ff ff ff ff ff ff 01`,
		Metric{Type: Int8, Field: FieldInt, Value: Int64Value(Int8, -1)}},
	{"int64 -5", `
		12 0d
		20 04                            // datatype Int64
		58 fb ff ff ff ff ff ff ff ff 01 // long_value`,
		Metric{Type: Int64, Field: FieldLong, Value: Int64Value(Int64, -5)}},
	{"uint32 in long_value", `
		12 08
		20 07             // datatype UInt32
		58 ff ff ff ff 0f // long_value`,
		Metric{Type: UInt32, Field: FieldLong, Value: Int64Value(UInt32, 1<<32-1)}},
	{"zeros are present", `
		12 08
		10 00 // alias 0
		18 00 // timestamp 0
		20 03 // datatype Int32
		50 00 // int_value 0`,
		Metric{HasAlias: true, HasTimestamp: true, Type: Int32, Field: FieldInt, Value: Value{Type: Int32}}},
	{"no value and no is_null", `
		12 05
		0a 01 6e
		20 0a`,
		Metric{Name: "n", Type: Double, Missing: true, Value: Value{Type: Double, Null: true}}},
}

func TestDecodePeerBytes(t *testing.T) {
	for _, tt := range peerBytes {
		t.Run(tt.name, func(t *testing.T) {
			p := mustDecode(t, raw(t, tt.hex))
			if len(p.Metrics) != 1 {
				t.Fatalf("%d metrics", len(p.Metrics))
			}
			if d := cmp.Diff(tt.want, p.Metrics[0]); d != "" {
				t.Errorf("metric (-want +got):\n%s", d)
			}
		})
	}
}

// Fields of later versions and of extension ranges go through, in payload and metric.
func TestUnknownFieldsAreCarried(t *testing.T) {
	in := raw(t, `
		12 09          // metric
		0a 01 6e       //   name "n"
		50 02          //   int_value 2
		fa 07 01 41    //   field 127, bytes "A"
		18 07          // seq 7
		38 09          // field 7, varint 9
		0d 01 00 00 00 // field 1 with the wrong wire type, fixed32`)
	p := mustDecode(t, in)
	if got := Encode(p); !bytes.Equal(got, in) {
		t.Errorf("encoded again:\n got %x\nwant %x", got, in)
	}
	if p.HasTimestamp {
		t.Error("a fixed32 in field 1 was taken for the timestamp")
	}
}

// [tck-id-payloads-propertyset-values-array-size] [tck-id-payloads-propertyset-keys-array-size]
// [tck-id-payloads-dataset-column-size] [tck-id-payloads-dataset-column-num-headers] [tck-id-payloads-dataset-types-num]
// [tck-id-payloads-dataset-types-def] [tck-id-payloads-dataset-types-type] [tck-id-payloads-dataset-types-value]
// [tck-id-payloads-dataset-parameter-type-req] [tck-id-payloads-template-is-definition] [tck-id-payloads-template-definition-ref]
// [tck-id-payloads-template-ref-definition] [tck-id-payloads-template-instance-ref] [tck-id-payloads-template-ref-instance]
// [tck-id-payloads-template-parameter-name-required] [tck-id-payloads-template-parameter-type-value]
func TestContradictionsAreProblems(t *testing.T) {
	tests := []struct{ name, hex, problem string }{
		{"data set: one column said, none there", "12 05 8a 01 02 08 01", "dataset-column-size"},
		{"data set: a column without a type", "12 08 8a 01 05 08 01 12 01 61", "dataset-types-num"},
		{"data set: a column of bytes", "12 0a 8a 01 07 08 01 12 01 61 18 11", "dataset-types-value"},
		{"template without is_definition", "12 03 92 01 00", "template-is-definition"},
		{"definition with a reference", "12 08 92 01 05 22 01 61 28 01", "template-definition-ref"},
		{"instance without a reference", "12 05 92 01 02 28 00", "template-instance-ref"},
		{"parameter without a name", "12 07 92 01 04 28 01 1a 00", "template-parameter-name-required"},
		{"parameter of bytes", "12 0c 92 01 09 28 01 1a 05 0a 01 61 10 11", "template-parameter-type-value"},
		{"null with a value", "12 09 0a 01 6e 20 03 38 01 50 07", "is_null and a value"},
		{"double in int_value", "12 07 0a 01 6e 20 0a 50 02", "does not fit its datatype Double"},
		{"array of a broken length", "12 09 0a 01 6e 20 18 82 01 01 00", "does not fit its datatype Int32Array"},
		{"booleans beyond the bits", "12 0d 0a 01 6e 20 20 82 01 05 29 00 00 00 ff", "does not fit its datatype BooleanArray"},
		{"two keys, one value", "12 0d 0a 01 6e 4a 08 0a 01 61 0a 01 62 12 00", "not as many keys as values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustDecode(t, raw(t, tt.hex))
			if len(p.Problems) != 1 || !strings.Contains(p.Problems[0], tt.problem) {
				t.Errorf("problems %q, want one with %q", p.Problems, tt.problem)
			}
		})
	}
}

// nested returns a template that holds a template, and so on.
func nested(depth int) []byte {
	var b []byte
	for range depth {
		t := appendBytes(nil, protowire.Number(FieldTemplate), b) // Metric.template_value
		b = appendBytes(nil, 2, t)                                // Template.metrics
	}
	return appendBytes(nil, 2, appendBytes(nil, protowire.Number(FieldTemplate), b))
}

// nestedSets does the same for property sets.
func nestedSets(depth int) []byte {
	set := []byte{}
	for range depth {
		set = appendBytes(appendBytes(nil, 1, []byte("k")), 2, appendBytes(nil, 9, set))
	}
	return appendBytes(nil, 2, appendBytes(nil, 9, set))
}

// bomb is a compressed payload of many zeros.
func bomb(algorithm string, size int) []byte {
	var body bytes.Buffer
	var w io.WriteCloser = zlib.NewWriter(&body)
	if algorithm == "GZIP" {
		w = gzip.NewWriter(&body)
	}
	w.Write(make([]byte, size)) //nolint:errcheck // into memory
	w.Close()                   //nolint:errcheck // into memory
	return Encode(&Payload{UUID: compressedUUID, Body: body.Bytes(), Metrics: []Metric{{Name: "algorithm", Type: String, Value: StringValue(algorithm)}}})
}

func TestDecodeLimits(t *testing.T) {
	many := bytes.Repeat([]byte{0x12, 0x00}, 50_001)
	cells := appendBytes(nil, 2, appendBytes(nil, protowire.Number(FieldDataSet), appendBytes(nil, 4, bytes.Repeat([]byte{0x0a, 0}, 300))))
	tests := []struct {
		name   string
		data   []byte
		limits Limits
		want   error
	}{
		{"metrics at the limit", many[2:], Limits{}, nil},
		{"metrics over it", many, Limits{}, ErrLimit},
		{"bytes", make([]byte, 11), Limits{Bytes: 10}, ErrLimit},
		{"name at the limit", Encode(&Payload{Metrics: []Metric{{Name: "abcd"}}}), Limits{Name: 4}, nil},
		{"name over it", Encode(&Payload{Metrics: []Metric{{Name: "abcde"}}}), Limits{Name: 4}, ErrLimit},
		{"templates at the depth", nested(15), Limits{}, nil},
		{"templates over it", nested(16), Limits{}, ErrLimit},
		{"property sets at the depth", nestedSets(15), Limits{}, nil},
		{"property sets over it", nestedSets(16), Limits{}, ErrLimit},
		{"templates 5,000 deep", nested(5000), Limits{}, ErrLimit},
		{"data set cells", cells, Limits{Metrics: 50}, ErrLimit},
		{"zlib bomb", bomb("DEFLATE", 1<<20), Limits{Inflated: 1<<20 - 1}, ErrLimit},
		{"gzip bomb", bomb("GZIP", 1<<20), Limits{Inflated: 1<<20 - 1}, ErrLimit},
		{"unknown compression", bomb("LZ4", 1<<20), Limits{}, ErrPayload},
		{"name not utf-8", raw(t, "12 03 0a 01 ff"), Limits{}, ErrPayload},
		{"name with U+0000", raw(t, "12 03 0a 01 00"), Limits{}, ErrPayload},
		{"cut in a metric", raw(t, "12 05 0a 01"), Limits{}, ErrPayload},
		{"field 0", raw(t, "00 00"), Limits{}, ErrPayload},
		{"garbage in a template", raw(t, "12 04 92 01 01 ff"), Limits{}, ErrPayload},
		{"garbage in a data set", raw(t, "12 04 8a 01 01 ff"), Limits{}, ErrPayload},
		{"garbage in metadata", raw(t, "12 03 42 01 ff"), Limits{}, ErrPayload},
		{"empty", nil, Limits{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Decode(tt.data, tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDecodeCompressed(t *testing.T) {
	inner := Encode(&Payload{Timestamp: 5, HasTimestamp: true, Seq: 99, HasSeq: true, Metrics: []Metric{{Name: "a", Type: Int32, Value: Int64Value(Int32, -3)}}})
	for _, algorithm := range []string{"DEFLATE", "GZIP", ""} {
		var body bytes.Buffer
		var w io.WriteCloser = zlib.NewWriter(&body)
		if algorithm == "GZIP" {
			w = gzip.NewWriter(&body)
		}
		w.Write(inner)
		w.Close()
		outer := Payload{Seq: 3, HasSeq: true, UUID: compressedUUID, Body: body.Bytes()}
		if algorithm != "" {
			outer.Metrics = []Metric{{Name: "algorithm", Type: String, Value: StringValue(algorithm)}}
		}
		p := mustDecode(t, Encode(&outer))
		if !p.Compressed || p.Seq != 3 || p.Timestamp != 5 || len(p.Metrics) != 1 || p.Metrics[0].Name != "a" || int64(p.Metrics[0].Value.Num) != -3 {
			t.Errorf("algorithm %q: %+v", algorithm, p)
		}
		again := Encode(&Payload{UUID: compressedUUID, Body: zip(t, Encode(&outer))})
		if _, err := Decode(again, Limits{}); !errors.Is(err, ErrPayload) {
			t.Errorf("compressed twice: %v", err)
		}
	}
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
