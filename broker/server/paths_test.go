package server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker/brokertest"
)

// path is what carries the bytes of a test's connections.
type path bool

const (
	overStreams path = false // goroutines and pipes, in a bubble, where time passes when all are waiting
	overLoops   path = true  // event loops and sockets; time is a clock that the test moves
)

// both runs a test over each path.
func both(t *testing.T, test func(t *testing.T, way path)) {
	t.Helper()
	t.Run("stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, overStreams) })
	})
	if loopsHere {
		t.Run("loop", func(t *testing.T) { test(t, overLoops) })
	}
}

// over has the rig's connections go that way, from the next start on.
func (r *rig) over(way path) *rig {
	if way == overLoops {
		if r.clock == nil {
			r.clock = newFakeClock()
		}
		if r.limits.AcceptsPerSecond == 0 {
			r.limits.AcceptsPerSecond = -1 // it would wait for the clock
		}
	}
	return r
}

// dial opens a connection.
func (r *rig) dial() net.Conn {
	if r.clock != nil {
		return r.dialLoop()
	}
	ours, theirs := net.Pipe()
	r.Server.startConn(context.Background(), theirs, Listener{Name: "pipe", Anonymous: true})
	return ours
}

// pass lets time pass until everything that is due has been done.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	if r.clock == nil {
		pass(d)
		return
	}
	r.quiet() // what was sent or closed before came before
	r.clock.add(d)
	r.quiet()
}

// moment is what time it is for the server.
func (r *rig) moment() time.Time {
	if r.clock == nil {
		return time.Now()
	}
	return r.clock.Now()
}

// quiet waits until the server has done all that it has to do now.
func (r *rig) quiet() {
	r.t.Helper()
	if r.clock == nil {
		synctest.Wait()
		return
	}
	r.until("the server is quiet", r.isQuiet)
}

// until waits for what other goroutines do; outside a bubble.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	eventually(r.t, what, done)
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.After(brokertest.Timeout), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting until %s: %v are over", what, brokertest.Timeout)
		}
	}
}

// fakeClock is a time that moves when a test says so.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Now()} }

// Now is for Options.Now.
func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// dialed is the test's end of a connection over a socket. It knows what the server is still to read.
type dialed struct {
	net.Conn
	written atomic.Int64
	closed  atomic.Bool
}

func (d *dialed) Write(b []byte) (int, error) {
	n, err := d.Conn.Write(b)
	d.written.Add(int64(n))
	return n, err
}

// Read closes the connection at its end, as clients do: the server may be waiting for that.
func (d *dialed) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		d.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	return n, err
}

func (d *dialed) Close() error {
	d.closed.Store(true)
	return d.Conn.Close()
}

// startListening is the part of start that sockets ask for.
func (r *rig) startListening() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	r.ends = new(ends)
	go r.Server.Serve(context.Background(), Listener{Listener: l, Name: "tcp", Anonymous: true})
}

// ends are the connections that a test has opened to one server.
type ends struct {
	mu  sync.Mutex
	all []*dialed
}

// dialLoop opens a connection that an event loop has.
func (r *rig) dialLoop() net.Conn { return r.dialWith(net.Dialer{}) }

func (r *rig) dialWith(dialer net.Dialer) net.Conn {
	nc, err := dialer.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	d := &dialed{Conn: nc}
	r.ends.mu.Lock()
	r.ends.all = append(r.ends.all, d)
	n := uint64(len(r.ends.all))
	r.ends.mu.Unlock()
	r.until("the connection is accepted", func() bool {
		r.Server.mu.Lock()
		defer r.Server.mu.Unlock()
		return r.Server.accepted >= n || r.Server.closed
	})
	return d
}

// isQuiet tells whether the event loops, what they have others do, the store and the sessions have nothing to do.
func (r *rig) isQuiet() bool {
	if r.Server.nextDue() <= 0 {
		select {
		case r.Server.nudge <- struct{}{}: // its timer is of another time
		default:
		}
		return false
	}
	if r.store != nil && !r.store.Idle() {
		return false
	}
	open := r.openEnds()
	for range 2 { // the second look is behind all that the first has seen
		if !r.loopsAreQuiet(open) {
			return false
		}
	}
	return r.store == nil || r.store.Idle()
}

// openEnds are the bytes that the test has written to the server, by the address of its end; of a closed end -1.
func (r *rig) openEnds() map[string]int64 {
	r.ends.mu.Lock()
	defer r.ends.mu.Unlock()
	open := make(map[string]int64)
	for _, d := range r.ends.all {
		n := d.written.Load()
		if d.closed.Load() {
			n = -1
		}
		open[d.LocalAddr().String()] = n
	}
	return open
}

// clientOf returns the connection that a client has.
func (s *Server) clientOf(id string) *conn {
	s.mu.Lock()
	c := s.clients[id]
	s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}
