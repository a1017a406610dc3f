package historian

import (
	"math"
	"slices"

	"edge/historian/journal"
)

// What holds when. A value holds from its sample's time until the next sample of its metric, until an edge (a gap or a death
// begins or ends), and never beyond now: OPC UA Part 13, stepped. One that is not usable holds as well: it has no value, but a quality.

// holdsUntil is when what a sample at t says ends, if no other comes before.
func holdsUntil(edges []journal.Millis, now, t journal.Millis) journal.Millis {
	return min(nextEdge(edges, t), max(now, t))
}

// Edges are the beginnings and ends of gaps, ascending: nothing is carried over one.
func Edges(gaps []Gap) (out []journal.Millis) {
	for _, g := range gaps {
		out = append(out, g.From)
		if g.To != 0 {
			out = append(out, g.To)
		}
	}
	slices.Sort(out)
	return out
}

// nextEdge is the first edge after t.
func nextEdge(edges []journal.Millis, t journal.Millis) journal.Millis {
	if i, _ := slices.BinarySearch(edges, t+1); i < len(edges) {
		return edges[i]
	}
	return math.MaxInt64
}

// usable is the value as a number, if it may be believed.
func usable(v journal.Sample) (f float64, ok bool) {
	if !believed(v.Quality) {
		return 0, false
	}
	f, ok = v.Value.Float64()
	return f, ok && !math.IsNaN(f)
}

// believed says that values of this quality count.
func believed(q journal.Quality) bool { return q != journal.Bad && q != journal.Stale }

// worse orders qualities: Bad, Stale, any other code, Good.
func worse(a, b journal.Quality) journal.Quality {
	rank := func(q journal.Quality) int {
		switch q {
		case journal.Bad:
			return 0
		case journal.Stale:
			return 1
		case journal.Good:
			return 3
		}
		return 2
	}
	if rank(b) < rank(a) {
		return b
	}
	return a
}
