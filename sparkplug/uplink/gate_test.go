package uplink

import (
	"math"
	"strings"
	"testing"
	"time"

	"edge/sparkplug"
)

func double(f float64) sparkplug.Value {
	return sparkplug.Value{Type: sparkplug.Double, Num: math.Float64bits(f)}
}

func TestGate(t *testing.T) {
	low, high := -10.0, 10.0
	rules := []CommandRule{
		{Group: "g", Node: "n", Device: "d", Metric: "set", Min: &low, Max: &high, PerMinute: 100},
		{Metric: "any", PerMinute: 100},
	}
	now := time.Unix(1_000_000, 0)
	to := func(device string) sparkplug.Topic {
		return sparkplug.Topic{Type: sparkplug.DCMD, Group: "g", Node: "n", Device: device}
	}
	fresh := command{topic: to("d"), payload: &sparkplug.Payload{}, received: now}
	with := func(f func(*command)) command { c := fresh; f(&c); return c }
	for _, tc := range []struct {
		name    string
		command command
		writes  []write
		refusal string // a part of it; empty: allowed
	}{
		{"allowed", fresh, []write{{"set", double(5)}}, ""},
		{"on the bound", fresh, []write{{"set", double(10)}}, ""},
		{"two allowed", fresh, []write{{"set", double(1)}, {"any", sparkplug.StringValue("x")}}, ""},
		{"no rule", fresh, []write{{"other", double(5)}}, `no rule allows "other"`},
		{"name is a prefix only", fresh, []write{{"se", double(5)}}, `no rule allows "se"`},
		{"another device", with(func(c *command) { c.topic = to("e") }), []write{{"set", double(5)}}, "no rule allows"},
		{"above", fresh, []write{{"set", double(10.5)}}, "above the allowed 10"},
		{"below", fresh, []write{{"set", double(-11)}}, "below the allowed -10"},
		{"NaN", fresh, []write{{"set", double(math.NaN())}}, "not a number"},
		{"text where a range is", fresh, []write{{"set", sparkplug.StringValue("5")}}, "not a number"},
		{"signed", fresh, []write{{"set", sparkplug.Int64Value(sparkplug.Int32, -3)}}, ""},
		{"one of two refused", fresh, []write{{"any", double(1)}, {"other", double(1)}}, "no rule allows"},
		{"retained", with(func(c *command) { c.retained = true }), []write{{"any", double(1)}}, "retained"},
		{"repeated", with(func(c *command) { c.redone = true }), []write{{"any", double(1)}}, "repeated"},
		{"old by its stamp", with(func(c *command) {
			c.payload = &sparkplug.Payload{Timestamp: sparkplug.Millis(now.Add(-6 * time.Second)), HasTimestamp: true}
		}), []write{{"any", double(1)}}, "time stamp is older"},
		{"stamped ahead of us", with(func(c *command) {
			c.payload = &sparkplug.Payload{Timestamp: sparkplug.Millis(now.Add(time.Hour)), HasTimestamp: true}
		}), []write{{"any", double(1)}}, ""},
		{"waited here", with(func(c *command) { c.received = now.Add(-6 * time.Second) }), []write{{"any", double(1)}}, "waited longer"},
		{"empty", fresh, nil, "no metric"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := newGate(rules, 5*time.Second).check(tc.command, tc.writes, now)
			if (got == "") != (tc.refusal == "") || !strings.Contains(got, tc.refusal) {
				t.Errorf("refusal %q, want %q", got, tc.refusal)
			}
		})
	}
}

func TestGateRate(t *testing.T) {
	g := newGate([]CommandRule{{Metric: "m"}}, 5*time.Second) // six a minute
	start := time.Unix(1_000_000, 0)
	allowed := 0
	for i := range 180 {
		now := start.Add(time.Duration(i) * time.Second)
		c := command{payload: &sparkplug.Payload{}, received: now}
		if g.check(c, []write{{"m", double(1)}}, now) == "" {
			allowed++
		}
	}
	if allowed != 18 {
		t.Errorf("%d allowed in three minutes, want 18", allowed)
	}
	if why := g.check(command{payload: &sparkplug.Payload{}, received: start.Add(time.Hour)}, []write{{"m", double(1)}, {"m", double(2)}}, start.Add(time.Hour)); why != "" {
		t.Errorf("two in one command: %s", why)
	}
	if n := len(g.used[0]); n != 2 {
		t.Errorf("%d uses remembered, want 2", n)
	}
}

// Without rules nothing passes.
func TestGateDeniesByDefault(t *testing.T) {
	g := newGate(nil, 5*time.Second)
	now := time.Unix(1_000_000, 0)
	if g.check(command{payload: &sparkplug.Payload{}, received: now}, []write{{"Node Control/Reboot", sparkplug.BoolValue(true)}}, now) == "" {
		t.Error("allowed")
	}
}
