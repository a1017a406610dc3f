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

// TestFloodHasItsSlice: one client brings more work at once than a turn lasts. Another, on the same event loop, is answered when
// a few of the first one's packets have been handled, not all; and all of them are, in the end.
func TestFloodHasItsSlice(t *testing.T) {
	var tap slowTap
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
	var flood []byte
	const n = 2000 // 0.2 s of work, in one read
	for range n {
		flood = (&packets.Publish{Topic: "flood", Payload: []byte("x")}).Append(flood, packets.V4)
	}
	floods.SendRaw(flood)
	for tap.n.Load() == 0 {
		good.ExpectNothing()
	}
	worst := int64(0)
	for tap.n.Load() < n/2 {
		before := tap.n.Load()
		good.ExpectNothing() // there and back
		worst = max(worst, tap.n.Load()-before)
	}
	if worst > n/4 {
		t.Errorf("%d packets of the flood were handled while the other client waited", worst)
	}
	floods.ExpectNothing()
	if got := tap.n.Load(); got != n {
		t.Errorf("%d of %d handled", got, n)
	}
}
