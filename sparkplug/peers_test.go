package sparkplug

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// peerPayloads are files that the JavaScript codec of Eclipse Tahu, npm's sparkplug-payload, wrote.
func peerPayloads(t testing.TB) map[string][]byte { return binaries(t, "testdata/peers") }

// TestPeerBytes re-makes the files: the codec has no part in them.
func TestPeerBytes(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on PATH: apt-get install nodejs npm")
	}
	modules, err := filepath.Abs("../cmd/edge/testdata/peers/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "sparkplug-payload")); err != nil {
		t.Skip("sparkplug-payload is not installed: npm ci --prefix cmd/edge/testdata/peers")
	}
	cmd := exec.CommandContext(t.Context(), node, "npm.cjs")
	cmd.Dir, cmd.Env = "testdata/peers", append(os.Environ(), "NODE_PATH="+modules)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made map[string][]byte
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	files := peerPayloads(t)
	for name, got := range made {
		if !bytes.Equal(got, files["npm_"+name]) {
			t.Errorf("npm_%s.bin is not what the script makes", name)
		}
	}
	if len(made) != len(files) {
		t.Errorf("the script makes %d payloads, %d are here", len(made), len(files))
	}
}

// TestPeerPayloads reads all of them: each line is name or alias, datatype, JSON of the value and of the properties.
func TestPeerPayloads(t *testing.T) {
	want := map[string]string{
		"npm_ndata": `
0|Double|21.5
1|Int8|-40
2|Int16|-30000|historical
3|UInt32|4294967295|transient
4|String|null
5|Boolean|false`,
		"npm_templates": `
bdSeq|UInt64|"3"
Bearing|Template|{"template_ref":"","is_definition":true,"version":"1","metrics":[{"name":"t","datatype":"Float","value":0}],"parameters":[]}
Motor|Template|{"template_ref":"","is_definition":true,"version":"1","metrics":[{"name":"rpm","datatype":"Int32","value":0},{"name":"bearing","datatype":"Template","value":{"template_ref":"Bearing","is_definition":false,"version":"","metrics":[{"name":"t","datatype":"Float","value":0}],"parameters":[]}}],"parameters":[{"name":"poles","datatype":"UInt8","value":4},{"name":"maker","datatype":"String","value":""}]}
M1|Template|{"template_ref":"Motor","is_definition":false,"version":"1","metrics":[{"name":"rpm","datatype":"Int32","value":1480},{"name":"bearing","datatype":"Template","value":{"template_ref":"Bearing","is_definition":false,"version":"","metrics":[{"name":"t","datatype":"Float","value":40.5}],"parameters":[]}}],"parameters":[{"name":"maker","datatype":"String","value":"ACME"}]}`,
		"npm_structures": `
table|DataSet|{"columns":["a","b","c","d","e","f"],"types":["Int32","Double","Boolean","String","UInt16","Float"],"rows":[[-1,1.5,true,"x",65535,0.25],[2,-2.5,false,"",0,-1]]}
empty|DataSet|{"columns":["note"],"types":["Text"],"rows":[]}
tagged|Int32|5|engUnit="°C"|Quality=500|low=-1.5|alarm={"high":90,"armed":true}|steps=[{"n":1},{"n":2}]
file|File|"cGFydA=="|part 0 of a.txt`,
		"npm_ndeath": `
bdSeq|UInt64|"255"`,
		"npm_ncmd": `
Node Control/Rebirth|Boolean|true`,
	}
	for name, data := range peerPayloads(t) {
		if name == "npm_birth" { // TestPeerBirth
			continue
		}
		p := mustDecode(t, data)
		var got strings.Builder
		for i := range p.Metrics {
			got.WriteString("\n" + peerLine(t, &p.Metrics[i]))
		}
		if d := cmp.Diff(want[name], got.String()); d != "" || len(p.Problems) > 0 {
			t.Errorf("%s (-want +got):\n%s%q", name, d, p.Problems)
		}
		if again := Encode(p); !cmp.Equal(mustDecode(t, again), p) {
			t.Errorf("%s: read again after writing, it differs", name)
		}
	}
}

func peerLine(t *testing.T, m *Metric) string {
	line := m.Name
	if m.HasAlias {
		line = fmt.Sprint(m.Alias)
	}
	line += "|" + m.Type.String() + "|" + string(AppendJSON(nil, m.Value))
	for _, p := range m.Properties {
		line += "|" + p.Key + "=" + string(AppendJSON(nil, p.Value))
	}
	if m.Historical {
		line += "|historical"
	}
	if m.Transient {
		line += "|transient"
	}
	if m.Metadata != nil {
		md, err := ParseMetadata(m.Metadata)
		if err != nil || !md.MultiPart || md.Size != 8 || md.MD5 != "00" {
			t.Errorf("%+v, %v", md, err)
		}
		line += fmt.Sprintf("|part %d of %s", md.Seq, md.FileName)
	}
	return line
}

// TestPeerBirth reads a birth that it wrote: datatypes on every metric, no metric
// timestamps, UInt32 and bdSeq in long_value, an alias of 0.
func TestPeerBirth(t *testing.T) {
	data, err := os.ReadFile("testdata/peers/npm_birth.bin")
	if err != nil {
		t.Fatal(err)
	}
	want := `
bdSeq|UInt64|11|"0"
i8|Int8|10|-1
i32|Int32|10|-12
i64|Int64|11|"-5"
u32|UInt32|11|4000000000
f|Float|12|1.5
d|Double|13|1.25
b|Boolean|14|true
s|String|15|"hi"
by|Bytes|16|"AP8="
n|Double|0|null
dt|DateTime|11|"2026-08-06T07:06:40.000Z"
ds|DataSet|17|{"columns":["a","b"],"types":["String","Int32"],"rows":[["x",1],["y",-2]]}
t|Template|18|{"template_ref":"T","is_definition":false,"version":"1","metrics":[{"name":"m","datatype":"Int32","value":3}],"parameters":[{"name":"p","datatype":"String","value":"q"}]}`
	p := mustDecode(t, data)
	var got strings.Builder
	for _, m := range p.Metrics {
		fmt.Fprintf(&got, "\n%s|%s|%d|%s", m.Name, m.Type, m.Field, AppendJSON(nil, m.Value))
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
	if f := p.Metrics[5]; !f.HasAlias || f.Alias != 0 || !p.Metrics[6].Historical || BdSeqOf(p) != 0 || !p.HasSeq || len(p.Problems) > 0 {
		t.Errorf("%+v", p)
	}
	if v, ok := p.Metrics[8].Property("engUnit"); !ok || string(v.Bytes) != "C" {
		t.Errorf("properties %+v", p.Metrics[8].Properties)
	}
}
