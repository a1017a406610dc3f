package session

import (
	"testing"
	"time"

	"edge/broker"
)

// steady is a session with a connection, and what it does with one message: it comes, goes out and is acknowledged.
type steady struct {
	s   *Session
	out Output
	m   *broker.Message
	now time.Time
	qos byte
}

func newSteady(expiry time.Duration, qos byte, waiting int) *steady {
	x := &steady{s: New("c", &Limits{Inflight: 20}), now: time.Now(), qos: qos,
		m: &broker.Message{Topic: "plant/oven/temperature", Payload: make([]byte, 100), QoS: qos}}
	x.s.Connect(Connect{Protocol: 4, Expiry: expiry}, x.now, &x.out)
	for range waiting {
		x.deliver()
	}
	return x
}

func (x *steady) deliver() bool {
	x.out.Reset()
	return x.s.Deliver(Delivery{Message: x.m, QoS: x.qos}, true, &x.out) != 0
}

// round delivers one message and acknowledges the oldest; what waits then may go.
func (x *steady) round() bool {
	took := x.deliver()
	id := x.s.inflight[0].PacketID
	x.out.Reset()
	if x.qos == 2 {
		took = x.s.Pubrec(id, false, &x.out) && x.s.Pubcomp(id, &x.out) && took
	} else {
		took = x.s.Puback(id, &x.out) && took
	}
	x.s.Pump(1<<20, x.now, &x.out)
	return took
}

var steadyCases = []struct {
	name    string
	expiry  time.Duration
	qos     byte
	waiting int     // before, of which 20 are in flight
	allocs  float64 // at most, for a message
}{
	{"QoS 1", 0, 1, 0, 0},
	{"QoS 1, window full and 100 waiting", 0, 1, 120, 0},
	{"QoS 2", 0, 2, 0, 0},
	{"QoS 1, kept on disk", time.Hour, 1, 0, 1}, // the entry, which the journal keeps
	{"QoS 1, kept on disk, 100 waiting", time.Hour, 1, 120, 1},
	{"QoS 2, kept on disk", time.Hour, 2, 0, 1},
}

// BenchmarkSteady is one message through a session with a connection.
func BenchmarkSteady(b *testing.B) {
	for _, c := range steadyCases {
		b.Run(c.name, func(b *testing.B) {
			x := newSteady(c.expiry, c.qos, c.waiting)
			b.ReportAllocs()
			for b.Loop() {
				if !x.round() {
					b.Fatal("not taken")
				}
			}
		})
	}
}

// TestSteadyAllocates: a message through a session costs no memory of its own, but for what is to be saved.
func TestSteadyAllocates(t *testing.T) {
	for _, c := range steadyCases {
		t.Run(c.name, func(t *testing.T) {
			x := newSteady(c.expiry, c.qos, c.waiting)
			for range 1000 { // the memory it keeps has its size
				x.round()
			}
			if n := testing.AllocsPerRun(1000, func() {
				if !x.round() {
					t.Fatal("not taken")
				}
			}); n > c.allocs {
				t.Errorf("%v allocations for a message, want at most %v", n, c.allocs)
			}
			if q := x.s.Queued() + x.s.Inflight(); q != c.waiting {
				t.Errorf("%d messages are left, want %d", q, c.waiting)
			}
		})
	}
}
