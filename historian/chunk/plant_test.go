package chunk

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"edge/historian/journal"
)

// plant is a small machine hall: devices of 50 metrics scanned once a second and reported by exception.
type plant struct {
	rng    *rand.Rand
	signal []signal
	phase  []int64 // ms of the second, a device
	own    []bool  // a device stamps each tag itself
	run    []bool
	flip   []int64
	index  journal.Index
}

type signal struct {
	class                string
	kind                 journal.DataType
	x, set, sigma, span  float64
	deadband, last, rate float64
	count, state         uint64
	next, lag            int64
	dwell                float64
	sent                 bool
}

const perDevice = 50

func newPlant(devices int, seed uint64) *plant {
	p := &plant{rng: rand.New(rand.NewPCG(seed, 1)), index: 1}
	for range devices {
		p.phase = append(p.phase, p.rng.Int64N(1000))
		p.own = append(p.own, p.rng.Float64() < 0.3)
		p.run = append(p.run, p.rng.Float64() < 0.8)
		p.flip = append(p.flip, 0)
		for range perDevice {
			p.signal = append(p.signal, p.newSignal())
		}
	}
	return p
}

func (p *plant) newSignal() signal {
	r := p.rng
	s := signal{lag: r.Int64N(20), dwell: math.Exp(math.Log(20) + r.Float64()*math.Log(100))}
	analog := func(class string, kind journal.DataType) {
		s.class, s.kind = class, kind
		s.span = []float64{10, 100, 250, 600, 1600}[r.IntN(5)]
		s.set = s.span * (0.2 + 0.6*r.Float64())
		s.x, s.sigma = s.set, s.span*(0.0005+0.004*r.Float64())
		if s.deadband = s.sigma * (0.2 + 2*r.Float64()); r.Float64() < 0.15 {
			s.deadband = 0
		}
	}
	switch u := r.Float64(); {
	case u < 0.15:
		analog("analog input", 9)
	case u < 0.225:
		analog("hundredths", 10)
	case u < 0.30:
		analog("full double", 10)
	case u < 0.50:
		s.class, s.kind, s.x, s.rate, s.deadband = "temperature", 9, 20+60*r.Float64(), 0.01+0.04*r.Float64(), 0.0999
	case u < 0.65:
		s.class, s.kind, s.count = "counter", 4, r.Uint64N(10_000_000)
		if s.rate = 0.005 + 0.3*r.Float64(); r.Float64() < 0.5 {
			s.rate = 1 + 20*r.Float64()
		}
	case u < 0.85:
		s.class, s.kind = "switch", 11
	case u < 0.93:
		s.class, s.kind, s.dwell = "setpoint", 9, 3600*(1+3*r.Float64())
	default:
		s.class, s.kind, s.dwell = "state", 12, 30+300*r.Float64()
	}
	return s
}

// scan appends what every device sends in second sec, in order of arrival.
func (p *plant) scan(dst []journal.Sample, sec int64) []journal.Sample {
	order := make([]int, len(p.phase))
	for d := range order {
		order[d] = d
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p.phase[a], p.phase[b]) })
	for _, d := range order {
		jitter := p.rng.NormFloat64() * 4
		if p.rng.Float64() < 0.01 {
			jitter += p.rng.ExpFloat64() * 50
		}
		at := 1_780_000_000_000 + sec*1000 + p.phase[d] + int64(math.Round(jitter))
		if sec >= p.flip[d] {
			p.run[d] = !p.run[d]
			p.flip[d] = sec + int64(p.rng.ExpFloat64()*1200) + 10
		}
		received := at + 22 + p.rng.Int64N(4)
		for i := d * perDevice; i < (d+1)*perDevice; i++ {
			stamp := at
			if p.own[d] {
				stamp += p.signal[i].lag + int64(math.Round(p.rng.NormFloat64()*1.5))
			}
			v, report := p.step(&p.signal[i], stamp, p.run[d])
			if !report {
				continue
			}
			dst = append(dst, journal.Sample{Index: p.index, Series: journal.SeriesID(i + 1), At: journal.Millis(stamp),
				Received: journal.Millis(received), Value: v, Quality: journal.Good})
			p.index++
		}
		p.index += journal.Index(p.rng.IntN(3)) // other devices' records lie between
	}
	return dst
}

func (p *plant) step(s *signal, at int64, run bool) (v journal.Value, report bool) {
	r := p.rng
	v.Type = s.kind
	switch s.class {
	case "analog input", "hundredths", "full double":
		target := s.set
		if !run {
			target *= 0.1
		}
		s.x += (target-s.x)*0.02 + r.NormFloat64()*s.sigma*0.15
		y := max(0, s.x+r.NormFloat64()*s.sigma)
		if s.class == "analog input" {
			y = float64(float32(math.Round(y/s.span*27648)) * float32(s.span/27648))
		} else if s.class == "hundredths" {
			y = math.Round(y*100) / 100
		}
		report = math.Abs(y-s.last) > s.deadband
		v.Num = floatBits(y, s.kind == 9)
		if report {
			s.last = y
		}
	case "temperature":
		s.x += r.NormFloat64()*s.rate + (50-s.x)*0.0001
		y := float64(float32(math.Round(s.x*10) / 10))
		if report = math.Abs(y-s.last) > s.deadband; report {
			s.last = y
		}
		v.Num = floatBits(y, true)
	case "counter":
		step := int64(math.Round(s.rate + r.NormFloat64()*math.Sqrt(s.rate)))
		if s.rate < 1 {
			step = 0
			if r.Float64() < s.rate {
				step = 1
			}
		}
		if report = run && step > 0; report {
			s.count += uint64(step)
		}
		v.Num = s.count
	default:
		if report = at >= s.next; report {
			s.next = at + int64(r.ExpFloat64()*s.dwell*1000)
			s.state++
		}
		switch s.class {
		case "switch":
			v.Num = s.state & 1
		case "setpoint":
			v.Num = floatBits(math.Round(float64(s.state*7919%1000))/10, true)
		default:
			v.Bytes = []byte([]string{"idle", "run", "hold", "fault", "clean", "setup"}[s.state*7%6])
		}
	}
	report = report || !s.sent
	s.sent = true
	return v, report
}

// windows returns the samples of each device and window of ten minutes.
func windows(devices, minutes int) map[[2]int][]journal.Sample {
	p := newPlant(devices, 1)
	out := make(map[[2]int][]journal.Sample)
	var buf []journal.Sample
	for sec := range int64(minutes * 60) {
		buf = p.scan(buf[:0], sec)
		for _, s := range buf {
			k := [2]int{int(s.Series-1) / perDevice, int(sec / 600)}
			out[k] = append(out[k], s)
		}
	}
	return out
}

// The goal of the format is 2.6 bytes a sample at rest; the limit here leaves out what the file adds.
func TestBytesPerSample(t *testing.T) {
	bytes, count := 0, 0
	for _, samples := range windows(6, 20) {
		block, err := Encode(samples)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(block)
		count += len(samples)
	}
	rate := float64(bytes) / float64(count)
	t.Logf("%d samples, %.3f bytes each; the goal of a file is 2.6", count, rate)
	if count < 50_000 || rate > 2.3 {
		t.Errorf("%.3f bytes a sample over %d samples", rate, count)
	}
}

func BenchmarkEncode(b *testing.B) {
	var sets [][]journal.Sample
	for _, samples := range windows(20, 20) {
		sets = append(sets, samples)
	}
	b.ReportAllocs()
	bytes, count := 0, 0
	for b.Loop() {
		for _, samples := range sets {
			block, err := Encode(samples)
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(block)
			count += len(samples)
		}
	}
	b.ReportMetric(float64(bytes)/float64(count), "B/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count), "ns/sample")
	byClass(b, sets)
}

// byClass prints what each kind of signal costs in its payload, and what all share.
func byClass(b *testing.B, sets [][]journal.Sample) {
	p := newPlant(20, 1)
	bytes, count := make(map[string]int), make(map[string]int)
	for _, samples := range sets {
		data, _ := Encode(samples)
		block, _ := Parse(data)
		bytes["shared"] += len(data)
		count["shared"] += len(samples)
		for _, e := range block.Entries {
			class := p.signal[e.Series-1].class
			bytes["shared"] -= len(e.payload)
			bytes[class] += len(e.payload)
			count[class] += e.Count
		}
	}
	for class, n := range bytes {
		b.Logf("%-14s %8d samples %6.3f B/sample", class, count[class], float64(n)/float64(count[class]))
	}
}

func BenchmarkDecode(b *testing.B) {
	var blocks [][]byte
	count := 0
	for _, samples := range windows(5, 20) {
		block, err := Encode(samples)
		if err != nil {
			b.Fatal(err)
		}
		blocks, count = append(blocks, block), count+len(samples)
	}
	b.ReportAllocs()
	var dst []journal.Sample
	for b.Loop() {
		for _, data := range blocks {
			block, err := Parse(data)
			if err != nil {
				b.Fatal(err)
			}
			if dst, err = block.All(dst[:0]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/sample")
}
