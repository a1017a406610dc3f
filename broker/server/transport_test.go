package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// transport is one way to the server, with real sockets.
type transport struct {
	name                string
	network             string
	secure, ws, streams bool // streams: goroutines instead of the event loop
}

var transports = []transport{
	{name: "tcp", network: "tcp"},
	{name: "tcp by goroutines", network: "tcp", streams: true},
	{name: "ipv6", network: "tcp6"},
	{name: "unix", network: "unix"},
	{name: "unix by goroutines", network: "unix", streams: true},
	{name: "tls", network: "tcp", secure: true},
	{name: "ws", network: "tcp", ws: true},
	{name: "wss", network: "tcp", secure: true, ws: true},
}

// testTLS is a certificate for "edge.example" that signs itself, and a client that trusts it.
var testTLS = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"edge.example"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "edge.example"}
})

// serve starts the server behind this transport until the test ends, and returns the listener's address.
func (tr *transport) serve(t testing.TB, limits Limits) (r *rig, at net.Addr) {
	t.Helper()
	r = &rig{limits: limits}
	if tr.streams {
		r.loops = -1
	}
	r.start(t)
	where := map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")}[tr.network]
	l, err := net.Listen(tr.network, where)
	if err != nil {
		t.Skipf("this machine has no %s: %v", tr.network, err)
	}
	at = l.Addr()
	if tr.secure {
		conf, _ := testTLS()
		l = tls.NewListener(l, conf)
	}
	if tr.ws {
		l = WebSocketListener(l, WebSocketOptions{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(ctx, Listener{Listener: l, Name: tr.name, Anonymous: true}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r, at
}

// dial opens a connection on which MQTT bytes go both ways. wire counts the bytes below.
func (tr *transport) dial(t testing.TB, at net.Addr) (nc net.Conn, wire *tally) {
	t.Helper()
	raw, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	wire = &tally{Conn: raw}
	nc = wire
	if tr.secure {
		_, conf := testTLS()
		nc = tls.Client(nc, conf)
	}
	if !tr.ws {
		return nc, wire
	}
	if _, err := nc.Write([]byte(upgradeRequest)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReaderSize(nc, 64<<10)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	return &wsPeer{Conn: nc, in: in}, wire
}

type tally struct {
	net.Conn
	bytes atomic.Int64
}

func (c *tally) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *tally) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// TestTransports: on every transport packets small and large come through, the other end has a name, and a stop is said.
func TestTransports(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r, at := tr.serve(t, Limits{PacketBytes: 4 << 20})
			nc, _ := tr.dial(t, at)
			c := brokertest.NewClient(t, nc, packets.V5)
			c.Connect("c", true)
			c.Subscribe("#", 2)
			for _, size := range []int{0, 100, 3000, 70_000, 3 << 20} {
				payload := bytes.Repeat([]byte{7}, size)
				c.Send(&packets.Publish{Topic: "a", QoS: 1, PacketID: 9, Payload: payload})
				m := c.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
				c.Acknowledge(m)
				if brokertest.Expect[*packets.Puback](c); !bytes.Equal(m.Payload, payload) {
					t.Errorf("%d bytes of %d", len(m.Payload), size)
				}
			}
			i := r.Server.Clients()[0]
			if i.TLS != tr.secure || i.Listener != tr.name || i.Addr == "" || tr.network == "unix" && i.Addr[:5] != "unix:" {
				t.Errorf("the client is shown as %+v", i)
			}
			stopped := make(chan struct{})
			go func() { r.stop(); close(stopped) }()
			if code := c.ExpectClosed(); code != packets.ServerShuttingDown {
				t.Errorf("at the stop: %v", code)
			}
			<-stopped
		})
	}
}

// TestSilentHandshakes: connections that begin a handshake and go no further keep nobody out, and end with the time for CONNECT.
func TestSilentHandshakes(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r, at := tr.serve(t, Limits{ConnectTimeout: 2 * time.Second, AcceptsPerSecond: -1})
			const n = 100
			for i := range n {
				raw, err := net.Dial(at.Network(), at.String())
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				switch {
				case i%2 == 0:
				case tr.secure:
					raw.Write([]byte{22, 3, 1, 2, 0, 1}) // the head of a ClientHello
				case tr.ws:
					raw.Write([]byte("GET /mqtt HTTP/1.1\r\n"))
				default:
					raw.Write([]byte{0x10, 0x20})
				}
			}
			nc, _ := tr.dial(t, at)
			c := brokertest.NewClient(t, nc, packets.V4)
			c.Connect("good", true)
			deadline, tick := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
			defer tick.Stop()
			for r.Server.Refusals()[RefuseNoConnect]+r.Server.Refusals()[RefuseUnfinished] < n {
				select {
				case <-tick.C:
				case <-deadline:
					t.Fatalf("counted %v", r.Server.Refusals())
				}
			}
			c.ExpectNothing()
		})
	}
}

// TestWrongProtocol: what was meant for another port is refused, counted and harms nobody.
func TestWrongProtocol(t *testing.T) {
	hello := []byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0}
	connect := (&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true}).Append(nil, packets.V4)
	for name, c := range map[string]struct {
		transport int // of transports
		raw       []byte
		reason    string
	}{
		"TLS to TCP":        {0, hello, RefuseMalformed},
		"TLS to goroutines": {1, hello, RefuseMalformed},
		"MQTT to TLS":       {5, connect, RefuseTLS},
		"HTTP to TLS":       {5, []byte(upgradeRequest), RefuseTLS},
		"TLS to WebSocket":  {6, append(hello, "\r\n\r\n"...), RefuseUpgrade},
		"HTTP to wss":       {7, []byte(upgradeRequest), RefuseTLS},
	} {
		t.Run(name, func(t *testing.T) {
			r, at := transports[c.transport].serve(t, Limits{})
			raw, err := net.Dial(at.Network(), at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			raw.SetDeadline(time.Now().Add(10 * time.Second))
			raw.Write(c.raw)
			io.Copy(io.Discard, raw)
			r.stop()
			if n := r.Server.Refusals()[c.reason]; n != 1 {
				t.Errorf("counted %v", r.Server.Refusals())
			}
		})
	}
}

// TestShutdownOfDeafClients: who does not read is not waited for longer than lastWrite, whatever would be said below MQTT.
func TestShutdownOfDeafClients(t *testing.T) {
	for _, tr := range transports {
		if !tr.secure && !tr.ws {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				r := (&rig{}).start(t)
				ours, theirs := net.Pipe()
				defer ours.Close()
				var nc net.Conn = theirs
				server, conf := testTLS()
				if tr.secure {
					nc = tls.Server(nc, server)
				}
				if tr.ws {
					nc = &wsConn{Conn: nc, options: &WebSocketOptions{Path: "/mqtt"}}
				}
				r.Server.startConn(t.Context(), nc, Listener{Anonymous: true})
				var c net.Conn = ours
				if tr.secure {
					c = tls.Client(c, conf)
				}
				if tr.ws {
					c.Write([]byte(upgradeRequest))
					in := bufio.NewReader(c)
					if _, err := http.ReadResponse(in, nil); err != nil {
						t.Fatal(err)
					}
					c = &wsPeer{Conn: c, in: in}
				}
				c.Write((&packets.Connect{Version: packets.V5, ClientID: "deaf", CleanStart: true}).Append(nil, packets.V5))
				if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				begin := time.Now() // of the bubble
				r.stop()
				if took := time.Since(begin); took > lastWrite+lingering {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// BenchmarkTransport is one publisher and one subscriber, both ends and the server in one process. "stream" sends 128-byte
// messages of QoS 0 as fast as they go, 16 in a write; "singly" waits for each message to come back. bytes/op is what
// the subscriber's connection carried; x-tcp is the processor's time, of both ends, as a ratio to plain TCP.
func BenchmarkTransport(b *testing.B) {
	for _, load := range []struct {
		name  string
		batch int
	}{{"stream", 16}, {"singly", 1}} {
		var plain float64 // the first
		for _, tr := range transports {
			b.Run(load.name+"/"+tr.name, func(b *testing.B) {
				nanos := benchmarkTransport(b, &tr, load.batch)
				if tr.name == "tcp" {
					plain = nanos
				}
				if plain > 0 { // else -bench left it out
					b.ReportMetric(nanos/plain, "x-tcp")
				}
			})
		}
	}
}

func benchmarkTransport(b *testing.B, tr *transport, batch int) (cpuNanos float64) {
	_, at := tr.serve(b, Limits{OutBytes: 1 << 28, AcceptsPerSecond: -1})
	message := (&packets.Publish{Topic: "plant/oven/temperature", Payload: make([]byte, 128)}).Append(nil, packets.V4)
	login := func(id string) (net.Conn, *tally) {
		c, wire := tr.dial(b, at)
		c.Write((&packets.Connect{Version: packets.V4, ClientID: id, CleanStart: true, KeepAlive: 60}).Append(nil, packets.V4))
		io.ReadFull(c, make([]byte, 4))
		return c, wire
	}
	sub, wire := login("sub")
	sub.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "plant/#"}}}).Append(nil, packets.V4))
	io.ReadFull(sub, make([]byte, 5))
	pub, _ := login("pub")
	messages := bytes.Repeat(message, batch)
	if tr.ws {
		messages, pub = wsFrame(final|opBinary, messages), pub.(*wsPeer).Conn
	}
	before := wire.bytes.Load()
	var memory, after runtime.MemStats
	runtime.ReadMemStats(&memory)
	cpu := cpuTime()
	b.ResetTimer()
	rounds := (b.N + batch - 1) / batch
	got := make([]byte, len(message))
	if batch == 1 {
		for range rounds {
			pub.Write(messages)
			if _, err := io.ReadFull(sub, got); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		var done sync.WaitGroup
		done.Go(func() {
			if n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.LimitReader(sub, int64(rounds*batch*len(message)))}, make([]byte, 64<<10)); n < int64(rounds*batch*len(message)) {
				b.Errorf("%d bytes: %v", n, err)
			}
		})
		for range rounds {
			pub.Write(messages)
		}
		done.Wait()
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	cpuNanos = float64(cpuTime()-cpu) / float64(rounds*batch)
	b.ReportMetric(cpuNanos, "cpu-ns/op")
	b.ReportMetric(float64(after.Mallocs-memory.Mallocs)/float64(rounds*batch), "mallocs/op")
	b.ReportMetric(float64(wire.bytes.Load()-before)/float64(rounds*batch), "bytes/op")
	return cpuNanos
}

// cpuTime is what this process has used: on a busy machine it tells more than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle reports what a client that has logged in and says nothing costs, its own end included as a socket only.
func BenchmarkIdle(b *testing.B) {
	for _, tr := range transports {
		b.Run(tr.name, func(b *testing.B) {
			_, at := tr.serve(b, Limits{AcceptsPerSecond: -1, ConnectionsPerAddress: -1})
			const n = 400
			var before, after runtime.MemStats
			for range b.N {
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range n {
					c, _ := tr.dial(b, at)
					c.Write((&packets.Connect{Version: packets.V4, ClientID: fmt.Sprint(i), CleanStart: true}).Append(nil, packets.V4))
					io.ReadFull(c, make([]byte, 4))
				}
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&after)
			}
			b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n, "B/client")
		})
	}
}
