package simulate

import (
	"testing"
	"time"

	"edge/sparkplug"
)

// all drains a replay.
func all(r *replay) (out []sample, messages int) {
	for {
		b, ok := r.next()
		if !ok {
			return out, messages
		}
		for _, s := range b.samples {
			if s.tag.device != b.device {
				panic("BUG: a sample in another device's message")
			}
		}
		out, messages = append(out, b.samples...), messages+1
		r.batches = r.batches[1:]
	}
}

func day(n *node, now time.Time) *replay {
	r := newReplay(n, now.Add(-24*time.Hour), now, historyStep)
	r.gap, r.till = n.spec.machine.rest(now.Add(-12*time.Hour), mix(n.opt.Seed, n.spec.Group, n.spec.Node))
	return r
}

func TestDayOfThePlant(t *testing.T) {
	now := time.Date(2026, 9, 1, 14, 30, 0, 0, time.UTC)
	total := 0
	for _, spec := range Plant() {
		n := modelNode(t, spec, 1)
		r := day(n, now)
		samples, messages := all(r)
		total += len(samples)
		last := map[*tag]sample{}
		for _, s := range samples {
			if prev, ok := last[s.tag]; ok {
				if !s.at.After(prev.at) {
					t.Fatalf("%s/%s: %v after %v", spec.Node, s.tag.Name, s.at, prev.at)
				}
				if !changed(s.tag.Signal, prev.value, s.value) {
					t.Fatalf("%s/%s at %v: reported without a change", spec.Node, s.tag.Name, s.at)
				}
			}
			if !s.at.Before(r.gap) && s.at.Before(r.till) {
				t.Fatalf("%s/%s: a sample at %v, within the gap", spec.Node, s.tag.Name, s.at)
			}
			last[s.tag] = s
		}
		if len(last) != len(n.tags) {
			t.Errorf("%s: history of %d of %d metrics", spec.Node, len(last), len(n.tags))
		}
		if len(samples)/messages < batchSize/2 {
			t.Errorf("%s: %d samples in %d messages", spec.Node, len(samples), messages)
		}
	}
	if total < 60_000 || total > 100_000 {
		t.Errorf("a day of the plant is %d samples", total)
	}
}

// The gap lies in a standstill: the last that was heard of the machine is Idle.
func TestGapIsAStandstill(t *testing.T) {
	now := time.Date(2026, 9, 1, 14, 30, 0, 0, time.UTC)
	for seed := range uint64(20) {
		for _, spec := range Plant() {
			n := modelNode(t, spec, seed)
			r := day(n, now)
			if d := r.till.Sub(r.gap); d < 4*time.Minute || d > 10*time.Minute {
				t.Errorf("%s: gap of %v", spec.Node, d)
			}
			if r.gap.Before(now.Add(-20*time.Hour)) || r.till.After(now.Add(-4*time.Hour)) {
				t.Errorf("%s: gap at %v, not in the middle of the day before %v", spec.Node, r.gap, now)
			}
			for at := r.gap.Add(-time.Minute); at.Before(r.till); at = at.Add(time.Minute) {
				if got := number(n.value(n.tags[0], at)); got != idle {
					t.Errorf("%s: %s %g at %v, within the gap from %v", spec.Node, n.tags[0].Name, got, at, r.gap)
				}
			}
		}
	}
}

// History is sampled from the function that live data comes from: the two agree at any time.
func TestHistoryMeetsLiveData(t *testing.T) {
	now := time.Date(2026, 9, 1, 14, 30, 20, 0, time.UTC)
	n := modelNode(t, oven(), 1)
	samples, _ := all(newReplay(n, now.Add(-time.Hour), now, historyStep))
	for _, s := range samples {
		if changed(&Signal{}, s.value, n.value(s.tag, s.at)) {
			t.Fatalf("%s at %v differs", s.tag.Name, s.at)
		}
	}
}

func TestReplayKeepsWhatWasNotSent(t *testing.T) {
	now := time.Date(2026, 9, 1, 14, 30, 0, 0, time.UTC)
	n := modelNode(t, oven(), 1)
	r := newReplay(n, now.Add(-time.Hour), now, historyStep)
	first, _ := r.next()
	again, _ := r.next()
	if &first.samples[0] != &again.samples[0] {
		t.Error("a message that was not removed is not the next one")
	}
}

func TestChanged(t *testing.T) {
	double := func(x float64) sparkplug.Value { return numeric(sparkplug.Double, x) }
	null := sparkplug.Value{Type: sparkplug.Double, Null: true}
	for _, c := range []struct {
		name    string
		s       Signal
		last, v sparkplug.Value
		want    bool
	}{
		{"within the deadband", Signal{Deadband: 0.5}, double(10), double(10.4), false},
		{"at the deadband", Signal{Deadband: 0.5}, double(10), double(10.5), true},
		{"below", Signal{Deadband: 0.5}, double(10), double(9.4), true},
		{"at the deadband, inexact", Signal{Deadband: 0.1}, double(0.2), double(0.3), true},
		{"no deadband, same", Signal{}, double(10), double(10), false},
		{"no deadband, changed", Signal{}, double(10), double(10.001), true},
		{"to null", Signal{Deadband: 0.5}, double(10), null, true},
		{"still null", Signal{Deadband: 0.5}, null, null, false},
		{"text", Signal{}, sparkplug.StringValue("a"), sparkplug.StringValue("b"), true},
		{"same text", Signal{}, sparkplug.StringValue("a"), sparkplug.StringValue("a"), false},
	} {
		if got := changed(&c.s, c.last, c.v); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
