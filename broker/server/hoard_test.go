package server

import (
	"fmt"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// loginAs connects a user whose session stays for a day.
func loginAs(r *rig, user, id string) (*brokertest.Client, packets.ReasonCode) {
	c := brokertest.NewClient(r.t, r.dial(), packets.V5)
	c.Send(&packets.Connect{Version: packets.V5, ClientID: id, SessionExpiry: 86400, HasUsername: user != "", Username: user})
	return c, brokertest.Expect[*packets.Connack](c).Code
}

// TestHoardGivesWay: one user has all the sessions that there may be. Another gets one all the same, of the first one's the emptiest and of
// those the oldest; a client that is connected, and the sessions of others, are left alone. Who has his share is refused.
func TestHoardGivesWay(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, limits: Limits{Clients: 10, Sessions: 8}}).over(way).start(t)
		leave := func(user, id string) {
			t.Helper()
			c, code := loginAs(r, user, id)
			if code != packets.Success {
				t.Fatalf("%s %s: %v", user, id, code)
			}
			c.Subscribe("for/"+id, 1)
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
			r.pass(time.Second)
		}
		leave("plant", "node")
		there, _ := loginAs(r, "hoards", "hoards0")
		for i := 1; i < 7; i++ {
			leave("hoards", fmt.Sprint("hoards", i))
		}
		for _, full := range []string{"for/hoards1", "for/hoards3"} {
			there.Publish(&packets.Publish{Topic: full, QoS: 1, Payload: []byte("waits")})
		}
		if _, code := loginAs(r, "hoards", "hoards7"); code != packets.QuotaExceeded {
			t.Errorf("one more of who has too many: %v", code)
		}
		for i, gone := range []string{"hoards2", "hoards4"} {
			leave([]string{"plant", "office"}[i], fmt.Sprint("more", i))
			if _, has := r.Server.Client(gone); has {
				t.Errorf("%s is still there", gone)
			}
		}
		// Now the plant has two, which is its share.
		if _, code := loginAs(r, "plant", "more2"); code != packets.QuotaExceeded {
			t.Errorf("one more than a share: %v", code)
		}
		for _, id := range []string{"node", "more0", "more1", "hoards0", "hoards1", "hoards3", "hoards5", "hoards6"} {
			if _, has := r.Server.Client(id); !has {
				t.Errorf("%s is gone", id)
			}
		}
		there.ExpectNothing()
		if n := r.Server.Refusals()[RefuseHoard]; n != 2 {
			t.Errorf("%d counted", n)
		}
		if n := len(r.sessions()); n != 8 {
			t.Errorf("%d sessions are stored", n)
		}
	})
}

// TestOwnersAreCounted: what was counted is counted out when sessions end, or were made by what the store held.
func TestOwnersAreCounted(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		for _, user := range []string{"", "a", "a", "b"} {
			c, _ := loginAs(r, user, fmt.Sprint(user, r.Server.Stats().Sessions))
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
			r.quiet()
		}
		owners := func() string {
			r.Server.mu.Lock()
			defer r.Server.mu.Unlock()
			return fmt.Sprint(len(r.Server.owners), r.Server.owners[owner{user: "a"}])
		}
		if got := owners(); got != "3 2" {
			t.Errorf("owners, and of a: %s", got)
		}
		r.stop()
		r.start(t)
		if got := owners(); got != "3 2" {
			t.Errorf("after a restart: %s", got)
		}
		r.pass(25 * time.Hour)
		if got := owners(); got != "0 0" {
			t.Errorf("after all expired: %s", got)
		}
	})
}
