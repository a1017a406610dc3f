package sparkplug

import (
	"strings"
	"testing"
	"time"
)

// definition is a template's definition as a birth carries it.
func (p *plant) definition(name string) Metric {
	return Metric{Name: name, Type: Template, Value: Value{Type: Template, Bytes: motor()[name]}, Timestamp: Millis(p.now), HasTimestamp: true}
}

func (p *plant) template(name string, v Value) Metric {
	return Metric{Name: name, Type: Template, Value: v, Timestamp: Millis(p.now), HasTimestamp: true}
}

// templates returns what the step recorded of templates, in outline.
func (p *plant) templates() (out []string) {
	for _, r := range p.out.Records {
		if r.Sample != nil && r.Sample.Value.Type == Template {
			out = append(out, outline(p.t.(*testing.T), r.Sample.Value))
		}
	}
	return out
}

// An instance that DATA sends in part is shown and recorded whole.
// [tck-id-payloads-template-definition-nbirth] [tck-id-payloads-template-definition-nbirth-only]
// [tck-id-payloads-template-instance-members-birth] [tck-id-payloads-template-instance-members-data]
func TestHostTemplates(t *testing.T) {
	p := newPlant(t, Options{})
	whole := instance("Bearing", []Metric{int32s("t", 0, 40), int32s("wear", 0, 2)})
	want := func(what string, shown string, recorded ...string) {
		t.Helper()
		m, _ := p.h.Metric(MetricRef{"G", "E", "D", "b1"})
		if got := outline(t, m.Value); got != shown || strings.Join(p.templates(), ";") != strings.Join(recorded, ";") {
			t.Errorf("%s: shown %s, recorded %q; want %s, %q", what, got, p.templates(), shown, recorded)
		}
	}
	p.nbirth(0, p.definition("Bearing"))
	if _, ok := p.h.Metric(MetricRef{"G", "E", "", "Bearing"}); ok {
		t.Error("a definition is shown as a metric")
	}
	p.dbirth("D", 1, p.template("b1", whole))
	want("born", "Bearing{t=40 wear=2}", "Bearing{t=40 wear=2}")
	p.ddata("D", 2, p.template("b1", instance("Bearing", []Metric{sent(int32s("t", 0, -1))})))
	want("one member", "Bearing{t=-1 wear=2}", "Bearing{t=-1 wear=2}")
	old := p.template("b1", instance("Bearing", []Metric{sent(int32s("wear", 0, 1))}))
	old.Historical = true
	p.ddata("D", 3, old)
	want("historical", "Bearing{t=-1 wear=2}", "Bearing{wear=1}")
	p.ddata("D", 4, p.template("b1", instance("Bearing", []Metric{sent(int32s("wear", 0, 3))})))
	want("the other member", "Bearing{t=-1 wear=3}", "Bearing{t=-1 wear=3}")
	if w := p.node().Warnings; len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
	p.nbirth(0)
	p.dbirth("D", 1, p.definition("Motor"), p.template("b1", whole))
	p.wantWarning("payloads-template-definition-nbirth]")
	p.wantWarning("payloads-template-definition-nbirth-only")
	p.ddata("D", 2, p.template("b1", instance("Bearing", []Metric{sent(int32s("oil", 0, 1))})))
	p.wantWarning("neither in its birth nor in its definition")
	want("a member nobody knows", "Bearing{t=40 wear=2}", "Bearing{t=40 wear=2}")
}

// A definition is memory that a node takes: it is counted, and given back.
func TestHostDefinitionsBounded(t *testing.T) {
	p := newPlant(t, Options{})
	p.nbirth(0)
	empty := p.h.bytes
	p.nbirth(0, p.definition("Motor"), p.definition("Bearing"), p.definition("Bearing"))
	if n := len(p.h.nodes[NodeRef{"G", "E"}].definitions); n != 2 || p.h.bytes <= empty {
		t.Errorf("%d definitions, %d bytes counted", n, p.h.bytes-empty)
	}
	p.nbirth(0)
	if p.h.bytes != empty {
		t.Errorf("%d bytes are not given back", p.h.bytes-empty)
	}
	p.h.o.MaxBytes = p.h.bytes + 100
	p.nbirth(0, p.definition("Motor"))
	p.wantWarning("more template definitions than there is room for")
}

// A file in parts is shown and recorded once, whole; a part that is missing is told.
func TestHostFiles(t *testing.T) {
	p := newPlant(t, Options{})
	recipe := func(pt part) Metric {
		return Metric{Name: "recipe", Type: File, Value: Value{Type: File, Bytes: []byte(pt.data)}, Metadata: pt.md.Bytes(),
			Timestamp: Millis(p.now), HasTimestamp: true}
	}
	list := parts("0123456789", 4)
	p.nbirth(0, Metric{Name: "recipe", Type: File, Value: Value{Type: File, Null: true}, Timestamp: Millis(p.now), HasTimestamp: true})
	for i, pt := range list {
		p.ndata(1+i, recipe(pt))
		if i < 2 {
			p.want()
		}
	}
	p.want(`recipe="MDEyMzQ1Njc4OQ=="`)
	if v := p.value("", "recipe"); v != `"MDEyMzQ1Njc4OQ==" good` || len(p.node().Warnings) > 0 {
		t.Errorf("%s, %q", v, p.node().Warnings)
	}
	p.ndata(4, recipe(list[0]))
	p.ndata(5, recipe(list[2]))
	p.want()
	p.wantWarning(`metric "recipe": part 1 of file "recipe.xml" is missing, part 2 came`)
	p.ndata(6, recipe(list[0]))
	if due := p.h.NextTick(); !due.Equal(p.now.Add(time.Minute)) {
		t.Errorf("next tick %v", due)
	}
	p.tick(time.Minute)
	p.wantWarning("it did not come for 1m0s")
	if !p.h.NextTick().IsZero() || p.h.files.bytes != 0 {
		t.Errorf("next tick %v, %d bytes", p.h.NextTick(), p.h.files.bytes)
	}
	p.ndata(7, recipe(list[0]))
	p.nbirth(0, recipe(list[0]))
	p.want("node born")
	if v := p.value("", "recipe"); v != "null never" {
		t.Error(v)
	}
	p.ndata(1, recipe(list[1]))
	p.ndata(2, recipe(list[2]))
	p.want(`recipe="MDEyMzQ1Njc4OQ=="`)
}
