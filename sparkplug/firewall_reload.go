package sparkplug

import (
	"maps"
	"slices"
	"time"
)

// Changes are what other rules come to.
type Changes struct {
	Bound  []Binding // made or changed, to be kept
	Freed  []string  // names that are nobody's now
	Barred []Barred  // sessions that are connected and by the new rules would not be
}

// Barred is a session that the rules are against, and why. It speaks for nobody any more. The will that ends it is still believed if it is
// a good one, of a name that it spoke for until now and that is nobody else's: that this node or host is gone is true.
type Barred struct {
	Caller    Caller
	Topic     string // of its will
	Violation *Violation
}

// Reconfigure takes other rules and limits; the own hosts stay. Who is connected is judged anew, as if all connected again with
// the wills that they have: first whoever may not be any more what it is gives up its name, then each has the name that its
// will claims, those before others that had it, and else in the order of client identifiers. Sessions without such a will are judged
// by the new rules as they speak.
func (f *Firewall) Reconfigure(o FirewallOptions, now time.Time) (c Changes) {
	o.OwnHosts = f.o.OwnHosts
	f.o = o.withDefaults()
	var owners, others []*guest
	for _, id := range slices.Sorted(maps.Keys(f.here)) {
		switch g := f.here[id]; {
		case g.will.kind == kindForeign:
			f.know(g)
		case !f.owns(g):
			others = append(others, g)
		case f.yields(g, &c):
			owners = append(owners, g)
		}
	}
	for _, g := range append(owners, others...) {
		v, b := f.admit(g.caller, f.ruleOf(g.caller), g.will, now)
		if b != nil {
			c.Bound = append(c.Bound, *b)
		}
		f.know(g)
		if v != nil {
			c.Barred = append(c.Barred, Barred{g.caller, g.will.name, v})
		}
	}
	for _, g := range owners {
		b := g.will.binding()
		if _, has := f.bound[b.Name()]; !has {
			c.Freed = append(c.Freed, b.Name())
		}
	}
	return c
}

// Believe lets the will of a barred session be believed although no rule ever gave it the name: with mode off nobody was asked, and
// the host knows that it was this node until now.
func (f *Firewall) Believe(c Caller, n NodeRef) {
	name := nodeName(n)
	if _, bound := f.bound[name]; bound {
		return
	}
	if len(f.left) >= maxGone {
		clear(f.left)
	}
	f.left[name] = Binding{Group: n.Group, Node: n.Node, Client: c.ClientID, User: c.User}
}

// owns tells whether a session speaks for the name that its will says.
func (f *Firewall) owns(g *guest) bool {
	b := g.will.binding()
	return f.bound[b.Name()].Key == g.key && g.speaksFor(b.Name())
}

// yields ends what a session is bound to if the rules are against it, or know it by another identity now. It tells whether the session
// may claim the name again.
func (f *Firewall) yields(g *guest, c *Changes) bool {
	b, rule := g.will.binding(), f.ruleOf(g.caller)
	b.Key = keyOf(g.caller, rule)
	if v := f.mayBe(g.caller, rule, &b, g.will.topic); v != nil {
		f.Forget(b.Name())
		f.know(g)
		c.Freed, c.Barred = append(c.Freed, b.Name()), append(c.Barred, Barred{g.caller, g.will.name, v})
		return false
	}
	if b.Key != g.key {
		f.Forget(b.Name())
	}
	return true
}
