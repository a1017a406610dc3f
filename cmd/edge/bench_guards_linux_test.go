package main

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkGuards puts NDATA of 100 nodes on four appliances in turn: one that is no aware server and has no firewall, an aware one, and
// one that is aware and whose firewall observes, or enforces. One operation is a round over all of them, each time beginning with the next; of each round it
// takes how much more processor time a message cost than it did the first one, and of those the median and the quartiles. The nodes are
// born again in each round, as often as rounds go by, so births are not limited here.
func BenchmarkGuards(b *testing.B) {
	const firewall, births = "EDGE_SPARKPLUG_FIREWALL_MODE=", "EDGE_SPARKPLUG_FIREWALL_LIMITS_BIRTHS_PER_MINUTE=0"
	guarded := []*peerBroker{
		benchmarkEdge(b, "neither", "EDGE_SPARKPLUG_AWARE=false"), benchmarkEdge(b, "aware"),
		benchmarkEdge(b, "observe", firewall+"observe", births), benchmarkEdge(b, "enforce", firewall+"enforce", births),
	}
	cost, more := make([][]float64, len(guarded)), make([][]float64, len(guarded))
	load := peerLoad{"NDATA, 100 nodes, 1,000 messages on their way", crowded}
	for _, p := range guarded {
		round(b, &load, p, 4) // whoever was never asked is slower
	}
	for n := range b.N {
		of := make([]float64, len(guarded))
		for i := range guarded {
			at := (n + i) % len(guarded)
			m := round(b, &load, guarded[at], 1)
			of[at] = m.cpu.Seconds() * 1e6 / float64(m.messages)
		}
		for i := range of {
			cost[i] = append(cost[i], of[i])
			more[i] = append(more[i], 100*(of[i]/of[0]-1))
		}
	}
	for _, p := range guarded[2:] {
		for name, n := range scrape(b, p.page) {
			if strings.HasPrefix(name, "edge_firewall_violations_total") && n > 0 {
				b.Errorf("%s lists the honest: %v of %s", p.name, n, name)
			}
		}
	}
	fmt.Printf("\n| aware, firewall | CPU us/message | more than neither, %% | quartiles |\n|---|--:|--:|--:|\n")
	for i, p := range guarded {
		fmt.Printf("| %s | %.2f | %+.1f | %+.1f, %+.1f |\n", p.name, quantile(cost[i], 0.5), quantile(more[i], 0.5), quantile(more[i], 0.25), quantile(more[i], 0.75))
		b.ReportMetric(quantile(more[i], 0.5), p.name+"-%")
	}
	b.ReportMetric(0, "ns/op") // a round is no figure
}

// crowded has 100 nodes say NDATA as fast as the broker takes it: then it has something to do all the time, and what it does for a message
// does not depend on how often it slept.
func crowded(g *generator, m *gauge, scale int) {
	const nodes, ahead = 100, 1000
	n := 20_000 / scale
	plant := livingPlant(g, nodes)
	said := 0
	m.measure(func() {
		g.every(2000, func(uint64) {
			for ; said < n && said-plant.got < ahead; said++ {
				plant.say(said % nodes)
			}
		})
		g.until("all NDATA", func() bool { return plant.got == n })
		g.every(0, nil)
	})
	m.messages, m.took = plant.got, plant.took
}
