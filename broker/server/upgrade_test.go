package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// at is a connection that came to an address of its own.
type at struct {
	net.Conn
	local string
}

func (a at) LocalAddr() net.Addr { return addr(a.local) }

func (r *rig) connections() int {
	r.Server.mu.Lock()
	defer r.Server.mu.Unlock()
	return len(r.Server.conns)
}

// TestUpgrade changes one thing of a good request at a time.
func TestUpgrade(t *testing.T) {
	const origin = "Host: edge.example:8083\r\nOrigin: "
	for name, c := range map[string]struct {
		old, new string
		local    string // the listener's address; default 192.0.2.1:8083
		status   int
	}{
		"as it is":                   {status: 101},
		"no subprotocol":             {"Sec-WebSocket-Protocol: mqtt\r\n", "", "", 400}, // [MQTT-6.0.0-3]
		"another subprotocol":        {"Protocol: mqtt", "Protocol: chat", "", 400},
		"among subprotocols":         {"Protocol: mqtt", "Protocol: chat, mqtt", "", 101},
		"on two lines":               {"Protocol: mqtt", "Protocol: chat\r\nSec-WebSocket-Protocol: mqtt", "", 101},
		"3.1 clients":                {"Protocol: mqtt", "Protocol: mqttv3.1", "", 101},
		"another path":               {"/mqtt ", "/ ", "", 404},
		"a path below":               {"/mqtt ", "/mqtt/x ", "", 404},
		"a query":                    {"/mqtt ", "/mqtt?x=1 ", "", 101},
		"POST":                       {"GET", "POST", "", 405},
		"a body":                     {"Host:", "Content-Length: 1\r\nHost:", "", 400},
		"chunks":                     {"Host:", "Transfer-Encoding: chunked\r\nHost:", "", 400},
		"HTTP/1.0":                   {"HTTP/1.1", "HTTP/1.0", "", 426},
		"HTTP/2":                     {"GET /mqtt HTTP/1.1", "PRI * HTTP/2.0", "", 404},
		"plain GET":                  {"Upgrade: websocket\r\n", "", "", 426},
		"no Connection":              {"Connection: Upgrade", "Connection: close", "", 426},
		"version 8":                  {"Version: 13", "Version: 8", "", 400},
		"no key":                     {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "", 400},
		"short key":                  {"dGhlIHNhbXBsZSBub25jZQ==", "dGhl", "", 400},
		"no host":                    {"Host: edge.example:8083\r\n", "", "", 400},
		"no host, null origin":       {"Host: edge.example:8083", "Origin: null", "", 400},
		"not HTTP":                   {"GET /mqtt HTTP/1.1", "HELLO", "", 400},
		"bad header":                 {"Host:", "a b\x00: c\r\nHost:", "", 400},
		"large header":               {"Host:", "X: " + strings.Repeat("x", maxUpgrade) + "\r\nHost:", "", 431},
		"many headers":               {"Host:", strings.Repeat("X: y\r\n", maxUpgrade/5) + "Host:", "", 431},
		"same origin":                {"Host: edge.example:8083", origin + "http://edge.example:8083", "", 101},
		"same origin over TLS":       {"Host: edge.example:8083", origin + "https://EDGE.example:8083", "", 101},
		"same host, another port":    {"Host: edge.example:8083", origin + "http://edge.example:8080", "", 403},
		"foreign origin":             {"Host: edge.example:8083", origin + "http://evil.example", "", 403},
		"origin that begins like it": {"Host: edge.example:8083", origin + "http://edge.example:8083.evil.example", "", 403},
		"user in origin":             {"Host: edge.example:8083", origin + "http://edge.example:8083@evil.example", "", 403},
		"null origin":                {"Host: edge.example:8083", origin + "null", "", 403}, // a sandboxed frame
		"empty origin":               {"Host: edge.example:8083", origin, "", 403},
		"file origin":                {"Host: edge.example:8083", origin + "file://", "", 403},
		"two origins":                {"Host: edge.example:8083", origin + "http://edge.example:8083\r\nOrigin: http://evil.example", "", 403},
		"listed origin":              {"Host: edge.example:8083", origin + "https://scada.example", "", 101},
		"listed, another scheme":     {"Host: edge.example:8083", origin + "http://scada.example", "", 403},
		"rebound name on loopback":   {"Host: edge.example:8083", origin + "http://edge.example:8083", "127.0.0.1:8083", 403},
		"localhost":                  {"Host: edge.example:8083", "Host: localhost:8083\r\nOrigin: http://localhost:8083", "127.0.0.1:8083", 101},
		"IPv6 loopback":              {"Host: edge.example:8083", "Host: [::1]:8083\r\nOrigin: http://[::1]:8083", "[::1]:8083", 101},
		"listed on loopback":         {"Host: edge.example:8083", origin + "https://scada.example", "127.0.0.1:8083", 101},
		"no browser on loopback":     {"Host: edge.example:8083", "Host: x", "127.0.0.1:8083", 101},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				ours, theirs := net.Pipe()
				defer ours.Close()
				if c.local == "" {
					c.local = "192.0.2.1:8083"
				}
				options := &WebSocketOptions{Path: "/mqtt", Origins: []string{"https://scada.example"}}
				r.Server.startConn(context.Background(), &wsConn{Conn: at{theirs, c.local}, options: options}, Listener{Anonymous: true})
				if !strings.Contains(upgradeRequest, c.old) {
					t.Fatalf("the request has no %q", c.old)
				}
				go ours.Write([]byte(strings.Replace(upgradeRequest, c.old, c.new, 1)))
				resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
				if err != nil || resp.StatusCode != c.status {
					t.Fatalf("answer %v %+v, want %d", err, resp, c.status)
				}
				if c.status == http.StatusSwitchingProtocols {
					return
				}
				io.Copy(io.Discard, ours)
				synctest.Wait()
				if conns := r.connections(); conns != 0 || r.Server.Refusals()[RefuseUpgrade] != 1 {
					t.Errorf("%d connections, %v", conns, r.Server.Refusals())
				}
			})
		})
	}
}

// TestUpgradeDeadline: the upgrade and CONNECT together have the time that CONNECT has, however slowly they come.
func TestUpgradeDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		at, each string
	}{
		"nothing":            {"", ""},
		"half a request":     {upgradeRequest[:50], ""},
		"a byte a second":    {"G", "x"},
		"no MQTT":            {upgradeRequest, ""},
		"pings":              {upgradeRequest, string(wsFrame(final|opPing, nil))},
		"half a frame":       {upgradeRequest, "\x82"},
		"MQTT bytes instead": {string((&packets.Connect{Version: packets.V4, ClientID: "c"}).Append(nil, packets.V4)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				conn := r.dialRaw()
				defer conn.Close()
				go io.Copy(io.Discard, conn)
				conn.Write([]byte(c.at))
				for range 4 {
					pass(time.Second)
					conn.Write([]byte(c.each))
				}
				if r.connections() != 1 {
					t.Fatal("ended before the deadline")
				}
				pass(time.Second + lingering)
				if conns := r.connections(); conns != 0 || r.Server.Refusals()[RefuseNoConnect] != 1 {
					t.Errorf("%d connections, %v", conns, r.Server.Refusals())
				}
			})
		})
	}
}

// TestPipelinedUpgrade sends CONNECT with the request: nothing of it is lost.
func TestPipelinedUpgrade(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{}).start(t)
		conn := r.dialRaw()
		connect := (&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true}).Append(nil, packets.V4)
		go conn.Write(append([]byte(upgradeRequest), wsFrame(final|opBinary, connect)...))
		in := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(err, resp)
		}
		k := brokertest.NewClient(t, &wsPeer{Conn: conn, in: in}, packets.V4)
		k.Expect(&packets.Connack{})
		k.ExpectNothing()
	})
}

// TestWebSocketBeforeLogin sends what is no CONNECT, in good frames: the connection ends, and is counted.
func TestWebSocketBeforeLogin(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		code int
	}{
		"text":      {wsFrame(final|opText, []byte("hello")), 1003},
		"PINGREQ":   {wsFrame(final|opBinary, []byte{0xc0, 0}), 1000},
		"too large": {wsFrame(final|opBinary, []byte{0x10, 0xff, 0xff, 0xff, 0x7f}), 1000},
		"unmasked":  {[]byte{final | opBinary, 1, 0x10}, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				p := r.dialWS()
				k := brokertest.NewClient(t, p, packets.V4)
				p.Conn.Write(c.raw)
				k.ExpectClosed()
				synctest.Wait()
				if conns := r.connections(); conns != 0 || p.closed != c.code || r.Server.Refusals()[RefuseMalformed] != 1 {
					t.Errorf("%d connections, close code %d, %v", conns, p.closed, r.Server.Refusals())
				}
			})
		})
	}
}
