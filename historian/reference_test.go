package historian

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// reference answers charts and aggregates from a sorted list, moment by moment: OPC UA Part 13 word for word, and slowly.
type reference struct {
	list  []journal.Sample // of one metric, ascending by time, each time once
	gaps  []Gap
	edges []journal.Millis
	now   journal.Millis
}

// heldAt is the sample whose value holds during the millisecond that begins at t.
func (r *reference) heldAt(t journal.Millis) (v journal.Sample, ok bool) {
	for _, s := range r.list {
		if s.At <= t {
			v, ok = s, true
		}
	}
	for _, e := range r.edges {
		ok = ok && !(e > v.At && e <= t)
	}
	return v, ok && t < max(r.now, v.At)
}

// moments are the times within [from, to) at which anything changes.
func (r *reference) moments(from, to journal.Millis) []journal.Millis {
	out := append([]journal.Millis{from, to, r.now}, r.edges...)
	for _, s := range r.list {
		out = append(out, s.At)
	}
	out = slices.DeleteFunc(out, func(t journal.Millis) bool { return t < from || t > to })
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *reference) inGap(from, to journal.Millis) bool {
	return slices.ContainsFunc(r.gaps, func(g Gap) bool { return g.From < to && (g.To == 0 || g.To > from) })
}

// usableBefore is the last sample before t that counts.
func (r *reference) usableBefore(t journal.Millis) (v journal.Sample, ok bool) {
	for _, s := range r.list {
		if _, good := usable(s); good && s.At < t {
			v, ok = s, true
		}
	}
	return v, ok
}

// interval is the aggregate of [from, to), and what a chart shows of it.
func (r *reference) interval(from, to, width journal.Millis) (Aggregate, Bucket) {
	nan := math.NaN()
	none := Reading{Value: nan, Quality: journal.Bad}
	a := Aggregate{From: from, To: to, Minimum: nan, Maximum: nan, Start: none, End: none, Interpolated: none, Worst: journal.Good,
		Quality: journal.Bad, Partial: to-from < width || to > r.now}
	b := Bucket{T: from, Min: nan, Max: nan, Mean: nan, Last: nan}
	reading := func(s journal.Sample, q journal.Quality) Reading {
		f, ok := usable(s)
		if !ok {
			f = nan
		}
		return Reading{s.At, f, q}
	}
	var sum, first, last, integral, carried float64
	first, last, carried = nan, nan, nan
	for _, s := range r.list {
		if s.At < from || s.At >= to {
			continue
		}
		if b.Count++; b.Count == 1 {
			a.Start = reading(s, s.Quality)
		}
		a.End, a.Worst = reading(s, s.Quality), worse(a.Worst, s.Quality)
		f, ok := usable(s)
		if !ok {
			continue
		}
		if a.Count++; a.Count == 1 {
			first, a.Minimum, a.Maximum, a.MinimumAt, a.MaximumAt = f, f, f, s.At, s.At
		}
		sum, last = sum+f, f
		if f < a.Minimum {
			a.Minimum, a.MinimumAt = f, s.At
		}
		if f > a.Maximum {
			a.Maximum, a.MaximumAt = f, s.At
		}
	}
	steps := r.moments(from, to)
	for i := 0; i+1 < len(steps); i++ {
		s, ok := r.heldAt(steps[i])
		if !ok {
			continue
		}
		a.Worst = worse(a.Worst, s.Quality)
		if f, ok := usable(s); ok {
			integral += f * float64(steps[i+1]-steps[i])
			a.DurationGood += steps[i+1] - steps[i]
			carried = f
		}
	}
	if s, ok := r.heldAt(from); ok || s.At == from {
		if _, ok := usable(s); ok {
			a.Interpolated = reading(s, s.Quality)
		}
	}
	if a.Interpolated.At == 0 {
		if s, ok := r.usableBefore(from); ok {
			a.Interpolated = reading(s, Uncertain)
		}
	}
	a.Average, a.TimeAverage = sum/float64(a.Count), integral/float64(a.DurationGood)
	a.Range, a.Delta = a.Maximum-a.Minimum, last-first
	if past := min(to, max(r.now, from)) - from; past > 0 {
		a.PercentGood = 100 * float64(a.DurationGood) / float64(past)
		switch a.DurationGood {
		case past:
			a.Quality = journal.Good
		case 0:
		default:
			a.Quality = Uncertain
		}
	}
	if b.Count == 0 && a.DurationGood == 0 || r.inGap(from, to) {
		a.Worst = worse(a.Worst, journal.Stale)
	}
	b.Min, b.Max, b.Last, b.Quality = a.Minimum, a.Maximum, last, a.Worst
	if b.Count == 0 {
		b.Min, b.Max, b.Last = carried, carried, carried
	}
	if b.Mean = b.Last; a.DurationGood > 0 {
		b.Mean = a.TimeAverage
	}
	return a, b
}

// plantOfQuestions fills a store with samples of several types, in and out of order, Bad and Stale and null ones between, with
// deaths and gaps, in memory, in files and in late blocks.
type plantOfQuestions struct {
	*rig
	keys  []journal.SeriesKey
	sent  map[Metric]map[journal.Millis]journal.Sample // the last to arrive
	least int                                          // Store.leastShared
	gaps  []Gap
}

func (p *plantOfQuestions) send(k journal.SeriesKey, list ...journal.Sample) {
	m := Metric{k.Group, k.Node, k.Device, k.Metric}
	if p.sent[m] == nil {
		p.sent[m] = make(map[journal.Millis]journal.Sample)
	}
	p.add(k, list...)
	for _, v := range list {
		v.Value.Type = k.Type
		p.sent[m][v.At] = v
	}
}

func anyQuestionValue(t *rapid.T, kind journal.DataType) journal.Value {
	n := rapid.IntRange(-40, 400).Draw(t, "value")
	v := journal.Value{Type: kind, Null: rapid.IntRange(0, 15).Draw(t, "null") == 0}
	switch {
	case v.Null:
	case kind == 9:
		v.Num = uint64(math.Float32bits(float32(n) / 8))
	case kind == 10:
		if v.Num = math.Float64bits(float64(n) / 8); n == 400 {
			v.Num = math.Float64bits(math.NaN())
		}
	case kind == 12:
		v.Bytes = []byte("text")
	default:
		v.Num = uint64(n) & 1
	}
	return v
}

func (p *plantOfQuestions) batch(t *rapid.T) {
	k := rapid.SampledFrom(p.keys).Draw(t, "series")
	start := ms(noon) - journal.Millis(rapid.IntRange(0, 30*3600_000).Draw(t, "start"))
	n := rapid.IntRange(1, 8).Draw(t, "n")
	if rapid.IntRange(0, 2).Draw(t, "long") == 0 { // a block with statistics
		for i := range 150 {
			v := journal.Value{Type: k.Type, Num: math.Float64bits(float64(i * i % 37))}
			if k.Type != 10 {
				v = journal.Value{Type: k.Type, Num: uint64(i) & 1}
			}
			if k.Type == 12 {
				v = journal.Value{Type: 12, Bytes: []byte("x")}
			}
			p.send(k, journal.Sample{At: start + journal.Millis(i*3000), Value: v, Quality: journal.Good})
		}
	}
	for range n {
		p.send(k, journal.Sample{At: start + journal.Millis(rapid.IntRange(0, 900_000).Draw(t, "ms")), Value: anyQuestionValue(t, k.Type),
			Quality: rapid.SampledFrom([]journal.Quality{journal.Good, journal.Good, journal.Bad, journal.Stale, 80}).Draw(t, "q")})
	}
}

// quiet adds stretches without truth, later ones later.
func (p *plantOfQuestions) quiet(t *rapid.T) {
	start := noon.Add(-30 * time.Hour)
	for range rapid.IntRange(0, 5).Draw(t, "gaps") {
		start = start.Add(time.Duration(rapid.IntRange(1, 6*3600_000).Draw(t, "until the gap")) * time.Millisecond)
		end := start.Add(time.Duration(rapid.IntRange(1, 3*3600_000).Draw(t, "gap")) * time.Millisecond)
		g := Gap{From: ms(start), To: ms(end)}
		switch rapid.IntRange(0, 1).Draw(t, "kind") {
		case 0:
			p.addEvent(journal.Event{Kind: journal.GapEvent, At: g.From, Until: g.To, Group: "g", Node: "n", Reason: "lost"})
		default:
			p.addEvent(death(start))
			if rapid.IntRange(0, 5).Draw(t, "for ever") == 0 {
				g.To = 0
			} else {
				p.addEvent(birth(journal.DeviceBirth, "d", end))
			}
		}
		if p.gaps = append(p.gaps, g); g.To == 0 {
			return
		}
		start = end
	}
}

func (p *plantOfQuestions) reference(m Metric) *reference {
	r := &reference{gaps: p.gaps, edges: Edges(p.gaps), now: p.s.now()}
	for _, v := range p.sent[m] {
		r.list = append(r.list, v)
	}
	slices.SortFunc(r.list, func(a, b journal.Sample) int { return cmp.Compare(a.At, b.At) })
	return r
}

func TestAnswersAreThoseOfTheReference(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		p := &plantOfQuestions{rig: newRigIn(t, dir, Options{}), sent: make(map[Metric]map[journal.Millis]journal.Sample)}
		defer func() { p.rig.close() }()
		p.least = rapid.SampledFrom([]int{1, leastShared}).Draw(t, "least shared")
		for i, kind := range []journal.DataType{10, 9, 11, 12, 4, 3} {
			k := key(i % 5) // the last is a type epoch of the first
			k.Type = kind
			p.keys = append(p.keys, k)
		}
		p.quiet(t)
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			p.batch(t)
			switch rapid.IntRange(0, 4).Draw(t, "then") {
			case 0:
				p.follow()
				p.flush(flushAll)
			case 1:
				p.follow()
				p.rig.close()
				p.rig.open()
			}
		}
		p.clock.Set(noon.Add(time.Duration(rapid.IntRange(-3600, 900).Draw(t, "now")) * time.Second))
		p.follow()
		p.s.leastShared, p.s.helpers = p.least, make(chan struct{}, 2)
		for range 4 {
			p.ask(t)
		}
		if rapid.Bool().Draw(t, "rolled up") {
			p.flush(flushAll)
			p.rollAll()
		}
		p.askRows(t, minuteMillis)
		p.askRows(t, hourMillis)
	})
}

func (p *plantOfQuestions) ask(t *rapid.T) {
	ctx := context.Background()
	var metrics []Metric
	for m := range p.sent {
		metrics = append(metrics, m)
	}
	slices.SortFunc(metrics, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	metrics = append(metrics, Metric{"g", "n", "d", "nobody"})
	from := ms(noon) - journal.Millis(rapid.IntRange(-900_000, 31*3600_000).Draw(t, "from"))
	to := from + journal.Millis(rapid.IntRange(1, 20*3600_000).Draw(t, "length"))
	points := rapid.IntRange(1, 60).Draw(t, "points")
	charts, err := p.s.Charts(ctx, ChartQuery{metrics, from, to, points})
	if err != nil {
		t.Fatal(err)
	}
	width := max(1, (to-from)/journal.Millis(rapid.IntRange(1, 30).Draw(t, "intervals")))
	tables, err := p.s.Aggregates(ctx, AggregateQuery{metrics, from, to, width})
	if err != nil {
		t.Fatal(err)
	}
	p.askColumns(t, metrics[:len(metrics)-1], from, to)
	p.askLooks(t, metrics[:len(metrics)-1], from, to)
	near := gocmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 1e-9)}
	for i, m := range metrics {
		if p.sent[m] == nil {
			if charts[i].Err == nil || tables[i].Err == nil {
				t.Fatal("an unknown metric has an answer")
			}
			continue
		}
		ref := p.reference(m)
		got := charts[i].Buckets
		for k := range got {
			end := to
			if k+1 < len(got) {
				end = got[k+1].T
			}
			if _, want := ref.interval(got[k].T, end, 0); gocmp.Diff(want, got[k], near) != "" {
				t.Fatalf("%s, column %d of %d to %d:\n%s", m.Name, k, len(got), end, gocmp.Diff(want, got[k], near))
			}
		}
		for k, row := range tables[i].Intervals {
			if want, _ := ref.interval(from+journal.Millis(k)*width, min(to, from+journal.Millis(k+1)*width), width); gocmp.Diff(want, row, near) != "" {
				t.Fatalf("%s, interval %d of %d:\n%s", m.Name, k, len(tables[i].Intervals), gocmp.Diff(want, row, near))
			}
		}
		if d := gocmp.Diff(seen(p.gaps, from, to), seen(charts[i].Gaps, from, to)); d != "" {
			t.Fatalf("gaps (-want +got):\n%s", d)
		}
	}
}

// askColumns compares columns with what was sent, bit by bit.
func (p *plantOfQuestions) askColumns(t *rapid.T, metrics []Metric, from, to journal.Millis) {
	columns, err := p.s.Columns(context.Background(), metrics, from, to, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range metrics {
		var want []journal.Sample
		for _, v := range p.reference(m).list {
			switch {
			case v.At < from && v.At >= floorTo(from, hourMillis)-hourMillis:
				want = []journal.Sample{v} // what holds where the range begins
			case v.At >= from && v.At < to:
				want = append(want, v)
			}
		}
		c := &columns[i]
		if len(c.At) != len(want) || len(c.Damage) > 0 {
			t.Fatalf("%s: %d samples, want %d; damage %v", m.Name, len(c.At), len(want), c.Damage)
		}
		for n, v := range want {
			f, known := v.Value.Float64()
			known = known && believed(v.Quality)
			if got := c.Unknown == nil || !c.Unknown[n]; c.At[n] != v.At || got != known || known && math.Float64bits(c.Num[n]) != math.Float64bits(f) {
				t.Fatalf("%s: sample %d at %d is %v, known %v; want %+v", m.Name, n, c.At[n], c.Num[n], got, v)
			}
		}
	}
}

// askLooks compares what is seen of columns that leave out what makes no difference with what is seen of all samples.
func (p *plantOfQuestions) askLooks(t *rapid.T, metrics []Metric, from, to journal.Millis) {
	looks := Looks{Step: (to - from) / journal.Millis(rapid.IntRange(1, 60).Draw(t, "looks")), Width: journal.Millis(rapid.SampledFrom([]int{0, 1, 60_000, 4321_000}).Draw(t, "width"))}
	looks.Width = min(looks.Width, to-from)
	looks.First = from + looks.Width + journal.Millis(rapid.Int64Range(0, int64(to-from-looks.Width)).Draw(t, "first")) - 1
	less, err := p.s.Columns(context.Background(), metrics, from, to, &looks, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.s.Columns(context.Background(), metrics, from, to, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range metrics {
		for at := looks.First; at < to; at += looks.Step {
			if want, got := all[i].seen(at, looks.Width), less[i].seen(at, looks.Width); want != got {
				t.Fatalf("%s: %+v sees at %d %s, of all samples %s", m.Name, looks, at, got, want)
			}
			if looks.Step == 0 {
				break
			}
		}
	}
}

// seen tells what a look at a column finds.
func (c *Column) seen(at, width journal.Millis) string {
	first, last := -1, -1
	low, high, known, none := math.Inf(1), math.Inf(-1), 0, 0
	for i, t := range c.At {
		if t > at || width > 0 && t <= at-width {
			continue
		}
		if first < 0 {
			first = i
		}
		switch last = i; {
		case c.Unknown != nil && c.Unknown[i]:
			known |= 1
		case c.Num[i] != c.Num[i]:
			none |= 1
		default:
			known |= 2
			low, high = min(low, c.Num[i]), max(high, c.Num[i])
		}
	}
	if last < 0 {
		return "nothing"
	}
	name := func(i int) string {
		if c.Unknown != nil && c.Unknown[i] {
			return fmt.Sprintf("nothing known at %d", c.At[i])
		}
		return fmt.Sprintf("%v at %d", c.Num[i], c.At[i])
	}
	if width == 0 {
		return name(last)
	}
	return fmt.Sprintf("%s to %s, between %v and %v, kinds %d and %d", name(first), name(last), low, high, known, none)
}

// askRows has rollups answer where they can.
func (p *plantOfQuestions) askRows(t *rapid.T, step journal.Millis) {
	var metrics []Metric
	for m := range p.sent {
		metrics = append(metrics, m)
	}
	from := ms(noon) - journal.Millis(rapid.IntRange(0, 31*3600_000).Draw(t, "from"))
	points := rapid.IntRange(1, 20).Draw(t, "points")
	width := journal.Millis(rapid.IntRange(int(step), int(10*step)).Draw(t, "width"))
	to := from + width*journal.Millis(points)
	a, err := p.s.ask(context.Background(), metrics, from, to)
	if err != nil {
		t.Fatal(err)
	}
	bounds := evenly(from, to, points)
	align(bounds, step, width)
	a.divide(bounds)
	if err := a.carryOut(context.Background(), plan{step: step, rolled: a.scan.tracks}); err != nil {
		t.Fatal(err)
	}
	near := gocmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-6, 1e-3)} // rows keep means to some bits
	for i, m := range metrics {
		for k, b := range a.tracks[i].buckets() {
			if _, want := p.reference(m).interval(bounds[k], bounds[k+1], 0); gocmp.Diff(want, b, near) != "" {
				t.Fatalf("%s, rows of %d ms (source %s), column %d of %d, %d to %d:\n%s", m.Name, step, a.tracks[i].source, k, points, b.T,
					bounds[k+1], gocmp.Diff(want, b, near))
			}
		}
	}
}

// seen is what a question about a range can know of gaps: not the birth that ends one later.
func seen(list []Gap, from, to journal.Millis) []Gap {
	out := []Gap{}
	for _, g := range clip(slices.Clone(list), from, to) {
		if g.Cause = ""; g.To == 0 || g.To > to {
			g.To = to
		}
		out = append(out, g)
	}
	return out
}
