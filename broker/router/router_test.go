package router

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"edge/broker"
	"edge/broker/topic"
)

type subscriber struct {
	id   string
	away bool
}

func (s *subscriber) ClientID() string { return s.id }
func (s *subscriber) Online() bool     { return !s.away }

// got collects what was delivered, as "subscriber:payload" and more in full.
type got struct {
	mu   sync.Mutex
	all  []Delivery
	text []string
	err  error
}

func (g *got) Deliver(m *broker.Message, to []Delivery, _ Elsewhere) (broker.Index, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	g.all = append(g.all, to...)
	for _, d := range to {
		g.text = append(g.text, d.To.ClientID()+":"+string(m.Payload))
	}
	slices.Sort(g.text)
	return 7, nil
}

func msg(name topic.Name, payload string) *broker.Message {
	return &broker.Message{Topic: name, Payload: []byte(payload), QoS: 1, From: "pub"}
}

func retained(name topic.Name, payload string) *broker.Message {
	m := msg(name, payload)
	m.Retain = true
	return m
}

// TestMatchAgainstLoop compares Route with going through all subscriptions one by one, with more subscribers than
// are looked for one by one.
func TestMatchAgainstLoop(t *testing.T) {
	filters := []topic.Filter{"a", "a/b", "a/+", "a/#", "#", "+/b", "+", "$x/#"}
	rapid.Check(t, func(t *rapid.T) {
		r := New(Options{})
		people := make([]*subscriber, rapid.IntRange(1, 50).Draw(t, "subscribers"))
		subs := make(map[string]Subscription)
		for i := range people {
			people[i] = &subscriber{id: fmt.Sprint("c", i)}
		}
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			s := Subscription{Subscriber: rapid.SampledFrom(people).Draw(t, "who"), Filter: rapid.SampledFrom(filters).Draw(t, "filter"),
				QoS: byte(rapid.IntRange(0, 2).Draw(t, "qos")), NoLocal: rapid.Bool().Draw(t, "nolocal"),
				RetainAsPublished: rapid.Bool().Draw(t, "rap"), ID: uint32(rapid.IntRange(0, 3).Draw(t, "id"))}
			key := s.Subscriber.ClientID() + " " + string(s.Filter)
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				r.Unsubscribe(s.Subscriber, "", s.Filter)
				delete(subs, key)
				continue
			}
			r.Subscribe(s)
			subs[key] = s
		}
		m := msg(rapid.SampledFrom([]topic.Name{"a", "a/b", "a/c", "b/b", "$x/y"}).Draw(t, "topic"), "x")
		m.From = rapid.SampledFrom([]string{"c0", "$own"}).Draw(t, "from")
		m.Retain, m.RetainLive = rapid.Bool().Draw(t, "retain"), rapid.Bool().Draw(t, "retain live")
		var g got
		_, err := r.Route(m, &g)
		if m.Topic.Reserved() && m.From == "c0" {
			if !errors.Is(err, ErrReserved) || len(g.all) > 0 {
				t.Fatalf("a client published to %s: %v", m.Topic, err)
			}
			return
		}
		if diff := gocmp.Diff(loop(m, subs), sorted(g.all), cmpopts.EquateEmpty(), gocmp.AllowUnexported(subscriber{})); diff != "" {
			t.Fatalf("(-loop +router):\n%s", diff)
		}
		if n := r.Stats().Subscriptions; n != len(subs) {
			t.Fatalf("%d subscriptions, want %d", n, len(subs))
		}
	})
}

// loop is the twin of Route.
func loop(m *broker.Message, subs map[string]Subscription) []Delivery {
	by := make(map[Subscriber]*Delivery)
	for _, s := range subs {
		if !topic.Match(s.Filter, m.Topic) || s.NoLocal && s.Subscriber.ClientID() == m.From {
			continue
		}
		d := by[s.Subscriber]
		if d == nil {
			d = &Delivery{To: s.Subscriber}
			by[s.Subscriber] = d
		}
		d.QoS = max(d.QoS, min(s.QoS, m.QoS))
		d.Retain = d.Retain || m.Retain && (s.RetainAsPublished || m.RetainLive)
		if s.ID != 0 {
			d.IDs = append(d.IDs, s.ID)
		}
	}
	var list []Delivery
	for _, d := range by {
		list = append(list, *d)
	}
	return sorted(list)
}

func sorted(list []Delivery) []Delivery {
	for i := range list {
		list[i].IDs = slices.Sorted(slices.Values(list[i].IDs))
	}
	slices.SortFunc(list, func(a, b Delivery) int { return cmp.Compare(a.To.ClientID(), b.To.ClientID()) })
	return list
}

type store struct {
	saved []string
	err   error
}

func (s *store) SaveRetained(m *broker.Message) (broker.Index, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.saved = append(s.saved, string(m.Topic)+"="+string(m.Payload))
	return broker.Index(len(s.saved)), nil
}

func names(r *Router, f topic.Filter) string {
	s := ""
	for _, n := range r.RetainedNames(f) {
		if !topic.Match(f, n) {
			continue
		}
		if m := r.Retained(n, time.Time{}); m != nil {
			s += string(n) + "=" + string(m.Payload) + " "
		}
	}
	return s
}

func TestRetained(t *testing.T) {
	keep := &store{}
	r := New(Options{RetainedMessages: 2, RetainedBytes: 20, Store: keep, Retained: []*broker.Message{retained("old", "1")}})
	for _, step := range []struct {
		m    *broker.Message
		want string
	}{
		{retained("a", "1"), "a=1 old=1 "},
		{msg("a", "2"), "a=1 old=1 "},                         // RETAIN 0 changes nothing [MQTT-3.3.1-8]
		{retained("b", "1"), "a=1 old=1 "},                    // no room for a third
		{retained("a", "3"), "a=3 old=1 "},                    // [MQTT-3.3.1-5]
		{retained("a", "this is far too long now"), "old=1 "}, // no room: not the old one either
		{retained("old", ""), ""},                             // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
		{retained("none", ""), ""},
	} {
		if _, err := r.Route(step.m, &got{}); err != nil {
			t.Fatal(err)
		}
		if have := names(r, "#"); have != step.want {
			t.Errorf("after %s=%s: %q, want %q", step.m.Topic, step.m.Payload, have, step.want)
		}
	}
	if st := r.Stats(); st.Retained != 0 || st.RetainedBytes != 0 || st.Dropped[DropRetainedFull] != 2 {
		t.Errorf("%+v", st)
	}
	if diff := gocmp.Diff([]string{"a=1", "a=3", "a=", "old="}, keep.saved); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	keep.err = errors.New("disk full")
	var g got
	if _, err := r.Route(retained("x", "1"), &g); !errors.Is(err, keep.err) || len(g.all) > 0 || names(r, "#") != "" {
		t.Errorf("store failed: %v, retained %q", err, names(r, "#"))
	}
}

// Topics that are reserved have room beyond the limits, with a limit of its own.
func TestRetainedReserved(t *testing.T) {
	r := New(Options{RetainedMessages: 2, RetainedBytes: 1000, Reserved: func(n topic.Name) bool { return n[0] == 'S' }})
	count := func(prefix string, n int, payload string) {
		for i := range n {
			if _, err := r.Route(retained(topic.Name(fmt.Sprint(prefix, i)), payload), &got{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	count("a", 3, "1")
	count("S", reservedMessages+1, "1")
	count("b", 1, "1")
	if st := r.Stats(); st.Retained != 2+reservedMessages || st.Dropped[DropRetainedFull] != 3 {
		t.Errorf("%d retained, %v", st.Retained, st.Dropped)
	}
	count("S", 1, strings.Repeat("x", reservedBytes))
	if r.Retained("S0", time.Time{}) != nil || r.Retained("S1", time.Time{}) == nil {
		t.Error("one that is larger than what is reserved is kept")
	}
}

func TestRetainedExpires(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := New(Options{})
	m := retained("a", "1")
	m.Expires = now.Add(time.Second)
	r.Route(m, &got{})
	r.Route(retained("b", "1"), &got{})
	own := retained("$sparkplug/x", "1")
	own.From = "$sparkplug"
	r.Route(own, &got{})
	if r.Retained("a", now) == nil || r.Retained("a", m.Expires) != nil { // [MQTT-3.3.2-5]
		t.Error("sent until it expires and not after")
	}
	r.Expire(m.Expires)
	if st := r.Stats(); st.Retained != 2 || st.Dropped[DropRetainedExpired] != 1 {
		t.Errorf("%+v", st)
	}
	if all := r.RetainedAll(); len(all) != 2 || all[0].Topic != "$sparkplug/x" {
		t.Errorf("%d retained", len(all))
	}
}

// tap counts, and publishes from another goroutine while it is told.
type tap struct {
	r    *Router
	seen []string
	err  error
}

func (p *tap) Message(m *broker.Message) (broker.Index, error) {
	p.seen = append(p.seen, string(m.Payload))
	if p.r != nil && string(m.Payload) == "outer" {
		done := make(chan error)
		go func() { // ends before Message does
			_, err := p.r.Publish(&broker.Message{Topic: "$SYS/inner", Payload: []byte("inner"), Retain: true, From: "$tap"})
			done <- err
		}()
		if err := <-done; err != nil {
			return 0, err
		}
	}
	return 9, p.err
}

func (p *tap) Session(broker.SessionEvent) {}

type gate func(*broker.Message) (*broker.Message, error)

func (g gate) Pass(m *broker.Message) (*broker.Message, error) { return g(m) }

func TestTapsAndGates(t *testing.T) {
	var g got
	p := &tap{}
	r := New(Options{Taps: []broker.Tap{p}, Gates: []broker.Gate{gate(func(m *broker.Message) (*broker.Message, error) {
		switch string(m.Payload) {
		case "refuse":
			return nil, errors.New("no")
		case "drop":
			return nil, nil
		case "replace":
			return msg(m.Topic, "replaced"), nil
		}
		return m, nil
	})}})
	p.r = r
	r.SetDeliverer(&g)
	r.Subscribe(Subscription{Subscriber: &subscriber{id: "s"}, Filter: "a", QoS: 1})
	r.Subscribe(Subscription{Subscriber: &subscriber{id: "s"}, Filter: "$SYS/#", QoS: 1})
	for _, payload := range []string{"1", "refuse", "drop", "replace", "outer"} {
		index, err := r.Publish(msg("a", payload))
		var refused *RefusedError
		if errors.As(err, &refused) != (payload == "refuse") {
			t.Errorf("%s: %v", payload, err)
		}
		if err == nil && payload != "drop" && index != 9 {
			t.Errorf("%s: needs index %d, want the highest of tap (9) and sessions (7)", payload, index)
		}
	}
	if diff := gocmp.Diff([]string{"1", "replaced", "outer", "inner"}, p.seen); diff != "" {
		t.Errorf("tap (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"s:1", "s:inner", "s:outer", "s:replaced"}, g.text); diff != "" {
		t.Errorf("subscriber (-want +got):\n%s", diff)
	}
	p.err = errors.New("full")
	if _, err := r.Publish(msg("a", "no")); !errors.Is(err, p.err) || len(g.text) != 4 {
		t.Errorf("a tap that is full: %v, %v", err, g.text)
	}
}

func TestShared(t *testing.T) {
	var g got
	r := New(Options{})
	a, b, c := &subscriber{id: "a"}, &subscriber{id: "b"}, &subscriber{id: "c"}
	for _, s := range []*subscriber{a, b, c} {
		r.Subscribe(Subscription{Subscriber: s, Filter: "#", Share: "g", QoS: 1})
	}
	count := func() map[string]int {
		n := make(map[string]int)
		g.all = nil
		for range 30 {
			r.Route(msg("t", "x"), &g)
		}
		for _, d := range g.all {
			n[d.To.ClientID()]++
		}
		return n
	}
	for _, step := range []struct {
		name string
		do   func()
		want map[string]int
	}{
		{"in turn", func() {}, map[string]int{"a": 10, "b": 10, "c": 10}},
		{"not to one who is away", func() { a.away = true }, map[string]int{"b": 20, "c": 10}},
		{"nor to one who left", func() { r.Unsubscribe(b, "g", "#") }, map[string]int{"c": 30}},
		{"all away", func() { c.away = true }, map[string]int{"a": 15, "c": 15}},
		{"none left", func() { r.Unsubscribe(a, "g", "#"); r.Unsubscribe(c, "g", "#") }, map[string]int{}},
	} {
		step.do()
		if diff := gocmp.Diff(step.want, count()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if n := r.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions left", n)
	}
}

// TestPublisherOrder routes from several goroutines while subscriptions come and go: each publisher's messages
// reach the subscriber in their order [MQTT-4.6.0-5].
func TestPublisherOrder(t *testing.T) {
	r := New(Options{})
	r.Subscribe(Subscription{Subscriber: &subscriber{id: "s"}, Filter: "#", QoS: 1})
	var mu sync.Mutex
	last := make(map[string]byte)
	d := deliverFunc(func(m *broker.Message, to []Delivery) {
		mu.Lock()
		defer mu.Unlock()
		if len(to) != 1 || m.Payload[0] != last[m.From]+1 {
			t.Errorf("%s: %d after %d, to %d", m.From, m.Payload[0], last[m.From], len(to))
		}
		last[m.From] = m.Payload[0]
	})
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for n := range 200 {
				m := msg("t", string([]byte{byte(n + 1)}))
				m.From, m.Retain = fmt.Sprint("p", p), n%2 == 0
				r.Route(m, d)
				other := &subscriber{id: "o"}
				r.Subscribe(Subscription{Subscriber: other, Filter: "u/#"})
				r.Unsubscribe(other, "", "u/#")
			}
		})
	}
	wg.Wait()
}

type deliverFunc func(*broker.Message, []Delivery)

func (f deliverFunc) Deliver(m *broker.Message, to []Delivery, _ Elsewhere) (broker.Index, error) {
	f(m, to)
	return 0, nil
}

func TestRouteDoesNotAllocatePerSubscriber(t *testing.T) {
	r := New(Options{})
	for i := range 100 {
		r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint(i)}, Filter: "a/#", QoS: 1})
	}
	m, d := msg("a/b", "x"), deliverFunc(func(*broker.Message, []Delivery) {})
	// Under the race detector a sync.Pool loses some of what it was given: the least of some runs tells.
	least := testing.AllocsPerRun(1, func() { r.Route(m, d) })
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, func() { r.Route(m, d) }))
	}
	if least > 0 {
		t.Errorf("%v allocations for 100 subscribers", least)
	}
}
