package uplink

import (
	"slices"

	"edge/historian/journal"
)

// maxSpans bounds an interval set on disk; memorySpans is where the live lane stops making holes in one.
const (
	maxSpans    = 64
	memorySpans = 4096
)

// A span is a stretch of journal indices, both ends inclusive, of which n are samples of the node whose set it is in.
type span struct {
	From journal.Index `json:"f"`
	To   journal.Index `json:"t"`
	N    uint64        `json:"n,omitempty"`
}

// intervals is the set of indices of which nothing is owed: sorted, apart by at least one index. It is not a prefix
// while history and live samples are sent at the same time.
type intervals []span

// add puts s in.
func (v *intervals) add(s span) {
	if s.To < s.From {
		return
	}
	i, _ := slices.BinarySearchFunc(*v, s.From, func(o span, from journal.Index) int {
		if o.To+1 < from {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(*v) && (*v)[j].From <= s.To+1; j++ {
		o := (*v)[j]
		s = span{From: min(s.From, o.From), To: max(s.To, o.To), N: s.N + o.N}
	}
	*v = slices.Replace(*v, i, j, s)
}

// shrink takes out the smallest spans beyond most, never the first. It returns how many samples were in them: they are
// owed again, so that they are sent twice rather than never.
func (v *intervals) shrink(most int) (dropped uint64) {
	for len(*v) > most {
		small := 1
		for k := 2; k < len(*v); k++ {
			if (*v)[k].N < (*v)[small].N {
				small = k
			}
		}
		dropped += (*v)[small].N
		*v = slices.Delete(*v, small, small+1)
	}
	return dropped
}

// valid tells whether the set, read from disk, is one.
func (v intervals) valid() bool {
	for i, s := range v {
		if s.From < 1 || s.To < s.From || s.To > 1<<62 || i > 0 && s.From <= v[i-1].To+1 {
			return false
		}
	}
	return true
}

// remove takes the indices of s out again, s.N of them samples. Where it splits a span it cannot know how many of its
// samples are on which side; the sum stays right.
func (v *intervals) remove(s span) {
	var out intervals
	var before, after uint64
	for _, o := range *v {
		before += o.N
		left := o.N
		if o.From <= s.To && s.From <= o.To {
			left -= min(left, s.N)
			if o.From < s.From {
				out = append(out, span{o.From, s.From - 1, left})
				after, left = after+left, 0
			}
			if o.To <= s.To {
				continue
			}
			o.From = s.To + 1
		}
		out = append(out, span{o.From, o.To, left})
		after += left
	}
	want := before - min(before, s.N)
	for k := range out {
		if after < want {
			out[k].N, after = out[k].N+want-after, want
		}
		taken := min(out[k].N, after-want)
		out[k].N, after = out[k].N-taken, after-taken
	}
	*v = out
}

// has tells whether i is in the set.
func (v intervals) has(i journal.Index) bool {
	_, ok := slices.BinarySearchFunc(v, i, func(o span, i journal.Index) int {
		switch {
		case o.To < i:
			return -1
		case o.From > i:
			return 1
		}
		return 0
	})
	return ok
}

// gap returns the first stretch from 1 to upto that is not in the set; ok is false when there is none.
func (v intervals) gap(upto journal.Index) (from, to journal.Index, ok bool) {
	from = 1
	if len(v) > 0 && v[0].From <= 1 {
		from, v = v[0].To+1, v[1:]
	}
	to = upto
	if len(v) > 0 {
		to = min(upto, v[0].From-1)
	}
	return from, to, from <= to
}

// cursor is the index up to which everything is in the set.
func (v intervals) cursor() journal.Index {
	if len(v) > 0 && v[0].From <= 1 {
		return v[0].To
	}
	return 0
}

// gaps returns the stretches of [from, to] that are not in the set.
func (v intervals) gaps(from, to journal.Index) (out []span) {
	for _, o := range v {
		if o.To < from {
			continue
		}
		if o.From > to {
			break
		}
		if from < o.From {
			out = append(out, span{From: from, To: o.From - 1})
		}
		from = o.To + 1
	}
	if from <= to {
		out = append(out, span{From: from, To: to})
	}
	return out
}
