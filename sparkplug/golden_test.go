package sparkplug

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenPayloads are files that protoc encoded from text; the codec had no part in them.
func goldenPayloads(t testing.TB) map[string][]byte {
	t.Helper()
	return binaries(t, "testdata/payloads")
}

func binaries(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no payloads in %s: %v", dir, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".bin")] = b
	}
	return out
}

// TestGoldenBytes re-makes the files with protoc. [tck-id-payloads-metric-datatype-value-type]
func TestGoldenBytes(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("protoc is not on PATH: apt-get install protobuf-compiler")
	}
	for name, want := range goldenPayloads(t) {
		text, err := os.Open("testdata/payloads/" + name + ".txtpb")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(protoc, "-I", "../proto", "--encode=org.eclipse.tahu.protobuf.Payload", "sparkplug_b.proto")
		cmd.Stdin = text
		got, err := cmd.Output()
		text.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s.bin is not what protoc makes of %s.txtpb", name, name)
		}
	}
}

// TestGoldenValues reads what protoc wrote. Each line: name, datatype, JSON of the value.
// [tck-id-payloads-metric-datatype-value] [tck-id-payloads-metric-timestamp-in-UTC] [tck-id-payloads-timestamp-in-UTC]
func TestGoldenValues(t *testing.T) {
	want := map[string]string{
		"nbirth": `
bdSeq|Int64|"41"
Node Control/Rebirth|Boolean|false
Oven/Temperature|Double|184.25
Oven/Door|Boolean|true
Oven/Setpoint|Float|null`,
		"ndata_alias": `
|Unknown|null
|Unknown|null
|Unknown|null
|Unknown|null`,
		"ndeath": `
bdSeq|Int64|"255"`,
		"narrow": `
int8|Int8|-128
int16|Int16|-1`,
		"scalars": `
int8|Int8|-128
int16|Int16|-32768
int32|Int32|-2147483648
int64|Int64|"-5"
uint8|UInt8|255
uint16|UInt16|65535
uint32 in int|UInt32|4294967295
uint32 in long|UInt32|4294967295
uint64|UInt64|"18446744073709551615"
float|Float|-0.5
float nan|Float|"NaN"
double|Double|"-Infinity"
boolean|Boolean|true
string|String|"Öl"
empty string|String|""
datetime|DateTime|"2026-08-06T07:06:40.000Z"
text|Text|"a\nb"
uuid|UUID|"0d2b3b5e-9c7c-4e0e-9d5c-2f4f6d1f3c11"
bytes|Bytes|"AP8="
file|File|"aGk="
null|Double|null`,
		"arrays": `
int8|Int8Array|[-23,123]
int16|Int16Array|[-30000,30000]
int32|Int32Array|[-1,315338746]
int64|Int64Array|["-4270929666821191986","-3601064768563266876"]
uint8|UInt8Array|[23,250]
uint16|UInt16Array|[30,52360]
uint32|UInt32Array|[52,3293969225]
uint64|UInt64Array|["52","16444743074749521625"]
float|FloatArray|[1.23,89.341]
double|DoubleArray|[12.354213,1022.9123213]
boolean|BooleanArray|[false,false,true,true,false,true,false,false,true,true,false,true]
string|StringArray|["ABC","hello"]
datetime|DateTimeArray|["2009-10-21T05:27:55.335Z","2022-06-24T21:57:55.000Z"]
empty|Int32Array|[]`,
		"properties": `
tagged|Int32|5
recipe|File|"MDEyMw=="`,
		"structures": `
Batches|DataSet|{"columns":["id","at","ok"],"types":["Int32","DateTime","Boolean"],"rows":[[-1,"2026-08-06T07:06:40.000Z",true],[2,null,false]]}
Motor|Template|{"template_ref":"","is_definition":true,"version":"1","metrics":[{"name":"rpm","datatype":"Int32","value":0}],"parameters":[{"name":"poles","datatype":"UInt8","value":4}]}
M1|Template|{"template_ref":"Motor","is_definition":false,"version":"1","metrics":[{"name":"rpm","datatype":"Int32","value":1480},{"name":"inner","datatype":"Template","value":{"template_ref":"Bearing","is_definition":false,"version":"","metrics":[{"name":"t","datatype":"Float","value":40.5}],"parameters":[]}}],"parameters":[{"name":"poles","datatype":"UInt8","value":6}]}
Tagged|Int32|5`,
	}
	for name, data := range goldenPayloads(t) {
		t.Run(name, func(t *testing.T) {
			p, err := Decode(data, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, m := range p.Metrics {
				got.WriteString("\n" + m.Name + "|" + m.Type.String() + "|" + string(AppendJSON(nil, m.Value)))
			}
			if d := cmp.Diff(want[name], got.String()); d != "" {
				t.Errorf("values (-want +got):\n%s", d)
			}
			if len(p.Problems) > 0 {
				t.Errorf("problems in a good payload: %q", p.Problems)
			}
		})
	}
}

// TestGoldenBack writes the payloads again: byte for byte what protoc wrote, but for integers of unusual width.
func TestGoldenBack(t *testing.T) {
	for name, data := range goldenPayloads(t) {
		p, err := Decode(data, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if same := bytes.Equal(Encode(p), data); same == (name == "narrow") {
			t.Errorf("%s: encoded again equal = %v\n got %x\nwant %x", name, same, Encode(p), data)
		}
		q, err := Decode(Encode(p), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(p, q); d != "" {
			t.Errorf("%s, decoded again (-first +second):\n%s", name, d)
		}
	}
}

// TestGoldenDetails looks at what the lists above do not show: presence, aliases, flags, properties.
// [tck-id-payloads-propertyset-keys-array-size] [tck-id-payloads-metric-propertyvalue-type-value]
// [tck-id-payloads-metric-propertyvalue-type-type]
func TestGoldenDetails(t *testing.T) {
	g := goldenPayloads(t)
	p := mustDecode(t, g["nbirth"])
	if !p.HasTimestamp || p.Timestamp != 1786000000000 || !p.HasSeq || p.Seq != 0 {
		t.Errorf("timestamp %d %v, seq %d %v", p.Timestamp, p.HasTimestamp, p.Seq, p.HasSeq)
	}
	temp := p.Metrics[2]
	if !temp.HasAlias || temp.Alias != 0 || p.Metrics[0].HasAlias || p.Metrics[4].Alias != 1<<64-1 {
		t.Errorf("aliases are not those sent: %+v", p.Metrics)
	}
	for key, want := range map[string]string{"engUnit": `"°C"`, "engLow": "0", "engHigh": "300", "Quality": "192"} {
		if v, ok := temp.Property(key); !ok || string(AppendJSON(nil, v)) != want {
			t.Errorf("property %s = %s %v, want %s", key, AppendJSON(nil, v), ok, want)
		}
	}
	p = mustDecode(t, g["ndata_alias"])
	as := []DataType{Double, Boolean, Float, Int32}
	for i, want := range []string{"185.5", "false", "190", "-12"} {
		v, err := p.Metrics[i].As(as[i])
		if err != nil || string(AppendJSON(nil, v)) != want {
			t.Errorf("metric %d as %s = %s %v, want %s", i, as[i], AppendJSON(nil, v), err, want)
		}
	}
	if !p.Metrics[2].Historical || !p.Metrics[3].Transient || p.Metrics[0].Historical || p.Metrics[0].Transient {
		t.Error("flags are not those sent")
	}
	if p = mustDecode(t, g["ndeath"]); p.HasSeq || p.HasTimestamp || BdSeqOf(p) != 255 {
		t.Errorf("NDEATH: %+v", p)
	}
	p = mustDecode(t, g["scalars"])
	if p.Metrics[6].Field != FieldInt || p.Metrics[7].Field != FieldLong {
		t.Error("the field a UInt32 came in is forgotten")
	}
}

func mustDecode(t testing.TB, data []byte) *Payload {
	t.Helper()
	p, err := Decode(data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
