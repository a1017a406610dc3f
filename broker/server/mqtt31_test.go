package server

import (
	"testing"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestMQTT31 serves a client of 3.1 as one of 3.1.1, byte by byte, and shows it as what it is.
func TestMQTT31(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		long := "more-than-the-23-characters-of-3.1"
		c := brokertest.NewClient(t, r.dial(), packets.V31)
		connect := append([]byte{
			0x10, 14 + byte(len(long)), // CONNECT
			0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, // protocol name and level
			0x00, // session kept
			0, 0, // keep alive off
			0, byte(len(long))}, long...)
		c.SendRaw(connect)
		c.Expect(&packets.Connack{})
		c.SendRaw([]byte{0x8A, 6, 0, 1, 0, 1, 'a', 2}) // SUBSCRIBE 1 a QoS 2, sent again
		c.Expect(&packets.Suback{PacketID: 1, Codes: []packets.ReasonCode{2}})
		c.SendRaw([]byte{0x34, 6, 0, 1, 'a', 0, 7, 'x'}) // PUBLISH a 7 QoS 2
		got := map[packets.Type]packets.Packet{}
		for range 2 {
			p, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			got[p.Type()] = p
		}
		if p, ok := got[packets.TypePublish].(*packets.Publish); !ok || p.QoS != 2 || string(p.Payload) != "x" || got[packets.TypePubrec] == nil {
			t.Fatalf("got %v", got)
		}
		c.SendRaw([]byte{0x6A, 2, 0, 7}) // PUBREL 7, sent again
		c.Expect(&packets.Pubcomp{PacketID: 7})
		if info := r.Server.Clients(); len(info) != 1 || info[0].ClientID != long || info[0].Protocol != 3 {
			t.Errorf("shown as %+v", info)
		}
		c.Close()
		c = brokertest.NewClient(t, r.dial(), packets.V31)
		c.SendRaw(connect)
		c.Expect(&packets.Connack{}) // its first byte is reserved, it tells nothing of the session
		c.Expect(&packets.Publish{Topic: "a", QoS: 2, Dup: true, PacketID: 1, Payload: []byte("x")})
		c.Close()
		c = brokertest.NewClient(t, r.dial(), packets.V4)
		if !c.Connect(long, false).SessionPresent {
			t.Error("the session is another one in 3.1.1")
		}
		c.Expect(&packets.Publish{Topic: "a", QoS: 2, Dup: true, PacketID: 1, Payload: []byte("x")})
	})
}
