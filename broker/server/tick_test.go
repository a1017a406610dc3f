package server

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
)

// TestDues sets, removes and takes at random: what is taken is what a list would give, the earliest first, and each client once.
func TestDues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d dues
		clients := make([]*client, 10)
		for i := range clients {
			clients[i] = new(client)
		}
		want := make(map[*client]time.Duration)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			c := rapid.SampledFrom(clients).Draw(t, "client")
			at := time.Duration(rapid.IntRange(0, 20).Draw(t, "at"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				d.remove(c)
				delete(want, c)
			case 1:
				took := d.take(at)
				earliest, any := earliestOf(want)
				if (took != nil) != (any && earliest <= at) || took != nil && want[took] != earliest {
					t.Fatalf("took one of %v, the earliest is %v, now %v", want[took], earliest, at)
				}
				delete(want, took)
			default:
				want[c] = at
				earliest, _ := earliestOf(want)
				if first := d.set(c, at); first && at != earliest {
					t.Fatalf("%v is not before %v", at, earliest)
				}
			}
			at, ok := d.first()
			if earliest, any := earliestOf(want); len(d.list) != len(want) || ok != any || at != earliest {
				t.Fatalf("%d in the list, the first %v; want %d, %v", len(d.list), at, len(want), earliest)
			}
		}
	})
}

func earliestOf(m map[*client]time.Duration) (earliest time.Duration, any bool) {
	for _, at := range m {
		if !any || at < earliest {
			earliest, any = at, true
		}
	}
	return earliest, any
}

// TestTickClearsAway: clients that come and go all the time do not keep tickLoop from clearing expired retained messages away.
func TestTickClearsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(rig).start(t)
		c := r.client(packets.V5, "c", true)
		c.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: 1, Retain: true, Payload: []byte("x"),
			Expiry: packets.Some[uint32](1)})
		brokertest.Expect[*packets.Puback](c)
		for i := range 6 {
			stays := brokertest.NewClient(t, r.dial(), packets.V5)
			stays.Send(&packets.Connect{Version: packets.V5, ClientID: fmt.Sprint("stays", i), SessionExpiry: 3600})
			brokertest.Expect[*packets.Connack](stays)
			stays.Close()
			r.pass(25 * time.Second)
		}
		if n := r.router.Stats().Retained; n != 0 {
			t.Errorf("%d retained messages after 150 s, of one that expires after one", n)
		}
	})
}

// TestTickFollowsTheClock: a session from before a restart ends when the clock says so, also when somebody sets it meanwhile.
func TestTickFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := func() time.Time { return time.Now().Round(0) }
		var leap atomic.Int64 // nanoseconds
		s := New(Options{Router: new(rig).start(t).router, Now: func() time.Time { return wall().Add(time.Duration(leap.Load())) }, Sessions: []session.Snapshot{
			{ClientID: "away", Protocol: 5, Expiry: time.Hour, DisconnectedAt: wall()},
		}})
		defer s.Shutdown(t.Context())
		pass(2 * time.Minute)
		if n := len(s.allClients()); n != 1 {
			t.Fatalf("%d sessions before its time", n)
		}
		leap.Store(int64(2 * time.Hour))
		pass(2 * time.Minute)
		if n := len(s.allClients()); n != 0 {
			t.Errorf("%d sessions after its time", n)
		}
	})
}

// A will that is due when the broker starts waits until all that has to see it is there.
func TestWillsWaitForTheParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := &recorder{}
		will := session.Will{Message: &broker.Message{Topic: "gone", Payload: []byte("x"), From: "a"}, Delay: time.Second}
		s := New(Options{
			Router: router.New(router.Options{Taps: []broker.Tap{tap}}), StartLater: true,
			Sessions: []session.Snapshot{{ClientID: "a", Protocol: 5, Expiry: time.Hour, DisconnectedAt: time.Now().Add(-time.Minute), Will: &will}},
		})
		pass(time.Minute)
		if got := tap.of("a"); len(got) != 0 {
			t.Errorf("before the parts were there: %q", got)
		}
		s.Start()
		pass(time.Second)
		if got := tap.last("a"); got != "a gone x" {
			t.Errorf("got %q, want the will", got)
		}
		s.Shutdown(t.Context())
	})
}
