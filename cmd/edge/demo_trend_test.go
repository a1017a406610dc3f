package main

import (
	"math"
	"testing"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// TestDemoTrendGaps is what SCADA's trend shows of a minute in which it took the node for dead from second 20 to 40.
func TestDemoTrendGaps(t *testing.T) {
	const start = journal.Millis(1_800_000_000_000)
	for _, c := range []struct {
		name    string
		samples []int64 // ms into the minute
		lasts   bool    // the node has not come back
		gaps    int
	}{
		{name: "killed: nothing is known of that time", samples: []int64{10_000, 45_000}, gaps: 1},
		{name: "killed: the values of its birth are a little older than SCADA's hearing of it", samples: []int64{10_000, 39_700}, gaps: 1},
		{name: "cut and back-filled", samples: []int64{10_000, 25_000, 35_000, 45_000}, gaps: 0},
		{name: "it lasts", samples: []int64{10_000, 20_400}, lasts: true, gaps: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tr trends
			node := func(kind sparkplug.EventKind, ms int64) {
				tr.event(&sparkplug.Event{Kind: kind, At: timeAt(start, ms), Group: "plant", Node: "press"})
			}
			for _, ms := range c.samples {
				tr.add(demoSample(timeAt(start, ms), 7))
			}
			node(sparkplug.NodeDied, 20_000)
			if !c.lasts {
				node(sparkplug.NodeBorn, 40_000)
			}
			_, gaps := tr.buckets(demoRef, start, start+60_000, 60)
			if len(gaps) != c.gaps {
				t.Errorf("gaps %v, want %d", gaps, c.gaps)
			}
		})
	}
}

// TestDemoTrendCarriesIn: a value from before the window holds in it, but not when SCADA took the node for dead since.
func TestDemoTrendCarriesIn(t *testing.T) {
	const start = journal.Millis(1_800_000_000_000)
	var tr trends
	tr.add(demoSample(timeAt(start, -5_000), 3))
	tr.add(demoSample(timeAt(start, -2_000), 4))
	if b, _ := tr.buckets(demoRef, start, start+10_000, 10); b[0].Last != 4 || b[0].Count != 0 || !math.IsNaN(b[1].Last) {
		t.Errorf("columns %v, want 4 carried into the first", b[:2])
	}
	tr.event(&sparkplug.Event{Kind: sparkplug.NodeDied, At: timeAt(start, -1_000), Group: "plant", Node: "press"})
	if b, gaps := tr.buckets(demoRef, start, start+10_000, 10); !math.IsNaN(b[0].Last) || len(gaps) != 1 {
		t.Errorf("columns %v, gaps %v, want nothing carried through the gap", b[:2], gaps)
	}
}

var demoRef = sparkplug.MetricRef{Group: "plant", Node: "press", Device: "ram", Name: "Force"}

func demoSample(at time.Time, v float64) *sparkplug.Sample {
	return &sparkplug.Sample{Group: demoRef.Group, Node: demoRef.Node, Device: demoRef.Device, Metric: demoRef.Name,
		At: at, Value: sparkplug.Value{Type: sparkplug.Double, Num: math.Float64bits(v)}}
}

func timeAt(start journal.Millis, ms int64) time.Time { return time.UnixMilli(int64(start) + ms) }
