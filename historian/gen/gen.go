package gen

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"time"

	"edge/historian/journal"
)

// Set describes a data set. Two Sources of one Set give the same samples.
type Set struct {
	Metrics   int
	PerDevice int            // metrics of a device; the last one may have fewer
	Duration  time.Duration  // whole seconds
	Start     journal.Millis // of the first scan; 0: 2026-03-10T00:00:00Z
	Seed      int64          // 0: 1
}

// The data sets of the figures.
var (
	G1 = Set{Metrics: 1_000, PerDevice: 50, Duration: 24 * time.Hour} // 24,387,433 samples, 282 a second
	G2 = Set{Metrics: 20_000, PerDevice: 100, Duration: time.Hour}    // 20,274,199 samples, 5,632 a second
)

// birthEvery is how many scans lie between two births; births of devices are spread over a minute.
const birthEvery = 4 * 3600

// Message is what one device sends after a scan.
type Message struct {
	Device   int
	Received journal.Millis
	Birth    bool // all metrics are in it
	Samples  []journal.Sample
}

// Source gives a Set's samples in order of arrival.
type Source struct {
	set      Set
	rng      *rand.Rand // its sequence for a seed is the same in all versions of Go
	network  *rand.Rand // what the way takes; apart, so that it does not change the values
	devices  []device   // by number
	arrival  []int      // numbers of devices, in the order their scans arrive
	metrics  []metric
	scan     int64     // the next one
	messages []Message // by device
	out      []Message
}

type device struct {
	phase   int64 // ms of the second at which it scans
	stamps  bool  // it stamps each metric itself
	running bool
	flip    int64 // the scan at which its machine starts or stops
}

// New returns a Source at its first scan.
func New(set Set) *Source {
	if set.Start == 0 {
		set.Start = journal.Millis(time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC).UnixMilli())
	}
	if set.Seed == 0 {
		set.Seed = 1
	}
	s := &Source{set: set, rng: rand.New(rand.NewSource(set.Seed)), network: rand.New(rand.NewSource(^set.Seed)),
		devices: make([]device, (set.Metrics+set.PerDevice-1)/set.PerDevice), metrics: make([]metric, set.Metrics)}
	for i := range s.devices {
		s.devices[i] = device{phase: int64(s.rng.Intn(1000)), stamps: s.rng.Float64() < 0.3, running: s.rng.Float64() < 0.8}
		s.arrival = append(s.arrival, i)
	}
	slices.SortStableFunc(s.arrival, func(a, b int) int { return int(s.devices[a].phase - s.devices[b].phase) })
	for i := range s.metrics {
		s.metrics[i] = newMetric(s.rng, i, int64(set.Start))
	}
	s.messages = make([]Message, len(s.devices))
	return s
}

// Keys are the series of the set: samples of Keys()[i] have the number i+1.
func (s *Source) Keys() []journal.SeriesKey {
	keys := make([]journal.SeriesKey, len(s.metrics))
	for i := range keys {
		m := &s.metrics[i]
		keys[i] = journal.SeriesKey{Group: "plant", Node: fmt.Sprintf("line %d", i/s.set.PerDevice/10+1),
			Device: fmt.Sprintf("machine %d", i/s.set.PerDevice+1), Metric: fmt.Sprintf("%s/%d", m.class, i%s.set.PerDevice+1),
			Type: m.class.dataType()}
	}
	return keys
}

// Class is what kind of signal a series is.
func (s *Source) Class(id journal.SeriesID) Class { return s.metrics[id-1].class }

// Next returns the messages of the next second, in order of arrival; ok is false at the end. They are overwritten by the next call.
func (s *Source) Next() (messages []Message, ok bool) {
	if s.scan >= int64(s.set.Duration/time.Second) {
		return nil, false
	}
	for i := range s.devices {
		s.scanDevice(i)
	}
	s.scan++
	s.out = s.out[:0]
	for _, i := range s.arrival {
		if len(s.messages[i].Samples) > 0 {
			s.out = append(s.out, s.messages[i])
		}
	}
	return s.out, true
}

// scanDevice puts into the device's message what it reports in this scan.
func (s *Source) scanDevice(i int) {
	d, r := &s.devices[i], s.rng
	jitter := r.NormFloat64() * 4
	if r.Float64() < 0.01 {
		jitter += r.ExpFloat64() * 50
	}
	at := int64(s.set.Start) + s.scan*1000 + d.phase + int64(math.Round(jitter))
	d.startOrStop(r, s.scan)
	m := &s.messages[i]
	m.Device, m.Birth, m.Samples = i, s.scan%birthEvery == int64(i%60), m.Samples[:0]
	m.Received = journal.Millis(at + 22 + s.network.Int63n(4))
	for k := i * s.set.PerDevice; k < min((i+1)*s.set.PerDevice, len(s.metrics)); k++ {
		q, stamp := &s.metrics[k], at
		if d.stamps {
			stamp += q.lag + int64(math.Round(r.NormFloat64()*1.5))
		}
		if !q.step(r, stamp, d.running) && !m.Birth {
			continue
		}
		m.Samples = append(m.Samples, journal.Sample{Series: journal.SeriesID(k + 1), At: journal.Millis(stamp), Received: m.Received,
			Value: q.value(), Quality: journal.Good, Birth: m.Birth})
	}
}

func (d *device) startOrStop(r *rand.Rand, scan int64) {
	if scan < d.flip {
		return
	}
	d.running = !d.running
	mean := 1800.0
	if !d.running {
		mean = 400
	}
	d.flip = scan + int64(r.ExpFloat64()*mean) + 10
}
