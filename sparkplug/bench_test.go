package sparkplug

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edge/proto/sparkplugpb"
)

// liveMix is what an NDATA of 20 metrics carries in a plant: half of it measurements, the rest states, counters, a text.
func liveMix(byAlias bool) Payload {
	values := []Value{DoubleValue(184.25), DoubleValue(-3.5e-7), FloatValue(12.75), BoolValue(true), Int64Value(Int32, -12), DoubleValue(0.1),
		FloatValue(99.5), Int64Value(UInt32, 4_000_000_000), DoubleValue(1e9), Int64Value(Int64, -5), FloatValue(-0.25), BoolValue(false),
		Int64Value(Int16, 3), DoubleValue(72.125), StringValue("running"), FloatValue(3), Int64Value(UInt16, 65535), DoubleValue(2.5),
		Int64Value(DateTime, 1786000000000), BoolValue(true)}
	p := Payload{Timestamp: 1786000000123, HasTimestamp: true, Seq: 200, HasSeq: true}
	for i, v := range values {
		m := Metric{Name: fmt.Sprintf("Line 1/Station %d/Temperature", i), Timestamp: 1786000000000 + uint64(i), HasTimestamp: true, Value: v}
		if byAlias {
			m.Name, m.Alias, m.HasAlias = "", uint64(100+i), true
		}
		p.Metrics = append(p.Metrics, m)
	}
	return p
}

// BenchmarkNData decodes an NDATA of 20 metrics, alone and with the look-up of each metric, and the same by the generated code.
func BenchmarkNData(b *testing.B) {
	for _, by := range []string{"alias", "name"} {
		p := liveMix(by == "alias")
		data := Encode(&p)
		names, aliases := map[string]*metric{}, map[uint64]*metric{}
		for i := range p.Metrics {
			names[fmt.Sprintf("Line 1/Station %d/Temperature", i)], aliases[uint64(100+i)] = &metric{}, &metric{}
		}
		find := func(alias uint64, name string) {
			if m := aliases[alias]; m == nil {
				if names[name] == nil {
					b.Fatal("lost")
				}
			}
		}
		run := func(name string, f func() error) {
			b.Run(by+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		reused := Payload{Names: NewNames()}
		generated := func() error {
			var pb sparkplugpb.Payload
			err := proto.Unmarshal(data, &pb)
			for _, m := range pb.Metrics {
				find(m.GetAlias(), m.GetName())
			}
			return err
		}
		run("decode", func() error { return reused.Decode(data, Limits{}) })
		run("decode+lookup", func() error {
			err := reused.Decode(data, Limits{})
			for i := range reused.Metrics {
				find(reused.Metrics[i].Alias, reused.Metrics[i].Name)
			}
			return err
		})
		b.Run(by+"/ratio", func(b *testing.B) { beside(b, func() error { return reused.Decode(data, Limits{}) }, generated) })
		run("decode-new", func() error { _, err := Decode(data, Limits{}); return err })
		run("generated+lookup", generated)
	}
}

// everySeq has a node born with 10 metrics, by alias or by name, and returns an NDATA of all of them for each seq.
func everySeq(p *plant, by string) (payloads [256][]byte) {
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
	for seq := range payloads {
		pl := p.payload(seq, data...)
		payloads[seq] = Encode(&pl)
	}
	return payloads
}

// BenchmarkStep decodes and applies an NDATA of 10 metrics.
func BenchmarkStep(b *testing.B) {
	for _, by := range []string{"alias", "name"} {
		b.Run(by, func(b *testing.B) {
			p := newPlant(b, Options{})
			payloads := everySeq(p, by)
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
				p.h.Done(out)
				seq++
			}
		})
	}
}

// beside runs two functions in turn, so that a busy machine slows both, and reports the least time of each and their ratio.
func beside(b *testing.B, ours, theirs func() error) {
	const calls = 50
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, f := range []func() error{ours, theirs} {
			from := time.Now()
			for range calls {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			best[i] = min(best[i], time.Since(from))
		}
	}
	b.ReportMetric(float64(best[0].Nanoseconds())/calls, "least-ns")
	b.ReportMetric(float64(best[1].Nanoseconds())/calls, "generated-least-ns")
	b.ReportMetric(float64(best[1])/float64(best[0]), "times")
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
