package server

import (
	"fmt"
	"testing"
	"time"

	"edge/broker/session"
)

// BenchmarkTick is what one more client costs that leaves its session, or has it end, beside those that are away for long.
func BenchmarkTick(b *testing.B) {
	for _, away := range []int{100, 10_000} {
		b.Run(fmt.Sprint(away, " away"), func(b *testing.B) {
			s := New(Options{Router: (&rig{}).start(b).router, Sessions: awaySessions(away)})
			defer s.Shutdown(b.Context())
			for b.Loop() {
				s.nextDue()
				s.tick(s.now())
			}
		})
	}
}

// awaySessions are sessions that end in a day.
func awaySessions(n int) (list []session.Snapshot) {
	for i := range n {
		list = append(list, session.Snapshot{ClientID: fmt.Sprint("away", i), Protocol: 5, Expiry: 24 * time.Hour, DisconnectedAt: time.Now().Add(time.Duration(i))})
	}
	return list
}
