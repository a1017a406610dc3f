package router

import (
	"fmt"
	"slices"
	"testing"

	"edge/broker/topic"
)

// TestPortionsDeliverOnce: one who is subscribed all the time gets a message once, whatever other filters he adds and drops between its portions,
// and with his whole subscription.
func TestPortionsDeliverOnce(t *testing.T) {
	const others = 100
	for name, change := range map[string]func(r *Router, who Subscriber){
		"drops one": func(r *Router, who Subscriber) { r.Unsubscribe(who, "", "a/+") },
		"adds one": func(r *Router, who Subscriber) {
			r.Subscribe(Subscription{Subscriber: who, Filter: "+/+", QoS: 1, ID: 3})
		},
		"drops and adds one": func(r *Router, who Subscriber) {
			r.Unsubscribe(who, "", "a/+")
			r.Subscribe(Subscription{Subscriber: who, Filter: "+/b", QoS: 1, ID: 3})
		},
		"drops and adds all": func(r *Router, who Subscriber) {
			r.Unsubscribe(who, "", "a/+")
			r.Unsubscribe(who, "", "#")
			r.Subscribe(Subscription{Subscriber: who, Filter: "#", QoS: 1, ID: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for after := range 20 { // portions
				r := New(Options{Portion: 10})
				who := &subscriber{id: "who"}
				r.Subscribe(Subscription{Subscriber: who, Filter: "#", QoS: 1, ID: 1})
				for i := range others {
					s := &subscriber{id: fmt.Sprint("other", i)}
					for _, f := range []topic.Filter{"a/#", "a/b"} {
						r.Subscribe(Subscription{Subscriber: s, Filter: f, QoS: 1})
					}
				}
				r.Subscribe(Subscription{Subscriber: who, Filter: "a/+", QoS: 1, ID: 2})
				var g got
				rest, _, err := r.Begin(msg("a/b", "1"), &g)
				for n := 0; rest != nil && err == nil; n++ {
					if n == after {
						change(r, who)
					}
					var done bool
					if done, _, err = rest.Next(&g); done {
						break
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				count := map[string]int{}
				for _, d := range g.all {
					if count[d.To.ClientID()]++; d.To == Subscriber(who) && !slices.Contains(d.IDs, 1) {
						t.Errorf("identifiers %v", d.IDs)
					}
				}
				for c, n := range count {
					if n != 1 {
						t.Errorf("%s got it %d times, changed after %d portions", c, n, after)
					}
				}
				if len(count) != others+1 {
					t.Errorf("%d got it", len(count))
				}
			}
		})
	}
}

// TestRestThatWaits: who waits with the rest of a message holds nobody that it was matched with, and delivers it whole in the end.
func TestRestThatWaits(t *testing.T) {
	const n = 100
	r := New(Options{Portion: 10})
	for i := range n {
		r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint("s", i)}, Filter: "#"})
	}
	var g got
	rest, _, err := r.Begin(msg("a", "1"), &g)
	if err != nil || rest == nil {
		t.Fatalf("rest %v, %v", rest, err)
	}
	for waits := range 3 {
		rest.Wait()
		if rest.routing != nil {
			t.Error("it holds what it has found")
		}
		for range waits {
			if done, _, _ := rest.Next(&g); done {
				t.Fatal("done too early")
			}
		}
	}
	rest.SetMessage(msg("a", "2"))
	for done := false; !done; {
		done, _, err = rest.Next(&g)
	}
	slices.Sort(g.text)
	if g.text = slices.Compact(g.text); err != nil || len(g.text) != n || len(g.all) != n || g.text[0] != "s0:2" {
		t.Errorf("%d deliveries to %d, %v", len(g.all), len(g.text), err)
	}
}
