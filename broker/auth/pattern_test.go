package auth

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"edge/broker/topic"
)

func TestPatternSelects(t *testing.T) {
	id := Identity{User: "oven", ClientID: "c7"}
	for _, c := range []struct {
		filter topic.Filter
		name   topic.Name
		want   bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/bc", false}, {"a/b", "a", false},
		{"a/#", "a", true}, {"a/#", "ab", false}, {"a/#", "a/b/c", true}, {"#", "a", true},
		{"a/+", "a", false}, {"a/+", "a/", true}, {"+/b", "x/b", true}, {"/#", "", true}, {"/+", "/a", true},
		{"a/%u/x", "a/oven/x", true}, {"a/%u/x", "a/%u/x", false}, {"%u", "oven", true}, {"a%c/#", "ac7", true}, {"50%", "50%", true},
	} {
		p := newPattern(c.filter)
		if got := p.selects(id, c.name); got != c.want {
			t.Errorf("%q selects %q: %v", c.filter, c.name, got)
		}
	}
}

// TestPatternAgainstMatch: what a pattern remembers of its filter changes nothing.
func TestPatternAgainstMatch(t *testing.T) {
	level := rapid.SampledFrom([]string{"", "a", "b", "ab", "oven", "50%", "%u", "x%cy"})
	rapid.Check(t, func(t *rapid.T) {
		filter := rapid.SliceOfN(rapid.OneOf(level, rapid.Just("+")), 0, 4).Draw(t, "filter")
		if rapid.Bool().Draw(t, "everything below") || len(filter) == 0 {
			filter = append(filter, "#")
		}
		f := topic.Filter(strings.Join(filter, "/"))
		id := Identity{User: "oven", ClientID: rapid.SampledFrom([]string{"ab", "x", ""}).Draw(t, "client")}
		put := strings.NewReplacer("%u", id.User, "%c", id.ClientID)
		names := rapid.SliceOfN(rapid.OneOf(level, rapid.Just("$x")), 1, 5).Draw(t, "name")
		for i := range names { // most of it as the filter has it
			if i < len(filter) && !strings.Contains("+#", filter[i]) && rapid.IntRange(0, 4).Draw(t, "differs") > 0 {
				names[i] = put.Replace(filter[i])
			}
		}
		name := topic.Name(strings.Join(names, "/"))
		p := newPattern(f)
		expanded, ok := p.expand(id)
		if want := ok && topic.Match(expanded, name); p.selects(id, name) != want {
			t.Fatalf("%q selects %q for %+v: %v, want %v", f, name, id, !want, want)
		}
	})
}

func BenchmarkMayPublish(b *testing.B) {
	r := sparkplugNode("plant", "press")
	r.user = "press"
	p := new(Policy)
	p.index([]rule{r})
	id := Identity{User: "press", ClientID: "press"}
	b.ReportAllocs()
	for b.Loop() {
		if !p.MayPublish(id, "spBv1.0/plant/DDATA/press/drive") || p.MayPublish(id, "spBv1.0/plant/NDATA/oven") {
			b.Fatal("wrong")
		}
	}
}
