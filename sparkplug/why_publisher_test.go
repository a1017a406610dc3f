package sparkplug

import (
	"strings"
	"testing"
	"time"
)

// Who said a thing decides what is said of it: the same message means another thing from the node's client, from a stranger and
// from the dead.
func TestWhyByPublisher(t *testing.T) {
	late := t0.Add(time.Minute).Format(StampLayout)
	tests := []struct {
		name       string
		do         func(p *plant)
		device, of string
		quality    Quality // of a metric
		want       string  // without times
	}{
		{"a node's will before its birth", func(p *plant) {
			p.ndeath(4)
			p.leaves("C", ReasonClean, "")
			*p = plant{t: p.t, h: NewHost(Options{}), now: t0, client: "C"}
			p.joins("C", "10.0.0.7:1")
			p.leaves("C", "connection lost", "")
			p.ndeath(5)
		}, "", "", "", "node E dead: its will fired: lost connection of client C at 10.0.0.7"},
		{"a will of before the start", func(p *plant) {
			p.h = NewHost(Options{Started: t0})
			p.seeded(4)
			p.ndeath(4)
		}, "", "", "", "node E dead: its will fired: client C was last connected before the appliance started"},
		{"a stranger's DDEATH", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.send("spBv1.0/G/DDEATH/E/D1", p.payload(2))
		}, "D1", "t", QualityStale, "device D1 dead: node E's DDEATH was published by client X at 10.0.0.9, which is not its client C at 10.0.0.7"},
		{"a stranger's DDEATH that was held", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.send("spBv1.0/G/DDEATH/E/D1", p.payload(3))
			p.client = "C"
			p.ndata(2, p.double("a", 2))
		}, "D1", "t", QualityStale, "device D1 dead: node E's DDEATH was published by client X at 10.0.0.9, which is not its client C at 10.0.0.7"},
		{"a stranger's value", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.ndata(2, p.double("a", 9))
		}, "", "a", QualityUncertain, "the value was published by client X, which is not that of node E's births; " +
			"two clients speak for node E, client C at 10.0.0.7 and client X at 10.0.0.9"},
		{"a stranger's birth of a device", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.dbirth("D1", 2, p.double("t", 9))
			p.leaves("X", "connection lost", "")
		}, "D1", "t", QualityUncertain, "the value was published by client X, which is not that of node E's births"},
		{"a stranger's value, then the node's", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.ndata(2, p.double("a", 9))
			p.leaves("X", "connection lost", "")
			p.client = "C"
			p.ndata(3, p.double("a", 2))
		}, "", "a", QualityGood, ""},
		{"data of the session before, by another client", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.client = "X"
			p.nbirth(5, p.double("a", 1))
			p.client = "C"
			p.ndata(1, p.double("a", 2))
			p.leaves("C", "connection lost", "")
		}, "", "a", QualityUncertain, "the value was published by client C, which is not that of node E's births"},
		{"a birth that is a will", func(p *plant) {
			p.leaves("C", "connection lost", "")
			p.nbirth(5, p.double("a", 1))
			p.tick(5 * time.Second)
		}, "", "a", QualityStale, "node E dead: its client is gone and no will came: connection of client C ended: it was gone before its NBIRTH came"},
		{"data after the start, no birth", func(p *plant) {
			p.h = NewHost(Options{Started: t0, NoRebirths: true})
			p.seeded(4)
			p.joins2("C", "10.0.0.7:1")
			p.ndata(9, p.double("a", 9))
		}, "", "a", QualityStale, "node E not born since the appliance started; its last value came"},
		{"a request to a session that is over", func(p *plant) {
			*p = *alive(p.t.(*testing.T), Options{})
			p.ndata(5, p.double("a", 2))
			p.tick(5 * time.Second)
			p.leaves("C", "connection lost", "")
			p.ndeath(4)
			p.joins("C", "10.0.0.7:1")
		}, "", "a", QualityStale, "node E dead: its will fired: lost connection of client C at 10.0.0.7; client C at 10.0.0.7 is connected and has sent no NBIRTH"},
		{"connected often, an hour ago", func(p *plant) {
			for range flaps {
				p.leaves("C", "connection lost", "")
				p.joins("C", "10.0.0.7:1")
				p.nbirth(5, p.double("a", 1))
			}
			p.tick(time.Hour)
		}, "", "a", QualityGood, ""},
		{"a stranger that comes to speak late", func(p *plant) {
			p.joins2("X", "10.0.0.9:1")
			p.tick(time.Minute)
			p.client = "X"
			p.ndata(2, p.double("b", 9))
			p.client = "C"
		}, "D1", "t", QualityGood, "two clients speak for node E, client C at 10.0.0.7 and client X at 10.0.0.9 since " + late},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := alive(t, Options{NoRebirths: true})
			tt.do(p)
			got := Explain(p.h.Why(MetricRef{"G", "E", tt.device, tt.of}))
			if !strings.Contains(tt.want, "2026") {
				got = withoutTimes(got)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if tt.of == "" {
				return
			}
			if m, _ := p.h.Metric(MetricRef{"G", "E", tt.device, tt.of}); m.Quality != tt.quality {
				t.Errorf("%s, want %s", m.Quality, tt.quality)
			}
		})
	}
}

// joins2 tells the host of a client without a will.
func (p *plant) joins2(client, addr string) {
	p.step(Input{Session: &Session{ClientID: client, Address: addr, Connected: true}})
}

// seeded gives the host the NBIRTH of before a restart.
func (p *plant) seeded(bdSeq uint8) {
	pl := p.payload(0, BdSeqMetric(bdSeq, p.now), p.double("a", 1))
	if err := p.h.Seed("spBv1.0/G/NBIRTH/E", Encode(&pl), p.now); err != nil {
		p.t.Fatal(err)
	}
}
