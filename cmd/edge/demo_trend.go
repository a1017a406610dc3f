package main

import (
	"math"
	"slices"
	"sync"
	"time"

	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"
)

// trendPoints bounds what the demo's SCADA keeps of one metric; the oldest go first.
const trendPoints = 20_000

// trendMetrics bounds how many metrics it keeps.
const trendMetrics = 1_000

// trends is the small memory of the demo's SCADA: the numbers it received, in the order of their own time.
type trends struct {
	mu     sync.Mutex
	points map[sparkplug.MetricRef][]trendPoint
	dead   map[sparkplug.NodeRef][]span
}

type trendPoint struct {
	at    journal.Millis
	value float64
}

// span is a time in which SCADA took a node for dead; to is 0 while it lasts.
type span struct{ from, to journal.Millis }

// add keeps a sample; one that is there already (the same metric and time) is not kept twice.
func (t *trends) add(s *sparkplug.Sample) {
	v, ok := journal.Value{Type: journal.DataType(s.Value.Type), Null: s.Value.Null, Num: s.Value.Num}.Float64()
	if !ok {
		return
	}
	ref := sparkplug.MetricRef{Group: s.Group, Node: s.Node, Device: s.Device, Name: s.Metric}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.points == nil {
		t.points = map[sparkplug.MetricRef][]trendPoint{}
	}
	points, known := t.points[ref]
	if !known && len(t.points) >= trendMetrics {
		return
	}
	at := millis(s.At)
	i, found := slices.BinarySearchFunc(points, at, func(p trendPoint, at journal.Millis) int { return int(p.at - at) })
	if found {
		points[i].value = v
		return
	}
	points = slices.Insert(points, i, trendPoint{at, v})
	if len(points) > trendPoints {
		points = slices.Delete(points, 0, len(points)-trendPoints)
	}
	t.points[ref] = points
}

// event notes when a node was dead for SCADA.
func (t *trends) event(e *sparkplug.Event) {
	ref := sparkplug.NodeRef{Group: e.Group, Node: e.Node}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead == nil {
		t.dead = map[sparkplug.NodeRef][]span{}
	}
	spans := t.dead[ref]
	open := len(spans) > 0 && spans[len(spans)-1].to == 0
	switch {
	case e.Kind == sparkplug.NodeDied && !open:
		t.dead[ref] = append(spans[max(0, len(spans)-99):], span{from: millis(e.At)})
	case e.Kind == sparkplug.NodeBorn && open:
		spans[len(spans)-1].to = millis(e.At)
	}
}

// buckets divides [from, to) into n columns; the first shows the value carried in, if it has none of its own and no gap
// begins before it. A stretch in which the node was dead is a gap unless samples of that time came later: then the
// trend is back-filled.
func (t *trends) buckets(ref sparkplug.MetricRef, from, to journal.Millis, n int) ([]historian.Bucket, []historian.Gap) {
	if n <= 0 || to <= from {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	width := max(1, (to-from)/journal.Millis(n))
	out := make([]historian.Bucket, n)
	nan := math.NaN()
	for i := range out {
		out[i] = historian.Bucket{T: from + journal.Millis(i)*width, Min: nan, Max: nan, Mean: nan, Last: nan, Quality: journal.Good}
	}
	carried := nan
	for _, p := range t.points[ref] {
		switch i := int((p.at - from) / width); {
		case p.at < from:
			carried = p.value
		case i < n:
			takeInto(&out[i], p.value)
		}
	}
	gaps := t.gapsLocked(ref, from, to)
	if b := &out[0]; b.Count == 0 && (len(gaps) == 0 || gaps[0].From > from) {
		b.Min, b.Max, b.Mean, b.Last = carried, carried, carried, carried
	}
	return out, gaps
}

// gapsLocked returns the stretches of [from, to) in which the node was dead and of which no sample came later.
func (t *trends) gapsLocked(ref sparkplug.MetricRef, from, to journal.Millis) (gaps []historian.Gap) {
	for _, s := range t.dead[sparkplug.NodeRef{Group: ref.Group, Node: ref.Node}] {
		if (s.to == 0 || s.to > from) && s.from < to && !anyWithin(t.points[ref], s) {
			gaps = append(gaps, historian.Gap{From: s.from, To: s.to, Cause: "SCADA was told that the node is dead"})
		}
	}
	return gaps
}

// takeInto adds one value to a column; points come in the order of time. The mean is that of the values.
func takeInto(b *historian.Bucket, v float64) {
	if b.Count == 0 {
		b.Min, b.Max, b.Mean = v, v, 0
	}
	b.Min, b.Max, b.Last = min(b.Min, v), max(b.Max, v), v
	b.Count++
	b.Mean += (v - b.Mean) / float64(b.Count)
}

// anyWithin tells whether samples inside the span came, a second at either end aside (a third of a short span): a last
// value may be that late, and the values of a birth are older than SCADA's hearing of it.
func anyWithin(points []trendPoint, s span) bool {
	margin := journal.Millis(time.Second / time.Millisecond)
	if s.to != 0 {
		margin = min(margin, (s.to-s.from)/3)
	}
	return slices.ContainsFunc(points, func(p trendPoint) bool {
		return p.at > s.from+margin && (s.to == 0 || p.at < s.to-margin)
	})
}
