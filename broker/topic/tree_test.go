package topic

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTreesMatchLikeMatch(t *testing.T) {
	for _, c := range matchTests {
		var tree Tree[string, int]
		tree.Add(c.f, "k", 1)
		found := false
		walk(&tree, c.n, func(string, int) { found = true })
		if found != c.want {
			t.Errorf("Tree: %q selects %q: %v", c.f, c.n, found)
		}
		var names Names[int]
		names.Set(c.n, 1)
		found = false
		names.Match(c.f, func(n Name, _ int) bool { found = n == c.n; return true })
		if found != c.want {
			t.Errorf("Names: %q selects %q: %v", c.f, c.n, found)
		}
	}
}

// level draws one of a few levels, so that filters and names meet often.
func level(wild bool) *rapid.Generator[string] {
	levels := []string{"a", "b", "", "$x", "é"}
	if wild {
		levels = append(levels, "+", "+")
	}
	return rapid.SampledFrom(levels)
}

func drawName(t *rapid.T) Name {
	for {
		n := Name(strings.Join(rapid.SliceOfN(level(false), 1, 5).Draw(t, "name"), "/"))
		if n != "" {
			return n
		}
	}
}

func drawFilter(t *rapid.T) Filter {
	levels := rapid.SliceOfN(level(true), 1, 5).Draw(t, "filter")
	if rapid.Bool().Draw(t, "hash") {
		levels[len(levels)-1] = "#"
	}
	if f := Filter(strings.Join(levels, "/")); f != "" {
		return f
	}
	return "a"
}

// subscription names one entry of the twin of a Tree.
type subscription struct {
	f   Filter
	key int
}

// TestTreeAgainstLoop changes a tree and a plain map alike and compares what they match, with few keys and with enough
// for a node to keep an index.
func TestTreeAgainstLoop(t *testing.T) {
	for _, keys := range []int{3, 3 * indexFrom} {
		t.Run(fmt.Sprint(keys, " keys"), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { treeAgainstLoop(t, keys) })
		})
	}
}

func treeAgainstLoop(t *rapid.T, keys int) {
	var tree Tree[int, int]
	twin := make(map[subscription]int)
	t.Repeat(map[string]func(*rapid.T){
		"add": func(t *rapid.T) {
			f := drawFilter(t)
			first := rapid.IntRange(0, keys-1).Draw(t, "key")
			for key := first; key < keys; key += 1 + first { // often many at once
				s := subscription{f, key}
				value := rapid.Int().Draw(t, "value")
				old, replaced := tree.Add(s.f, s.key, value)
				if was, had := twin[s]; had != replaced || was != old {
					t.Fatalf("Add(%v) = %d, %v; twin had %d, %v", s, old, replaced, was, had)
				}
				twin[s] = value
			}
		},
		"remove": func(t *rapid.T) {
			s := subscription{drawFilter(t), rapid.IntRange(0, keys-1).Draw(t, "key")}
			old, removed := tree.Remove(s.f, s.key)
			if was, had := twin[s]; had != removed || was != old {
				t.Fatalf("Remove(%v) = %d, %v; twin had %d, %v", s, old, removed, was, had)
			}
			delete(twin, s)
		},
		"get": func(t *rapid.T) {
			s := subscription{drawFilter(t), rapid.IntRange(0, keys-1).Draw(t, "key")}
			value, found := tree.Get(s.f, s.key)
			if was, had := twin[s]; had != found || was != value {
				t.Fatalf("Get(%v) = %d, %v; twin has %d, %v", s, value, found, was, had)
			}
		},
		"": func(t *rapid.T) {
			if tree.Len() != len(twin) {
				t.Fatalf("Len %d, twin %d", tree.Len(), len(twin))
			}
			n := drawName(t)
			var got, want []string
			walk(&tree, n, func(k, v int) { got = append(got, fmt.Sprint(k, "=", v)) })
			for s, v := range twin {
				if Match(s.f, n) {
					want = append(want, fmt.Sprint(s.key, "=", v))
				}
			}
			compare(t, fmt.Sprintf("Match(%q)", n), got, want)
		},
	})
	for s := range twin {
		tree.Remove(s.f, s.key)
	}
	if tree.Len() != 0 || tree.root.children != nil {
		t.Fatalf("an empty tree holds %d subscriptions and %d nodes", tree.Len(), len(tree.root.children))
	}
}

func compare(t *rapid.T, what string, got, want []string) {
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-loop +tree):\n%s", what, diff)
	}
}

// TestNamesAgainstLoop does the same for the other direction.
func TestNamesAgainstLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var names Names[int]
		twin := make(map[Name]int)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				n, value := drawName(t), rapid.Int().Draw(t, "value")
				old, replaced := names.Set(n, value)
				if was, had := twin[n]; had != replaced || was != old {
					t.Fatalf("Set(%q) = %d, %v; twin had %d, %v", n, old, replaced, was, had)
				}
				twin[n] = value
			},
			"delete": func(t *rapid.T) {
				n := drawName(t)
				old, removed := names.Delete(n)
				if was, had := twin[n]; had != removed || was != old {
					t.Fatalf("Delete(%q) = %d, %v; twin had %d, %v", n, old, removed, was, had)
				}
				delete(twin, n)
			},
			"": func(t *rapid.T) {
				n := drawName(t)
				value, found := names.Get(n)
				if was, had := twin[n]; had != found || was != value || names.Len() != len(twin) {
					t.Fatalf("Get(%q) = %d, %v of %d; twin %d, %v of %d", n, value, found, names.Len(), was, had, len(twin))
				}
				f := drawFilter(t)
				var got, want []string
				names.Match(f, func(n Name, v int) bool { got = append(got, fmt.Sprint(n, "=", v)); return true })
				for n, v := range twin {
					if Match(f, n) {
						want = append(want, fmt.Sprint(n, "=", v))
					}
				}
				compare(t, fmt.Sprintf("Match(%q)", f), got, want)
			},
		})
		for n := range twin {
			names.Delete(n)
		}
		if names.Len() != 0 || names.root.children != nil {
			t.Fatalf("an empty tree holds %d names and %d nodes", names.Len(), len(names.root.children))
		}
	})
}

func TestNamesMatchStops(t *testing.T) {
	var names Names[int]
	for _, n := range []Name{"a/1", "a/2", "a/3/x", "a/4/x"} {
		names.Set(n, 0)
	}
	for _, f := range []Filter{"#", "a/+", "a/+/x", "a/#"} {
		calls := 0
		names.Match(f, func(Name, int) bool { calls++; return false })
		if calls != 1 {
			t.Errorf("%q: %d calls after the first said stop", f, calls)
		}
	}
}

// TestSlashes puts the deepest names there are through both trees (CVE-2019-11779: the stack overflowed).
func TestSlashes(t *testing.T) {
	deep := strings.Repeat("/", MaxBytes)
	var tree Tree[int, int]
	var names Names[int]
	tree.Add(Filter(deep), 1, 1)
	tree.Add(Filter(strings.Repeat("+/", MaxBytes/2)+"#"), 2, 2)
	names.Set(Name(deep), 1)
	found := map[int]int{}
	walk(&tree, Name(deep), func(k, _ int) { found[k]++ })
	if !maps.Equal(found, map[int]int{1: 1, 2: 1}) {
		t.Errorf("matched %v", found)
	}
	count := 0
	names.Match(Filter(strings.Repeat("+/", MaxBytes/2)+"#"), func(Name, int) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d names matched", count)
	}
	tree.Remove(Filter(deep), 1)
	tree.Remove(Filter(strings.Repeat("+/", MaxBytes/2)+"#"), 2)
	names.Delete(Name(deep))
	if tree.root.children != nil || names.root.children != nil {
		t.Error("nodes are left behind")
	}
}

// TestCoversAgainstMatch: f covers g exactly if f selects the names that stand for all that g selects.
func TestCoversAgainstMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, g, n := drawFilter(t), drawFilter(t), drawName(t)
		covers := Covers(f, g)
		if covers && Match(g, n) && !Match(f, n) {
			t.Fatalf("%q covers %q but does not select %q", f, g, n)
		}
		if g == "#" && f == "+/#" {
			return // the pair that Covers does not know
		}
		all := true
		for _, w := range witnesses(g) {
			all = all && Match(f, w)
		}
		if covers != all {
			t.Fatalf("Covers(%q, %q) = %v; it selects all of %q: %v", f, g, covers, witnesses(g), all)
		}
	})
}

// witnesses are names that g selects with levels that no filter of the test names: none, one and many for #.
func witnesses(g Filter) (list []Name) {
	base, hash := strings.CutSuffix(strings.ReplaceAll(string(g), "+", "z"), "#")
	if !hash {
		return []Name{Name(base)}
	}
	if base != "" {
		list = append(list, Name(strings.TrimSuffix(base, "/")))
	}
	return append(list, Name(base+"z"), Name(base+"z/z/z/z/z/z"))
}

// FuzzMatch: filters and names of any kind neither panic nor make the trees and Match differ.
// TestPrefix: every name that a filter selects begins with the filter's prefix.
func TestPrefix(t *testing.T) {
	for f, want := range map[Filter]string{"#": "", "+/a": "", "a/#": "a", "a/+/b": "a", "a/b": "a/b", "/+": "", "a//#": "a/"} {
		if got := f.Prefix(); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f, n := drawFilter(t), drawName(t)
		if Match(f, n) && !strings.HasPrefix(string(n), f.Prefix()) {
			t.Fatalf("%s selects %s, which does not begin with %q", f, n, f.Prefix())
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, c := range matchTests {
		f.Add(string(c.f), string(c.n))
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		fl, n := Filter(filter), Name(name)
		ParseShare(fl)
		if fl.Validate(0) != nil || n.Validate(0) != nil {
			return
		}
		want := Match(fl, n)
		var tree Tree[int, int]
		var names Names[int]
		tree.Add(fl, 0, 0)
		names.Set(n, 0)
		inTree, inNames := false, false
		walk(&tree, n, func(int, int) { inTree = true })
		names.Match(fl, func(Name, int) bool { inNames = true; return true })
		if inTree != want || inNames != want {
			t.Errorf("%q selects %q: Match %v, Tree %v, Names %v", fl, n, want, inTree, inNames)
		}
		if want && !Covers(fl, Filter(n)) {
			t.Errorf("%q selects %q and does not cover it", fl, n)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	var tree Tree[int, int]
	for i := range 10000 {
		tree.Add(Filter(fmt.Sprintf("plant/line%d/+/value", i%1000)), i, i)
	}
	b.ReportAllocs()
	n := 0
	var w Walk[int, int]
	for b.Loop() {
		w.Begin(&tree, "plant/line7/oven/value")
		w.Next(1<<20, func(int, int) { n++ })
	}
}
