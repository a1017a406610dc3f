package server

import (
	"context"
	"net"
	"testing"
	"time"

	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/topic"
)

// TestRightsTakenAway swaps the rules: publishes, subscriptions, retained messages and wills follow at once.
func TestRightsTakenAway(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		var p recorder
		r := &rig{}
		p.into(r)
		r.over(way).start(t)
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
		r.quiet()
		if last := p.last("bad"); last != "bad disconnected: connection lost" {
			t.Errorf("after the rights were gone: %s", last)
		}
		if n := r.Server.Stats().Dropped[DropNotAuthorized]; n != 2 {
			t.Errorf("%d counted, want the publish and the will", n)
		}
	})
}

// TestWillNeedsTheRight refuses a CONNECT whose will its owner may not publish, and closes [MQTT-3.1.4-2].
func TestWillNeedsTheRight(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{auth: rules{publish: func(_ auth.Identity, n topic.Name) bool { return n != "secret" }}}).over(way).start(t)
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
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{Clients: 2, Sessions: 3, Subscriptions: 1, TopicLevels: 2, ReceiveMaximum: 2, PacketBytes: 100}}).over(way).start(t)
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
		r.quiet()
		three, _ := try("three", 100)
		three.Close()
		r.quiet()
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
		if code := two.ExpectClosed(); code != packets.ReceiveMaximumExceeded { // [MQTT-3.3.4-7] [MQTT-3.3.4-b]
			t.Errorf("a message too many: %v", code)
		}
		two, _ = try("two", 100)
		two.SendRaw([]byte{0x30, 0xff, 0x7f})                           // its body is not waited for
		if code := two.ExpectClosed(); code != packets.PacketTooLarge { // [MQTT-3.2.2.3.6-a]
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
			{"[fe80::1%eth0]:1", true}, {"[fe80::1%eth0]:2", true}, {"[fe80::1%eth0]:3", false}, {"[fe80::2%eth0]:1", true}, {"[fe80::1%eth1]:1", true},
			{"unix:pid=1,uid=0", true}, {"unix:pid=1,uid=0", true}, {"unix:pid=1,uid=0", true},
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

// TestAssignedClientID gives each nameless client a name of its own [MQTT-3.1.3-6] [v3 MQTT-3.1.3-6], tells 5.0 which [MQTT-3.2.2-16], and
// knows it again by that name [MQTT-3.1.3-7].
func TestAssignedClientID(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		a, b := r.client(packets.V4, "", true), r.client(packets.V4, "", true)
		a.ExpectNothing()
		b.ExpectNothing()
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		id := c.Connect("", false).AssignedClientID
		if id == "" || r.Server.Stats().Sessions != 3 {
			t.Errorf("assigned %q, %d sessions", id, r.Server.Stats().Sessions)
		}
		c.Close()
		r.quiet()
		c = brokertest.NewClient(t, r.dial(), packets.V5)
		if ack := c.Connect(id, false); !ack.SessionPresent || ack.AssignedClientID != "" {
			t.Errorf("back as %s: %+v", id, ack)
		}
		d := brokertest.NewClient(t, r.dial(), packets.V4)
		d.Send(&packets.Connect{Version: packets.V4}) // [v3 MQTT-3.1.3-7] [v3 MQTT-3.1.3-8]
		if ack := brokertest.Expect[*packets.Connack](d); ack.Code != packets.ClientIdentifierNotValid {
			t.Errorf("empty client identifier with CleanSession 0: %v", ack.Code)
		}
		d.ExpectClosed()
	})
}

// TestSessionExpiryIsCapped tells 5.0 the expiry it got, and lets nobody raise it from 0 in DISCONNECT [MQTT-3.14.2.2.2-a].
func TestSessionExpiryIsCapped(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{SessionExpiryMax: time.Hour}}).over(way).start(t)
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

// TestMalformedConnect tells a 5.0 client what is wrong and a 3.1.1 client nothing [MQTT-3.1.4-1] [v3 MQTT-3.1.4-1], but for the version
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
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
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
