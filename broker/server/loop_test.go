//go:build linux

package server

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"edge/broker/brokertest"
)

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

// listen has the rig's connections be real ones, served by event loops, from the next start on; time is r.clock's.
func (r *rig) listen() *rig {
	r.clock = newFakeClock()
	return r
}

// startListening is the part of start that listen asks for.
func (r *rig) startListening() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	go r.Server.Serve(context.Background(), Listener{Listener: l, Name: "tcp", Anonymous: true})
}

// dialLoop opens a connection that an event loop has.
func (r *rig) dialLoop() net.Conn {
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// advance lets time pass, and waits until loops and sessions have seen to what is due.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	r.settle() // what was sent or closed before came before
	r.clock.add(d)
	deadline := time.Now().Add(brokertest.Timeout)
	for r.Server.nextDue() <= 0 {
		if time.Now().After(deadline) {
			r.t.Fatal("a session is due and nothing is done about it")
		}
		select {
		case r.Server.nudge <- struct{}{}:
		default:
		}
	}
	r.settle()
}

// settle waits until the loops have handled what has come, and what is due.
func (r *rig) settle() {
	r.Server.mu.Lock()
	loops := r.Server.loops
	r.Server.mu.Unlock()
	for range 2 { // deadlines are looked at behind the calls of a turn
		for _, l := range loops {
			done := make(chan struct{})
			l.call(func() {
				l.looked = time.Time{} // deadlines are looked at now and then
				close(done)
			})
			<-done
		}
	}
}

// TestScriptsOnLoop runs the conversations of testdata over event loops.
func TestScriptsOnLoop(t *testing.T) {
	brokertest.Run(t, "testdata/*.txt", func(t *testing.T) brokertest.Broker {
		r := (&rig{store: &brokertest.Store{}}).listen().start(t)
		return brokertest.Broker{Dial: r.dialLoop, Advance: r.advance, Restart: r.restart}
	})
}
