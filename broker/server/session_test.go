package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/topic"
)

var versions = map[string]packets.Version{"3.1.1": packets.V4, "5.0": packets.V5}

func connectWithWill(t *testing.T, r *rig, v packets.Version, id string, will *packets.Will, expiry uint32) *brokertest.Client {
	t.Helper()
	c := brokertest.NewClient(t, r.dial(), v)
	c.Send(&packets.Connect{Version: v, ClientID: id, CleanStart: true, Will: will, SessionExpiry: expiry})
	if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.Success {
		t.Fatal(ack.Code)
	}
	return c
}

// TestTapsAreToldInOrder ends a connection in each way there is: taps get Connected before its first message, and
// Disconnected with its reason before its will.
func TestTapsAreToldInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig, c *brokertest.Client)
		want []string
	}{
		"clean": {func(_ *rig, c *brokertest.Client) { c.Send(&packets.Disconnect{}) },
			[]string{"disconnected: clean disconnect"}},
		"with will": {func(_ *rig, c *brokertest.Client) { c.Send(&packets.Disconnect{Code: packets.DisconnectWithWill}) },
			[]string{"disconnected: disconnect with will", "w gone"}},
		"lost": {func(_ *rig, c *brokertest.Client) { c.Close() },
			[]string{"disconnected: connection lost", "w gone"}},
		"malformed": {func(_ *rig, c *brokertest.Client) { c.SendRaw([]byte{0x36, 0}) },
			[]string{"disconnected: protocol error", "w gone"}},
		"keep alive": {func(*rig, *brokertest.Client) { pass(500 * time.Second) },
			[]string{"disconnected: keep alive timeout", "w gone"}},
		"administrator": {func(r *rig, _ *brokertest.Client) { r.Server.Disconnect("c", broker.ReasonAdmin) },
			[]string{"disconnected: disconnected by administrator", "w gone"}},
		"taken over": {func(r *rig, _ *brokertest.Client) {
			two := r.client(packets.V5, "c", true)
			two.Publish(&packets.Publish{Topic: "t", Payload: []byte("two"), QoS: 1})
			two.Send(&packets.Disconnect{})
		}, []string{"disconnected: session taken over", "w gone", "connected", "t two", "disconnected: clean disconnect"}},
		"shutdown": {func(r *rig, _ *brokertest.Client) { r.stop() },
			[]string{"disconnected: broker shutting down", "w gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				var p recorder
				r := &rig{}
				p.into(r)
				r.start(t)
				k := connectWithWill(t, r, packets.V5, "c", &packets.Will{Topic: "w", Payload: []byte("gone")}, 0)
				k.Publish(&packets.Publish{Topic: "t", Payload: []byte("one"), QoS: 1})
				c.end(r, k)
				synctest.Wait()
				want := []string{"c connected", "c t one"}
				for _, w := range c.want {
					want = append(want, "c "+w)
				}
				if diff := cmp.Diff(want, p.of("c")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestTakeOverStorm connects one client identifier from many sides at once: one survives, each of the others is
// told and leaves one will [MQTT-3.1.4-3].
func TestTakeOverStorm(t *testing.T) {
	in(t, func(t *testing.T) {
		var p recorder
		r := &rig{limits: Limits{Clients: 10}}
		p.into(r)
		r.start(t)
		const n = 100
		var wg sync.WaitGroup
		ended := make(chan packets.ReasonCode, n)
		for range n {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			wg.Go(func() {
				connect := &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, Will: &packets.Will{Topic: "w"}}
				c.TrySendRaw(connect.Append(nil, packets.V5))
				for {
					got, err := c.Next()
					if d, ok := got.(*packets.Disconnect); ok {
						ended <- d.Code
					}
					if err != nil {
						return
					}
				}
			})
		}
		synctest.Wait()
		if st := r.Server.Stats(); st.Clients != 1 || st.Sessions != 1 {
			t.Errorf("%+v", st)
		}
		if len(ended) != n-1 {
			t.Errorf("%d of %d were told", len(ended), n-1)
		}
		wills, in := 0, 0
		for _, line := range p.of("c") {
			switch line {
			case "c w ":
				wills++
			case "c connected":
				if in++; in > 1 {
					t.Fatal("connected while connected")
				}
			default:
				in--
			}
		}
		if wills != n-1 {
			t.Errorf("%d wills of %d connections", wills, n-1)
		}
		r.stop()
		wg.Wait()
	})
}

// TestSessionBelongsToItsUser refuses another user the session, connected or not, and its queue.
func TestSessionBelongsToItsUser(t *testing.T) {
	for name, connected := range map[string]bool{"connected": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				as := func(user string, clean bool) (*brokertest.Client, *packets.Connack) {
					c := brokertest.NewClient(t, r.dial(), packets.V5)
					c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: clean, SessionExpiry: 100, HasUsername: true, Username: user})
					return c, brokertest.Expect[*packets.Connack](c)
				}
				alice, _ := as("alice", false)
				alice.Subscribe("secret", 1)
				if !connected {
					alice.Close()
					synctest.Wait()
				}
				for _, clean := range []bool{true, false} {
					if _, ack := as("mallory", clean); ack.Code != packets.NotAuthorized {
						t.Errorf("clean %v: %v", clean, ack.Code)
					}
				}
				if connected {
					alice.ExpectNothing()
				}
				if _, ack := as("alice", false); !ack.SessionPresent {
					t.Error("alice's session is gone")
				}
				if n := r.Server.Refusals()[RefuseOtherUser]; n != 2 {
					t.Errorf("counted %d", n)
				}
			})
		})
	}
}

// TestAcknowledgedWhenDurable holds the journal back: no acknowledgement comes before its commit, then all come in
// the order of the messages [MQTT-4.6.0-2], while subscribers have the message already.
func TestAcknowledgedWhenDurable(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{store: &brokertest.Store{}}).start(t)
				sub := r.client(v, "sub", false)
				sub.Subscribe("a", 1)
				pub := r.client(v, "pub", false)
				synctest.Wait() // for the commits so far
				r.store.Hold()
				for id := uint16(1); id <= 3; id++ {
					pub.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: id, Payload: []byte{byte(id)}})
				}
				pub.Send(&packets.Publish{Topic: "nobody", QoS: 2, PacketID: 4})
				pub.Send(&packets.Publish{Topic: "nobody", QoS: 1, PacketID: 5}) // needs nothing, but waits its turn
				for id := byte(1); id <= 3; id++ {
					if got := brokertest.Expect[*packets.Publish](sub); got.Payload[0] != id {
						t.Errorf("got %d, want %d", got.Payload[0], id)
					}
				}
				pub.ExpectNothing()
				r.store.Commit()
				for id := uint16(1); id <= 3; id++ {
					pub.Expect(&packets.Puback{PacketID: id})
				}
				pub.Expect(&packets.Pubrec{PacketID: 4})
				pub.Expect(&packets.Puback{PacketID: 5})
				pub.Send(&packets.Pubrel{PacketID: 4})
				pub.ExpectNothing() // PUBCOMP waits too: the identifier must not come back after a crash
				r.store.Commit()
				pub.Expect(&packets.Pubcomp{PacketID: 4})
				pub.Send(&packets.Subscribe{PacketID: 6, Filters: []packets.Subscription{{Filter: "x"}}})
				pub.ExpectNothing()
				r.store.Commit()
				brokertest.Expect[*packets.Suback](pub)
			})
		})
	}
}

// TestExactlyOnceWaits shows that a QoS 2 message is begun for a session on disk only when its identifier is durable,
// and PUBREL sent only when it is durable that the message itself is done.
func TestExactlyOnceWaits(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{store: &brokertest.Store{}}).start(t)
		sub := r.client(packets.V5, "sub", false)
		sub.Subscribe("a", 2)
		synctest.Wait() // for the commits so far
		r.store.Hold()
		pub := r.client(packets.V5, "pub", true)
		pub.Send(&packets.Publish{Topic: "a", QoS: 2, PacketID: 1}, &packets.Publish{Topic: "a", QoS: 2, PacketID: 2})
		pub.ExpectNothing()
		sub.ExpectNothing()
		r.store.Commit()
		one := brokertest.Expect[*packets.Publish](sub)
		brokertest.Expect[*packets.Publish](sub)
		sub.Send(&packets.Pubrec{PacketID: one.PacketID})
		sub.ExpectNothing()
		r.store.Commit()
		sub.Expect(&packets.Pubrel{PacketID: one.PacketID})
	})
}

// TestStoreFails makes the journal refuse: the publisher is told (5.0) or cut off (3.1.1 [v3 MQTT-4.8.0-2]), nobody gets the
// message, and when the journal is well again the same packet is a new message [MQTT-4.3.3-9].
func TestStoreFails(t *testing.T) {
	for name, v := range versions {
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint(name, " QoS ", qos), func(t *testing.T) {
				in(t, func(t *testing.T) {
					r := (&rig{store: &brokertest.Store{}}).start(t)
					sub, sub0 := r.client(v, "sub", false), r.client(v, "sub0", true)
					sub.Subscribe("a", 2)
					sub0.Subscribe("a", 0)
					pub := r.client(v, "pub", false)
					r.store.Fail(errors.New("disk full"))
					p := &packets.Publish{Topic: "a", QoS: qos, PacketID: 1, Payload: []byte("x")}
					pub.Send(p)
					if v == packets.V4 {
						pub.ExpectClosed()
						pub = nil
					} else if got, err := pub.Next(); err != nil || brokertest.Describe(got) != map[byte]string{1: "PUBACK", 2: "PUBREC"}[qos]+" unspecified error (0x80)" {
						t.Fatalf("%v %v", got, err)
					}
					sub.ExpectNothing()
					sub0.ExpectNothing()
					r.store.Fail(nil)
					if pub == nil {
						pub = brokertest.NewClient(t, r.dial(), v)
						pub.Connect("pub", false)
					}
					p.Dup = v == packets.V4
					pub.Send(p)
					pub.Next()
					for _, s := range []*brokertest.Client{sub, sub0} {
						if got := brokertest.Expect[*packets.Publish](s); string(got.Payload) != "x" || got.Dup {
							t.Errorf("%s", brokertest.Describe(got))
						}
					}
				})
			})
		}
	}
}

// TestCrash drops the server without a word and starts another from what the store has: wills of those who
// were connected are published before anyone connects, and sessions are there.
func TestCrash(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{store: &brokertest.Store{}}).start(t)
		host := r.client(packets.V5, "host", false)
		host.Subscribe("w/#", 1)
		will := func(name string, delay uint32) *packets.Will {
			return &packets.Will{Topic: "w/" + name, Payload: []byte("gone"), QoS: 1, Delay: delay}
		}
		connectWithWill(t, r, packets.V5, "clean", will("clean", 0), 0)
		connectWithWill(t, r, packets.V4, "old", will("old", 0), 0)
		connectWithWill(t, r, packets.V5, "later", will("later", 30), 60)
		connectWithWill(t, r, packets.V5, "left", will("left", 0), 0).Send(&packets.Disconnect{})
		synctest.Wait()

		crashed := &rig{store: &brokertest.Store{}}
		crashed.store.SaveSession(r.store.Changes())
		var p recorder
		p.into(crashed)
		crashed.start(t)
		if len(p.of("clean")) != 1 || len(p.of("old")) != 1 || len(p.of("later")) != 0 || len(p.of("left")) != 0 {
			t.Errorf("taps were told %q", p.lines)
		}
		if st := crashed.Server.Stats(); st.Sessions != 2 {
			t.Errorf("%d sessions, want host and later", st.Sessions)
		}
		back := brokertest.NewClient(t, crashed.dial(), packets.V5)
		if !back.Connect("host", false).SessionPresent {
			t.Error("no session")
		}
		for range 2 {
			brokertest.Expect[*packets.Publish](back)
		}
		pass(31 * time.Second)
		if got := brokertest.Expect[*packets.Publish](back); got.Topic != "w/later" {
			t.Errorf("got %s", got.Topic)
		}
	})
}

// TestShutdown tells everyone, after everyone has seen everyone's will.
func TestShutdown(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		var all []*brokertest.Client
		const n = 10
		for i := range n {
			c := connectWithWill(t, r, packets.V5, fmt.Sprint("c", i), &packets.Will{Topic: "w", Payload: []byte{byte(i)}, QoS: 1, Delay: 5}, 0)
			c.Subscribe("w", byte(i%2))
			all = append(all, c)
		}
		slow := r.dial() // has not logged in
		defer slow.Close()
		r.stop()
		for i, c := range all {
			seen := make(map[byte]bool)
			for range n {
				p := brokertest.Expect[*packets.Publish](c)
				seen[p.Payload[0]] = true
			}
			if code := c.ExpectClosed(); len(seen) != n || code != packets.ServerShuttingDown {
				t.Errorf("client %d saw %d wills, told %v", i, len(seen), code)
			}
		}
		if err := r.Server.Serve(context.Background(), Listener{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Serve after Shutdown: %v", err)
		}
	})
}

// TestShutdownOfStuckClient ends in time though a client reads nothing.
func TestShutdownOfStuckClient(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		conn := r.dial()
		defer conn.Close()
		conn.Write((&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true}).Append(nil, packets.V5))
		synctest.Wait()
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took > 2*lastWrite {
			t.Errorf("took %v", took)
		}
	})
}

// TestRightsTakenAway swaps the rules: publishes, subscriptions, retained messages and wills follow at once.
func TestRightsTakenAway(t *testing.T) {
	in(t, func(t *testing.T) {
		var p recorder
		r := &rig{}
		p.into(r)
		r.start(t)
		bad := connectWithWill(t, r, packets.V5, "bad", &packets.Will{Topic: "w", Payload: []byte("gone")}, 0)
		bad.Subscribe("plant/#", 0)
		bad.Subscribe("own", 0)
		bad.Publish(&packets.Publish{Topic: "kept", QoS: 1, Retain: true, Payload: []byte("x")})
		good := r.client(packets.V5, "good", true)
		r.Server.SetAuth(rules{
			publish:   func(id auth.Identity, _ topic.Name) bool { return id.ClientID != "bad" },
			subscribe: func(id auth.Identity, f topic.Filter) bool { return id.ClientID != "bad" || f == "own" },
		})
		if code := bad.Publish(&packets.Publish{Topic: "a", QoS: 1}); code != packets.NotAuthorized {
			t.Errorf("PUBACK %v", code)
		}
		if code := bad.Subscribe("b", 1); code != packets.NotAuthorized {
			t.Errorf("SUBACK %v", code)
		}
		good.Publish(&packets.Publish{Topic: "plant/x", QoS: 1})
		good.Publish(&packets.Publish{Topic: "own", QoS: 1})
		if got := brokertest.Expect[*packets.Publish](bad); got.Topic != "own" {
			t.Errorf("got %s", got.Topic)
		}
		good.Subscribe("kept", 0) // CVE-2018-12546
		good.ExpectNothing()
		bad.Close()
		synctest.Wait()
		if last := p.last("bad"); last != "bad disconnected: connection lost" {
			t.Errorf("after the rights were gone: %s", last)
		}
		if n := r.Server.Stats().Dropped[DropNotAuthorized]; n != 2 {
			t.Errorf("%d counted, want the publish and the will", n)
		}
	})
}

// TestWillNeedsTheRight refuses a CONNECT whose will its owner may not publish.
func TestWillNeedsTheRight(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{auth: rules{publish: func(_ auth.Identity, n topic.Name) bool { return n != "secret" }}}).start(t)
				for _, will := range []string{"secret", "$SYS/x"} {
					c := brokertest.NewClient(t, r.dial(), v)
					c.Send(&packets.Connect{Version: v, ClientID: "c", CleanStart: true, Will: &packets.Will{Topic: will}})
					if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.NotAuthorized {
						t.Errorf("%s: %v", will, ack.Code)
					}
					c.ExpectClosed()
				}
			})
		})
	}
}

// TestLimits fills each limit.
func TestLimits(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{limits: Limits{Clients: 2, Sessions: 3, Subscriptions: 1, TopicLevels: 2, ReceiveMaximum: 2, PacketBytes: 100}}).start(t)
		try := func(id string, expiry uint32) (*brokertest.Client, packets.ReasonCode) {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			c.Send(&packets.Connect{Version: packets.V5, ClientID: id, SessionExpiry: expiry})
			return c, brokertest.Expect[*packets.Connack](c).Code
		}
		one, _ := try("one", 100)
		try("two", 100)
		if _, code := try("three", 100); code != packets.QuotaExceeded {
			t.Errorf("a client too many: %v", code)
		}
		two, code := try("two", 100) // takes over, so it is none too many
		if code != packets.Success {
			t.Errorf("taking over: %v", code)
		}
		one.Close()
		synctest.Wait()
		three, _ := try("three", 100)
		three.Close()
		synctest.Wait()
		if _, code := try("four", 0); code != packets.QuotaExceeded {
			t.Errorf("a session too many: %v", code)
		}
		if a, b := two.Subscribe("a", 0), two.Subscribe("b", 0); a != packets.Success || b != packets.QuotaExceeded {
			t.Errorf("subscriptions: %v %v", a, b)
		}
		if code := two.Subscribe("a/b/c", 0); code != packets.TopicFilterInvalid {
			t.Errorf("levels of a filter: %v", code)
		}
		if code := two.Publish(&packets.Publish{Topic: "a/b/c", QoS: 1}); code != packets.TopicNameInvalid {
			t.Errorf("levels of a topic: %v", code)
		}
		for id := uint16(1); id <= 3; id++ {
			two.Send(&packets.Publish{Topic: "x", QoS: 2, PacketID: 100 + id})
		}
		for range 2 {
			brokertest.Expect[*packets.Pubrec](two)
		}
		if code := two.ExpectClosed(); code != packets.ReceiveMaximumExceeded { // [MQTT-3.3.4-7]
			t.Errorf("a message too many: %v", code)
		}
		two, _ = try("two", 100)
		two.SendRaw([]byte{0x30, 0xff, 0x7f}) // its body is not waited for
		if code := two.ExpectClosed(); code != packets.PacketTooLarge {
			t.Errorf("a packet too large: %v", code)
		}
	})
}

// conn with an address of its own.
type addressed struct {
	net.Conn
	addr string
}

func (a addressed) RemoteAddr() net.Addr { return addr(a.addr) }

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func TestConnectionsPerAddress(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{limits: Limits{ConnectionsPerAddress: 2}}).start(t)
		dial := func(from string) bool {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			before := r.Server.Refusals()[RefuseAddress]
			r.Server.startConn(context.Background(), addressed{theirs, from}, Listener{})
			return r.Server.Refusals()[RefuseAddress] == before
		}
		for _, c := range []struct {
			from string
			ok   bool
		}{
			{"10.0.0.1:1", true}, {"10.0.0.1:2", true}, {"10.0.0.1:3", false}, {"[::ffff:10.0.0.1]:4", false}, {"10.0.0.2:1", true},
			{"127.0.0.1:1", true}, {"127.0.0.1:2", true}, {"127.0.0.1:3", true}, {"[::1]:1", true},
			{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, {"[2001:db8:0:1::3]:1", true},
		} {
			if ok := dial(c.from); ok != c.ok {
				t.Errorf("%s: let in %v", c.from, ok)
			}
		}
		pass(6 * time.Second)
		if !dial("10.0.0.1:9") || len(r.Server.addresses) != 1 {
			t.Errorf("not given back: %v", r.Server.addresses)
		}
	})
}

// TestRetainedStorm subscribes to more retained messages than queue, window and outbox hold: all come, once.
func TestRetainedStorm(t *testing.T) {
	for qos := byte(0); qos <= 2; qos++ {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{limits: Limits{QueueMessages: 10, Inflight: 5, OutBytes: 1000}}).start(t)
				pub := r.client(packets.V5, "pub", true)
				const n = 1000
				for i := range n {
					pub.Publish(&packets.Publish{Topic: fmt.Sprint("r/", i), QoS: 1, Retain: true, Payload: []byte("0123456789")})
				}
				sub := r.client(packets.V5, "sub", true)
				sub.Subscribe("r/+", qos)
				seen := make(map[string]bool)
				for range n {
					p := sub.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
					if seen[p.Topic] || !p.Retain {
						t.Fatalf("%s", brokertest.Describe(p))
					}
					seen[p.Topic] = true
					sub.Acknowledge(p)
				}
				sub.ExpectNothing()
			})
		})
	}
}

// TestLargeMessages mixes payloads that are copied with such that are not, in their order.
func TestLargeMessages(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		sub := r.client(packets.V5, "sub", true)
		sub.Subscribe("a", 1)
		pub := brokertest.NewClient(t, brokertest.InPieces(r.dial(), 1000), packets.V5)
		pub.Connect("pub", true)
		sizes := []int{0, 1, copyBelow - 1, copyBelow, 100000, 10, 900000, 3}
		for i, n := range sizes {
			payload := make([]byte, n)
			for j := range payload {
				payload[j] = byte(i + j)
			}
			pub.Send(&packets.Publish{Topic: "a", QoS: byte(i % 2), PacketID: uint16(i%2) * uint16(i), Payload: payload})
		}
		for i, n := range sizes {
			p := brokertest.Expect[*packets.Publish](sub)
			if len(p.Payload) != n || n > 0 && (p.Payload[0] != byte(i) || p.Payload[n-1] != byte(i+n-1)) {
				t.Errorf("message %d has %d bytes, want %d", i, len(p.Payload), n)
			}
			sub.Acknowledge(p)
		}
	})
}

// TestByteByByte sends a whole conversation one byte at a time.
func TestByteByByte(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				c := brokertest.NewClient(t, brokertest.InPieces(r.dial(), 1), v)
				c.Connect("c", true)
				c.Subscribe("a/#", 2)
				for qos := byte(0); qos <= 2; qos++ {
					c.Publish(&packets.Publish{Topic: "a/b", QoS: qos, Payload: []byte("hello")})
					p := c.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
					c.Acknowledge(p)
				}
				c.ExpectNothing()
			})
		})
	}
}

// TestAssignedClientID gives each nameless client a name of its own and tells 5.0 which [MQTT-3.2.2-16].
func TestAssignedClientID(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		a, b := r.client(packets.V4, "", true), r.client(packets.V4, "", true)
		a.ExpectNothing()
		b.ExpectNothing()
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		id := c.Connect("", true).AssignedClientID
		if id == "" || r.Server.Stats().Sessions != 3 {
			t.Errorf("assigned %q, %d sessions", id, r.Server.Stats().Sessions)
		}
		d := brokertest.NewClient(t, r.dial(), packets.V4)
		d.Send(&packets.Connect{Version: packets.V4}) // [v3 MQTT-3.1.3-8]
		if ack := brokertest.Expect[*packets.Connack](d); ack.Code != packets.ClientIdentifierNotValid {
			t.Errorf("empty client identifier with CleanSession 0: %v", ack.Code)
		}
		d.ExpectClosed()
	})
}

// TestSessionExpiryIsCapped tells 5.0 the expiry it got, and lets nobody raise it from 0 in DISCONNECT.
func TestSessionExpiryIsCapped(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{limits: Limits{SessionExpiryMax: time.Hour}}).start(t)
		for asked, told := range map[uint32]packets.Optional[uint32]{10: {}, 3600: {}, 3601: packets.Some[uint32](3600), 0xFFFFFFFF: packets.Some[uint32](3600)} {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, SessionExpiry: asked})
			if ack := brokertest.Expect[*packets.Connack](c); ack.SessionExpiry != told {
				t.Errorf("asked %d, told %+v", asked, ack.SessionExpiry)
			}
		}
		c := r.client(packets.V5, "d", true)
		c.Send(&packets.Disconnect{SessionExpiry: packets.Some[uint32](10)})
		if code := c.ExpectClosed(); code != packets.ProtocolError {
			t.Errorf("raised from 0: %v", code)
		}
	})
}

// TestMalformedConnect tells a 5.0 client what is wrong and a 3.1.1 client nothing [v3 MQTT-3.1.4-1], but for the version
// [v3 MQTT-3.1.2-2].
func TestMalformedConnect(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want packets.ReasonCode // Success: no CONNACK
	}{
		"3.1.1 reserved flag": {[]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 3, 0, 0, 0, 1, 'a'}, packets.Success},
		"3.1.1 trailing byte": {[]byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'a', 0}, packets.Success},
		"5.0 reserved flag":   {[]byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 3, 0, 0, 0, 0, 1, 'a'}, packets.MalformedPacket},
		"5.0 method":          {[]byte{0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 4, 0x15, 0, 1, 'x', 0, 1, 'a'}, packets.BadAuthenticationMethod}, // [MQTT-4.12.0-1]
		"level 3":             {[]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 3, 2, 0, 0, 0, 1, 'a'}, packets.UnsupportedProtocolVersion},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				k := brokertest.NewClient(t, r.dial(), packets.Version(c.raw[8]))
				k.SendRaw(c.raw)
				if c.want != packets.Success {
					if ack := brokertest.Expect[*packets.Connack](k); ack.Code != c.want {
						t.Errorf("CONNACK %v", ack.Code)
					}
				}
				if code := k.ExpectClosed(); code != packets.Success {
					t.Errorf("DISCONNECT %v before CONNACK", code)
				}
			})
		})
	}
}

// TestResubscribeLosesNothing subscribes to the same filter again and again while messages come: each arrives, in
// order [MQTT-3.8.4-4] [v3 MQTT-3.8.4-3]; an older retained message never follows a newer one.
func TestResubscribeLosesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{limits: Limits{OutBytes: 1 << 20}}).start(t)
		sub := r.client(packets.V5, "sub", true)
		sub.Subscribe("a", 1)
		pub := r.client(packets.V5, "pub", true)
		const n = 300
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 1; i <= n; i++ {
				b := (&packets.Publish{Topic: "a", QoS: 0, Retain: true, Payload: []byte{byte(i >> 8), byte(i)}}).Append(nil, packets.V5)
				pub.TrySendRaw(b)
			}
		})
		live, last := 0, 0
		for i := 0; live < n; i++ {
			if i < 100 {
				sub.Send(&packets.Subscribe{PacketID: uint16(i + 1), Filters: []packets.Subscription{{Filter: "a", QoS: 1}}})
			}
			p := sub.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
			got := int(p.Payload[0])<<8 | int(p.Payload[1])
			if got < last || !p.Retain && got != live+1 {
				t.Fatalf("got %d (retained %v) after %d, live %d", got, p.Retain, last, live)
			}
			last = got
			if !p.Retain {
				live++
			}
		}
		wg.Wait()
	})
}
