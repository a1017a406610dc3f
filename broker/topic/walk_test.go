package topic

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// walk finds all subscriptions of tree that select n, in portions of one.
func walk[K comparable, V any](tree *Tree[K, V], n Name, fn func(K, V)) {
	var w Walk[K, V]
	w.Begin(tree, n)
	for w.Next(1, fn) {
	}
}

// bomb has the filters that branch most: all of a and + over so many levels.
func bomb(levels int) (filters []Filter) {
	for bits := range 1 << levels {
		f := make([]string, levels)
		for i := range f {
			f[i] = map[bool]string{true: "a", false: "+"}[bits>>i&1 == 1]
		}
		filters = append(filters, Filter(strings.Join(f, "/")))
	}
	return filters
}

// TestWalkWorkIsBounded: a name that many filters select is found by each once and not more, and no portion looks at more than it may but for the last node.
func TestWalkWorkIsBounded(t *testing.T) {
	const levels, limit = 12, 100
	var tree Tree[int, int]
	for i, f := range bomb(levels) {
		tree.Add(f, i, i)
	}
	var w Walk[int, int]
	w.Begin(&tree, Name(strings.Repeat("a/", levels-1)+"a"))
	found, portions := map[int]int{}, 0
	for more := true; more; portions++ {
		calls := 0
		more = w.Next(limit, func(k, _ int) { calls++; found[k]++ })
		if calls > limit+1 {
			t.Errorf("portion %d has %d subscriptions", portions, calls)
		}
	}
	nodes := 1<<(levels+1) - 1 // of the tree of twos that the filters make
	if looks := nodes + 1<<levels; portions < looks/(limit+1) || portions > looks/limit+1 {
		t.Errorf("%d portions for %d looks", portions, looks)
	}
	for k, n := range found {
		if n != 1 {
			t.Errorf("filter %d was found %d times", k, n)
		}
	}
	if len(found) != 1<<levels {
		t.Errorf("%d of %d filters were found", len(found), 1<<levels)
	}
}

// TestWalkInAChangingTree: what is subscribed all the time is found once, whatever comes and goes between the portions; what is found was
// subscribed at some time.
func TestWalkInAChangingTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree Tree[int, int]
		now := map[subscription]bool{}
		change := func() {
			s := subscription{drawFilter(t), rapid.IntRange(0, 3).Draw(t, "key")}
			if rapid.Bool().Draw(t, "add") {
				tree.Add(s.f, s.key, 0)
				now[s] = true
			} else {
				tree.Remove(s.f, s.key)
				delete(now, s)
			}
		}
		for range rapid.IntRange(0, 40).Draw(t, "before") {
			change()
		}
		n := drawName(t)
		always, ever := maps.Clone(now), maps.Clone(now)
		most := func() {
			for s := range now {
				ever[s] = true
			}
			maps.DeleteFunc(always, func(s subscription, _ bool) bool { return !now[s] })
		}
		var w Walk[int, int]
		w.Begin(&tree, n)
		found := map[int]int{}
		for w.Next(rapid.IntRange(1, 3).Draw(t, "limit"), func(k, _ int) { found[k]++ }) {
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				change()
				most()
			}
		}
		atLeast, atMost := map[int]int{}, map[int]int{}
		for s := range always {
			if Match(s.f, n) {
				atLeast[s.key]++
			}
		}
		for s := range ever {
			if Match(s.f, n) {
				atMost[s.key]++
			}
		}
		for k := range 4 {
			if found[k] < atLeast[k] || found[k] > atMost[k] {
				t.Fatalf("%s of %q", fmt.Sprintf("key %d was found %d times, not %d to %d", k, found[k], atLeast[k], atMost[k]), n)
			}
		}
	})
}
