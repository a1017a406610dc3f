package router

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"edge/broker/topic"
)

// TestOrdered: whatever comes and goes, the list has what is there, in order and once, and few names that are gone; what was handed out
// before stays as it was.
func TestOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o ordered
		twin := map[topic.Name]struct{}{}
		var handed, was []topic.Name
		t.Repeat(map[string]func(*rapid.T){
			"toggle": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "names") {
					n := topic.Name(fmt.Sprint(rapid.IntRange(0, 200).Draw(t, "name")))
					if _, had := twin[n]; had {
						o.remove(n)
						delete(twin, n)
					} else {
						o.add(n)
						twin[n] = struct{}{}
					}
				}
			},
			"ask": func(t *rapid.T) {
				if !o.ready() {
					o.renew()
				}
				got := slices.Clone(o.list)
				handed, was = o.list, got
				there := slices.DeleteFunc(slices.Clone(got), func(n topic.Name) bool { _, had := twin[n]; return !had })
				if d := cmp.Diff(slices.Sorted(maps.Keys(twin)), there); d != "" && len(twin)+len(there) > 0 {
					t.Fatal(d)
				}
				if !slices.IsSorted(got) || len(slices.Compact(got)) != len(was) {
					t.Fatalf("not in order, or twice: %v", was)
				}
				if extra := len(was) - len(there); extra > fewGone+len(was)/4 {
					t.Fatalf("%d of %d names are gone", extra, len(was))
				}
			},
			"": func(t *rapid.T) {
				if !slices.Equal(handed, was) {
					t.Fatal("what was handed out has changed")
				}
			},
		})
	})
}

// TestOrderedCopies: one name that comes to many costs no more memory than the list itself.
func TestOrderedCopies(t *testing.T) {
	var o ordered
	const many = 10000
	for i := range many {
		o.add(topic.Name(fmt.Sprintf("plant/line%d/value", i)))
	}
	o.renew()
	one := topic.Name("plant/line77/another")
	allocs := testing.AllocsPerRun(10, func() {
		o.add(one)
		o.renew()
		o.remove(one)
		o.renew()
	})
	if allocs > 12 {
		t.Errorf("%v allocations for a name that comes and goes", allocs)
	}
}
