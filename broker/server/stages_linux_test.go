package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestAcceptWithoutDescriptors: while there are no descriptors the loop does not spin, and those who wait are let in when there are some again.
func TestAcceptWithoutDescriptors(t *testing.T) {
	r := &rig{loops: 1}
	log := logged(r)
	r.over(overLoops).start(t)
	good := r.client(packets.V4, "good", true)
	l, held, goOn := r.Server.loops[0], make(chan struct{}), make(chan struct{})
	l.call(func() { close(held); <-goOn })
	<-held
	var waiting []net.Conn // in the kernel's queue
	for range 3 {
		nc, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		waiting = append(waiting, nc)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	eventually(t, "accept fails", func() bool { return strings.Contains(log.String(), "msg=accept") })
	r.expectFewTurns(t, good, 100)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	r.clock.add(time.Second)
	for i, nc := range waiting {
		brokertest.NewClient(t, nc, packets.V4).Connect(fmt.Sprint("c", i), true)
	}
	if n := strings.Count(log.String(), "msg=accept"); n > 2 {
		t.Errorf("said %d times", n)
	}
}

// TestAcceptsPerSecond: what comes faster waits in the kernel, and costs no turns there.
func TestAcceptsPerSecond(t *testing.T) {
	r := (&rig{limits: Limits{AcceptsPerSecond: 5}}).over(overLoops).start(t)
	for range 12 {
		nc, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for _, want := range []int{5, 10, 12} {
		eventually(t, fmt.Sprint(want, " are accepted"), func() bool { return r.Server.Stats().Connections == want })
		before := r.turns()
		for range 20 {
			r.turns() // a turn each, or two
		}
		if took := r.turns() - before; took > 60 {
			t.Errorf("%d turns while nothing happens", took)
		}
		if got := r.Server.Stats().Connections; got != want {
			t.Errorf("%d accepted, want %d", got, want)
		}
		r.clock.add(time.Second + 2*time.Millisecond)
	}
}

// TestShutdownInEachStage: connections at all stages of their lives, on two loops, do not keep a stop, which leaves no descriptor.
func TestShutdownInEachStage(t *testing.T) {
	a := &slowAuth{began: make(chan struct{}), goOn: make(chan struct{})}
	r := (&rig{auth: a, store: &brokertest.Store{}, loops: 2}).over(overLoops).start(t)
	for i := range 2 { // one of each on each loop
		silent, half := r.dial(), r.dial()
		defer silent.Close()
		defer half.Close()
		half.Write([]byte{0x10, 20, 0})
		stuck, w := r.narrowClient(t, fmt.Sprint("stuck", i), 0)
		defer stuck.Close()
		pub := r.client(packets.V4, fmt.Sprint("pub", i), true)
		for range 20 {
			pub.Send(&packets.Publish{Topic: "t", Payload: make([]byte, 5000)})
		}
		pub.ExpectNothing()
		eventually(t, "it is stuck", w.isStuck)
		refused, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer refused.Close()
		refused.Write(connectPacket(packets.V5, "$no"))
		refused.Read(make([]byte, 100))
		slow := brokertest.NewClient(t, r.dialLoop(), packets.V5)
		slow.Send(&packets.Connect{Version: packets.V5, ClientID: fmt.Sprint("slow", i), CleanStart: true, HasUsername: true, Username: "u"})
		<-a.began
		paused := r.client(packets.V5, fmt.Sprint("paused", i), true)
		r.store.Hold()
		r.store.SetCrowded(true)
		paused.SendRaw(bytes.Repeat((&packets.Publish{Topic: "x", Retain: true, Payload: []byte("x")}).Append(nil, packets.V5), 100))
		eventually(t, "it is paused", r.Server.clientOf(fmt.Sprint("paused", i)).wire.(*looped).isFull)
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), brokertest.Timeout)
		defer cancel()
		stopped <- r.Server.Shutdown(ctx)
	}()
	eventually(t, "it stops", r.Server.isClosed)
	close(a.goOn)
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if st := r.Server.Stats(); st.Connections != 0 || st.Clients != 0 {
		t.Errorf("left: %d connections, %d clients", st.Connections, st.Clients)
	}
	for _, l := range r.Server.loops {
		if left := len(l.conns) + len(l.leaving) + len(l.acceptors); left != 0 {
			t.Errorf("a loop has %d connections and listeners", left)
		}
	}
}

// TestCollectionsDoNotWait: a garbage collection stops the loops while they wait for the kernel; many come to their end in little time.
func TestCollectionsDoNotWait(t *testing.T) {
	r := (&rig{}).over(overLoops).start(t)
	good := r.client(packets.V4, "good", true)
	deadline := time.After(brokertest.Timeout)
	for range 100 {
		good.ExpectNothing() // so that the loop waits without a word to the scheduler
		done := make(chan struct{})
		go func() { runtime.GC(); close(done) }()
		select {
		case <-done:
		case <-deadline:
			t.Fatal("a collection does not come to its end")
		}
	}
}

// TestConnectStorm: hundreds connect, say something and go in all ways at once, and nothing is left of them.
func TestConnectStorm(t *testing.T) {
	r := (&rig{loops: 2, limits: Limits{Clients: -1}}).over(overLoops).start(t)
	const workers, each = 8, 40
	done := make(chan error, workers)
	for worker := range workers {
		go func() {
			for i := range each {
				nc, err := net.Dial("tcp", r.address)
				if err != nil {
					done <- err
					return
				}
				b := connectPacket(packets.V5, fmt.Sprint("c", worker, "-", i%3))
				switch i % 5 {
				case 0: // nothing
				case 1:
					nc.Write(b[:5])
				case 2:
					nc.Write(b)
				case 3:
					nc.Write(append(b, 0xc0, 0, 0x30))
				case 4:
					nc.Write(append(b, 0xe0, 0))
					nc.SetReadDeadline(time.Now().Add(brokertest.Timeout))
					nc.Read(make([]byte, 100))
				}
				if i%2 == 0 {
					nc.(*net.TCPConn).SetLinger(0)
				}
				nc.Close()
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all are gone", func() bool { return r.Server.Stats().Connections == 0 && r.Server.Stats().Sessions == 0 })
	if n := r.registered(t); n != 0 {
		t.Errorf("%d descriptors are looked at", n)
	}
}
