package server

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// counted is a client's connection that counts what passes.
type counted struct {
	net.Conn
	out, in *atomic.Uint64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(uint64(n))
	return n, err
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(uint64(n))
	return n, err
}

// TestTraffic compares Stats with what two clients put on the wire, and finds the same when they are gone.
func TestTraffic(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: denyUser("stranger")}).over(way).start(t)
		var out, back atomic.Uint64
		dial := func(v packets.Version) *brokertest.Client {
			return brokertest.NewClient(t, counted{r.dial(), &out, &back}, v)
		}
		pub, sub := dial(packets.V5), dial(packets.V4)
		pub.Connect("pub", true)
		sub.Connect("sub", true)
		sub.Subscribe("t/#", 1)
		large := make([]byte, 3*copyBelow)
		for qos, n := range []int{3, 2, 1} {
			for range n {
				pub.Publish(&packets.Publish{Topic: "t/x", QoS: byte(qos), Payload: large})
				p := brokertest.Expect[*packets.Publish](sub)
				sub.Acknowledge(p)
			}
		}
		refused := dial(packets.V5)
		refused.Send(&packets.Connect{Version: packets.V5, ClientID: "x", CleanStart: true, Username: "stranger", HasUsername: true})
		if code := brokertest.Expect[*packets.Connack](refused).Code; code != packets.NotAuthorized {
			t.Fatalf("CONNACK %v", code)
		}
		refused.Close()
		r.quiet()

		payload := uint64(6 * len(large))
		// CONNECT, SUBSCRIBE, 3 PUBACK, 6 PUBLISH, PUBREL, and the refused CONNECT
		received := broker.Traffic{Messages: [3]uint64{3, 2, 1}, Packets: 3 + 1 + 3 + 6 + 1, Bytes: out.Load(), PayloadBytes: payload}
		// CONNACK, SUBACK, 2 PUBACK, PUBREC, PUBCOMP, 6 PUBLISH; QoS 2 comes as QoS 1
		sent := broker.Traffic{Messages: [3]uint64{3, 3, 0}, Packets: 3 + 1 + 2 + 2 + 6, Bytes: back.Load(), PayloadBytes: payload}
		check := func(when string, clients int) {
			t.Helper()
			st := r.Server.Stats()
			if diff := cmp.Diff([]broker.Traffic{received, sent}, []broker.Traffic{st.Received, st.Sent}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			if st.Clients != clients || st.ClientsMax != 2 || st.Accepted != 3 || st.Logins != 2 || st.AuthFailures != 1 ||
				st.Refused[RefuseNotAllowed] != 1 || st.OutboxBytes != 0 {
				t.Errorf("%s: %+v", when, st)
			}
		}
		check("connected", 2)
		for _, c := range []*brokertest.Client{pub, sub} {
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
			received.Packets++
		}
		r.quiet()
		received.Bytes = out.Load()
		check("ended", 0)
	})
}

// TestQueueStats adds up what waits for sessions that are away.
func TestQueueStats(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		pub := r.client(packets.V4, "pub", true)
		for _, id := range []string{"a", "b"} {
			c := r.client(packets.V4, id, false)
			c.Subscribe("t", 1)
			c.Send(&packets.Disconnect{})
			c.ExpectClosed()
		}
		pub.Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: []byte("1234")})
		r.quiet()
		st := r.Server.Stats()
		want := broker.Stats{Sessions: 3, Persistent: 2, Subscriptions: 2, Queued: 2, QueuedBytes: 2 * (1 + 4 + 128)}
		got := broker.Stats{Sessions: st.Sessions, Persistent: st.Persistent, Subscriptions: st.Subscriptions, Queued: st.Queued, QueuedBytes: st.QueuedBytes}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		r.pass(r.Server.limits.SessionExpiryMax)
		if st := r.Server.Stats(); st.SessionsExpired != 2 || st.Persistent != 0 || st.Queued != 0 || st.Dropped["session ended"] != 2 {
			t.Errorf("after they expired: %+v", st)
		}
	})
}
