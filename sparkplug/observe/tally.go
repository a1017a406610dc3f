package observe

import "maps"

// Verdict is what is known of one assertion.
type Verdict string

// The verdicts. NotSeen: nothing came that the assertion speaks of.
const (
	Holds   Verdict = "holds"
	Broken  Verdict = "broken"
	NotSeen Verdict = "not seen"
)

// Tally keeps a verdict for each assertion by its id, "tck-id-…". One breach outweighs all that held.
type Tally struct {
	counts map[string]*count
}

type count struct {
	held, broken int
	first        Finding // the first breach
}

// NewTally returns a Tally that has seen nothing.
func NewTally() *Tally { return &Tally{counts: map[string]*count{}} }

// Verdict returns what is known of an assertion.
func (t *Tally) Verdict(id string) Verdict {
	switch c := t.counts[id]; {
	case c == nil:
		return NotSeen
	case c.broken > 0:
		return Broken
	}
	return Holds
}

// Evidence returns the first breach of each broken assertion.
func (t *Tally) Evidence() map[string]Finding {
	out := map[string]Finding{}
	for id, c := range t.counts {
		if c.broken > 0 {
			out[id] = c.first
		}
	}
	return out
}

// IDs returns every assertion that was seen, with how often it held and was broken together.
func (t *Tally) IDs() map[string]int {
	out := map[string]int{}
	for id, c := range t.counts {
		out[id] = c.held + c.broken
	}
	return out
}

// Add takes over what another Tally has seen.
func (t *Tally) Add(other *Tally) {
	for id, c := range maps.All(other.counts) {
		mine := t.of(id)
		if mine.broken == 0 {
			mine.first = c.first
		}
		mine.held, mine.broken = mine.held+c.held, mine.broken+c.broken
	}
}

// Note counts one observation of an assertion: f is what was seen if it does not hold.
func (t *Tally) Note(id string, ok bool, f Finding) {
	c := t.of(id)
	if ok {
		c.held++
		return
	}
	if c.broken++; c.broken == 1 {
		f.ID = id
		c.first = f
	}
}

func (t *Tally) of(id string) *count {
	c := t.counts[id]
	if c == nil {
		c = &count{}
		t.counts[id] = c
	}
	return c
}
