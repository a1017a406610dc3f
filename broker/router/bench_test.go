package router

import (
	"fmt"
	"testing"

	"edge/broker"
	"edge/broker/topic"
)

// BenchmarkRoute is one message; "known" topics were routed before, for "new" ones the subscriptions have changed since.
func BenchmarkRoute(b *testing.B) {
	for _, load := range []struct {
		name    string
		matched int // subscribers that get the message
		others  int // filters that do not match
	}{
		{"to 1", 1, 0},
		{"to 100", 100, 0},
		{"to 1 among 10000 filters", 1, 10_000},
		{"to 3 among 10000 filters", 3, 10_000},
	} {
		r := benchRouter(load.matched, load.others)
		b.Run(load.name+"/known topic", func(b *testing.B) { benchmarkRoute(b, r, load.matched, func() {}) })
		b.Run(load.name+"/new topic", func(b *testing.B) { benchmarkRoute(b, r, load.matched, func() { r.changes++ }) })
	}
}

// benchRouter has subscribers to one topic, and others of a plant with a thousand lines.
func benchRouter(matched, others int) *Router {
	r := New(Options{})
	for i := range matched {
		f := topic.Filter("plant/line7/+/value")
		if i%2 == 1 {
			f = "plant/line7/#"
		}
		r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint("m", i)}, Filter: f, QoS: 1})
	}
	for i := range others {
		f := topic.Filter(fmt.Sprintf("plant/line%d/+/value", 1000+i%1000))
		if i%3 == 0 {
			f = topic.Filter(fmt.Sprintf("plant/+/oven%d/#", i))
		}
		r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint("o", i)}, Filter: f})
	}
	return r
}

func benchmarkRoute(b *testing.B, r *Router, want int, before func()) {
	m, n := msg("plant/line7/oven/value", "21.5"), 0
	d := deliverFunc(func(_ *broker.Message, to []Delivery) { n += len(to) })
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		before()
		if _, err := r.Route(m, d); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	if n != want*rounds {
		b.Fatalf("%d deliveries of %d messages", n, rounds)
	}
}
