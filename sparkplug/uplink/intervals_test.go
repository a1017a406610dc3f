package uplink

import (
	"testing"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestIntervals(t *testing.T) {
	for _, tc := range []struct {
		name string
		add  []span
		want intervals
		gap  [3]journal.Index // from, to, 1 if there is one; up to 100
	}{
		{"nothing", nil, nil, [3]journal.Index{1, 100, 1}},
		{"prefix", []span{{1, 10, 4}}, intervals{{1, 10, 4}}, [3]journal.Index{11, 100, 1}},
		{"live beyond a hole", []span{{1, 10, 4}, {50, 60, 2}}, intervals{{1, 10, 4}, {50, 60, 2}}, [3]journal.Index{11, 49, 1}},
		{"history closes the hole", []span{{1, 10, 4}, {50, 60, 2}, {11, 49, 7}}, intervals{{1, 60, 13}}, [3]journal.Index{61, 100, 1}},
		{"adjacent from below", []span{{5, 6, 1}, {3, 4, 1}}, intervals{{3, 6, 2}}, [3]journal.Index{1, 2, 1}},
		{"all", []span{{1, 100, 1}}, intervals{{1, 100, 1}}, [3]journal.Index{101, 100, 0}},
		{"empty span", []span{{5, 4, 9}}, nil, [3]journal.Index{1, 100, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v intervals
			for _, s := range tc.add {
				v.add(s)
			}
			if diff := cmp.Diff(tc.want, v); diff != "" {
				t.Error(diff)
			}
			from, to, ok := v.gap(100)
			if from != tc.gap[0] || to != tc.gap[1] || ok != (tc.gap[2] == 1) {
				t.Errorf("gap = %d, %d, %v, want %v", from, to, ok, tc.gap)
			}
		})
	}
}

// The set against a twin that knows of each index whether it is in; every index is a sample.
func TestIntervalsTwin(t *testing.T) {
	const top = 400
	rapid.Check(t, func(t *rapid.T) {
		var v intervals
		var twin [top + 2]bool
		count := func(from, to journal.Index, in bool) (n uint64) {
			for i := from; i <= to; i++ {
				if twin[i] == in {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			from := journal.Index(rapid.IntRange(1, top).Draw(t, "from"))
			to := min(top, from+journal.Index(rapid.IntRange(0, 3).Draw(t, "length")))
			if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
				v.remove(span{from, to, count(from, to, true)})
				for i := from; i <= to; i++ {
					twin[i] = false
				}
			} else {
				v.add(span{from, to, count(from, to, false)})
				for i := from; i <= to; i++ {
					twin[i] = true
				}
			}
			if !v.valid() {
				t.Fatalf("not a set: %v", v)
			}
			firstOut := journal.Index(1)
			for ; twin[firstOut]; firstOut++ {
			}
			if v.cursor() != firstOut-1 {
				t.Fatalf("cursor %d, want %d in %v", v.cursor(), firstOut-1, v)
			}
			var total, want uint64
			for i := journal.Index(1); i <= top; i++ {
				if v.has(i) != twin[i] {
					t.Fatalf("has(%d) = %v in %v", i, v.has(i), v)
				}
				if twin[i] {
					want++
				}
			}
			for _, s := range v {
				total += s.N
			}
			if total != want {
				t.Fatalf("%d samples counted, want %d in %v", total, want, v)
			}
		}
	})
}

func TestIntervalsShrink(t *testing.T) {
	v := intervals{{1, 2, 0}, {4, 5, 2}, {7, 9, 3}, {20, 20, 1}}
	if n := v.shrink(4); n != 0 || len(v) != 4 {
		t.Errorf("%d dropped of a set that fits: %v", n, v)
	}
	if n := v.shrink(2); n != 3 {
		t.Errorf("%d samples dropped, want 3", n)
	}
	if diff := cmp.Diff(intervals{{1, 2, 0}, {7, 9, 3}}, v); diff != "" {
		t.Error(diff)
	}
}
