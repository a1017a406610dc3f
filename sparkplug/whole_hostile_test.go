package sparkplug

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestInstancesHostile: a birth of a large definition and many instances, of a few bytes each, stands for gigabytes.
func TestInstancesHostile(t *testing.T) {
	const instances = 2000
	var members []Metric
	for i := range 10_000 {
		members = append(members, Metric{Name: fmt.Sprint(i), Type: Double, Value: DoubleValue(0)})
	}
	text := Value{Type: String, Bytes: make([]byte, 400_000)}
	inner := TemplateValue{Ref: "definition"}
	for name, test := range map[string]struct {
		definition, instance TemplateValue
	}{
		"members of the definition":    {TemplateValue{Metrics: members}, TemplateValue{Ref: "definition"}},
		"parameters of the definition": {TemplateValue{Parameters: []Parameter{{Name: "p", Type: String, Value: text}}}, TemplateValue{Ref: "definition"}},
		"instances in instances": {TemplateValue{Parameters: []Parameter{{Name: "p", Type: String, Value: text}}},
			TemplateValue{Ref: "definition", Metrics: []Metric{{Name: "m", Type: Template, Value: inner.Value()}}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, Options{})
			test.definition.IsDefinition = true
			ms := []Metric{{Name: "definition", Type: Template, Value: test.definition.Value()}}
			for i := range instances {
				ms = append(ms, Metric{Name: fmt.Sprint("i", i), Type: Template, Value: test.instance.Value()})
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p.nbirth(0, ms...)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
				t.Errorf("a birth of %d instances took %d MiB", instances, used>>20)
			}
			told := false
			for _, w := range p.h.Nodes()[0].Warnings {
				told = told || strings.Contains(w, "stand for more than 64 MiB")
			}
			if want := name != "members of the definition"; told != want {
				t.Errorf("told of instances that are left as they came: %v, want %v", told, want)
			}
		})
	}
}

// TestAliasForAll: a birth that gives all metrics one alias leaves a chain of one for each device, not of all of them.
func TestAliasForAll(t *testing.T) {
	p := newPlant(t, Options{})
	var ms []Metric
	for i := range 100 {
		ms = append(ms, Metric{Name: fmt.Sprint(i), Alias: 7, HasAlias: true, Type: Double, Value: DoubleValue(0)})
	}
	for range 2 {
		p.nbirth(0, ms...)
		p.dbirth("D", 1, ms...)
		p.dbirth("D", 2, ms...)
		n := p.h.nodes[NodeRef{"G", "E"}]
		length := 0
		for m := n.aliases[7]; m != nil; m = m.sibling {
			if length++; m.name != "99" || !m.shared {
				t.Errorf("alias 7 stands for %q, shared: %v", m.name, m.shared)
			}
		}
		if length != 2 {
			t.Errorf("%d metrics in the chain of an alias, want one of the node and one of its device", length)
		}
	}
}
