package router

import (
	"slices"
	"sync/atomic"

	"edge/broker"
	"edge/broker/topic"
)

// groupKey names a shared subscription: each share name gets its own copy of a message (MQTT 5.0, section 4.8.2).
type groupKey struct {
	share  string
	filter topic.Filter
}

// group is a shared subscription; it stands in the tree as one member.
type group struct {
	node  *member // itself, in the tree
	share *Share  // replaced when someone joins or leaves
}

// Share is the members of a shared subscription at one moment. It does not change and may be used without a lock.
type Share struct {
	filter  topic.Filter // with $share/NAME/ in front
	members []shareMember
	turn    *atomic.Uint32 // of the group: each message begins with the next member
}

type shareMember struct {
	to Subscriber
	o  options
}

// Filter returns the filter as it was subscribed, with $share/NAME/ in front.
func (s *Share) Filter() topic.Filter { return s.filter }

// Len returns how many members there are, at least one.
func (s *Share) Len() int { return len(s.members) }

// Next returns the place of the member whose turn it is, and gives the turn on.
func (s *Share) Next() int { return int(s.turn.Add(1) % uint32(len(s.members))) }

// Member returns m as the member in place i gets it; places go round.
func (s *Share) Member(m *broker.Message, i int) Delivery {
	i %= len(s.members)
	who := &s.members[i]
	d := delivery(m, who.to, who.o)
	d.Share, d.At = s, i
	return d
}

// Share returns the members of a shared subscription, nil if f is none or nobody has it.
func (r *Router) Share(f topic.Filter) *Share {
	name, inner, err := topic.ParseShare(f)
	if err != nil || name == "" {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if g := r.groups[groupKey{name, inner}]; g != nil {
		return g.share
	}
	return nil
}

func (r *Router) join(key groupKey, s Subscriber, o options) {
	g := r.groups[key]
	if g == nil {
		g = &group{share: &Share{filter: topic.JoinShare(key.share, key.filter), turn: new(atomic.Uint32)}}
		g.node = &member{group: g}
		r.groups[key] = g
		r.tree.Add(key.filter, g.node, options{})
	}
	members := slices.Clone(g.share.members)
	if i := g.share.find(s); i >= 0 {
		members[i].o = o
	} else {
		members = append(members, shareMember{s, o})
	}
	g.share = &Share{g.share.filter, members, g.share.turn}
}

func (r *Router) leave(key groupKey, s Subscriber) {
	g := r.groups[key]
	if g == nil {
		return
	}
	i := g.share.find(s)
	if i < 0 {
		return
	}
	if g.share.Len() == 1 {
		r.tree.Remove(key.filter, g.node)
		delete(r.groups, key)
		return
	}
	members := slices.Delete(slices.Clone(g.share.members), i, i+1)
	g.share = &Share{g.share.filter, members, g.share.turn}
}

func (s *Share) find(who Subscriber) int {
	return slices.IndexFunc(s.members, func(m shareMember) bool { return m.to == who })
}

// pick returns m for the member whose turn it is, passing over those that are away unless all are. The Deliverer may know better.
func (s *Share) pick(m *broker.Message) Delivery {
	turn := s.Next()
	for i := range s.members {
		if at := (turn + i) % len(s.members); s.members[at].to.Online() {
			return s.Member(m, at)
		}
	}
	return s.Member(m, turn)
}
