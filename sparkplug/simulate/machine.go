package simulate

import (
	"math"
	"time"
)

// machine is a repeating day of work: in each period it runs for run, with one pause (a jam) somewhere in
// it, and then stands until the period ends. All its questions have closed answers, so that a
// counter at any time is known without counting up to it.
type machine struct {
	period, run, pause time.Duration
}

// Machine states, as the State metrics report them.
const (
	idle = iota
	heating
	running
	jammed
)

var stateNames = [...]string{"Idle", "Starting", "Running", "Fault"}

// startingTime is how long a machine says Starting after it stood.
const startingTime = 3 * time.Minute

// locate gives the number of the period, and how far in it at is. Every machine has its own phase.
func (k machine) locate(at time.Time, seed uint64) (n int64, in time.Duration) {
	phase := time.Duration(unit(seed, -1) * float64(k.period))
	n, rest := divide(int64(at.Sub(modelEpoch)+phase), int64(k.period))
	return n, time.Duration(rest)
}

// jam is where in period n the pause begins.
func (k machine) jam(n int64, seed uint64) time.Duration {
	return time.Duration((0.2 + 0.6*unit(seed, n)) * float64(k.run-k.pause))
}

func (k machine) state(m Moment) int {
	n, in := k.locate(m.At, m.Shift)
	jam := k.jam(n, m.Shift)
	switch {
	case in >= k.run:
		return idle
	case in >= jam && in < jam+k.pause:
		return jammed
	case in < startingTime:
		return heating
	}
	return running
}

// ran is the time the machine has run since modelEpoch; it never goes back.
func (k machine) ran(m Moment) time.Duration {
	n, in := k.locate(m.At, m.Shift)
	active := min(in, k.run)
	active -= min(max(active-k.jam(n, m.Shift), 0), k.pause)
	return max(0, time.Duration(n)*(k.run-k.pause)+active)
}

// warmth is 0 for a cold machine and 1 for one at its working point; it follows the run with time constant tau
// and takes no notice of the jam.
func (k machine) warmth(tau time.Duration) curve {
	up, down := decay(k.run, tau), decay(k.period-k.run, tau)
	cold := down * (1 - up) / (1 - up*down)
	warm := 1 - (1-cold)*up
	return func(m Moment) float64 {
		_, in := k.locate(m.At, m.Shift)
		if in < k.run {
			return 1 - (1-cold)*decay(in, tau)
		}
		return warm * decay(in-k.run, tau)
	}
}

// cycles counts work pieces of the given cycle time.
func (k machine) cycles(cycle time.Duration) curve {
	return func(m Moment) float64 { return float64(k.ran(m) / cycle) }
}

// ramp goes from 0 to 1 within each cycle while the machine runs; what moves to and fro is made of it.
func (k machine) ramp(cycle time.Duration) curve {
	return func(m Moment) float64 { return float64(k.ran(m)%cycle) / float64(cycle) }
}

// work is idleLevel or runLevel, with a ramp of some seconds that the warmth gives.
func (k machine) work(idleLevel, runLevel float64) curve {
	warmth := k.warmth(20 * time.Second)
	return func(m Moment) float64 { return idleLevel + (runLevel-idleLevel)*warmth(m) }
}

// energy integrates a power of idleKW, or runKW while running, to kWh.
func (k machine) energy(idleKW, runKW float64) curve {
	return func(m Moment) float64 {
		all := math.Max(0, m.At.Sub(modelEpoch).Hours())
		ran := k.ran(m).Hours()
		return idleKW*math.Max(0, all-ran) + runKW*ran
	}
}

// rest is the part of the standstill of the period around at in which the node's history has its gap:
// the machine has said that it stands, then nothing is heard of it for some minutes.
func (k machine) rest(at time.Time, seed uint64) (from, to time.Time) {
	_, in := k.locate(at, seed)
	from = at.Add(k.run + 2*time.Minute - in)
	return from, from.Add(min(7*time.Minute, k.period-k.run-3*time.Minute))
}
