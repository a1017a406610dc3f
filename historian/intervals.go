package historian

import (
	"math"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// intervals divide a range, and gather what is in each. Readings come in ascending order of time.
//
// What holds when is said in hold.go.
type intervals struct {
	// Set before the first reading.
	bounds []journal.Millis // where each interval begins, and where the last ends
	edges  []journal.Millis // ascending
	now    journal.Millis
	list   []interval
	more   []extremes // nil: not asked for

	k     int            // the interval of the last reading
	held  reading        // what holds since its time; holds says whether there is one
	since journal.Millis // from when on it counts
	until journal.Millis // when that ends, if no reading comes before
	holds bool

	usable reading // the last that counts, for more; with index 0 there is none
}

// interval is what one of them holds.
type interval struct {
	count, good   int     // readings, and those whose number counts
	first, last   float64 // of the numbers that count, as min and max; NaN: none
	min, max, sum float64
	carried       float64 // what held before the first reading; NaN: nothing
	integral      float64 // of what held, over time, in value * ms
	goodMs        journal.Millis
	quality       journal.Quality // the worst of readings and of what held
}

// extremes are what only aggregates need.
type extremes struct {
	start, end   reading        // the first and last reading; with index 0 there is none
	minAt, maxAt journal.Millis // of the first smallest and largest that count
	atStart      reading        // what holds at the beginning, or begins there; with index 0 nothing does
	before       reading        // the last before the beginning that counts; with index 0 there is none
}

// newIntervals begins them in list, which is one shorter than bounds.
func newIntervals(list []interval, bounds, edges []journal.Millis, now journal.Millis) *intervals {
	nan := math.NaN()
	for k := range list {
		list[k] = interval{first: nan, last: nan, min: nan, max: nan, carried: nan, quality: journal.Good}
	}
	return &intervals{bounds: bounds, edges: edges, now: now, list: list}
}

// evenly divides a range into n intervals of equal width, to a millisecond.
func evenly(from, to journal.Millis, n int) []journal.Millis {
	out := make([]journal.Millis, n+1)
	for k := range out {
		out[k] = from + (to-from)/journal.Millis(n)*journal.Millis(k) + (to-from)%journal.Millis(n)*journal.Millis(k)/journal.Millis(n)
	}
	return out
}

func (c *intervals) end() journal.Millis { return c.bounds[len(c.bounds)-1] }

// carry says what was there before a time at which readings begin: the last reading, and the last that counts. With index 0
// there is none.
func (c *intervals) carry(at journal.Millis, last, usable reading) {
	if last.index != 0 {
		c.hold(last)
		c.since = at
	}
	if c.usable = usable; c.more != nil && at == c.bounds[0] {
		c.more[0].before = usable
	}
}

// add takes readings that lie in the range.
func (c *intervals) add(p points) {
	for i := 0; i < len(p.at); {
		c.reach(p.at[i])
		// What lies in the same interval, with no edge between, needs no look at either.
		limit := min(c.bounds[c.k+1], nextEdge(c.edges, p.at[i]), c.now)
		j := i + 1
		for j < len(p.at) && p.at[j] < limit {
			j++
		}
		c.run(p, i, j)
		i = j
	}
}

// reach ends what holds, and goes to the interval of a time.
func (c *intervals) reach(at journal.Millis) {
	c.release(at)
	for c.k+1 < len(c.list) && c.bounds[c.k+1] <= at {
		if c.k++; c.more != nil {
			c.more[c.k].before = c.usable
		}
	}
}

// run takes the readings i to j, which lie in the present interval with no edge between them.
func (c *intervals) run(p points, i, j int) {
	b := &c.list[c.k]
	b.count += j - i
	if c.more != nil {
		c.extremes(p, i, j)
	}
	if p.quality != nil {
		for n := i; n < j; n++ {
			q := p.quality[n]
			b.quality = worse(b.quality, q)
			if counts(p.num[n], q) {
				b.take(p.num[n])
			}
			if n+1 < j {
				b.held(p.num[n], q, p.at[n+1]-p.at[n])
			}
		}
	} else {
		b.goodOnes(p.at[i:j], p.num[i:j])
	}
	r := reading{at: p.at[j-1], index: 1, num: p.num[j-1], quality: journal.Good}
	if p.quality != nil {
		r.quality = p.quality[j-1]
	}
	c.hold(r)
}

// goodOnes takes readings that are all Good.
func (b *interval) goodOnes(at []journal.Millis, num []float64) {
	n := len(num) - 1
	low, high, sum, integral := b.min, b.max, b.sum, b.integral
	held, none := at[n]-at[0], 0
	next := at[1 : n+1]
	for i, x := range num[:n] {
		ms := next[i] - at[i]
		if !(low <= x && x <= high) {
			if x != x {
				held, none = held-ms, none+1
				continue
			}
			low, high = fmin(low, x), fmax(high, x)
		}
		sum += x
		integral += x * float64(ms)
	}
	if good := n - none; good > 0 {
		if b.good == 0 {
			b.first = num[slices.IndexFunc(num, func(x float64) bool { return x == x })]
		}
		last := n - 1
		for num[last] != num[last] {
			last--
		}
		b.last = num[last]
		b.good += good
	}
	b.min, b.max, b.sum, b.integral = low, high, sum, integral
	b.goodMs += held
	if x := num[n]; x == x {
		b.take(x)
	}
}

// take counts one number.
func (b *interval) take(x float64) {
	if b.good++; b.good == 1 {
		b.first = x
	}
	b.last = x
	b.min, b.max = fmin(b.min, x), fmax(b.max, x)
	b.sum += x
}

// held counts the time that one reading holds.
func (b *interval) held(num float64, q journal.Quality, ms journal.Millis) {
	if counts(num, q) {
		b.integral += num * float64(ms)
		b.goodMs += ms
	}
}

// extremes notes the first and last reading of a run, and when the smallest and largest came.
func (c *intervals) extremes(p points, i, j int) {
	m, b := &c.more[c.k], c.list[c.k]
	for n := i; n < j; n++ {
		r := reading{at: p.at[n], index: 1, num: p.num[n], quality: journal.Good}
		if p.quality != nil {
			r.quality = p.quality[n]
		}
		if m.start.index == 0 {
			m.start = r
		}
		m.end = r
		if r.at == c.bounds[c.k] {
			m.atStart = r
		}
		if !counts(r.num, r.quality) {
			continue
		}
		c.usable = r
		if !(b.min <= r.num) {
			b.min, m.minAt = r.num, r.at
		}
		if !(b.max >= r.num) {
			b.max, m.maxAt = r.num, r.at
		}
	}
}

func (c *intervals) hold(r reading) {
	c.held, c.since, c.until, c.holds = r, r.at, holdsUntil(c.edges, c.now, r.at), true
}

// cut puts edges where a stretch that cannot be read begins and ends.
func (c *intervals) cut(from, to journal.Millis) {
	if c == nil { // nothing is divided
		return
	}
	c.edges = append(slices.Clone(c.edges), from, to)
	slices.Sort(c.edges)
	if c.holds {
		c.until = holdsUntil(c.edges, c.now, c.held.at)
	}
}

// release ends what holds: its time until then, or until its edge, is spread over the intervals.
func (c *intervals) release(until journal.Millis) {
	if !c.holds {
		return
	}
	c.holds = false
	r := c.held
	start, end := max(c.since, c.bounds[0]), min(until, c.until, c.end())
	ok := counts(r.num, r.quality)
	for k := c.k; k < len(c.list) && c.bounds[k] < end; k++ {
		from, to := max(start, c.bounds[k]), min(end, c.bounds[k+1])
		if from >= to {
			continue
		}
		b := &c.list[k]
		b.quality = worse(b.quality, r.quality)
		if c.more != nil && c.bounds[k] == from && c.more[k].atStart.index == 0 {
			c.more[k].atStart = r
		}
		if ok {
			b.integral += r.num * float64(to-from)
			b.goodMs += to - from
			if b.count == 0 {
				b.carried = r.num
			}
		}
	}
}

// statistics takes a block's statistics in place of its samples, if they lie in one interval and nothing ends between them.
func (c *intervals) statistics(e *chunk.Entry) bool {
	if e.Stats == nil || c.more != nil {
		return false
	}
	k, _ := slices.BinarySearch(c.bounds[c.k+1:], e.Last+1)
	k += c.k
	if c.bounds[k] > e.First || nextEdge(c.edges, e.First) <= e.Last || c.now <= e.Last {
		return false
	}
	c.reach(e.First)
	b, s := &c.list[c.k], e.Stats
	b.count += e.Count
	if b.good == 0 {
		b.first = s.First
	}
	b.good += e.Count
	b.min, b.max, b.last = fmin(b.min, s.Min), fmax(b.max, s.Max), s.Last
	b.integral += s.Integral
	b.goodMs += e.Last - e.First
	c.hold(reading{at: e.Last, index: 1, num: s.Last, quality: journal.Good})
	return true
}

// finish ends the range.
func (c *intervals) finish() { c.reach(c.end()) }

// touchedBy tells of each interval whether a gap touches it; nil: none does.
func (c *intervals) touchedBy(gaps []Gap) []bool {
	if len(gaps) == 0 {
		return nil
	}
	depth := make([]int, len(c.list)+1)
	for _, g := range gaps {
		from := max(g.From, c.bounds[0])
		to := g.To
		if to == 0 || to > c.end() {
			to = c.end()
		}
		if from >= to {
			continue
		}
		depth[c.column(from)]++
		depth[c.column(to-1)+1]--
	}
	out := make([]bool, len(c.list))
	n := 0
	for k := range out {
		n += depth[k]
		out[k] = n > 0
	}
	return out
}

// column is the interval that a time of the range lies in.
func (c *intervals) column(at journal.Millis) int {
	k, found := slices.BinarySearch(c.bounds, at)
	if !found {
		k--
	}
	return min(k, len(c.list)-1)
}
