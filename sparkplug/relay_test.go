package sparkplug

import (
	"strings"
	"testing"
)

// [tck-id-payloads-alias-uniqueness]
func TestRelayed(t *testing.T) {
	aliases := func(v Value) string {
		var out strings.Builder
		var walk func(v Value)
		walk = func(v Value) {
			tv, err := ParseTemplate(v, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tv.Metrics {
				if m.HasAlias {
					out.WriteString(m.Name + "*")
				}
				if m.Type == Template {
					walk(m.Value)
				}
			}
		}
		walk(v)
		return out.String()
	}
	inner := instance("Bearing", []Metric{int32s("t", 7, 40)})
	deep := instance("Motor", []Metric{int32s("rpm", 0, 1), {Name: "bearing", Type: Template, Value: inner}})
	both := instance("Motor", []Metric{int32s("rpm", 5, 1), int32s("", 6, 2), {Name: "bearing", Type: Template, Value: inner}})
	for _, tt := range []struct {
		name string
		in   Value
		want string
	}{{"none", instance("Motor", []Metric{int32s("rpm", 0, 1)}), ""}, {"deep", deep, ""}, {"a member without a name keeps its own", both, "*"}} {
		m := Metric{Name: "M", Type: Template, Value: tt.in}
		m.Relayed(Limits{})
		if got := aliases(m.Value); got != tt.want || outline(t, m.Value) != outline(t, tt.in) {
			t.Errorf("%s: aliases %q, want %q; %s", tt.name, got, tt.want, outline(t, m.Value))
		}
	}
	md := parts("0123456789", 4)[0].md
	file := Metric{Name: "f", Type: File, Field: FieldBytes, Value: Value{Type: File, Bytes: []byte("0123")}, Metadata: md.Bytes()}
	file.Relayed(Limits{})
	got, err := ParseMetadata(file.Metadata)
	if err != nil || got.MultiPart || got.HasSeq || got.HasSize || got.MD5 != "" || got.FileName != "recipe.xml" || !file.Value.Null || !file.Missing {
		t.Errorf("%+v, %+v, %v", file, got, err)
	}
	whole := Metric{Name: "f", Type: File, Value: Value{Type: File, Bytes: []byte("0123")}, Metadata: (&Metadata{FileName: "a", MD5: "x"}).Bytes()}
	whole.Relayed(Limits{})
	if got, _ := ParseMetadata(whole.Metadata); whole.Value.Null || got.MD5 != "x" {
		t.Errorf("a whole file is left as it is: %+v", whole)
	}
	if v := Unaliased(DoubleValue(1), Limits{}); v.Num != DoubleValue(1).Num {
		t.Errorf("%+v", v)
	}
}
