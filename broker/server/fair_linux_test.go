package server

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// slowTap takes a while for each message of one topic, as many subscribers would.
type slowTap struct{ n atomic.Int64 }

func (s *slowTap) Message(m *broker.Message) (broker.Index, error) {
	if m.Topic == "flood" {
		s.n.Add(1)
		for began := time.Now(); time.Since(began) < 100*time.Microsecond; { // work, not waiting
		}
	}
	return 0, nil
}

func (*slowTap) Session(broker.SessionEvent) {}

// turnTap is a slowTap that counts by turn of a loop, which calls it.
type turnTap struct {
	slowTap
	loop *loop
	most map[uint64]int
}

// worst is the most messages that one turn has handled.
func (s *turnTap) worst() (worst int) {
	s.loop.do(func() {
		for _, n := range s.most {
			worst = max(worst, n)
		}
	})
	return worst
}

func (s *turnTap) Message(m *broker.Message) (broker.Index, error) {
	if s.loop != nil {
		s.most[s.loop.turns]++
	}
	return s.slowTap.Message(m)
}

// TestFloodHasItsSlice: one client brings more work at once than a turn lasts. A turn handles a few of its packets, not all, and another client, on
// the same event loop, is answered meanwhile; and all of them are handled, in the end.
func TestFloodHasItsSlice(t *testing.T) {
	tap := turnTap{most: make(map[uint64]int)}
	r := (&rig{limits: Limits{AcceptsPerSecond: -1}, loops: 1, taps: []broker.Tap{&tap}}).start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.Server.Serve(t.Context(), Listener{Listener: l, Name: "tcp", Anonymous: true})
	dial := func(id string) *brokertest.Client {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := brokertest.NewClient(t, conn, packets.V4)
		c.Connect(id, true)
		return c
	}
	floods, good := dial("floods"), dial("good")
	r.Server.mu.Lock()
	loop := r.Server.loops[0]
	r.Server.mu.Unlock()
	loop.do(func() { tap.loop = loop })
	var flood []byte
	const n = 2000 // 0.2 s of work, in one read
	for range n {
		flood = (&packets.Publish{Topic: "flood", Payload: []byte("x")}).Append(flood, packets.V4)
	}
	floods.SendRaw(flood)
	for tap.n.Load() < n/2 {
		good.ExpectNothing() // there and back
	}
	const perTurn = 40 // two slices of a turn, each of three packets, and the clock is looked at at each eighth
	if worst := tap.worst(); worst > perTurn {
		t.Errorf("%d packets of the flood were handled in one turn, not %d", worst, perTurn)
	}
	floods.ExpectNothing()
	if got := tap.n.Load(); got != n {
		t.Errorf("%d of %d handled", got, n)
	}
}
