package sparkplug

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStep decodes and applies an NDATA of 10 metrics.
func BenchmarkStep(b *testing.B) {
	for _, by := range []string{"alias", "name"} {
		b.Run(by, func(b *testing.B) {
			p := newPlant(b, Options{})
			var birth, data []Metric
			for i := range 10 {
				m := p.double(fmt.Sprintf("Line 1/Station %d/Temperature", i), float64(i))
				d := Metric{Name: m.Name, Value: m.Value, Timestamp: m.Timestamp, HasTimestamp: true}
				if by == "alias" {
					m.Alias, m.HasAlias = uint64(i), true
					d = p.byAlias(uint64(i), float64(i))
				}
				birth, data = append(birth, m), append(data, d)
			}
			p.nbirth(0, birth...)
			var payloads [256][]byte
			for seq := range payloads {
				pl := p.payload(seq, data...)
				payloads[seq] = Encode(&pl)
			}
			m := Message{Topic: "spBv1.0/G/NDATA/E"}
			b.ReportAllocs()
			b.SetBytes(int64(len(payloads[0])))
			seq := uint8(1)
			for b.Loop() {
				m.Payload = payloads[seq]
				out := p.h.Step(Input{Message: &m}, t0)
				if len(out.Records) != 10 {
					b.Fatalf("%d records", len(out.Records))
				}
				seq++
			}
		})
	}
}

// BenchmarkDecodeBirth decodes an NBIRTH of 20,000 metrics.
func BenchmarkDecodeBirth(b *testing.B) {
	p := newPlant(b, Options{})
	var ms []Metric
	for i := range 20_000 {
		ms = append(ms, p.aliased(fmt.Sprintf("Area/Machine %d/Value", i), uint64(i), 1))
	}
	pl := p.payload(0, ms...)
	data := Encode(&pl)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Decode(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStepBirth applies an NBIRTH of 20,000 metrics.
func BenchmarkStepBirth(b *testing.B) {
	p := newPlant(b, Options{})
	ms := []Metric{BdSeqMetric(0, t0)}
	for i := range 20_000 {
		ms = append(ms, p.aliased(fmt.Sprintf("Area/Machine %d/Value", i), uint64(i), 1))
	}
	pl := p.payload(0, ms...)
	m := Message{Topic: "spBv1.0/G/NBIRTH/E", Payload: Encode(&pl)}
	b.ReportAllocs()
	for b.Loop() {
		if out := p.h.Step(Input{Message: &m}, t0.Add(time.Second)); len(out.Records) != 20_001 {
			b.Fatalf("%d records", len(out.Records))
		}
	}
}
