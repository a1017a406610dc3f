package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker/packets"
)

// generator is the clients of a benchmark, all in one loop on one thread: what it costs it takes from the broker beside it, so it has
// no goroutines, makes packets once, and writes to a connection once in a turn. Everything is 3.1.1.
type generator struct {
	t      testing.TB
	at     unix.SockaddrInet4
	poll   int
	timer  int
	ticked func(n uint64) // the timer, n times since it was read
	conns  map[int32]*wire
	dirty  []*wire
	events []unix.EpollEvent
	buf    []byte
	read   uint64 // bytes, to see that something happens
	begun  time.Time
}

// wire is one client's connection.
type wire struct {
	g       *generator
	fd      int
	in, out []byte // a packet that has begun; what is to be written
	on      func(packet []byte)
	ended   func() // the broker closed it; nil: it must not
	queued  bool   // is in dirty
	waits   bool   // for room in the socket
}

// generate makes the clients of a broker until the test ends.
func generate(t testing.TB, address string) *generator {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{t: t, at: unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}, conns: make(map[int32]*wire),
		events: make([]unix.EpollEvent, 256), buf: make([]byte, 256<<10), begun: time.Now()}
	if g.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if g.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	g.watch(unix.EPOLL_CTL_ADD, g.timer, unix.EPOLLIN)
	t.Cleanup(func() {
		for _, c := range g.conns {
			unix.Close(c.fd)
		}
		unix.Close(g.timer)
		unix.Close(g.poll)
	})
	return g
}

func (g *generator) watch(op, fd int, events uint32) {
	g.t.Helper()
	if err := unix.EpollCtl(g.poll, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}); err != nil {
		g.t.Fatal(err)
	}
}

// now is the time since the generator was made.
func (g *generator) now() time.Duration { return time.Since(g.begun) }

// every has ticked called perSecond times a second; 0 ends it.
func (g *generator) every(perSecond int, ticked func(n uint64)) {
	g.t.Helper()
	var spec unix.ItimerSpec
	if perSecond > 0 {
		spec.Interval = unix.NsecToTimespec(int64(time.Second) / int64(perSecond))
		spec.Value = spec.Interval
	}
	g.ticked = ticked
	if err := unix.TimerfdSettime(g.timer, 0, &spec, nil); err != nil {
		g.t.Fatal(err)
	}
}

// dial opens a connection.
func (g *generator) dial() *wire {
	g.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &wire{g: g, fd: fd}
	g.conns[int32(fd)] = c
	if err := unix.Connect(fd, &g.at); err != nil {
		g.t.Fatal("connect:", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		g.t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		g.t.Fatal(err)
	}
	g.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
	return c
}

// login opens a connection and waits for CONNACK.
func (g *generator) login(id string, clean bool, will *packets.Will) *wire {
	g.t.Helper()
	c := g.dial()
	c.ask((&packets.Connect{Version: packets.V4, ClientID: id, CleanStart: clean, KeepAlive: 60, Will: will}).Append(nil, packets.V4), packets.TypeConnack)
	return c
}

// ask sends a packet and waits for its answer.
func (c *wire) ask(packet []byte, answer packets.Type) {
	c.g.t.Helper()
	got := false
	c.on = func(p []byte) { got = got || packets.Type(p[0]>>4) == answer }
	c.send(packet)
	c.g.until(answer.String(), func() bool { return got })
	c.on = nil
}

// subscribe waits for SUBACK; messages that come with it go to on.
func (c *wire) subscribe(qos byte, filters []string, on func(packet []byte)) {
	c.g.t.Helper()
	acks := 0
	c.on = func(p []byte) {
		switch {
		case packets.Type(p[0]>>4) == packets.TypeSuback:
			acks++
		case on != nil:
			on(p)
		}
	}
	sent := 0
	for len(filters) > 0 {
		some := filters[:min(100, len(filters))]
		s := packets.Subscribe{PacketID: uint16(sent + 1)}
		for _, f := range some {
			s.Filters = append(s.Filters, packets.Subscription{Filter: f, QoS: qos})
		}
		c.send(s.Append(nil, packets.V4))
		filters = filters[len(some):]
		sent++
	}
	c.g.until("SUBACK", func() bool { return acks == sent })
	c.on = on
}

// send writes at the end of the turn.
func (c *wire) send(packet []byte) {
	c.out = append(c.out, packet...)
	c.mark()
}

func (c *wire) mark() {
	if !c.queued {
		c.queued = true
		c.g.dirty = append(c.g.dirty, c)
	}
}

// flush writes what the socket takes.
func (c *wire) flush() {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if !c.waits {
				c.waits = true
				c.g.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT)
			}
			return
		case err != nil:
			c.g.t.Fatal("write:", err)
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
	if c.waits {
		c.waits = false
		c.g.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN)
	}
}

// until has the clients work until done. It fails the test when nothing has come for a time.
func (g *generator) until(what string, done func() bool) {
	g.t.Helper()
	const patience = 20 * time.Second
	last, at := g.read, time.Now()
	for g.flush(); !done(); g.turn() {
		if g.read != last {
			last, at = g.read, time.Now()
		} else if time.Since(at) > patience {
			g.t.Fatalf("waiting for %s: nothing has come for %v", what, patience)
		}
	}
}

func (g *generator) flush() {
	for _, c := range g.dirty {
		c.queued = false
		if !c.waits {
			c.flush()
		}
	}
	g.dirty = g.dirty[:0]
}

// turn handles what has come, and writes.
func (g *generator) turn() {
	n, err := unix.EpollWait(g.poll, g.events, 100)
	if err != nil && err != unix.EINTR {
		g.t.Fatal(err)
	}
	for _, e := range g.events[:max(n, 0)] {
		if int(e.Fd) == g.timer {
			g.tick()
			continue
		}
		c := g.conns[e.Fd]
		if c == nil {
			continue // closed in this turn
		}
		if e.Events&unix.EPOLLOUT != 0 {
			c.flush()
		}
		if e.Events&^unix.EPOLLOUT != 0 {
			c.receive()
		}
	}
	g.flush()
}

func (g *generator) tick() {
	var b [8]byte
	if n, err := unix.Read(g.timer, b[:]); err == nil && n == len(b) && g.ticked != nil {
		g.ticked(binary.NativeEndian.Uint64(b[:]))
	}
}

// receive reads once and handles the packets that are complete.
func (c *wire) receive() {
	n, err := unix.Read(c.fd, c.g.buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if err != nil || n == 0 {
		c.close()
		if c.ended == nil {
			c.g.t.Fatalf("the broker closed a connection: %v", err)
		}
		c.ended()
		return
	}
	c.g.read += uint64(n)
	b := c.g.buf[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	for len(b) > 0 {
		size, complete, err := packets.FrameLength(b, 0)
		if err != nil {
			c.g.t.Fatalf("the broker sent % x...: %v", b[:min(len(b), 16)], err)
		}
		if !complete {
			break
		}
		if c.on != nil {
			c.on(b[:size])
		}
		b = b[size:]
	}
	c.in = append(c.in[:0], b...)
}

func (c *wire) close() {
	delete(c.g.conns, int32(c.fd))
	unix.Close(c.fd)
}

// leave disconnects all clients and waits until the broker has closed their connections.
func (g *generator) leave() {
	g.t.Helper()
	for _, c := range g.conns {
		c.on, c.ended = nil, func() {}
		c.send([]byte{byte(packets.TypeDisconnect) << 4, 0})
	}
	g.until(fmt.Sprintf("the end of %d connections", len(g.conns)), func() bool { return len(g.conns) == 0 })
}
