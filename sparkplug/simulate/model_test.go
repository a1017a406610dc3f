package simulate

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"edge/sparkplug"
)

// modelNode is a node that is never run, for asking its model.
func modelNode(t testing.TB, spec NodeSpec, seed uint64) *node {
	t.Helper()
	numbers, err := openBdSeqs("")
	if err != nil {
		t.Fatal(err)
	}
	return newNode(Options{Seed: seed}.withDefaults(), spec, endpoint{}, numbers, spec.Group+"/"+spec.Node)
}

// someTime draws a time between the years 2000 and 2040, so also before the model's epoch.
func someTime(t *rapid.T) time.Time {
	return time.UnixMilli(rapid.Int64Range(946_684_800_000, 2_208_988_800_000).Draw(t, "ms")).UTC()
}

func TestPlantValuesFitTheirBirth(t *testing.T) {
	for _, spec := range Plant() {
		n := modelNode(t, spec, 7)
		if got := spec.metrics(); got < 12 || got > 30 {
			t.Errorf("%s has %d metrics", spec.Node, got)
		}
		rapid.Check(t, func(rt *rapid.T) {
			at := someTime(rt)
			for _, tag := range n.tags {
				v := n.value(tag, at)
				if v.Type != tag.Type || v.Null {
					rt.Fatalf("%s at %v: %s, null %v; born as %s", tag.Name, at, v.Type, v.Null, tag.Type)
				}
				if tag.Low != tag.High && (number(v) < tag.Low || number(v) > tag.High) {
					rt.Fatalf("%s at %v: %g outside %g..%g", tag.Name, at, number(v), tag.Low, tag.High)
				}
				if tag.Type.IsArray() && len(v.Elements()) == 0 {
					rt.Fatalf("%s at %v: array without elements", tag.Name, at)
				}
				if got := string(sparkplug.AppendJSON(nil, v)); got == "null" || got == `"NaN"` {
					rt.Fatalf("%s at %v: %s", tag.Name, at, got)
				}
			}
		})
	}
}

func TestCountersAndMetersNeverGoBack(t *testing.T) {
	for _, spec := range Plant() {
		n := modelNode(t, spec, 3)
		rapid.Check(t, func(rt *rapid.T) {
			from := someTime(rt)
			to := from.Add(time.Duration(rapid.Int64Range(1, int64(30*time.Hour)).Draw(rt, "later")))
			for _, tag := range n.tags {
				switch tag.Name {
				case "Cycle Count", "Reject Count", "Parts", "Rejects", "Energy":
					if a, b := number(n.value(tag, from)), number(n.value(tag, to)); b < a || a < 0 {
						rt.Fatalf("%s/%s: %g at %v, %g at %v", spec.Node, tag.Name, a, from, b, to)
					}
				}
			}
		})
	}
}

// A trend has no step: not where history meets live data, nor where a period, a jam or a day begins. What moves
// with each stroke of the press is fast by nature.
func TestMeasuredValuesAreContinuous(t *testing.T) {
	fast := map[string]bool{"Force": true, "Position": true, "Stroke Profile": true}
	for _, spec := range Plant() {
		n := modelNode(t, spec, 11)
		rapid.Check(t, func(rt *rapid.T) {
			at := someTime(rt)
			for _, tag := range n.tags {
				if tag.Low == tag.High || fast[tag.Name] {
					continue
				}
				a, b := number(n.value(tag, at)), number(n.value(tag, at.Add(20*time.Millisecond)))
				if math.Abs(b-a) > (tag.High-tag.Low)/200 {
					rt.Fatalf("%s/%s at %v: %g, 20 ms later %g", spec.Node, tag.Name, at, a, b)
				}
			}
		})
	}
}

func TestValuesFollowTheSeed(t *testing.T) {
	at := time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC)
	a, again, other := modelNode(t, press(), 1), modelNode(t, press(), 1), modelNode(t, press(), 2)
	differ := 0
	for i := range a.tags {
		if changed(&Signal{}, a.value(a.tags[i], at), again.value(again.tags[i], at)) {
			t.Errorf("%s: two values for one seed", a.tags[i].Name)
		}
		if changed(&Signal{}, a.value(a.tags[i], at), other.value(other.tags[i], at)) {
			differ++
		}
	}
	if differ < len(a.tags)/2 {
		t.Errorf("another seed changes %d of %d values", differ, len(a.tags))
	}
}

func TestSetpointIsFollowedWithoutAStep(t *testing.T) {
	at := time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC)
	m := Moment{At: at, Writes: []Write{{Name: "SP", At: at, Value: numeric(sparkplug.Double, 80)}, {Name: "other", At: at}}}
	knob, lag := setpoint("SP", 20), follow("SP", 20, time.Minute)
	for _, step := range []struct {
		name     string
		after    time.Duration
		sp, want float64
	}{
		{"before the write", -time.Second, 20, 20},
		{"at the write", 0, 80, 20},
		{"one time constant later", time.Minute, 80, 80 - 60/math.E},
		{"settled", time.Hour, 80, 80},
	} {
		m.At = at.Add(step.after)
		if sp, got := knob(m), lag(m); sp != step.sp || math.Abs(got-step.want) > 0.001 {
			t.Errorf("%s: setpoint %g, value %g; want %g and %g", step.name, sp, got, step.sp, step.want)
		}
	}
	m.Writes = append(m.Writes, Write{Name: "SP", At: at.Add(time.Minute), Value: numeric(sparkplug.Double, 20)})
	m.At = at.Add(time.Minute)
	if got := lag(m); math.Abs(got-(80-60/math.E)) > 0.001 {
		t.Errorf("at a second write: value %g jumps", got)
	}
}

func TestMachineIsInOneStateAndRunsAsLongAsItSays(t *testing.T) {
	k := machine{period: time.Hour, run: 50 * time.Minute, pause: 2 * time.Minute}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	times := map[int]time.Duration{}
	for s := range 100 * 3600 {
		times[k.state(Moment{At: from.Add(time.Duration(s) * time.Second), Shift: 5})] += time.Second
	}
	want := map[int]time.Duration{idle: 100 * 10 * time.Minute, jammed: 100 * 2 * time.Minute, heating: 100 * 3 * time.Minute, running: 100 * 45 * time.Minute}
	for state, d := range want {
		if diff := times[state] - d; diff.Abs() > 10*time.Minute {
			t.Errorf("%s for %v of 100 h, want %v", stateNames[state], times[state], d)
		}
	}
	ran := k.ran(Moment{At: from.Add(100 * time.Hour), Shift: 5}) - k.ran(Moment{At: from, Shift: 5})
	if ran != 100*48*time.Minute {
		t.Errorf("ran %v of 100 h, want 80h", ran)
	}
}

func TestGenericHasWhatWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		name                    string
		nodes, devices, metrics int
		total                   int
	}{{"devices", 3, 2, 10, 20}, {"no device", 2, 0, 5, 5}, {"none", 0, 2, 10, 0}} {
		specs := Generic("G", c.nodes, c.devices, c.metrics)
		if len(specs) != c.nodes {
			t.Fatalf("%s: %d nodes", c.name, len(specs))
		}
		for _, s := range specs {
			if s.metrics() != c.total || checkSpec(s) != nil {
				t.Errorf("%s: %s has %d metrics, %v", c.name, s.Node, s.metrics(), checkSpec(s))
			}
		}
	}
}
