package uplink

import (
	"fmt"
	"sync"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// defaultPerMinute is the rate of a rule that names none.
const defaultPerMinute = 6

// A gate decides on commands from upstream: everything that no rule allows is refused. A command is delivered within
// its time to live, or never; it is not stored, except that it was.
type gate struct {
	ttl   time.Duration
	rules []CommandRule

	mu   sync.Mutex
	used [][]time.Time // per rule, the commands of the last minute; guarded by mu
}

func newGate(rules []CommandRule, ttl time.Duration) *gate {
	return &gate{ttl: ttl, rules: rules, used: make([][]time.Time, len(rules))}
}

// A command is one NCMD or DCMD as it came.
type command struct {
	topic            sparkplug.Topic
	payload          *sparkplug.Payload
	received         time.Time
	retained, redone bool // the retain and the DUP flag
}

// A write is one metric of a command, with the value in the datatype of the plant's birth.
type write struct {
	metric string
	value  sparkplug.Value
}

// check returns why a command is refused, empty if it is allowed. Of several metrics all are allowed, or none.
func (g *gate) check(c command, writes []write, now time.Time) (refusal string) {
	switch {
	case c.retained:
		return "it is a retained message"
	case c.redone:
		return "it is a repeated delivery"
	case now.Sub(c.received) > g.ttl:
		return fmt.Sprintf("it waited longer than %s here", g.ttl)
	case c.payload.HasTimestamp && now.UnixMilli()-int64(c.payload.Timestamp) > g.ttl.Milliseconds():
		return fmt.Sprintf("its time stamp is older than %s", g.ttl)
	case len(writes) == 0:
		return "it has no metric"
	}
	chosen := make([]int, 0, len(writes))
	for _, w := range writes {
		rule, why := g.match(c.topic, w)
		if why != "" {
			return why
		}
		chosen = append(chosen, rule)
	}
	return g.spend(chosen, now)
}

// match returns the rule that allows a write, or why there is none.
func (g *gate) match(t sparkplug.Topic, w write) (rule int, refusal string) {
	refusal = fmt.Sprintf("no rule allows %q; add it under commands.allow", w.metric)
	is := func(want, have string) bool { return want == "" || want == have }
	for i, r := range g.rules {
		if r.Metric != w.metric || !is(r.Group, t.Group) || !is(r.Node, t.Node) || !is(r.Device, t.Device) {
			continue
		}
		if r.Min == nil && r.Max == nil {
			return i, ""
		}
		f, ok := journal.Value{Type: journal.DataType(w.value.Type), Null: w.value.Null, Num: w.value.Num}.Float64()
		switch {
		case !ok || f != f:
			refusal = fmt.Sprintf("%q: the rule has a range, the value is not a number", w.metric)
		case r.Min != nil && f < *r.Min:
			refusal = fmt.Sprintf("%q: %v is below the allowed %v", w.metric, f, *r.Min)
		case r.Max != nil && f > *r.Max:
			refusal = fmt.Sprintf("%q: %v is above the allowed %v", w.metric, f, *r.Max)
		default:
			return i, ""
		}
	}
	return 0, refusal
}

// spend counts the rules' uses against their rate.
func (g *gate) spend(rules []int, now time.Time) (refusal string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	need := map[int]int{}
	for _, i := range rules {
		need[i]++
	}
	for i, n := range need {
		limit := g.rules[i].PerMinute
		if limit <= 0 {
			limit = defaultPerMinute
		}
		live := g.used[i][:0]
		for _, t := range g.used[i] {
			if age := now.Sub(t); age < time.Minute && age > -time.Minute {
				live = append(live, t)
			}
		}
		g.used[i] = live
		if len(live)+n > limit {
			return fmt.Sprintf("%q: more than %d commands in a minute", g.rules[i].Metric, limit)
		}
	}
	for _, i := range rules {
		g.used[i] = append(g.used[i], now)
	}
	return ""
}
