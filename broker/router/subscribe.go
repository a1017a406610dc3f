package router

import "edge/broker/topic"

// Subscriber is what the router knows a session by.
type Subscriber interface {
	ClientID() string
	Online() bool // shared subscriptions prefer who is; it takes no lock
}

// Subscription is one filter of one subscriber.
type Subscription struct {
	Subscriber        Subscriber
	Filter            topic.Filter // valid
	Share             string       // share name of a shared subscription, empty for others
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	ID                uint32 // subscription identifier, 0 for none
}

// member is a subscriber in the tree, or a group in its place.
type member struct {
	to            Subscriber
	subscriptions int // in the tree; guarded by the router's mu
	group         *group
}

type options struct {
	qos               byte
	noLocal           bool
	retainAsPublished bool
	ids               []uint32 // none or one
}

// Subscribe adds s, or puts it in the place of the subscription with the same filter [MQTT-3.8.4-3]. A message
// routed later is delivered; one retained earlier is found by RetainedNames [MQTT-3.8.4-4].
func (r *Router) Subscribe(s Subscription) {
	o := options{qos: s.QoS, noLocal: s.NoLocal, retainAsPublished: s.RetainAsPublished}
	if s.ID != 0 {
		o.ids = []uint32{s.ID}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	if s.Share != "" {
		r.join(groupKey{s.Share, s.Filter}, s.Subscriber, o)
		return
	}
	who := r.members[s.Subscriber]
	if who == nil {
		who = &member{to: s.Subscriber}
		r.members[s.Subscriber] = who
	}
	if _, replaced := r.tree.Add(s.Filter, who, o); !replaced {
		who.subscriptions++
	}
}

// Unsubscribe removes the subscription of who with exactly this filter; nothing routed later is delivered
// for it [MQTT-3.10.4-2].
func (r *Router) Unsubscribe(s Subscriber, share string, f topic.Filter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	if share != "" {
		r.leave(groupKey{share, f}, s)
		return
	}
	who := r.members[s]
	if who == nil {
		return
	}
	if _, removed := r.tree.Remove(f, who); removed {
		who.subscriptions--
	}
	if who.subscriptions == 0 {
		delete(r.members, s)
	}
}

func (r *Router) subscriptions() int { return r.tree.Len() - len(r.groups) + r.sharedSubscriptions() }

func (r *Router) sharedSubscriptions() (n int) {
	for _, g := range r.groups {
		n += g.share.Len()
	}
	return n
}

// Many tells whether a message may be for so many that they get it in portions.
func (r *Router) Many() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.members) > r.opt.Deliveries
}
