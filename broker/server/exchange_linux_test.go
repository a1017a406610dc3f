package server

import (
	"testing"
	"time"

	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// onLoop returns a client that an event loop serves.
func (r *rig) onLoop(t *testing.T) *brokertest.Client {
	return brokertest.NewClient(t, r.dialLoop(), packets.V5)
}

// TestScramOnLoop: an event loop carries the exchange out itself, and keeps the connection; what follows in one segment
// comes after CONNACK; who fails is gone.
func TestScramOnLoop(t *testing.T) {
	r := (&rig{auth: plantPolicy(t)}).over(overLoops).start(t)
	k, c := r.onLoop(t), talk(t, "press", plantPassword)
	connect := scramConnect("c", say(t, c, nil)).Append(nil, packets.V5)
	for i := range connect { // as the slowest of lines brings it
		k.SendRaw(connect[i : i+1])
	}
	k.Send(more(say(t, c, expectMore(t, k))), &packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "plant/#"}}})
	ack := brokertest.Expect[*packets.Connack](k)
	if say(t, c, ack.AuthData); ack.Code != packets.Success || !c.Valid() {
		t.Fatalf("CONNACK %v", ack.Code)
	}
	brokertest.Expect[*packets.Suback](k)
	r.Server.mu.Lock()
	for conn := range r.Server.conns {
		if _, ok := conn.wire.(*looped); !ok {
			t.Errorf("the connection is a %T", conn.wire)
		}
	}
	r.Server.mu.Unlock()

	c = talk(t, "press", plantPassword) // and again
	k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256, Data: say(t, c, nil)})
	k.Send(more(say(t, c, expectMore(t, k))))
	if a := brokertest.Expect[*packets.Auth](k); a.Code != packets.Success {
		t.Errorf("AUTH %v", a.Code)
	}

	over, c := r.onLoop(t), talk(t, "press", plantPassword) // takes the session over: that waits
	over.Send(scramConnect("c", say(t, c, nil)))
	over.Send(more(say(t, c, expectMore(t, over))), &packets.Pingreq{})
	if ack := brokertest.Expect[*packets.Connack](over); ack.Code != packets.Success {
		t.Errorf("CONNACK %v", ack.Code)
	}
	over.Expect(&packets.Pingresp{})
	if code := k.ExpectClosed(); code != packets.SessionTakenOver {
		t.Errorf("DISCONNECT %v", code)
	}

	for _, bad := range []struct {
		name string
		then func(k *brokertest.Client)
		code packets.ReasonCode // of CONNACK; Success: none
	}{
		{"no proof", func(k *brokertest.Client) { k.Send(more([]byte("x"))) }, packets.NotAuthorized},
		{"SUBSCRIBE before CONNACK", func(k *brokertest.Client) { k.SendRaw([]byte{0x82}) }, packets.ProtocolError}, // [MQTT-3.1.2-30]
		{"larger than taken", func(k *brokertest.Client) { k.SendRaw([]byte{0xF0, 0x80, 0x80, 0x04}) }, packets.PacketTooLarge},
		{"AUTH with a flag", func(k *brokertest.Client) { k.SendRaw([]byte{0xF1, 0}) }, packets.MalformedPacket}, // [MQTT-3.15.1-1]
		{"DISCONNECT", func(k *brokertest.Client) { k.Send(&packets.Disconnect{}) }, packets.Success},
		{"silence", func(*brokertest.Client) { r.pass(6 * time.Second) }, packets.Success},
		{"the end", func(k *brokertest.Client) { k.Close() }, packets.Success},
	} {
		k, c := r.onLoop(t), talk(t, "press", plantPassword)
		k.Send(scramConnect("bad", say(t, c, nil)))
		expectMore(t, k)
		bad.then(k)
		if bad.code != packets.Success {
			if ack := brokertest.Expect[*packets.Connack](k); ack.Code != bad.code {
				t.Errorf("%s: CONNACK %v", bad.name, ack.Code)
			}
		}
		if bad.name != "the end" {
			k.ExpectClosed()
			k.Close()
		}
		r.until(bad.name+" is gone", func() bool { return r.Server.Stats().Connections == 1 })
	}
	if n := r.Server.Refusals(); n[RefuseUnfinished] != 3 || n[auth.ReasonExchange] != 1 || n[RefuseMalformed] != 3 {
		t.Errorf("counted %v", n)
	}
}

// TestBehindALogin: what comes with the second half of a CONNECT is not lost while the password is checked.
func TestBehindALogin(t *testing.T) {
	r := (&rig{auth: rules{}}).over(overLoops).start(t)
	connect := (&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: "press"}).Append(nil, packets.V5)
	behind := (&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "a"}}}).Append(nil, packets.V5)
	for cut := 1; cut < len(connect); cut += 7 {
		k := r.onLoop(t)
		before := r.Server.Stats().Received.Bytes
		k.SendRaw(connect[:cut])
		r.until("the first half has come", func() bool { return r.Server.Stats().Received.Bytes > before })
		k.SendRaw(append(connect[cut:len(connect):len(connect)], behind...))
		if ack := brokertest.Expect[*packets.Connack](k); ack.Code != packets.Success {
			t.Fatalf("CONNACK %v", ack.Code)
		}
		brokertest.Expect[*packets.Suback](k)
		k.Close()
		r.until("it is gone", func() bool { return r.Server.Stats().Connections == 0 })
	}
}
