package router

import (
	"sync"

	"edge/broker"
	"edge/broker/topic"
)

// Subscriber is what the Deliverer knows a subscribing session by; the router only compares it.
type Subscriber interface {
	ClientID() string
}

// Options are the router's limits and neighbours. The zero value is a router in memory without limits.
type Options struct {
	RetainedMessages int               // at most so many topics have a retained message; 0: no limit
	RetainedBytes    int64             // bytes of topics and payloads retained; 0: no limit
	Retained         []*broker.Message // what the store held at start
	Store            Store             // nil: retained messages live in memory only
	Gates            []broker.Gate
	Taps             []broker.Tap
}

// Store makes retained messages durable. It is called with the router's lock held and must not wait.
type Store interface {
	// SaveRetained records that m is now retained on its topic, or that nothing is if the payload is empty
	// [MQTT-3.3.1-6]. It returns the journal index of the record.
	SaveRetained(m *broker.Message) (broker.Index, error)
}

// Subscription is one entry of the tree.
type Subscription struct {
	Subscriber        Subscriber
	Filter            topic.Filter
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	ID                uint32
}

// Delivery is one message for one subscriber: overlapping subscriptions are merged into one
// with the highest QoS and all their identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-4].
type Delivery struct {
	To     Subscriber
	QoS    byte // the lower of published and granted [MQTT-3.8.4-8]
	Retain bool // the flag as it is to be sent [MQTT-3.3.1-12] [MQTT-3.3.1-13]
	IDs    []uint32
}

// Deliverer carries a message to the sessions that it matched. It must not wait, and must not keep to.
type Deliverer interface {
	Deliver(m *broker.Message, to []Delivery) (broker.Index, error)
}

// Router routes. It implements broker.Publisher.
type Router struct {
	opt       Options
	deliverer Deliverer // for Publish; set before the first message

	mu sync.RWMutex
}

var _ broker.Publisher = (*Router)(nil)

// New returns a router without subscriptions.
func New(opt Options) *Router { return &Router{opt: opt} }

// Publish routes a message of one of our own publishers.
func (r *Router) Publish(m *broker.Message) (broker.Index, error) { return r.Route(m, r.deliverer) }

// Route takes m through gates, taps and retained messages to the sessions that match it.
func (r *Router) Route(m *broker.Message, d Deliverer) (broker.Index, error) { return 0, nil }

// Retained returns the retained messages, for a checkpoint.
func (r *Router) Retained() []*broker.Message { return nil }
