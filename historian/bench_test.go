package historian

import (
	"context"
	"testing"
	"time"

	"edge/historian/journal"
)

// dayOfPlant fills a store with hours of the plant.
func dayOfPlant(b *testing.B, devices, hours int) (*rig, journal.SeriesKey) {
	r := newRig(b, Options{})
	p := newPlant(devices, 1)
	var keys []journal.SeriesKey
	for i, s := range p.signal {
		k := journal.SeriesKey{Group: "plant", Node: "hall", Device: string(rune('a' + i/perDevice)), Metric: string(rune('A' + i%perDevice)), Type: s.kind}
		r.add(k)
		keys = append(keys, k)
	}
	var buf []journal.Sample
	for sec := range int64(hours * 3600) {
		buf = p.scan(buf[:0], sec)
		for _, part := range messages(buf) {
			r.append(journal.Record{Kind: journal.KindSamples, Samples: part})
		}
		if sec%600 == 15 && sec > 600 {
			r.clock.Set(noon.Add(time.Duration(sec) * time.Second))
			r.follow()
			r.flush(flushWindows)
		}
	}
	r.clock.Set(noon.Add(time.Duration(hours) * time.Hour))
	r.follow()
	for i, s := range p.signal {
		if s.class == "analog input" && s.deadband == 0 {
			return r, keys[i]
		}
	}
	return r, keys[0]
}

func BenchmarkQuery(b *testing.B) {
	const hours = 10 // of one UTC day and the next
	r, k := dayOfPlant(b, 4, hours)
	defer r.close()
	rng := Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: ms(noon), To: ms(noon.Add(hours * time.Hour))}
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
			if _, ok := r.s.Last(k.Group, k.Node, k.Device, k.Metric); !ok {
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
