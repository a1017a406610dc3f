package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// held returns the bytes of all inboxes and how many connections there are. In a bubble, after synctest.Wait, all
// readers are waiting.
func (r *rig) held() (bytes, conns int) {
	r.Server.mu.Lock()
	defer r.Server.mu.Unlock()
	for c := range r.Server.conns {
		bytes += len(c.in.buf)
	}
	return bytes, len(r.Server.conns)
}

// TestMemoryBeforeLogin has many connections claim large packets. What is held follows the bytes that came, and a
// CONNECT above its limit ends the connection before its body is read (CVE-2017-7651 and its kind). Who sends no whole CONNECT in
// its time is closed [MQTT-3.1.4-a] [v3 MQTT-3.1.4-a].
func TestMemoryBeforeLogin(t *testing.T) {
	for name, c := range map[string]struct {
		header []byte
		alive  bool // until the deadline
	}{
		"claims 256 MB":   {[]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, false},
		"claims 64 KiB":   {[]byte{0x10, 0x80, 0x80, 0x04}, false},
		"claims 60000":    {[]byte{0x10, 0xe0, 0xd4, 0x03}, true},
		"first byte only": {[]byte{0x10}, true},
		"nothing":         {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				const n = 500
				var all []net.Conn
				for range n {
					conn := r.dial()
					defer conn.Close()
					all = append(all, conn)
					if len(c.header) > 0 {
						conn.Write(c.header)
					}
				}
				r.quiet()
				bytes, conns := r.held()
				if want := n; !c.alive && conns != 0 || c.alive && conns != want {
					t.Errorf("%d of %d connections live", conns, n)
				}
				if bytes > n*smallBuffer {
					t.Errorf("%d bytes held for %d connections", bytes, n)
				}
				for range 4 { // a byte each second does not renew the deadline
					r.pass(time.Second)
					for _, conn := range all {
						if c.alive && len(c.header) > 1 {
							conn.Write([]byte{0})
						}
					}
				}
				r.pass(2 * time.Second)
				if _, conns := r.held(); conns != 0 {
					t.Errorf("%d connections live after the CONNECT deadline", conns)
				}
				refusals := r.Server.Refusals()
				if c.alive && refusals[RefuseNoConnect] != n || !c.alive && refusals[RefuseMalformed] != n {
					t.Errorf("counted %v", refusals)
				}
			})
		})
	}
}

// TestAnythingBeforeConnect sends each packet type first: the connection ends without an answer and leaves nothing [MQTT-3.1.0-1]
// [v3 MQTT-3.1.0-1].
func TestAnythingBeforeConnect(t *testing.T) {
	first := map[string][]byte{
		"CONNACK":     {0x20, 2, 0, 0},
		"PUBLISH":     {0x30, 3, 0, 1, 'a'},
		"PUBACK":      {0x40, 2, 0, 1},
		"PUBREC":      {0x50, 2, 0, 1},
		"PUBREL":      {0x62, 2, 0, 1},
		"PUBCOMP":     {0x70, 2, 0, 1},
		"SUBSCRIBE":   {0x82, 6, 0, 1, 0, 1, 'a', 0},
		"SUBACK":      {0x90, 3, 0, 1, 0},
		"UNSUBSCRIBE": {0xa2, 5, 0, 1, 0, 1, 'a'},
		"UNSUBACK":    {0xb0, 2, 0, 1},
		"PINGREQ":     {0xc0, 0},
		"PINGRESP":    {0xd0, 0},
		"DISCONNECT":  {0xe0, 0},
		"AUTH":        {0xf0, 0},
		"reserved":    {0x00, 0},
		"HTTP":        []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS":         {0x16, 3, 1, 2, 0, 1},
	}
	for name, raw := range first {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				c := brokertest.NewClient(t, r.dial(), packets.V4)
				c.SendRaw(raw)
				if code := c.ExpectClosed(); code != packets.Success {
					t.Errorf("answered with %v", code)
				}
				r.quiet()
				if st := r.Server.Stats(); st.Clients != 0 || st.Sessions != 0 || st.Subscriptions != 0 {
					t.Errorf("left behind: %+v", st)
				}
				if _, conns := r.held(); conns != 0 {
					t.Errorf("%d connections", conns)
				}
			})
		})
	}
}

// TestRefusedConnectIsDeaf sends a refused CONNECT and a PUBLISH in one segment: no message appears [MQTT-3.1.4-6] [v3 MQTT-3.1.4-5].
func TestRefusedConnectIsDeaf(t *testing.T) {
	for _, v := range []packets.Version{packets.V4, packets.V5} {
		both(t, func(t *testing.T, way path) {
			r := (&rig{auth: denyUser("mallory")}).over(way).start(t)
			watcher := r.client(packets.V5, "w", true)
			watcher.Subscribe("#", 0)
			c := brokertest.NewClient(t, r.dial(), v)
			b := (&packets.Connect{Version: v, ClientID: "m", CleanStart: true, HasUsername: true, Username: "mallory"}).Append(nil, v)
			b = (&packets.Publish{Topic: "a", Payload: []byte("x")}).Append(b, v)
			c.TrySendRaw(b)
			if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.NotAuthorized {
				t.Errorf("CONNACK %v", ack.Code)
			}
			c.ExpectClosed()
			watcher.ExpectNothing()
			if st := r.Server.Stats(); st.Clients != 1 || st.Sessions != 1 || st.ReceivedTotal != 0 {
				t.Errorf("left behind: %+v", st)
			}
		})
	}
}

// TestSlowITe holds connections with the keep alive that the client picks (CVE-2020-13849).
func TestSlowITe(t *testing.T) {
	for name, c := range map[string]struct {
		v        packets.Version
		asked    uint16
		strict   bool
		told     uint16 // Server Keep Alive, 0: none
		closed   time.Duration
		refused  bool
		pingUpTo time.Duration
	}{
		"5.0 off":             {v: packets.V5, told: 300, closed: 450 * time.Second},
		"5.0 longest":         {v: packets.V5, asked: 65535, told: 300, closed: 450 * time.Second},
		"5.0 below":           {v: packets.V5, asked: 10, closed: 15 * time.Second},
		"5.0 pings":           {v: packets.V5, asked: 10, closed: 60*time.Second + 15*time.Second, pingUpTo: 60 * time.Second},
		"3.1.1 below":         {v: packets.V4, asked: 60, closed: 90 * time.Second},                   // [v3 MQTT-3.1.2-24]
		"3.1.1 off":           {v: packets.V4},                                                        // [v3 MQTT-3.1.2.10-a]
		"3.1.1 longest":       {v: packets.V4, asked: 65535, closed: 65535 * 1500 * time.Millisecond}, // no overflow
		"3.1.1 strict off":    {v: packets.V4, strict: true, refused: true},
		"3.1.1 strict longer": {v: packets.V4, asked: 301, strict: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{limits: Limits{KeepAliveStrict: c.strict}}).over(way).start(t)
				k := brokertest.NewClient(t, r.dial(), c.v)
				k.Send(&packets.Connect{Version: c.v, ClientID: "slow", CleanStart: true, KeepAlive: c.asked})
				ack := brokertest.Expect[*packets.Connack](k)
				if c.refused {
					if ack.Code != packets.ClientIdentifierNotValid || r.Server.Refusals()[RefuseKeepAlive] != 1 {
						t.Errorf("CONNACK %v, %v", ack.Code, r.Server.Refusals())
					}
					return
				}
				if ack.ServerKeepAlive != (packets.Optional[uint16]{Value: c.told, Set: c.told > 0}) { // [MQTT-3.2.2-22]
					t.Errorf("Server Keep Alive %+v", ack.ServerKeepAlive)
				}
				since := r.moment()
				for r.moment().Sub(since) < c.pingUpTo {
					r.pass(10 * time.Second)
					k.ExpectNothing()
				}
				if c.closed == 0 {
					r.pass(1000 * time.Hour)
					k.ExpectNothing()
					return
				}
				r.pass(c.closed - r.moment().Sub(since) - time.Millisecond)
				if st := r.Server.Stats(); st.Clients != 1 {
					t.Fatalf("closed before %v", c.closed)
				}
				r.pass(2 * time.Millisecond) // [MQTT-3.1.2-22]
				if st := r.Server.Stats(); st.Clients != 0 {
					t.Errorf("alive after %v", c.closed)
				}
				if code := k.ExpectClosed(); c.v == packets.V5 && code != packets.KeepAliveTimeout {
					t.Errorf("told %v", code)
				}
			})
		})
	}
}

// TestPacketDeadline begins a packet and sends a byte now and then: keep alive is served, the packet's own time is not.
func TestPacketDeadline(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		c := r.client(packets.V5, "slow", true)
		c.SendRaw([]byte{0x30, 100, 0, 1, 'a'})
		for range 19 {
			r.pass(time.Second)
			c.SendRaw([]byte{0})
		}
		if st := r.Server.Stats(); st.Clients != 1 {
			t.Fatal("closed early")
		}
		r.pass(2 * time.Second)
		if code := c.ExpectClosed(); code != packets.ProtocolError {
			t.Errorf("told %v", code)
		}
		if n := r.Server.Refusals()[RefusePacketTime]; n != 1 {
			t.Errorf("counted %d", n)
		}
	})
}

// TestSlowConnectionsBesideGoodOnes holds many slow connections while good clients come and go: none is refused.
func TestSlowConnectionsBesideGoodOnes(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{Clients: 60}}).over(way).start(t)
		for i := range 1000 {
			conn := r.dial()
			defer conn.Close()
			if i%2 == 0 {
				conn.Write([]byte{0x10, 0x20})
			}
		}
		for i := range 50 {
			c := r.client(packets.V5, fmt.Sprint("good", i), true)
			c.Subscribe("a", 1)
			if code := c.Publish(&packets.Publish{Topic: "b", QoS: 1}); code.Failed() {
				t.Fatal(code)
			}
		}
		for reason, n := range r.Server.Refusals() {
			if n > 0 {
				t.Errorf("%s: %d", reason, n)
			}
		}
	})
}

// TestSlowConsumer has a client subscribe and read nothing. What waits for it is bounded by bytes, the rest is counted,
// and the connection ends when one write takes too long; a client that reads gets everything meanwhile.
func TestSlowConsumer(t *testing.T) {
	in(t, func(t *testing.T) { // TestSlowReader is its like over sockets
		var p recorder
		r := &rig{limits: Limits{OutBytes: 10000, QueueMessages: 20}}
		p.into(r)
		r.start(t)
		conn := r.dial()
		conn.Write((&packets.Connect{Version: packets.V4, ClientID: "slow", CleanStart: true}).Append(nil, packets.V4))
		conn.Read(make([]byte, 4))
		conn.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "zero"}, {Filter: "one", QoS: 1}}}).Append(nil, packets.V4))
		conn.Read(make([]byte, 6))
		defer conn.Close()
		good := r.client(packets.V4, "good", true)
		good.Subscribe("zero", 0)
		pub := r.client(packets.V4, "pub", true)
		payload := make([]byte, 1000)
		for range 50 {
			pub.Publish(&packets.Publish{Topic: "zero", Payload: payload})
			pub.Publish(&packets.Publish{Topic: "one", Payload: payload, QoS: 1})
			brokertest.Expect[*packets.Publish](good)
		}
		st := r.Server.Stats()
		if st.Dropped[DropNoRoom] < 35 || st.Dropped["queue full"] < 10 {
			t.Errorf("dropped %v", st.Dropped)
		}
		for _, i := range r.Server.Clients() {
			if i.ClientID == "slow" && (i.Queued > 20 || i.QueuedBytes > 40*1200) {
				t.Errorf("held for the slow client: %+v", i)
			}
		}
		pass(11 * time.Second)
		if n := r.Server.Refusals()[RefuseSlow]; n != 1 || r.Server.Stats().Clients != 2 {
			t.Errorf("the slow client is still there: %d", n)
		}
		if last := p.last("slow"); last != "slow disconnected: slow consumer" {
			t.Errorf("taps were told %q", last)
		}
	})
}

// TestPingsWithoutReading sends what is answered and reads nothing: the answers are bounded, because reading stops.
func TestPingsWithoutReading(t *testing.T) {
	in(t, func(t *testing.T) { // TestSlowReader is its like over sockets
		r := (&rig{limits: Limits{OutBytes: 100, WriteTimeout: time.Hour}}).start(t)
		conn := r.dial()
		defer conn.Close()
		conn.Write((&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true}).Append(nil, packets.V4))
		conn.Read(make([]byte, 4))
		sent := 0
		conn.SetWriteDeadline(time.Now().Add(time.Minute))
		for range 100000 {
			n, err := conn.Write([]byte{0xc0, 0, 0xc0, 0, 0xc0, 0, 0xc0, 0})
			sent += n
			if err != nil {
				break
			}
		}
		if sent > 10000 {
			t.Errorf("%d bytes of PINGREQ were taken from a client that does not read", sent)
		}
	})
}

// TestNothingIsLeft connects, does one thing and goes, many times: nothing of it stays.
func TestNothingIsLeft(t *testing.T) {
	for name, act := range map[string]func(c *brokertest.Client){
		"nothing":          func(*brokertest.Client) {},
		"subscribe":        func(c *brokertest.Client) { c.Subscribe("a/+/b/#", 2) },
		"shared":           func(c *brokertest.Client) { c.Subscribe("$share/g/a", 2) },
		"publish":          func(c *brokertest.Client) { c.Publish(&packets.Publish{Topic: "a", QoS: 1, Payload: []byte("x")}) },
		"begin QoS 2":      func(c *brokertest.Client) { c.SendRaw([]byte{0x34, 6, 0, 1, 'a', 0, 7, 0}) },
		"malformed":        func(c *brokertest.Client) { c.SendRaw([]byte{0x36, 0}) },
		"clear a retained": func(c *brokertest.Client) { c.Publish(&packets.Publish{Topic: "a", QoS: 1, Retain: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{}).over(way).start(t)
				for range 200 {
					c := r.client(packets.V5, "c", true)
					act(c)
					c.Close()
				}
				r.quiet()
				st := r.Server.Stats()
				if st.Clients+st.Sessions+st.Subscriptions+st.Retained != 0 || r.Server.sessionLimits.Total.Used() != 0 {
					t.Errorf("left behind: %+v, %d bytes", st, r.Server.sessionLimits.Total.Used())
				}
				if n := len(r.Server.waiting); n != 0 {
					t.Errorf("%d connections wait for the journal", n)
				}
			})
		})
	}
}
