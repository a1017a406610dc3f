package historian

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"edge/historian/journal"
)

// plant is the machine hall of chunk's own tests: devices of 50 metrics scanned once a second and reported by exception.
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
		at := noon.UnixMilli() + sec*1000 + p.phase[d] + int64(math.Round(jitter))
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
		v.Num = plantFloat(y, s.kind == 9)
		if report {
			s.last = y
		}
	case "temperature":
		s.x += r.NormFloat64()*s.rate + (50-s.x)*0.0001
		y := float64(float32(math.Round(s.x*10) / 10))
		if report = math.Abs(y-s.last) > s.deadband; report {
			s.last = y
		}
		v.Num = plantFloat(y, true)
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
			v.Num = plantFloat(math.Round(float64(s.state*7919%1000))/10, true)
		default:
			v.Bytes = []byte([]string{"idle", "run", "hold", "fault", "clean", "setup"}[s.state*7%6])
		}
	}
	report = report || !s.sent
	s.sent = true
	return v, report
}

func plantFloat(x float64, single bool) uint64 {
	if single {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}
