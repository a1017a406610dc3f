package router

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// Options are the router's limits and neighbours. The zero value is a router in memory without limits.
type Options struct {
	RetainedMessages int                   // at most so many topics have a retained message; 0: no limit
	RetainedBytes    int64                 // bytes of topics and payloads retained; 0: no limit
	Reserved         func(topic.Name) bool // topics that have room beyond both limits, reservedMessages and reservedBytes; nil: none
	Retained         []*broker.Message     // what the store held at start
	Store            Store                 // nil: retained messages live in memory only
	Gates            []broker.Gate         // asked in this order
	Taps             []broker.Tap          // told in this order
	Portion          int                   // nodes of the tree, or subscriptions, that are looked at in one go; 0: 2048, about 0.1 ms
	Deliveries       int                   // made in one go, see Elsewhere.More; 0: 256, about 0.3 ms
}

// Store makes retained messages durable. It is called with the router's lock held and must not wait.
type Store interface {
	// SaveRetained records that m is now retained on its topic, or that nothing is if the payload is empty
	// [MQTT-3.3.1-6]. It returns the journal index of the record.
	SaveRetained(m *broker.Message) (broker.Index, error)
}

// Delivery is one message for one subscriber: overlapping subscriptions are merged into one
// with the highest QoS and all their identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-4].
type Delivery struct {
	To     Subscriber
	QoS    byte     // the lower of published and granted [MQTT-3.8.4-8] [v3 MQTT-3.8.4-6]
	Retain bool     // the flag as it is to be sent [MQTT-3.3.1-12] [MQTT-3.3.1-13]
	IDs    []uint32 // subscription identifiers; not to be written to
	Share  *Share   // the shared subscription that the Deliverer may choose another member of; nil for others
	At     int      // the place of To in Share
}

// Deliverer carries a message to the sessions that it matched, which may be none. It must not wait, and must not keep to; it may
// write to it. It is called for each portion of them; an error ends that, and those of portions before have the message.
type Deliverer interface {
	Deliver(m *broker.Message, to []Delivery, also Elsewhere) (broker.Index, error)
}

// Elsewhere says who has a message beside the sessions that it matched.
type Elsewhere struct {
	Tapped   bool // a tap wants it, or a gate took it
	Retained bool // it is retained as it asked to be
	Full     bool // it was to be retained, and there was no room
	More     bool // this is a portion: others that it matched get it later. Those that get it with QoS 2 are all in the last
}

// ErrReserved is the error for a client's message on a topic that begins with $.
var ErrReserved = errors.New("topics that begin with $ are the broker's own")

// RefusedError says that a gate refused a message.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "refused: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Router routes. It implements broker.Publisher.
type Router struct {
	opt       Options
	deliverer Deliverer // of Publish; set before the first message
	routings  sync.Pool // *routing

	mu            sync.RWMutex
	tree          topic.Tree[*member, options]
	changes       uint64 // of the tree
	members       map[Subscriber]*member
	groups        map[groupKey]*group
	retained      topic.Names[*broker.Message]
	retainedBytes int64
	ordered       ordered                      // of retained
	system        topic.Names[*broker.Message] // see systemPrefix

	retainedFull    atomic.Uint64
	retainedExpired atomic.Uint64
}

var _ broker.Publisher = (*Router)(nil)

// New returns a router with the retained messages of opt and no subscriptions.
func New(opt Options) *Router {
	opt.Portion, opt.Deliveries = cmp.Or(opt.Portion, 2048), cmp.Or(opt.Deliveries, 256)
	r := &Router{opt: opt, members: make(map[Subscriber]*member), groups: make(map[groupKey]*group)}
	r.routings.New = func() any { return newRouting() }
	for _, m := range opt.Retained {
		r.setRetained(m)
	}
	return r
}

// SetDeliverer sets who carries the messages of Publish. It is called once, before the first message.
func (r *Router) SetDeliverer(d Deliverer) { r.deliverer = d }

// AddTap adds a tap behind the others. It is called before the first message.
func (r *Router) AddTap(t broker.Tap) { r.opt.Taps = append(r.opt.Taps, t) }

// Wanted tells whether a tap wants the messages of a topic. Of those that none wants, a QoS 0 message that is not retained
// is not kept by anyone once Route has returned.
func (r *Router) Wanted(name topic.Name) bool {
	for _, t := range r.opt.Taps {
		if wants(t, name) {
			return true
		}
	}
	return false
}

func wants(t broker.Tap, name topic.Name) bool {
	c, chooses := t.(broker.Chooser)
	return !chooses || c.Wants(name)
}

// Publish routes a message of one of our own publishers.
func (r *Router) Publish(m *broker.Message) (broker.Index, error) { return r.Route(m, r.deliverer) }

// Route takes m through gates, taps and retained messages to the sessions that match it. On an error no session
// got it, but taps before the one that refused it have seen it.
func (r *Router) Route(m *broker.Message, d Deliverer) (broker.Index, error) {
	rest, index, err := r.Begin(m, d)
	for done := rest == nil; !done; {
		done, index, err = rest.Next(d)
	}
	return index, err
}

// Begin is Route for a goroutine that others wait for. When to find who subscribed takes long, or they are many, it returns what is left to be done. Taps
// have seen m by then, and it is retained if it asked for that: whoever subscribes before the end gets it at least once.
func (r *Router) Begin(m *broker.Message, d Deliverer) (rest *Rest, index broker.Index, err error) {
	if m.Topic.Reserved() && !strings.HasPrefix(m.From, "$") {
		return nil, 0, ErrReserved
	}
	for _, g := range r.opt.Gates {
		passed, err := g.Pass(m)
		if err != nil {
			return nil, 0, &RefusedError{err}
		}
		if passed == nil {
			index, err = d.Deliver(m, nil, Elsewhere{Tapped: true}) // whoever sent it is answered
			return nil, index, err
		}
		m = passed
	}
	var needs broker.Index
	var also Elsewhere
	for _, t := range r.opt.Taps {
		if !wants(t, m.Topic) {
			continue
		}
		index, err := t.Message(m)
		if err != nil {
			return nil, 0, fmt.Errorf("tap %s: %w", m.Topic, err)
		}
		needs, also.Tapped = max(needs, index), true
	}
	rt := r.routings.Get().(*routing)
	retained, found, err := r.retainAndMatch(m, rt, &also)
	needs = max(needs, retained)
	if err == nil && (!found || r.portion(m) < len(rt.to)) {
		return &Rest{router: r, m: m, routing: rt, found: found, needs: needs, also: also}, 0, nil
	}
	if err == nil {
		index, err = d.Deliver(m, rt.to, also)
	}
	r.giveBack(rt)
	return nil, max(needs, index), err
}

// retainAndMatch retains m if it asks for that and collects who subscribed to it, both before or both after any Subscribe. Unless found,
// not all of them are there yet.
func (r *Router) retainAndMatch(m *broker.Message, rt *routing, also *Elsewhere) (needs broker.Index, found bool, err error) {
	if m.Retain {
		r.mu.Lock()
		defer r.mu.Unlock()
		if needs, also.Retained, err = r.retain(m); err != nil {
			return 0, false, err
		}
		also.Full = !also.Retained
	} else {
		r.mu.RLock()
		defer r.mu.RUnlock()
	}
	rt.m = m
	return needs, rt.match(r), nil
}

// Session tells all taps of a client's coming or going. The caller orders it with the client's messages.
func (r *Router) Session(e broker.SessionEvent) {
	for _, t := range r.opt.Taps {
		t.Session(e)
	}
}

// Stats returns the router's share of the broker's counters.
func (r *Router) Stats() broker.Stats {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return broker.Stats{
		Subscriptions: r.subscriptions(),
		Shared:        r.sharedSubscriptions(),
		Retained:      r.retained.Len(),
		RetainedBytes: r.retainedBytes,
		Dropped: map[string]uint64{
			DropRetainedFull:    r.retainedFull.Load(),
			DropRetainedExpired: r.retainedExpired.Load(),
		},
	}
}

func delivery(m *broker.Message, to Subscriber, o options) Delivery {
	return Delivery{To: to, QoS: min(m.QoS, o.qos), Retain: asRetained(m, o), IDs: o.ids}
}

// asRetained tells whether who is subscribed with o already gets m with the retain flag.
func asRetained(m *broker.Message, o options) bool {
	return m.Retain && (o.retainAsPublished || m.RetainLive)
}

func expired(m *broker.Message, now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}
