package sparkplug

import (
	"fmt"
	"testing"
	"time"
)

const manyNodes, manyDevices = 2000, 20

// crowd is a host that knows many nodes with their devices: born, or known from before a restart, when all are to be asked for births.
func crowd(b *testing.B, restarted bool) *Host {
	h := NewHost(Options{})
	p := newPlant(b, Options{})
	birth := func(topic string, seq int) {
		ms := []Metric{p.aliased("Value", uint64(seq), 1)}
		if seq == 0 {
			ms = append(ms, BdSeqMetric(0, t0))
		}
		pl := p.payload(seq, ms...)
		if !restarted {
			h.Step(Input{Message: &Message{Topic: topic, Payload: Encode(&pl)}}, t0)
		} else if err := h.Seed(topic, Encode(&pl), t0); err != nil {
			b.Fatal(err)
		}
	}
	talk := p.payload(1, p.byAlias(0, 1))
	for n := range manyNodes {
		birth(fmt.Sprintf("spBv1.0/G/NBIRTH/node %d", n), 0)
		for d := range manyDevices {
			birth(fmt.Sprintf("spBv1.0/G/DBIRTH/node %d/device %d", n, d), d+1)
		}
	}
	for n := range manyNodes {
		if restarted {
			h.Step(Input{Message: &Message{Topic: fmt.Sprintf("spBv1.0/G/NDATA/node %d", n), Payload: Encode(&talk)}}, t0)
		}
	}
	return h
}

// BenchmarkManyNodes is what the page's and the API's questions cost a plant of 2,000 nodes with 20 devices each, and a step of a
// host that waits for the births of all of them.
func BenchmarkManyNodes(b *testing.B) {
	for name, restarted := range map[string]bool{"online": false, "unknown": true} {
		h := crowd(b, restarted)
		b.Run("nodes/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(h.Nodes()) != manyNodes {
					b.Fatal("not all")
				}
			}
		})
		b.Run("node/"+name, func(b *testing.B) {
			for b.Loop() {
				h.Node("G", "node 7")
			}
		})
		b.Run("metrics/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Metrics(MetricFilter{}, nil, 1000)
			}
		})
		b.Run("stats/"+name, func(b *testing.B) {
			for b.Loop() {
				h.Stats()
			}
		})
	}
	b.Run("step while all wait", func(b *testing.B) { // each is asked once in a while
		h := crowd(b, true)
		now, asked := t0.Add(6*time.Second), 0 // their births have not come
		h.Step(Input{}, now)
		for b.Loop() {
			now = now.Add(50 * time.Millisecond)
			asked += len(h.Step(Input{}, now).Publish)
		}
		b.ReportMetric(float64(asked)/float64(b.N), "asked/op")
	})
	b.Run("next tick while all wait", func(b *testing.B) {
		h := crowd(b, true)
		h.Step(Input{}, t0.Add(6*time.Second))
		for b.Loop() {
			h.NextTick()
		}
	})
}
