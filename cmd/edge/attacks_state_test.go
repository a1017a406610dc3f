package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"edge/broker/packets"
)

// The attacks on what the broker holds for a client: queues, windows, identifiers, sessions.

// neverReads subscribes, has much published, and does not read.
func neverReads(a *attacker) {
	for i := range a.many(20, 300) {
		f := a.login(bothVersions[i%2], fmt.Sprint("deaf", i))
		f.Conn.(*net.TCPConn).SetReadBuffer(4096)
		f.subscribe("flood/#")
	}
	pinger := a.login(packets.V4, "pinger") // answers that nobody reads
	pinger.Conn.(*net.TCPConn).SetReadBuffer(4096)
	go pinger.raw([]byte(strings.Repeat("\xC0\x00", 1<<20)))
	p := a.login(packets.V5, "floods")
	payload := make([]byte, 1900) // each is copied for each of them
	for n := 0; time.Now().Before(a.until) || n < 8000; n++ {
		if !p.raw((&packets.Publish{Topic: "flood/x", Payload: payload}).Append(nil, p.v)) {
			a.failf("the publisher is cut off")
		}
	}
	p.still("a flood")
}

// eachPacketInEachState sends each type of packet before CONNECT, twice CONNECT, and each type, those of a server too, after it.
func eachPacketInEachState(a *attacker) {
	all := []struct {
		bytes string
		code  packets.ReasonCode // after CONNECT; Success: the connection goes on
	}{
		{"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c", packets.ProtocolError}, // CONNECT
		{"\x20\x03\x00\x00\x00", packets.ProtocolError},                              // CONNACK (CVE-2021-28166)
		{"\x30\x04\x00\x01a\x00", packets.Success},                                   // PUBLISH
		{"\x40\x02\x00\x09", packets.Success},                                        // PUBACK of nothing
		{"\x50\x02\x00\x09", packets.Success},                                        // PUBREC of nothing: PUBREL 0x92
		{"\x62\x02\x00\x09", packets.Success},                                        // PUBREL of nothing: PUBCOMP 0x92
		{"\x70\x02\x00\x09", packets.Success},                                        // PUBCOMP of nothing
		{"\x82\x07\x00\x01\x00\x00\x01a\x00", packets.Success},                       // SUBSCRIBE
		{"\x90\x04\x00\x01\x00\x00", packets.ProtocolError},                          // SUBACK
		{"\xa2\x06\x00\x01\x00\x00\x01a", packets.Success},                           // UNSUBSCRIBE
		{"\xb0\x04\x00\x01\x00\x00", packets.ProtocolError},                          // UNSUBACK
		{"\xc0\x00", packets.Success},                                                // PINGREQ
		{"\xd0\x00", packets.ProtocolError},                                          // PINGRESP
		{"\xf0\x00", packets.ProtocolError},                                          // AUTH without a method
		{"\x00\x00", packets.MalformedPacket},                                        // reserved
		{"\x3d\x04\x00\x01a\x00", packets.MalformedPacket},                           // PUBLISH without the identifier of its QoS 2
		{"\x32\x06\x00\x01a\x00\x00\x00", packets.ProtocolError},                     // packet identifier 0
	}
	a.repeat(func(worker, n int) {
		c := all[n%len(all)]
		if c.bytes[0] != 0x10 {
			f := a.dial(packets.V4)
			f.raw([]byte(c.bytes))
			f.end("before CONNECT", packets.Success)
		}
		f := a.login(packets.V5, fmt.Sprint("state", worker))
		f.raw([]byte(c.bytes))
		if c.code == packets.Success {
			f.still(fmt.Sprintf("% x", c.bytes))
			f.Close()
			return
		}
		f.end(fmt.Sprintf("% x", c.bytes), c.code)
	})
}

// neverCompleted begins all QoS 2 messages that there are identifiers for, and again, and completes none (CVE-2023-28366).
func neverCompleted(a *attacker) {
	a.workers(a.many(2, 8), func(worker int) {
		f := a.login(packets.V4, fmt.Sprint("never", worker), func(c *packets.Connect) { c.CleanStart = false })
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			var b []byte
			for i := range a.many(66000, 200000) {
				b = (&packets.Publish{Topic: "never", QoS: 2, PacketID: uint16(i%65535 + 1), Payload: []byte("x")}).Append(b, f.v)
				if len(b) > 4000 {
					f.raw(b)
					b = b[:0]
				}
			}
			f.raw(b)
		}()
		for range a.many(66000, 200000) {
			if code := expect[*packets.Pubrec](f).Code; code.Failed() {
				a.failf("PUBREC %v", code)
			}
		}
		<-sent
		f.still("QoS 2 never completed")
		f.Close()
		a.login(packets.V4, fmt.Sprint("never", worker)).Close() // ends the session
	})
}

// receiveMaximum sends more than it may before an answer has come.
func receiveMaximum(a *attacker) {
	a.repeat(func(worker, n int) {
		f := a.dial(packets.V5)
		ack := f.connect(fmt.Sprint("overrun", worker))
		for i := range int(ack.ReceiveMaximum) + 1 {
			f.send(&packets.Publish{Topic: "overrun", QoS: 2, PacketID: uint16(i + 1)})
		}
		f.end("above Receive Maximum", packets.ReceiveMaximumExceeded)
	})
}

// topicAliases uses aliases that it may not, that stand for nothing, and that stand for the longest topics.
func topicAliases(a *attacker) {
	long := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", 60000)) }
	a.repeat(func(worker, n int) {
		for i, code := range []packets.ReasonCode{packets.TopicAliasInvalid, packets.ProtocolError, packets.TopicAliasInvalid, packets.QuotaExceeded} {
			f := a.login(packets.V5, fmt.Sprint("alias", worker))
			switch i {
			case 0:
				f.send(&packets.Publish{Topic: "a", TopicAlias: 65})
			case 1:
				f.send(&packets.Publish{TopicAlias: 7})
			case 2:
				f.raw([]byte{0x30, 7, 0, 1, 'a', 3, 35, 0, 0}) // alias 0
			case 3:
				for alias := range 64 {
					f.send(&packets.Publish{Topic: long(alias), TopicAlias: uint16(alias + 1)})
				}
			}
			f.end("topic alias", code)
		}
	})
}

// hoardedSessions leaves sessions that never come back, and has messages for them.
func hoardedSessions(a *attacker) {
	n := a.many(400, 5000)
	a.workers(8, func(worker int) {
		for i := worker; i < n; i += 8 {
			f := a.login(bothVersions[i%2], fmt.Sprint("hoard", i), func(c *packets.Connect) {
				c.CleanStart, c.SessionExpiry = false, 0xFFFFFFFF
				c.Will = &packets.Will{Topic: "hoard/will", Payload: make([]byte, 1000), Delay: 86400}
			})
			f.subscribe(fmt.Sprint("hoard/", i%40, "/#"), fmt.Sprint("hoard/own/", i), "hoard/all/#")
			f.Close()
		}
	})
	p := a.login(packets.V5, "publisher")
	for i := range a.many(120, 1200) {
		p.publish(packets.Publish{Topic: "hoard/all/x", Payload: make([]byte, 8<<10)})
		p.publish(packets.Publish{Topic: fmt.Sprint("hoard/", i%40, "/x"), Payload: make([]byte, 32<<10)})
	}
}
