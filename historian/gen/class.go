package gen

import (
	"math"
	"math/rand"
	"strconv"

	"edge/historian/journal"
)

// Class is a kind of signal.
type Class uint8

// The classes, with their share of the metrics.
const (
	Analog    Class = iota // 15 %   Float, an analog input of 27,648 counts scaled to a range; with a deadband mostly
	Hundredth              // 7.5 %  Double, the same rounded to 0.01
	Full                   // 7.5 %  Double, the same with all its digits
	Temp                   // 20 %   Float, a slow walk in steps of 0.1
	Counter                // 15 %   Int64, parts or pulses while the machine runs
	Switch                 // 20 %   Boolean, stays for 20 s to 2,000 s
	Setpoint               // 8 %    Float, changed every few hours
	State                  // 4 %    String, one of six
	Batch                  // 1 %    String, never the same twice
	Enum                   // 2 %    Int32, one of six
	Classes
)

var classNames = [Classes]string{"analog", "hundredth", "full", "temp", "counter", "switch", "setpoint", "state", "batch", "enum"}

func (c Class) String() string { return classNames[c] }

func (c Class) dataType() journal.DataType {
	return [Classes]journal.DataType{9, 10, 10, 9, 4, 11, 9, 12, 12, 3}[c]
}

var states = [...]string{"idle", "starting", "running", "held", "fault", "cleaning"}

// metric is one signal and what it reported last.
type metric struct {
	class           Class
	sent            bool
	lag             int64 // ms behind the scan, where the device stamps each metric
	x, last         float64
	set, top, sigma float64 // analog signals: where it settles, its range, its noise
	deadband, rate  float64
	count           int64 // counters
	state           uint64
	dwell           float64 // s, the mean time between changes
	next            int64   // ms, the next change
}

func newMetric(r *rand.Rand, n int, start int64) metric {
	m := metric{class: pick(r.Float64()), lag: int64(r.Intn(20))}
	switch m.class {
	case Analog, Hundredth, Full:
		m.top = []float64{10, 100, 250, 600, 1600}[r.Intn(5)]
		m.set = m.top * (0.2 + 0.6*r.Float64())
		m.x = m.set
		m.sigma = m.top * (0.0005 + 0.004*r.Float64())
		m.deadband = m.sigma * (0.2 + 2*r.Float64())
		if r.Float64() < 0.15 {
			m.deadband = 0 // nobody set one
		}
	case Temp:
		m.x = 20 + 60*r.Float64()
		m.rate = 0.01 + 0.04*r.Float64()
		m.deadband = 0.0999
	case Counter:
		m.count = int64(r.Intn(10_000_000))
		if r.Float64() < 0.5 {
			m.rate = 1 + 20*r.Float64()
		} else {
			m.rate = 0.005 + 0.3*r.Float64()
		}
	case Switch:
		m.dwell = math.Exp(math.Log(20) + r.Float64()*math.Log(100))
	case Setpoint:
		m.dwell = 3600 * (1 + 3*r.Float64())
		m.x = math.Round(1000*r.Float64()) / 10
	case State, Enum:
		m.dwell = 30 + 300*r.Float64()
	case Batch:
		m.dwell = 1200 + 1200*r.Float64()
		m.state = uint64(1000 + n*100_000)
	}
	m.next = start + int64(r.ExpFloat64()*m.dwell*1000)
	return m
}

// pick chooses a class by its share of the metrics.
func pick(u float64) Class {
	for c, end := range [...]float64{0.15, 0.225, 0.30, 0.50, 0.65, 0.85, 0.93, 0.97, 0.98} {
		if u < end {
			return [...]Class{Analog, Hundredth, Full, Temp, Counter, Switch, Setpoint, State, Batch}[c]
		}
	}
	return Enum
}

// step moves the signal on to a scan, and tells whether it is reported.
func (m *metric) step(r *rand.Rand, at int64, running bool) (report bool) {
	switch m.class {
	case Analog, Hundredth, Full:
		report = m.exceeds(m.analog(r, running))
	case Temp:
		m.x += r.NormFloat64()*m.rate + (50-m.x)*0.0001
		report = m.exceeds(float64(float32(math.Round(m.x*10) / 10)))
	case Counter:
		report = running && m.pulses(r)
	default:
		if report = at >= m.next; report {
			m.change(r)
			m.next = at + int64(r.ExpFloat64()*m.dwell*1000)
		}
	}
	report = report || !m.sent
	m.sent = true
	return report
}

// analog is the signal's reading: it settles at its set point, or a tenth of it while the machine stands.
func (m *metric) analog(r *rand.Rand, running bool) float64 {
	target := m.set
	if !running {
		target = m.set * 0.1
	}
	m.x += (target-m.x)*0.02 + r.NormFloat64()*m.sigma*0.15
	y := max(0, m.x+r.NormFloat64()*m.sigma)
	switch m.class {
	case Analog:
		raw := math.Round(y / m.top * 27648)
		return float64(float32(raw) * float32(m.top/27648))
	case Hundredth:
		return math.Round(y*100) / 100
	}
	return y
}

// exceeds takes a reading that differs from the last reported one by more than the deadband.
func (m *metric) exceeds(y float64) bool {
	if m.sent && math.Abs(y-m.last) <= m.deadband {
		return false
	}
	m.last = y
	return true
}

func (m *metric) pulses(r *rand.Rand) bool {
	n := int64(0)
	if m.rate >= 1 {
		n = max(0, int64(math.Round(m.rate+r.NormFloat64()*math.Sqrt(m.rate))))
	} else if r.Float64() < m.rate {
		n = 1
	}
	m.count += n
	return n > 0
}

func (m *metric) change(r *rand.Rand) {
	switch m.class {
	case Switch:
		m.state ^= 1
	case Setpoint:
		m.x = math.Round(1000*r.Float64()) / 10
	case Batch:
		m.state++
	default:
		m.state = (m.state + 1 + uint64(r.Intn(4))) % uint64(len(states))
	}
}

// value is what was reported last, as Sparkplug types it.
func (m *metric) value() journal.Value {
	v := journal.Value{Type: m.class.dataType()}
	switch m.class {
	case Analog, Temp:
		v.Num = uint64(math.Float32bits(float32(m.last)))
	case Hundredth, Full:
		v.Num = math.Float64bits(m.last)
	case Setpoint:
		v.Num = uint64(math.Float32bits(float32(m.x)))
	case Counter:
		v.Num = uint64(m.count)
	case State:
		v.Bytes = []byte(states[m.state])
	case Batch:
		v.Bytes = strconv.AppendUint([]byte("lot "), m.state, 10)
	default:
		v.Num = m.state
	}
	return v
}
