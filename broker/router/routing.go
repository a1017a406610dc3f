package router

import "edge/broker"

// Rest is what is left of a message's routing. Whoever has it goes on until it is done, before it routes anything else of the
// same publisher.
type Rest struct {
	router  *Router
	m       *broker.Message
	routing *routing // nil: nobody was looked for yet
	found   bool     // routing.to is whole
	sorted  bool     // and has those that get the message with QoS 2 behind the others: so many
	last    int
	at      int // so many of routing.to have the message
	needs   broker.Index
	also    Elsewhere
}

// Message is what is being routed: m, or what a gate put in its place. SetMessage puts a copy there that is good for longer.
func (x *Rest) Message() *broker.Message { return x.m }

func (x *Rest) SetMessage(m *broker.Message) {
	if x.m = m; x.routing != nil {
		x.routing.m = m
	}
}

// Wait is for who does not go on soon. Unless some have the message it gives the memory back of whom it has found, which may be many; Next
// begins anew.
func (x *Rest) Wait() {
	if x.routing != nil && x.at == 0 {
		x.router.giveBack(x.routing)
		x.routing, x.found, x.sorted = nil, false, false
	}
}

// Next does a portion of it. When it is done, index and err are Route's.
func (x *Rest) Next(d Deliverer) (done bool, index broker.Index, err error) {
	r := x.router
	if x.routing == nil {
		x.routing = r.routings.Get().(*routing)
		x.routing.m = x.m
	}
	rt := x.routing
	if !x.found {
		r.mu.RLock()
		x.found = rt.match(r)
		r.mu.RUnlock()
		if !x.found || r.portion(rt.m) < len(rt.to) {
			return false, 0, nil
		}
	}
	done, err = x.deliver(d)
	if !done && err == nil {
		return false, 0, nil
	}
	x.routing = nil
	r.giveBack(rt)
	return true, x.needs, err
}

// deliver gives the message to the next portion. What the publisher's session needs saved goes with the last, and so does who gets it with
// QoS 2: if the program dies in between, the publisher sends it again, and to the others it may come twice [MQTT-4.3.3-10].
func (x *Rest) deliver(d Deliverer) (done bool, err error) {
	rt := x.routing
	if !x.sorted && x.m.QoS == 2 {
		x.last = lastQoS2(rt.to)
	}
	x.sorted = true
	end := len(rt.to)
	if n := x.router.portion(x.m); n < end-x.last-x.at {
		end = x.at + n
	}
	also := x.also
	also.More = end < len(rt.to)
	index, err := d.Deliver(rt.m, rt.to[x.at:end], also)
	x.at, x.needs = end, max(x.needs, index)
	return !also.More, err
}

// portion is how many get m in one go. Each portion that goes to sessions on disk has m in its record: so a large one has few.
func (r *Router) portion(m *broker.Message) int { return r.opt.Deliveries + len(m.Payload)/64 }

// lastQoS2 puts the deliveries of QoS 2 behind the others, and returns how many there are. One of a shared subscription may become
// that: the Deliverer may choose another member.
func lastQoS2(to []Delivery) (n int) {
	end := len(to)
	for i := 0; i < end; {
		if to[i].QoS < 2 && to[i].Share == nil {
			i++
			continue
		}
		end--
		to[i], to[end] = to[end], to[i]
	}
	return len(to) - end
}

// routing is the memory of one Route.
type routing struct {
	m       *broker.Message
	to      []Delivery
	several []int              // places in to of subscribers with several subscriptions
	places  map[Subscriber]int // the same by subscriber, once there are many
	found   matches
	begun   bool    // found knows of m
	began   uint64  // the router's changes then
	changed bool    // there were others since: how many subscriptions a member has says nothing of list
	whole   bool    // list is all that select it
	list    []match // of found
	at      int     // so many of list are in to
}

func newRouting() *routing {
	rt := &routing{places: make(map[Subscriber]int)}
	rt.found.init()
	return rt
}

func (rt *routing) reset() {
	clear(rt.to)
	if len(rt.places) > 0 {
		clear(rt.places)
	}
	rt.m, rt.to, rt.several = nil, rt.to[:0], rt.several[:0]
	rt.begun, rt.whole, rt.list, rt.at = false, false, nil, 0
}

// match collects who subscribed, or a portion of them; false: it is to be called again. The router's lock is held.
func (rt *routing) match(r *Router) bool {
	if !rt.begun {
		rt.begun, rt.began = true, r.changes
		rt.list, rt.whole = rt.found.begin(rt.m.Topic, &r.tree, r.changes)
	}
	if !rt.whole {
		if rt.list, rt.whole = rt.found.next(rt.m.Topic, r.changes, r.opt.Portion); !rt.whole {
			return false
		}
	}
	rt.changed = r.changes != rt.began
	list := rt.list[rt.at:min(len(rt.list), rt.at+r.opt.Portion)]
	for i := range list {
		rt.selected(list[i].who, list[i].o)
	}
	rt.at += len(list)
	return rt.at == len(rt.list)
}

// selected is called for each subscription that selects the message.
func (rt *routing) selected(who *member, o options) {
	if who.group != nil {
		rt.to = append(rt.to, who.group.share.pick(rt.m))
		return
	}
	if o.noLocal && who.to.ClientID() == rt.m.From { // [MQTT-3.8.3-3]
		return
	}
	if who.subscriptions > 1 || rt.changed {
		if i := rt.find(who.to); i >= 0 {
			rt.merge(&rt.to[i], o)
			return
		}
		rt.several = append(rt.several, len(rt.to))
		if len(rt.several) > linearSearch {
			rt.places[who.to] = len(rt.to)
		}
	}
	rt.to = append(rt.to, delivery(rt.m, who.to, o))
}

// linearSearch is how many subscribers with several subscriptions are looked through one by one.
const linearSearch = 32

func (rt *routing) find(who Subscriber) int {
	for _, i := range rt.several[:min(len(rt.several), linearSearch)] {
		if rt.to[i].To == who {
			return i
		}
	}
	if i, found := rt.places[who]; found {
		return i
	}
	return -1
}

func (rt *routing) merge(d *Delivery, o options) {
	d.QoS = max(d.QoS, min(rt.m.QoS, o.qos))
	d.Retain = d.Retain || asRetained(rt.m, o)
	if len(o.ids) > 0 {
		d.IDs = append(d.IDs[:len(d.IDs):len(d.IDs)], o.ids...)
	}
}

func (r *Router) giveBack(rt *routing) {
	rt.reset()
	r.routings.Put(rt)
}
