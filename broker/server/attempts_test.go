package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestAttempts: a user name that failed as often as it may waits a minute, at its address only; so does an address that
// failed ten times as often with whatever names.
func TestAttempts(t *testing.T) {
	var (
		a, b  = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		start = time.Unix(1000, 0)
		table = newAttempts(3)
	)
	expect := func(addr netip.Addr, user string, at time.Duration, want bool) {
		t.Helper()
		if got := table.waits(addr, user, start.Add(at)); got != want {
			t.Errorf("%s %q after %v: waits %v", addr, user, at, got)
		}
	}
	fail := func(addr netip.Addr, user string, at time.Duration) { table.failed(addr, user, start.Add(at)) }
	fail(a, "press", 0)
	fail(a, "press", 20*time.Second)
	expect(a, "press", 30*time.Second, false)
	fail(a, "press", 50*time.Second)
	expect(a, "press", 50*time.Second, true)
	expect(a, "press", 109*time.Second, true) // a minute from the last
	expect(a, "oven", 50*time.Second, false)
	expect(a, "", 50*time.Second, false)
	expect(b, "press", 50*time.Second, false)
	expect(a, "press", 110*time.Second, false)
	fail(a, "press", 111*time.Second) // begins anew
	expect(a, "press", 111*time.Second, false)

	fail(b, "press", 0) // three, but never within a minute
	fail(b, "press", time.Second)
	fail(b, "press", 61*time.Second)
	expect(b, "press", 62*time.Second, false)
	table.forget(b, "press")
	fail(b, "press", 63*time.Second)
	fail(b, "press", 63*time.Second)
	expect(b, "press", 63*time.Second, false)

	for i := range 30 {
		expect(b, "other", time.Hour, false)
		fail(b, fmt.Sprint("guess", i), time.Hour)
	}
	expect(b, "other", time.Hour, true)
	expect(b, "", time.Hour, true)
	expect(b, "other", time.Hour+time.Minute, false)

	for range 100 { // loopback has no address to count
		fail(netip.Addr{}, "press", 0)
	}
	expect(netip.Addr{}, "press", 0, false)
	none := newAttempts(0)
	none.failed(a, "press", start)
	if none.waits(a, "press", start) || len(none.by) > 0 {
		t.Error("no limit limits")
	}
}

// TestAttemptsAreBounded: a storm of addresses takes bounded memory, and who waits is kept while there is someone else to forget.
func TestAttemptsAreBounded(t *testing.T) {
	table, now := newAttempts(1), time.Unix(1000, 0)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxAttempts {
		table.failed(addr(i), "old", now)
	}
	now = now.Add(2 * time.Minute)
	table.failed(addr(1<<20), "press", now) // makes room by those that are over
	if len(table.by) != 2 || !table.waits(addr(1<<20), "press", now) {
		t.Errorf("%d entries", len(table.by))
	}
	for i := range 2 * maxAttempts {
		table.failed(addr(i), "press", now)
	}
	if len(table.by) > maxAttempts {
		t.Errorf("%d entries", len(table.by))
	}
}

// passwords lets "right" in.
func passwords(req auth.ConnectRequest) error {
	if string(req.Password) != "right" {
		return &auth.Refused{Code: packets.BadUserNameOrPassword, Reason: auth.ReasonBadLogin, Detail: "no"}
	}
	return nil
}

// TestFailedLoginsWait: after ten wrong passwords even the right one is refused, unseen, for a minute; other users of that
// address, other addresses, loopback and client certificates are not.
func TestFailedLoginsWait(t *testing.T) {
	in(t, func(t *testing.T) {
		checked := 0
		r := (&rig{auth: rules{connect: func(req auth.ConnectRequest) error { checked++; return passwords(req) }}}).start(t)
		try := func(from, user, password string) packets.ReasonCode {
			ours, theirs := net.Pipe()
			r.Server.startConn(context.Background(), addressed{theirs, from}, Listener{})
			k := brokertest.NewClient(t, ours, packets.V5)
			k.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: user,
				HasPassword: true, Password: []byte(password)})
			code := brokertest.Expect[*packets.Connack](k).Code
			k.Close()
			synctest.Wait()
			return code
		}
		for i := range 10 {
			if code := try(fmt.Sprint("10.0.0.1:", i+1), "press", "wrong"); code != packets.BadUserNameOrPassword {
				t.Fatalf("attempt %d: %v", i, code)
			}
			try("127.0.0.1:1", "press", "wrong")
		}
		before := checked
		for range 5 {
			if code := try("10.0.0.1:9", "press", "right"); code != packets.ConnectionRateExceeded {
				t.Errorf("while it has to wait: %v", code)
			}
		}
		if checked != before || r.Server.Refusals()[RefuseFailures] != 5 {
			t.Errorf("%d checked, %v", checked-before, r.Server.Refusals())
		}
		for _, c := range []struct{ from, user string }{{"10.0.0.1:9", "oven"}, {"10.0.0.2:9", "press"}, {"127.0.0.1:9", "press"}} {
			if code := try(c.from, c.user, "right"); code != packets.Success {
				t.Errorf("%s from %s: %v", c.user, c.from, code)
			}
		}
		pass(attemptWindow)
		if code := try("10.0.0.1:9", "press", "right"); code != packets.Success {
			t.Errorf("after a minute: %v", code)
		}
	})
}

// TestFailedExchangesWait: guesses by SCRAM count for the user that they name, also when a live connection makes them.
func TestFailedExchangesWait(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{auth: plantPolicy(t), limits: Limits{LoginFailures: 3}}).start(t)
		dial := func() *brokertest.Client {
			ours, theirs := net.Pipe()
			r.Server.startConn(context.Background(), addressed{theirs, "10.0.0.1:1"}, Listener{})
			return brokertest.NewClient(t, ours, packets.V5)
		}
		answer := func(k *brokertest.Client, c *scram.ClientConversation) (packets.Packet, error) {
			p, err := k.Next()
			if a, ok := p.(*packets.Auth); ok && err == nil {
				k.Send(more(say(t, c, a.Data)))
				return k.Next()
			}
			return p, err
		}
		try := func(user, password string) packets.ReasonCode {
			k, c := dial(), talk(t, user, password)
			k.Send(scramConnect("c", say(t, c, nil)))
			p, err := answer(k, c)
			if err != nil {
				t.Fatal(err)
			}
			k.Close()
			synctest.Wait()
			return p.(*packets.Connack).Code
		}
		live, c := dial(), talk(t, "press", plantPassword)
		live.Send(scramConnect("live", say(t, c, nil)))
		if p, err := answer(live, c); err != nil || p.(*packets.Connack).Code != packets.Success {
			t.Fatal(p, err)
		}
		for range 2 {
			if code := try("press", "wrong horse"); code != packets.BadUserNameOrPassword {
				t.Fatalf("wrong password: %v", code)
			}
		}
		c = talk(t, "press", "wrong horse")
		live.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256, Data: say(t, c, nil)})
		if p, err := answer(live, c); err != nil || p.(*packets.Disconnect).Code != packets.NotAuthorized {
			t.Fatal(p, err)
		}
		if code := try("press", plantPassword); code != packets.ConnectionRateExceeded {
			t.Errorf("after three: %v", code)
		}
		if code := try("scada", plantPassword); code != packets.Success {
			t.Errorf("another user: %v", code)
		}
		pass(attemptWindow)
		if code := try("press", plantPassword); code != packets.Success {
			t.Errorf("after a minute: %v", code)
		}
	})
}

// TestRefusedLogin: each reason has its code in 5.0 and its return code in 3.1.1 [v3 MQTT-3.2.2-4], is counted, and logged
// once.
func TestRefusedLogin(t *testing.T) {
	for reason, c := range map[string]struct{ code, v4 packets.ReasonCode }{
		auth.ReasonBadLogin:  {packets.BadUserNameOrPassword, packets.BadUserNameOrPassword},
		auth.ReasonNoUser:    {packets.NotAuthorized, packets.NotAuthorized},
		auth.ReasonBusy:      {packets.ServerBusy, packets.ServerUnavailable},
		auth.ReasonClientID:  {packets.ClientIdentifierNotValid, packets.ClientIdentifierNotValid},
		auth.ReasonWill:      {packets.NotAuthorized, packets.NotAuthorized},
		"a reason of others": {packets.Banned, packets.NotAuthorized},
	} {
		for name, v := range versions {
			t.Run(name+" "+reason, func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					r := &rig{auth: rules{connect: func(auth.ConnectRequest) error { return &auth.Refused{Code: c.code, Reason: reason, Detail: "no"} }}}
					log := logged(r)
					r.over(way).start(t)
					for range 3 {
						k := brokertest.NewClient(t, r.dial(), v)
						k.Send(&packets.Connect{Version: v, ClientID: "c", CleanStart: true})
						want := map[packets.Version]packets.ReasonCode{packets.V4: c.v4, packets.V5: c.code}[v]
						if ack := brokertest.Expect[*packets.Connack](k); ack.Code != want {
							t.Errorf("CONNACK %v, want %v", ack.Code, want)
						}
						k.ExpectClosed()
					}
					counted := r.Server.Refusals()[reason]
					if reason == "a reason of others" {
						counted = r.Server.Refusals()[RefuseNotAllowed]
					}
					if n := strings.Count(log.String(), "msg=refused"); n != 1 || counted != 3 || r.Server.Stats().AuthFailures != 3 {
						t.Errorf("%d lines, %d counted, %d failures:\n%s", n, counted, r.Server.Stats().AuthFailures, log)
					}
				})
			})
		}
	}
}

// TestOddCredentials: a user name is UTF-8 without NUL [MQTT-3.1.3-12] [v3 MQTT-3.1.3-11] [MQTT-1.5.4-2]; a password is any bytes.
func TestOddCredentials(t *testing.T) {
	connect := func(v packets.Version, user, password string) []byte {
		b := []byte{0, 4, 'M', 'Q', 'T', 'T', byte(v), 0xC2, 0, 0}
		if v == packets.V5 {
			b = append(b, 0)
		}
		b = append(b, 0, 1, 'c', 0, byte(len(user)))
		b = append(append(b, user...), 0, byte(len(password)))
		b = append(b, password...)
		return append([]byte{0x10, byte(len(b))}, b...)
	}
	for name, v := range versions {
		for _, c := range []struct {
			name, user, password string
			taken                bool
		}{
			{"plain", "press", "right", true},
			{"NUL in the password", "press", "a\x00\xffb", true},
			{"empty user name", "", "right", true},
			{"NUL in the user name", "pre\x00ss", "right", false},
			{"user name not UTF-8", "pre\xffss", "right", false},
			{"surrogate in the user name", "\xed\xa0\x80", "right", false},
			{"overlong NUL in the user name", "\xc0\x80", "right", false},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				both(t, func(t *testing.T, way path) {
					seen := make(chan auth.ConnectRequest, 1)
					r := (&rig{auth: rules{connect: func(req auth.ConnectRequest) error { seen <- req; return nil }}}).over(way).start(t)
					k := brokertest.NewClient(t, r.dial(), v)
					k.SendRaw(connect(v, c.user, c.password))
					switch {
					case c.taken:
						ack, saw := brokertest.Expect[*packets.Connack](k), <-seen
						if ack.Code != packets.Success || saw.Username != c.user || string(saw.Password) != c.password {
							t.Errorf("CONNACK %v, rules saw %+v", ack.Code, saw)
						}
						return
					case v == packets.V5:
						if ack := brokertest.Expect[*packets.Connack](k); ack.Code != packets.MalformedPacket {
							t.Errorf("CONNACK %v", ack.Code)
						}
					}
					k.ExpectClosed()
					if len(seen) != 0 || r.Server.Refusals()[RefuseMalformed] != 1 {
						t.Errorf("the rules were asked; %v", r.Server.Refusals())
					}
				})
			})
		}
	}
}
