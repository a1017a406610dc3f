package session

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/topic"
)

// TestBudgetsComeBack: what subscriptions, wills and messages count is given back, whichever way a session ends.
func TestBudgetsComeBack(t *testing.T) {
	ends := map[string]func(s *Session, o *Output){
		"disconnect": func(s *Session, o *Output) { s.Disconnect(false, 0, start, o) },
		"withdrawn":  func(s *Session, o *Output) { s.Disconnect(true, 0, start, o) },
		"discard":    func(s *Session, o *Output) { s.Disconnect(false, -1, start, o); s.Discard(start, o) },
		"expiry":     func(s *Session, o *Output) { s.Disconnect(false, -1, start, o); s.Tick(start.Add(2*time.Hour), o) },
		"another connection": func(s *Session, o *Output) {
			s.Connect(Connect{Protocol: 5}, start, o)
			s.Disconnect(false, -1, start, o)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			l := &Limits{Total: &Budget{}, Wills: &Budget{}, Filters: &Budget{}}
			s := New("c", l)
			var o Output
			s.Connect(Connect{Protocol: 5, Expiry: time.Hour, Will: &Will{Message: message(1), Delay: time.Minute}}, start, &o)
			for range 2 {
				s.Subscribe(Subscription{Filter: "a/b"}, &o)
				s.Subscribe(Subscription{Filter: "c"}, &o)
			}
			s.Unsubscribe("c", &o)
			s.Deliver(Delivery{Message: message(2), QoS: 2}, true, &o)
			if l.Total.Used() != Cost(message(2)) || l.Wills.Used() != Cost(message(1)) || l.Filters.Used() != FilterCost("a/b") {
				t.Errorf("held: %d, wills %d, filters %d", l.Total.Used(), l.Wills.Used(), l.Filters.Used())
			}
			again := New("c", l)
			snap, _ := s.Snapshot()
			before := *again
			again.Connect(Connect{Protocol: 5, Will: snap.Will}, start, &o)
			again.Undo(&before)
			end(s, &o)
			if l.Total.Used() != 0 || l.Wills.Used() != 0 || l.Filters.Used() != 0 {
				t.Errorf("left: %d, wills %d, filters %d", l.Total.Used(), l.Wills.Used(), l.Filters.Used())
			}
			r := Restore(&snap, l, start)
			r.Discard(start, &o)
			if l.Total.Used() != 0 || l.Wills.Used() != 0 || l.Filters.Used() != 0 {
				t.Errorf("left by the restored one: %d, wills %d, filters %d", l.Total.Used(), l.Wills.Used(), l.Filters.Used())
			}
		})
	}
}

// TestLargeMessagesCountOnce: sessions that hold the same large message share its memory, and what they count together is that.
func TestLargeMessagesCountOnce(t *testing.T) {
	l := &Limits{Total: &Budget{MaxBytes: 3 << 20}}
	m := &broker.Message{Topic: "t", Payload: make([]byte, 2<<20)}
	other := &broker.Message{Topic: "t", Payload: make([]byte, 2<<20)}
	var o Output
	var sessions []*Session
	for range 5 {
		s := New("c", l)
		s.Connect(Connect{Protocol: 5, Expiry: time.Hour}, start, &o)
		d := Delivery{Message: m, QoS: 1}
		if !s.Takes(&d) || s.Deliver(d, true, &o) == 0 {
			t.Fatal("not taken")
		}
		sessions = append(sessions, s)
	}
	d := Delivery{Message: other, QoS: 1}
	if used := l.Total.Used(); used != Cost(m) || sessions[0].Takes(&d) || sessions[0].Deliver(d, true, &o) > 0 {
		t.Errorf("%d bytes counted, and one more is taken", used)
	}
	snap, _ := sessions[0].Snapshot()
	sessions[0].Puback(1, &o)
	sessions[1].End(&o)
	sessions[2].TakeBack(1)
	if used := l.Total.Used(); used != Cost(m) {
		t.Errorf("%d bytes counted for two", used)
	}
	restored := Restore(&snap, l, start)
	sessions[3].End(&o)
	sessions[4].End(&o)
	if used := l.Total.Used(); used != Cost(m) {
		t.Errorf("%d bytes counted for the restored one", used)
	}
	restored.End(&o)
	if used := l.Total.Used(); used != 0 || len(l.Total.large) != 0 {
		t.Errorf("%d bytes and %d messages left", used, len(l.Total.large))
	}
}

// TestHoardersDoNotTakeAll: when sessions that nobody reads hold all that may be held, one that is read still gets its messages
// and still has room for a few subscriptions.
func TestHoardersDoNotTakeAll(t *testing.T) {
	l := &Limits{Inflight: 10, Total: &Budget{MaxBytes: 4000}, Filters: &Budget{MaxBytes: 10 * FilterCost("a")}}
	hoarder, reader := New("hoarder", l), New("reader", l)
	var o Output
	hoarder.Connect(Connect{Protocol: 5, Expiry: time.Hour}, start, &o)
	for i := range 10 {
		hoarder.Subscribe(Subscription{Filter: topic.Filter([]byte{'a' + byte(i)})}, &o)
	}
	if filter := topic.Filter("a/b/c/d/e/f/g/h/i/j"); hoarder.HasRoomFor(filter) {
		t.Error("the hoarder has room for one more")
	}
	hoarder.Disconnect(false, -1, start, &o)
	for hoarder.Deliver(Delivery{Message: message(1), QoS: 1}, false, &o) > 0 {
	}
	reader.Connect(Connect{Protocol: 5}, start, &o)
	if !reader.HasRoomFor("a/b") {
		t.Error("the reader may not subscribe")
	}
	for range 2000 {
		o.Reset()
		if reader.Deliver(Delivery{Message: message(2), QoS: 1}, true, &o) == 0 {
			t.Fatalf("the reader's message is dropped: %v", o.Drops)
		}
		reader.Puback(o.Send[0].PacketID, &o)
	}
	n := 0
	for reader.Deliver(Delivery{Message: message(3), QoS: 1}, true, &o) > 0 {
		n++
	}
	if most := int(connectedReserve/Cost(message(3))) + 1; n > most {
		t.Errorf("the reader, who stopped reading, holds %d messages, more than %d", n, most)
	}
}

// TestCostFollowsProperties: user properties count, and so do subscription identifiers.
func TestCostFollowsProperties(t *testing.T) {
	m := &broker.Message{Topic: "a", Properties: &packets.PublishProperties{User: make([]packets.UserProperty, 1000)}}
	if c := Cost(m); c < 32*1000 {
		t.Errorf("1,000 empty user properties count %d bytes", c)
	}
	s := New("c", &Limits{QueueBytes: 3000})
	var o Output
	s.Connect(Connect{Protocol: 5, Expiry: time.Hour}, start, &o)
	s.Deliver(Delivery{Message: message(1), QoS: 1, IDs: make([]uint32, 200)}, false, &o)
	if s.QueuedBytes() < 800 {
		t.Errorf("200 subscription identifiers count %d bytes", s.QueuedBytes())
	}
}

// TestIDSet compares an idSet with a map.
func TestIDSet(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	var s idSet
	twin := map[uint16]bool{}
	for i := range 20000 {
		id := uint16(rnd.IntN(1 + (i*7)%300))
		switch {
		case s.has(id) != twin[id]:
			t.Fatalf("seed %d, step %d: has %d", seed, i, id)
		case rnd.IntN(2) == 0 && !twin[id]:
			s.add(id)
			twin[id] = true
		case rnd.IntN(2) == 0:
			if s.remove(id) != twin[id] {
				t.Fatalf("seed %d, step %d: remove %d", seed, i, id)
			}
			delete(twin, id)
		}
		if s.n != len(twin) {
			t.Fatalf("seed %d, step %d: %d identifiers, not %d", seed, i, s.n, len(twin))
		}
	}
	ids := s.sorted()
	if len(ids) != len(twin) || !slices.IsSorted(ids) {
		t.Errorf("seed %d: sorted gives %v", seed, ids)
	}
}
