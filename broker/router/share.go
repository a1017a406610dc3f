package router

import (
	"slices"
	"sync/atomic"

	"edge/broker/topic"
)

// groupKey names a shared subscription: each share name gets its own copy of a message (MQTT 5.0, section 4.8.2).
type groupKey struct {
	share  string
	filter topic.Filter
}

// group is the sessions of one shared subscription; it stands in the tree as one member.
type group struct {
	node    *member // itself, in the tree
	members []groupMember
	turn    atomic.Uint32
}

type groupMember struct {
	who *member
	o   options
}

func (r *Router) join(key groupKey, s Subscriber, o options) {
	g := r.groups[key]
	if g == nil {
		g = &group{}
		g.node = &member{group: g}
		r.groups[key] = g
		r.tree.Add(key.filter, g.node, options{})
	}
	if i := g.find(s); i >= 0 {
		g.members[i].o = o
		return
	}
	g.members = append(g.members, groupMember{who: &member{to: s}, o: o})
}

func (r *Router) leave(key groupKey, s Subscriber) {
	g := r.groups[key]
	if g == nil {
		return
	}
	if i := g.find(s); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
	}
	if len(g.members) == 0 {
		r.tree.Remove(key.filter, g.node)
		delete(r.groups, key)
	}
}

func (g *group) find(s Subscriber) int {
	return slices.IndexFunc(g.members, func(m groupMember) bool { return m.who.to == s })
}

// pick returns whose turn it is, passing over those that are away unless all are. A message stays with the one it was
// given to [MQTT-4.8.2-4] [MQTT-4.8.2-5]; not done: giving a QoS 1 message to another when that session ends, which
// section 4.8.2 allows and does not ask for.
func (g *group) pick() (*member, options) {
	n := len(g.members)
	if n == 0 {
		return nil, options{}
	}
	turn := int(g.turn.Add(1) % uint32(n))
	for i := range n {
		if m := &g.members[(turn+i)%n]; m.who.to.Online() {
			return m.who, m.o
		}
	}
	return g.members[turn].who, g.members[turn].o
}
