package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// The opcodes of RFC 6455.
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xa
	final      = 0x80
)

// wsFrame is one masked frame; first is FIN, RSV and opcode.
func wsFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 250}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: edge.example:8083\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// wsPeer is the client's end. As a net.Conn it is the byte stream that the messages make.
type wsPeer struct {
	net.Conn
	in     *bufio.Reader
	left   []byte // of the last message
	piece  int    // bytes of a message a write makes; 0: one message
	closed int    // the code of the server's close frame, 0: none yet, 1005: without
	pongs  int
}

// dialRaw opens a connection to a WebSocket listener and sends nothing.
func (r *rig) dialRaw() net.Conn {
	ours, theirs := net.Pipe()
	r.Server.startConn(context.Background(), &wsConn{Conn: theirs, options: &WebSocketOptions{Path: "/mqtt"}}, Listener{Name: "pipe", Anonymous: true})
	return ours
}

// dialWS opens a WebSocket connection.
func (r *rig) dialWS() *wsPeer {
	r.t.Helper()
	nc := r.dialRaw()
	nc.Write([]byte(upgradeRequest))
	in := bufio.NewReader(nc)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		resp.Header.Get("Sec-WebSocket-Protocol") != "mqtt" || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		r.t.Fatalf("upgrade: %v %+v", err, resp)
	}
	return &wsPeer{Conn: nc, in: in}
}

func (p *wsPeer) Write(b []byte) (int, error) {
	piece := p.piece
	if piece == 0 {
		piece = len(b)
	}
	var frames []byte
	for part := range slices.Chunk(b, piece) {
		frames = append(frames, wsFrame(final|opBinary, part)...)
	}
	if _, err := p.Conn.Write(frames); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *wsPeer) Read(b []byte) (int, error) {
	for len(p.left) == 0 {
		if err := p.frame(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// frame takes the server's next frame.
func (p *wsPeer) frame() error {
	var head [2]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return err
	}
	size := uint64(head[1])
	switch size {
	case 126:
		var b [2]byte
		io.ReadFull(p.in, b[:])
		size = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		io.ReadFull(p.in, b[:])
		size = binary.BigEndian.Uint64(b[:])
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return err
	}
	switch head[0] {
	case final | opBinary:
		p.left = payload
	case final | opPong:
		p.pongs++
	case final | opClose:
		if p.closed = 1005; len(payload) >= 2 {
			p.closed = int(binary.BigEndian.Uint16(payload))
		}
		p.Conn.Write(wsFrame(final|opClose, payload))
	default:
		return fmt.Errorf("frame % x", head)
	}
	return nil
}

// client connects over WebSocket.
func (p *wsPeer) client(t *testing.T, v packets.Version, id string, keepAlive uint16) *brokertest.Client {
	t.Helper()
	c := brokertest.NewClient(t, p, v)
	c.Send(&packets.Connect{Version: v, ClientID: id, CleanStart: true, KeepAlive: keepAlive})
	if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.Success {
		t.Fatalf("CONNACK %v", ack.Code)
	}
	return c
}

// TestScriptsOverWebSocket runs the conversations of testdata with a message for each write, and with packets cut
// into messages of three bytes [MQTT-6.0.0-2] [v3 MQTT-6.0.0-2]. Each connection is told its subprotocol [MQTT-6.0.0-4] [v3 MQTT-6.0.0-4] and gets
// binary messages only [MQTT-6.0.0-1] [v3 MQTT-6.0.0-1] [MQTT-6.0.0-a].
func TestScriptsOverWebSocket(t *testing.T) {
	bubble := func(t *testing.T, run func(*testing.T)) { synctest.Test(t, run) }
	for name, piece := range map[string]int{"whole": 0, "pieces": 3} {
		t.Run(name, func(t *testing.T) {
			brokertest.RunIn(t, "testdata/*.txt", bubble, func(t *testing.T) brokertest.Broker {
				r := (&rig{store: &brokertest.Store{}}).start(t)
				dial := func() net.Conn {
					p := r.dialWS()
					p.piece = piece
					return p
				}
				return brokertest.Broker{Dial: dial, Advance: pass, Restart: r.restart}
			})
		})
	}
}

// TestWebSocketAttacks sends what RFC 6455 forbids, or what a broken client may, to a session that stands.
func TestWebSocketAttacks(t *testing.T) {
	ping := []byte{0xc0, 0}
	unmasked := append([]byte{final | opBinary, 2}, ping...)
	publish := (&packets.Publish{Topic: "a", Payload: []byte("x")}).Append(nil, packets.V5)
	var crumbs []byte
	for i, b := range publish {
		first := byte(opContinue)
		if i == 0 {
			first = opBinary
		}
		crumbs = append(crumbs, wsFrame(first, []byte{b})...)
	}
	crumbs = append(crumbs, wsFrame(final, nil)...)
	for name, c := range map[string]struct {
		raw   []byte
		code  int // of the close frame; 0: the connection lives
		pongs int
		lost  bool   // no MQTT DISCONNECT: the library has closed
		ping  []byte // a PINGREQ that fits behind raw; nil: a message of its own
	}{
		"text":                     {raw: wsFrame(final|opText, ping), code: 1003}, // [MQTT-6.0.0-1] [v3 MQTT-6.0.0-1]
		"unmasked":                 {raw: unmasked, code: 1002},
		"reserved bit 1":           {raw: wsFrame(final|0x40|opBinary, ping), code: 1002, lost: true},
		"reserved bit 2":           {raw: wsFrame(final|0x20|opBinary, ping), code: 1002, lost: true},
		"opcode 3":                 {raw: wsFrame(final|3, ping), code: 1002, lost: true},
		"opcode 11":                {raw: wsFrame(final|11, ping), code: 1002, lost: true},
		"continuation of nothing":  {raw: wsFrame(final|opContinue, ping), code: 1002, lost: true},
		"message within a message": {raw: append(wsFrame(opBinary, ping[:1]), wsFrame(opBinary, ping)...), code: 1002, lost: true},
		"huge ping":                {raw: wsFrame(final|opPing, make([]byte, 126)), code: 1002, lost: true},
		"ping in two parts":        {raw: wsFrame(opPing, ping), code: 1002, lost: true},
		"negative length":          {raw: []byte{final | opBinary, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, code: 1002},
		"close code 1005":          {raw: wsFrame(final|opClose, []byte{0x03, 0xed}), code: 1002, lost: true},
		"close of one byte":        {raw: wsFrame(final|opClose, []byte{3}), code: 1002, lost: true},
		"close":                    {raw: wsFrame(final|opClose, []byte{0x03, 0xe8}), code: 1000, lost: true},
		"close without a code":     {raw: wsFrame(final|opClose, nil), code: 1005, lost: true},
		"length of 2^40":           {raw: append([]byte{final | opBinary, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, publish...), ping: ping},
		"fragments of a byte":      {raw: crumbs},
		"empty messages":           {raw: bytes.Repeat(wsFrame(final|opBinary, nil), 1000)},
		"empty fragments":          {raw: append(wsFrame(opBinary, publish), bytes.Repeat(wsFrame(opContinue, nil), 1000)...), ping: wsFrame(opContinue, ping)},
		"pings":                    {raw: bytes.Repeat(wsFrame(final|opPing, make([]byte, 125)), 200), pongs: 200},
		"pongs":                    {raw: bytes.Repeat(wsFrame(final|opPong, make([]byte, 125)), 200)},
		"two packets in a message": {raw: wsFrame(final|opBinary, append(slices.Clone(publish), publish...))}, // [MQTT-6.0.0-2]
		"long message":             {raw: wsFrame(final|opBinary, bytes.Repeat(publish, 20000))},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				p := r.dialWS()
				k := p.client(t, packets.V5, "c", 60)
				if _, err := p.Conn.Write(c.raw); err != nil && c.code == 0 {
					t.Fatal(err)
				}
				synctest.Wait()
				if c.code == 0 {
					if c.ping == nil {
						c.ping = wsFrame(final|opBinary, ping)
					}
					p.Conn.Write(c.ping)
					brokertest.Expect[*packets.Pingresp](k)
					if n, conns := r.held(); conns != 1 || n > 2*smallBuffer || p.pongs != c.pongs {
						t.Errorf("%d connections hold %d bytes, %d pongs", conns, n, p.pongs)
					}
					return
				}
				want := packets.ProtocolError
				if c.lost {
					want = packets.Success
				}
				if code := k.ExpectClosed(); code != want {
					t.Errorf("DISCONNECT %v", code)
				}
				synctest.Wait()
				if st := r.Server.Stats(); st.Clients != 0 || p.closed != c.code {
					t.Errorf("%d clients, close code %d", st.Clients, p.closed)
				}
			})
		})
	}
}

// TestWebSocketMessagesArrive: what the hostile streams above carry is taken as what it is.
func TestWebSocketMessagesArrive(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		p := r.dialWS()
		k := p.client(t, packets.V4, "c", 60)
		k.Subscribe("a", 0)
		publish := (&packets.Publish{Topic: "a", Payload: bytes.Repeat([]byte("x"), 5000)}).Append(nil, packets.V4)
		p.Conn.Write(wsFrame(opBinary, publish[:100]))
		p.Conn.Write(wsFrame(final|opPing, []byte("between")))
		p.Conn.Write(wsFrame(opContinue, publish[100:4900]))
		synctest.Wait()
		if n := r.Server.Stats().ReceivedTotal; n != 0 {
			t.Errorf("%d messages taken before one was whole", n)
		}
		p.Conn.Write(wsFrame(final|opContinue, publish[4900:]))
		if m := brokertest.Expect[*packets.Publish](k); len(m.Payload) != 5000 {
			t.Errorf("%d bytes", len(m.Payload))
		}
		if p.pongs != 1 {
			t.Errorf("%d pongs", p.pongs)
		}
	})
}

// TestWebSocketKeepAlive: only MQTT bytes keep a client alive [MQTT-3.1.2-22]; one that is, may be slow in the middle of a frame.
func TestWebSocketKeepAlive(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		silent, busy := r.dialWS(), r.dialWS()
		k, b := silent.client(t, packets.V5, "silent", 10), busy.client(t, packets.V5, "busy", 10)
		for range 14 {
			pass(time.Second)
			silent.Conn.Write(wsFrame(final|opPing, nil))
		}
		b.Send(&packets.Pingreq{})
		brokertest.Expect[*packets.Pingresp](b)
		frame := wsFrame(final|opBinary, []byte{0xc0, 0})
		busy.Conn.Write(frame[:1])
		pass(2 * time.Second)
		if code := k.ExpectClosed(); code != packets.KeepAliveTimeout || silent.closed != 1000 {
			t.Errorf("DISCONNECT %v, close code %d", code, silent.closed)
		}
		busy.Conn.Write(frame[1:])
		brokertest.Expect[*packets.Pingresp](b)
	})
}

// TestWebSocketPongAfterSilence: the deadline of the last write does not hold for the answer to a ping long after it.
func TestWebSocketPongAfterSilence(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		p := r.dialWS()
		k := p.client(t, packets.V4, "c", 0)
		pass(time.Hour)
		p.SetWriteDeadline(time.Time{})
		p.Conn.Write(wsFrame(final|opPing, []byte("?")))
		k.ExpectNothing()
		if p.pongs != 1 {
			t.Error("no pong")
		}
	})
}

// TestWebSocketSlowConsumer reads nothing, and pings or not: it is closed when one write takes too long.
func TestWebSocketSlowConsumer(t *testing.T) {
	for name, pings := range map[string]bool{"silent": false, "pinging": true} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				var rec recorder
				r := &rig{}
				rec.into(r)
				r.start(t)
				p := r.dialWS()
				p.Write((&packets.Connect{Version: packets.V4, ClientID: "slow", CleanStart: true}).Append(nil, packets.V4))
				p.frame()
				p.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "a"}}}).Append(nil, packets.V4))
				p.frame()
				pub := r.client(packets.V4, "pub", true)
				pub.Publish(&packets.Publish{Topic: "a", Payload: make([]byte, 10000)})
				for range 11 {
					if pass(time.Second); pings {
						p.Conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
						p.Conn.Write(wsFrame(final|opPing, nil))
					}
				}
				want := "slow disconnected: slow consumer"
				if pings { // the second one waits in vain to be answered
					want = "slow disconnected: connection lost"
				}
				if last := rec.last("slow"); r.Server.Stats().Clients != 1 || last != want {
					t.Errorf("%d clients, %s", r.Server.Stats().Clients, last)
				}
				p.Close()
			})
		})
	}
}

// TestWebSocketShutdown tells 5.0 clients 0x8B and closes in order; one that does not answer is not waited for.
func TestWebSocketShutdown(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		p, deaf := r.dialWS(), r.dialWS()
		k := p.client(t, packets.V5, "c", 60)
		deaf.Write((&packets.Connect{Version: packets.V5, ClientID: "deaf", CleanStart: true}).Append(nil, packets.V5))
		deaf.frame()
		start := time.Now()
		r.stop()
		if code := k.ExpectClosed(); code != packets.ServerShuttingDown || p.closed != 1000 {
			t.Errorf("DISCONNECT %v, close code %d", code, p.closed)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		deaf.Close()
	})
}

// TestWebSocketKick: an operator's Disconnect, and a take-over, are told before the connection closes.
func TestWebSocketKick(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		p := r.dialWS()
		k := p.client(t, packets.V5, "c", 60)
		r.Server.Disconnect("c", broker.ReasonAdmin)
		if code := k.ExpectClosed(); code != packets.AdministrativeAction || p.closed != 1000 {
			t.Errorf("kicked: DISCONNECT %v, close code %d", code, p.closed)
		}
		p = r.dialWS()
		k = p.client(t, packets.V5, "c", 60)
		r.dialWS().client(t, packets.V5, "c", 60)
		if code := k.ExpectClosed(); code != packets.SessionTakenOver || p.closed != 1000 {
			t.Errorf("taken over: DISCONNECT %v, close code %d", code, p.closed)
		}
	})
}

// stream is a net.Conn that has all its bytes, in pieces, and forgets what is written.
type pieces struct {
	net.Conn
	rest [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	if p.rest[0] = p.rest[0][n:]; len(p.rest[0]) == 0 {
		p.rest = p.rest[1:]
	}
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)        { return len(b), nil }
func (p *pieces) Close() error                       { return nil }
func (p *pieces) LocalAddr() net.Addr                { return addr("192.0.2.1:8083") }
func (p *pieces) SetReadDeadline(t time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(t time.Time) error { return nil }

// TestWebSocketStream cuts a byte stream into messages, fragments and segments at random, with control frames between: what is read is
// the stream.
func TestWebSocketStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 9000).Draw(t, "stream")
		raw, first := []byte(upgradeRequest), byte(opBinary)
		for rest := want; len(rest) > 0; {
			n := rapid.IntRange(0, min(len(rest), 3000)).Draw(t, "frame")
			last := rapid.Bool().Draw(t, "last") || n == len(rest)
			if rapid.IntRange(0, 4).Draw(t, "ping") == 0 {
				raw = append(raw, wsFrame(final|opPing, []byte("ping"))...)
			}
			head := first
			if first = opContinue; last {
				head, first = head|final, opBinary
			}
			raw = append(raw, wsFrame(head, rest[:n])...)
			rest = rest[n:]
		}
		raw = append(raw, wsFrame(final|opClose, nil)...)
		var below pieces
		for len(raw) > 0 {
			n := rapid.IntRange(1, min(len(raw), 5000)).Draw(t, "segment")
			below.rest = append(below.rest, raw[:n])
			raw = raw[n:]
		}
		w := &wsConn{Conn: &below, options: &WebSocketOptions{Path: "/mqtt"}}
		buf, got := make([]byte, rapid.IntRange(1, 5000).Draw(t, "read")), []byte(nil)
		for {
			n, err := w.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes of %d", len(got), len(want))
		}
	})
}

// FuzzWebSocket reads what is no WebSocket, or one that goes wrong: Read ends, and gives out no more than came in.
func FuzzWebSocket(f *testing.F) {
	f.Add(false, []byte(upgradeRequest))
	f.Add(false, []byte("GET / HTTP/1.1\r\nHost: a\r\nOrigin: null\r\n\r\n"))
	f.Add(true, wsFrame(final|opBinary, []byte{0xc0, 0}))
	f.Add(true, append(wsFrame(opBinary, []byte{0xc0}), wsFrame(final, []byte{0})...))
	f.Add(true, []byte{final | opBinary, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, upgraded bool, data []byte) {
		raw := data
		if upgraded {
			raw = append([]byte(upgradeRequest), data...)
		}
		w := &wsConn{Conn: &pieces{rest: [][]byte{raw}}, options: &WebSocketOptions{Path: "/mqtt"}}
		total, buf := 0, make([]byte, 100)
		for {
			n, err := w.Read(buf)
			if total += n; total > len(data) {
				t.Fatalf("%d bytes of %d", total, len(data))
			}
			if err != nil {
				break
			}
		}
		w.Close()
	})
}
