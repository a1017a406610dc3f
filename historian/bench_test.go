package historian

import (
	"context"
	"testing"
	"time"

	"edge/historian/gen"
)

// dayOfPlant fills a store with hours of the plant, and names its densest metric.
func dayOfPlant(b *testing.B, devices, hours int) (*rig, Metric) {
	r := newRig(b, Options{})
	set := gen.G1
	set.Metrics, set.Duration, set.Start = devices*set.PerDevice, time.Duration(hours)*time.Hour, ms(noon)
	return r, densest(b, r, r.record(set))
}

func BenchmarkQuery(b *testing.B) {
	const hours = 10 // of one UTC day and the next
	r, k := dayOfPlant(b, 4, hours)
	defer r.close()
	rng := Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Name, From: ms(noon), To: ms(noon.Add(hours * time.Hour))}
	b.Run("buckets over 10 h", func(b *testing.B) {
		count := 0
		for b.Loop() {
			list, _, err := r.s.Buckets(context.Background(), rng, 1000)
			if err != nil {
				b.Fatal(err)
			}
			count = 0
			for _, c := range list {
				count += c.Count
			}
		}
		b.ReportMetric(float64(count), "samples")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/sample")
	})
	b.Run("1 h of samples", func(b *testing.B) {
		hour := rng
		hour.To = hour.From + hourMillis
		for b.Loop() {
			if _, err := r.s.Read(context.Background(), hour); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("last", func(b *testing.B) {
		for b.Loop() {
			if _, ok := r.s.Last(k.Group, k.Node, k.Device, k.Name); !ok {
				b.Fatal("no last value")
			}
		}
	})
	b.Run("500 of the backlog", func(b *testing.B) {
		from := r.j.Durable() / 2
		for b.Loop() {
			if list, _, err := r.s.Backlog(context.Background(), k.Group, k.Node, from, r.j.Durable(), 500); err != nil || len(list) != 500 {
				b.Fatal(len(list), err)
			}
		}
	})
}
