package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// dialNarrow opens a connection that few bytes fit into.
func (r *rig) dialNarrow() net.Conn {
	return r.dialWith(net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) })
	}})
}

// narrow has the kernel take few bytes at once for a client.
func (r *rig) narrow(id string) *looped {
	w := r.Server.clientOf(id).wire.(*looped)
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2048)
	return w
}

// patient reads from a connection that few bytes fit into. How long it takes to read all is the machine's: each read has its own
// deadline. What was read is acknowledged at once: until the kernel does so by itself, 40 ms later, nothing more may fit.
type patient struct{ *dialed }

func (p patient) Read(b []byte) (int, error) {
	raw, err := p.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	p.SetReadDeadline(time.Now().Add(brokertest.Timeout))
	return p.dialed.Read(b)
}

// narrowClient connects a client, subscribed to a topic, that reads only what read is told to.
func (r *rig) narrowClient(t *testing.T, id string, qos byte) (nc net.Conn, w *looped) {
	t.Helper()
	nc = patient{r.dialNarrow().(*dialed)}
	t.Cleanup(func() { nc.Close() })
	b := connectPacket(packets.V4, id)
	b = (&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "t", QoS: qos}}}).Append(b, packets.V4)
	nc.Write(b)
	if _, err := io.ReadFull(nc, make([]byte, 4+5)); err != nil {
		t.Fatal(err)
	}
	return nc, r.narrow(id)
}

func (w *looped) isStuck() bool {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	return !w.stuck.IsZero()
}

// TestPartialWrites: messages small and large, copied and not, through a connection that takes a piece at a time: all come, whole and in
// their order, whatever the pieces in which the client reads.
func TestPartialWrites(t *testing.T) {
	r := (&rig{}).over(overLoops).start(t)
	nc, w := r.narrowClient(t, "sub", 0)
	pub := r.client(packets.V4, "pub", true)
	var want []byte
	for i := range 200 { // more pieces than one writev takes
		size := []int{0, 1, copyBelow - 1, copyBelow, copyBelow + 1, 5000, 9000}[i%7]
		p := &packets.Publish{Topic: "t", Payload: bytes.Repeat([]byte{byte(i)}, size)}
		pub.Send(p)
		want = p.Append(want, packets.V4)
	}
	pub.ExpectNothing()
	r.quiet()
	if !w.isStuck() {
		t.Fatal("the kernel took everything")
	}
	got := make([]byte, 0, len(want))
	for step := 1; len(got) < len(want); step = step%4099 + 1 {
		n := min(step*7, len(want)-len(got))
		if _, err := io.ReadFull(nc, got[len(got):len(got)+n]); err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(got), len(want), err)
		}
		got = got[:len(got)+n]
	}
	if !bytes.Equal(got, want) {
		t.Error("what was read is not what was sent")
	}
	r.quiet()
	if w.isStuck() {
		t.Error("waits to write though all was read")
	}
}

// TestSlowReader: who does not read his answers is not read from, costs no turns, and is served on when he reads; who never does is
// ended when his time is over. Meanwhile another has its answers.
func TestSlowReader(t *testing.T) {
	r := (&rig{limits: Limits{OutBytes: 4000}}).over(overLoops).start(t)
	good := r.client(packets.V4, "good", true)
	nc, w := r.narrowClient(t, "slow", 0)
	const pings = 100_000
	wrote := make(chan error, 1)
	go func() {
		_, err := nc.Write(bytes.Repeat([]byte{0xc0, 0}, pings))
		wrote <- err
	}()
	eventually(t, "reading is paused", w.isFull)
	r.expectFewTurns(t, good, 100)
	if bytes := w.received.bytes.Load(); bytes > 2*readBuffer {
		t.Errorf("%d bytes were read", bytes)
	}
	if _, err := io.ReadFull(nc, make([]byte, 2*pings)); err != nil {
		t.Errorf("the answers: %v", err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("write: %v", err)
	}
	go nc.Write(bytes.Repeat([]byte{0xc0, 0}, 20*pings)) // and reads no more
	eventually(t, "reading is paused", w.isFull)
	eventually(t, "the slow one is gone", func() bool {
		r.clock.add(11 * time.Second) // the kernel may have taken a little more meanwhile
		r.Server.loops[0].do(func() { r.Server.loops[0].looked = time.Time{} })
		return r.Server.Stats().Connections == 1
	})
	if n := r.Server.Refusals()[RefuseSlow]; n != 1 {
		t.Errorf("counted %v", r.Server.Refusals())
	}
	good.ExpectNothing()
}

// TestHalfOpen: clients that shut one direction, or reset the connection, while all is well, while they are not read from and while they do
// not read, are gone at once or when their time is over, and cost no turns until then.
func TestHalfOpen(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"no more is sent": func(c *net.TCPConn) { c.CloseWrite() },
		"reset":           func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"closed":          func(c *net.TCPConn) { c.Close() },
	} {
		for state, prepare := range map[string]func(t *testing.T, r *rig, nc net.Conn, w *looped){
			"well": func(*testing.T, *rig, net.Conn, *looped) {},
			"not read from": func(t *testing.T, r *rig, nc net.Conn, w *looped) {
				r.store.Hold()
				r.store.SetCrowded(true)
				nc.Write((&packets.Publish{Topic: "x", Retain: true, Payload: []byte("x")}).Append(nil, packets.V4))
				eventually(t, "it is paused", w.isFull)
			},
			"not reading": func(t *testing.T, r *rig, nc net.Conn, w *looped) {
				pub := r.client(packets.V4, "pub", true)
				for range 100 {
					pub.Send(&packets.Publish{Topic: "t", Payload: make([]byte, 5000)})
				}
				pub.ExpectNothing()
				pub.Send(&packets.Disconnect{})
				pub.ExpectClosed()
				eventually(t, "it is stuck", w.isStuck)
			},
		} {
			t.Run(name+", "+state, func(t *testing.T) {
				r := (&rig{store: &brokertest.Store{}}).over(overLoops).start(t)
				good := r.client(packets.V4, "good", true)
				nc, w := r.narrowClient(t, "c", 0)
				prepare(t, r, nc, w)
				end(nc.(patient).Conn.(*net.TCPConn))
				r.expectFewTurns(t, good, 100)
				r.store.SetCrowded(false)
				r.store.Commit()
				r.clock.add(11 * time.Second)
				eventually(t, "it is gone", func() bool {
					r.Server.loops[0].do(func() { r.Server.loops[0].looked = time.Time{} })
					return r.Server.Stats().Connections == 1
				})
				if n := r.registered(t); n != 1 {
					t.Errorf("%d descriptors are looked at", n)
				}
				good.ExpectNothing()
			})
		}
	}
}

// TestDescriptorUsedAgain: an event of a connection that was closed in the same turn does not reach the one that has its descriptor now.
func TestDescriptorUsedAgain(t *testing.T) {
	r := (&rig{loops: 1}).over(overLoops).start(t)
	r.client(packets.V4, "c", true)
	l := r.Server.loops[0]
	w := r.Server.clientOf("c").wire.(*looped)
	l.do(func() {
		old := l.sources[w.fd].generation
		l.control(unix.EPOLL_CTL_DEL, w.fd, 0, 0)
		if err := w.register(); err != nil {
			t.Error(err)
		}
		if l.sources[w.fd].generation == old {
			t.Error("the same generation again")
		}
	})
}

// TestPausedTimeDoesNotCount: a client that is not read from, because the disk is behind, is not called silent for that time, nor is its
// packet late; afterwards its keep alive goes on as before.
func TestPausedTimeDoesNotCount(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}}).over(way).start(t)
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, KeepAlive: 2})
		brokertest.Expect[*packets.Connack](c)
		r.store.Hold()
		r.store.SetCrowded(true)
		half := []byte{0x30, 4, 0, 1} // the beginning of another message
		c.SendRaw(append((&packets.Publish{Topic: "a", Retain: true, Payload: []byte("x")}).Append(nil, packets.V5), half...))
		r.pass(time.Minute)
		r.store.SetCrowded(false)
		r.store.Commit()
		r.pass(time.Second)
		c.SendRaw([]byte{'b', 0})
		c.ExpectNothing()
		r.pass(2900 * time.Millisecond)
		c.ExpectNothing()
		r.pass(3100 * time.Millisecond)
		if code := c.ExpectClosed(); code != packets.KeepAliveTimeout {
			t.Errorf("told %v", code)
		}
	})
}

// TestLoopsDeliverToEachOther: each of many clients, on three event loops or on goroutines, sends to all: everything comes, in the order of each
// publisher.
func TestLoopsDeliverToEachOther(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{loops: 3, limits: Limits{OutBytes: 20_000, Inflight: 7}}).over(way).start(t)
		const clients, messages = 9, 120
		var all []*brokertest.Client
		for i := range clients {
			c := r.client(packets.V4+packets.Version(i%2), fmt.Sprint("c", i), true)
			c.Subscribe("all/+", byte(1+i%2))
			all = append(all, c)
		}
		ended := make(chan error, clients)
		for i, c := range all {
			go func() { ended <- talkToAll(c, i, clients, messages) }()
		}
		for range clients {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// talkToAll sends n messages of QoS 1 and 2 and acknowledges those of all clients, whose order it checks.
func talkToAll(c *brokertest.Client, me, clients, n int) error {
	next := make([]int, clients)
	send := func(p packets.Packet) error { return c.TrySendRaw(p.Append(nil, c.Version)) }
	publish := func(i int) error {
		return send(&packets.Publish{Topic: fmt.Sprint("all/", me), QoS: byte(1 + i%2), PacketID: uint16(i + 1), Payload: []byte{byte(i)}})
	}
	if err := publish(0); err != nil {
		return err
	}
	for sent, got, done := 1, 0, 0; got < clients*n || done < n; {
		p, err := c.Next()
		if err != nil {
			return fmt.Errorf("client %d, %d sent, %d got: %w", me, done, got, err)
		}
		finished := false
		switch p := p.(type) {
		case *packets.Publish:
			from := int(p.Topic[len(p.Topic)-1] - '0')
			if int(p.Payload[0]) != next[from] {
				return fmt.Errorf("client %d got %d of %d instead of %d", me, p.Payload[0], from, next[from])
			}
			next[from]++
			got++
			if p.QoS == 1 {
				err = send(&packets.Puback{PacketID: p.PacketID})
			} else {
				err = send(&packets.Pubrec{PacketID: p.PacketID})
			}
		case *packets.Pubrel:
			err = send(&packets.Pubcomp{PacketID: p.PacketID})
		case *packets.Pubrec:
			err = send(&packets.Pubrel{PacketID: p.PacketID})
		case *packets.Puback, *packets.Pubcomp:
			done++
			finished = true
		}
		if err == nil && finished && sent < n {
			err = publish(sent)
			sent++
		}
		if err != nil {
			return err
		}
	}
	return nil
}
