package sparkplug

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"edge/proto/sparkplugpb"
)

// int32s is a member with an alias; alias 0: none.
func int32s(name string, alias uint64, n int64) Metric {
	return Metric{Name: name, Alias: alias, HasAlias: alias > 0, Type: Int32, Value: Int64Value(Int32, n)}
}

// sent is a value as DATA carries it: no datatype.
func sent(m Metric) Metric {
	m.Field = FieldOf(m.Type, FieldNone)
	m.Type, m.Value.Type = Unknown, Unknown
	return m
}

func parameter(name string, n int64) Parameter {
	return Parameter{Name: name, Type: Int32, Value: Int64Value(Int32, n)}
}

// motor is a definition with a nested one: Motor{rpm, load, bearing Bearing{t, wear}; poles = 4, phases = 3}.
func motor() Definitions {
	bearing := TemplateValue{IsDefinition: true, Metrics: []Metric{int32s("t", 0, 0), int32s("wear", 0, 0)}}
	def := TemplateValue{IsDefinition: true, Version: "1", Metrics: []Metric{int32s("rpm", 1, 0), int32s("load", 2, 0),
		{Name: "bearing", Type: Template, Value: (&TemplateValue{Ref: "Bearing"}).Value()}},
		Parameters: []Parameter{parameter("poles", 4), parameter("phases", 3)}}
	return Definitions{"Motor": def.Value().Bytes, "Bearing": bearing.Value().Bytes}
}

// outline is a template in one line: Motor{rpm=1480 bearing=Bearing{t=40}|poles=4}.
func outline(t *testing.T, v Value) string {
	t.Helper()
	tv, err := ParseTemplate(v, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var members, parameters []string
	for _, m := range tv.Metrics {
		text := string(AppendJSON(nil, m.Value))
		if m.Type == Template && !m.Value.Null {
			text = outline(t, m.Value)
		}
		if m.Type == Unknown {
			text += " of no datatype"
		}
		members = append(members, m.Name+"="+text)
	}
	for _, p := range tv.Parameters {
		parameters = append(parameters, p.Name+"="+string(AppendJSON(nil, p.Value)))
	}
	out := tv.Ref + "{" + strings.Join(members, " ")
	if len(parameters) > 0 {
		out += "|" + strings.Join(parameters, " ")
	}
	return out + "}"
}

func instance(ref string, metrics []Metric, parameters ...Parameter) Value {
	return (&TemplateValue{Ref: ref, Metrics: metrics, Parameters: parameters}).Value()
}

// [tck-id-payloads-template-definition-nbirth] [tck-id-payloads-template-definition-members] [tck-id-payloads-template-definition-parameters]
// [tck-id-payloads-template-definition-parameters-default] [tck-id-payloads-template-instance-members]
// [tck-id-payloads-template-instance-members-birth] [tck-id-payloads-template-instance-parameters] [tck-id-payloads-template-parameter-type-req]
func TestTemplateBorn(t *testing.T) {
	bearing := Metric{Name: "bearing", Type: Template, Value: instance("Bearing", []Metric{int32s("t", 0, 40), int32s("wear", 0, 2)})}
	tests := []struct {
		name     string
		in       Value
		want     string
		problems string
	}{
		{"whole", instance("Motor", []Metric{int32s("rpm", 0, 1480), int32s("load", 0, 7), bearing}, parameter("poles", 6), parameter("phases", 1)),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=40 wear=2}|poles=6 phases=1}", ""},
		{"a parameter at its default", instance("Motor", []Metric{int32s("rpm", 0, 1480), int32s("load", 0, 7), bearing}, parameter("poles", 6)),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", ""},
		{"members without datatypes", instance("Motor", []Metric{sent(int32s("rpm", 0, -3)), int32s("load", 0, 7),
			{Name: "bearing", Type: Template, Value: instance("Bearing", []Metric{sent(int32s("t", 0, -4)), int32s("wear", 0, 2)})}}),
			"Motor{rpm=-3 load=7 bearing=Bearing{t=-4 wear=2}|poles=4 phases=3}", ""},
		{"a member by its alias", instance("Motor", []Metric{int32s("", 1, 9), int32s("load", 0, 7), bearing}),
			"Motor{rpm=9 load=7 bearing=Bearing{t=40 wear=2}|poles=4 phases=3}", ""},
		{"a member missing", instance("Motor", []Metric{int32s("rpm", 0, 1)}),
			"Motor{rpm=1|poles=4 phases=3}", "instance-members-birth"},
		{"a member too many", instance("Bearing", []Metric{int32s("t", 0, 1), int32s("wear", 0, 2), int32s("oil", 0, 3)}),
			"Bearing{t=1 wear=2 oil=3}", "instance-members]"},
		{"a parameter too many", instance("Bearing", []Metric{int32s("t", 0, 1), int32s("wear", 0, 2)}, parameter("oil", 3)),
			"Bearing{t=1 wear=2|oil=3}", "definition-parameters"},
		{"a parameter without a datatype", instance("Bearing", []Metric{int32s("t", 0, 1), int32s("wear", 0, 2)},
			Parameter{Name: "oil", Field: FieldInt, Value: Value{Num: 3}}), "Bearing{t=1 wear=2|oil=null}", "parameter-type-req"},
		{"no such definition", instance("Pump", []Metric{int32s("a", 0, 1)}), "Pump{a=1}", "definition-nbirth"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, problems, err := motor().Born(tt.in, Limits{})
			if o := outline(t, got); o != tt.want || err != nil {
				t.Errorf("\n got %s\nwant %s: %v", o, tt.want, err)
			}
			if text := strings.Join(problems, "\n"); (text == "") != (tt.problems == "") || !strings.Contains(text, tt.problems) {
				t.Errorf("problems %q, want one with %q", problems, tt.problems)
			}
			if tt.name == "whole" && &got.Bytes[0] != &tt.in.Bytes[0] {
				t.Error("an instance that lacks nothing was written anew")
			}
		})
	}
}

// [tck-id-payloads-template-instance-members-data] [tck-id-payloads-template-instance-ref] [tck-id-payloads-template-ref-instance]
func TestTemplateMerged(t *testing.T) {
	property := []Property{{Key: "engUnit", Value: StringValue("1/min"), Field: FieldString}}
	rpm := int32s("rpm", 11, 1480)
	rpm.Properties = property
	bearing := Metric{Name: "bearing", Type: Template, Value: instance("Bearing", []Metric{int32s("t", 0, 40), int32s("wear", 0, 2)})}
	base := instance("Motor", []Metric{rpm, int32s("load", 12, 7), bearing}, parameter("poles", 6), parameter("phases", 3))
	tests := []struct {
		name     string
		base, in Value
		want     string
		problems string
	}{
		{"one member", base, instance("Motor", []Metric{sent(int32s("load", 0, 8))}),
			"Motor{rpm=1480 load=8 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", ""},
		{"by alias", base, instance("Motor", []Metric{sent(int32s("", 11, 1500))}),
			"Motor{rpm=1500 load=7 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", ""},
		{"the name outweighs the alias", base, instance("Motor", []Metric{sent(int32s("load", 11, 9))}),
			"Motor{rpm=1480 load=9 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", ""},
		{"a member of a member", base, instance("Motor", []Metric{{Name: "bearing", Field: FieldTemplate, Type: Template,
			Value: instance("Bearing", []Metric{sent(int32s("t", 0, -1))})}}),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=-1 wear=2}|poles=6 phases=3}", ""},
		{"a parameter", base, instance("Motor", nil, Parameter{Name: "poles", Field: FieldInt, Value: Value{Num: 2}}),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=40 wear=2}|poles=2 phases=3}", ""},
		{"a null member", base, instance("Motor", []Metric{{Name: "load", Value: Value{Null: true}}}),
			"Motor{rpm=1480 load=null bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", ""},
		{"a member that its birth lacked", instance("Motor", []Metric{rpm}), instance("Motor", []Metric{sent(int32s("load", 0, -8))}),
			"Motor{rpm=1480 load=-8}", ""},
		{"a member nobody knows", base, instance("Motor", []Metric{int32s("oil", 0, 8)}),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", "instance-members]"},
		{"a parameter nobody knows", base, instance("Motor", nil, parameter("oil", 1)),
			"Motor{rpm=1480 load=7 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", "definition-parameters"},
		{"another template", base, instance("Bearing", []Metric{sent(int32s("load", 0, 8))}),
			"Motor{rpm=1480 load=8 bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", "born as one of"},
		{"a value of another datatype", base, instance("Motor", []Metric{{Name: "load", Field: FieldString, Value: Value{Bytes: []byte("x")}}}),
			"Motor{rpm=1480 load=null bearing=Bearing{t=40 wear=2}|poles=6 phases=3}", "does not fit"},
		{"born null", Value{Type: Template, Null: true}, instance("Bearing", []Metric{sent(int32s("t", 0, -1))}), "Bearing{t=-1}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := bytes.Clone(tt.base.Bytes)
			got, problems, err := motor().Merged(tt.base, tt.in, Limits{})
			if o := outline(t, got); o != tt.want || err != nil {
				t.Errorf("\n got %s\nwant %s: %v", o, tt.want, err)
			}
			if text := strings.Join(problems, "\n"); (text == "") != (tt.problems == "") || !strings.Contains(text, tt.problems) {
				t.Errorf("problems %q, want one with %q", problems, tt.problems)
			}
			if !bytes.Equal(before, tt.base.Bytes) {
				t.Error("the last whole one was changed in place")
			}
			if tt.name == "by alias" {
				whole, _ := ParseTemplate(got, Limits{})
				if d := cmp.Diff(property, whole.Metrics[0].Properties); d != "" {
					t.Errorf("properties of the birth: %s", d)
				}
			}
		})
	}
	if _, _, err := motor().Merged(base, Value{Type: Template, Bytes: []byte{0xff}}, Limits{}); err == nil {
		t.Error("garbage is merged")
	}
}

// TestTemplateAgainstModel: instances come whole, then in part, by name or by alias, members null or without a datatype. What is made of them
// is what a map of members says.
func TestTemplateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		def := TemplateValue{IsDefinition: true}
		for i, n := range names {
			def.Metrics = append(def.Metrics, int32s(n, uint64(i+1), 0))
		}
		defs := Definitions{"T": def.Value().Bytes}
		member := func(i int) (Metric, string) {
			m := int32s(names[i], uint64(i+1), rapid.Int64Range(-5, 5).Draw(t, "value"))
			if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
				m.Value = Value{Type: Int32, Null: true}
			}
			shown := string(AppendJSON(nil, m.Value))
			if rapid.Bool().Draw(t, "no datatype") {
				m = sent(m)
			}
			switch rapid.IntRange(0, 2).Draw(t, "called by") {
			case 0:
				m.Name = ""
			case 1:
				m.HasAlias = false
			}
			return m, shown
		}
		model := map[string]string{}
		var born []Metric
		for i := range names {
			if rapid.IntRange(0, 3).Draw(t, "in the birth") > 0 {
				m, shown := member(i)
				model[names[i]], born = shown, append(born, m)
			}
		}
		whole, _, err := defs.Born(instance("T", born), Limits{})
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseTemplate(whole, Limits{})
			if err != nil || len(got.Metrics) != len(model) {
				t.Fatalf("step %d: %d members, want %v: %v", step, len(got.Metrics), model, err)
			}
			for _, m := range got.Metrics {
				if s := string(AppendJSON(nil, m.Value)); s != model[m.Name] || m.Type != Int32 {
					t.Fatalf("step %d: member %q %s is %s, want %s", step, m.Name, m.Type, s, model[m.Name])
				}
			}
			var part []Metric
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(names)-1), 1, 3, rapid.ID[int]).Draw(t, "members") {
				m, shown := member(i)
				model[names[i]], part = shown, append(part, m)
			}
			whole, _, err = defs.Merged(whole, instance("T", part), Limits{})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTemplateGrows: DATA cannot make an instance grow beyond its definition, nor cost more than its bytes.
func TestTemplateGrows(t *testing.T) {
	var many []Metric
	for i := range 20_000 {
		many = append(many, int32s(fmt.Sprintf("m%d", i), uint64(i+100), 1))
	}
	defs := motor()
	whole := instance("Bearing", []Metric{int32s("t", 0, 1)})
	for range 3 {
		var err error
		if whole, _, err = defs.Merged(whole, instance("Bearing", many), Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	if o := outline(t, whole); o != "Bearing{t=1}" {
		t.Errorf("grown to %.200s", o)
	}
}

// TestTemplateFlags: what is written has is_definition and template_ref as the text demands.
// [tck-id-payloads-template-is-definition] [tck-id-payloads-template-is-definition-definition] [tck-id-payloads-template-is-definition-instance]
// [tck-id-payloads-template-definition-is-definition] [tck-id-payloads-template-instance-is-definition] [tck-id-payloads-template-ref-definition]
// [tck-id-payloads-template-version] [tck-id-payloads-template-parameter-name-type] [tck-id-payloads-template-parameter-value-type]
// [tck-id-payloads-template-parameter-value]
func TestTemplateFlags(t *testing.T) {
	values := []Value{Int64Value(Int32, -1), Int64Value(Int64, -2), FloatValue(1.5), DoubleValue(2.5), BoolValue(true), StringValue("s"),
		{Type: Double, Null: true}}
	var parameters []Parameter
	for i, v := range values {
		parameters = append(parameters, Parameter{Name: fmt.Sprintf("Ω%d", i), Type: v.Type, Value: v})
	}
	for _, tv := range []TemplateValue{
		{Version: "1", Ref: "ignored", IsDefinition: true, Parameters: parameters},
		{Version: "ü", Ref: "Motor", Parameters: parameters},
	} {
		var pb sparkplugpb.Payload_Template
		if err := proto.Unmarshal(tv.Value().Bytes, &pb); err != nil {
			t.Fatal(err)
		}
		if pb.IsDefinition == nil || pb.GetIsDefinition() != tv.IsDefinition || (pb.TemplateRef == nil) != tv.IsDefinition || pb.GetVersion() != tv.Version {
			t.Errorf("%v", &pb)
		}
		for i, p := range pb.Parameters {
			if p.GetName() != parameters[i].Name || p.GetType() != uint32(parameters[i].Type) || (p.Value == nil) != values[i].Null {
				t.Errorf("parameter %v", p)
			}
		}
		back, err := ParseTemplate(tv.Value(), Limits{})
		if err != nil || len(back.Parameters) != len(values) {
			t.Fatalf("%+v, %v", back, err)
		}
		for i, p := range back.Parameters {
			if d := cmp.Diff(values[i], p.Value); d != "" {
				t.Errorf("%s: %s", p.Name, d)
			}
		}
	}
}
