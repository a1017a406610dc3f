package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/topic"
)

// What only an event loop can do wrong.

// turns returns how many turns the loops have taken.
func (r *rig) turns() (n uint64) {
	for _, l := range r.Server.loops {
		l.do(func() { n += l.turns })
	}
	return n
}

// registered returns how many descriptors the loops' epolls look at, their own and the listener's not counted.
func (r *rig) registered(t *testing.T) (n int) {
	t.Helper()
	for _, l := range r.Server.loops {
		info, err := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", l.epoll))
		if err != nil {
			t.Skip("no /proc here: ", err)
		}
		n += strings.Count(string(info), "tfd:") - 1
	}
	return n - 1
}

// expectFewTurns fails the test if the loops take turns for nothing while n packets go there and back on c.
func (r *rig) expectFewTurns(t *testing.T, c *brokertest.Client, n int) {
	t.Helper()
	before := r.turns()
	for range n {
		c.ExpectNothing()
	}
	// A packet is one turn, or two if the loop wakes for nothing; calls take one each.
	if took := r.turns() - before; took > uint64(3*n+20) {
		t.Errorf("%d turns for %d packets", took, n)
	}
}

func connectPacket(v packets.Version, id string) []byte {
	return (&packets.Connect{Version: v, ClientID: id, CleanStart: true}).Append(nil, v)
}

// TestLingeringCostsNoTurns: while a refused client does not close, the loop sleeps; when it does, or its time is over, nothing is left.
func TestLingeringCostsNoTurns(t *testing.T) {
	r := (&rig{}).over(overLoops).start(t)
	quiet := r.client(packets.V5, "quiet", true)
	for range 20 {
		nc, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write((&packets.Connect{Version: packets.V5, ClientID: "$no", CleanStart: true}).Append(nil, packets.V5))
		nc.Read(make([]byte, 100)) // CONNACK
	}
	r.expectFewTurns(t, quiet, 200)
	eventually(t, "the refused are gone", func() bool { return r.Server.Stats().Connections == 1 })
	if n := r.registered(t); n != 1 {
		t.Errorf("%d descriptors", n)
	}
}

// TestRefusedIsToldBeforeReset: bytes behind a refused CONNECT do not cost the client the answer, and nobody waits for anything but the
// client's close.
func TestRefusedIsToldBeforeReset(t *testing.T) {
	r := (&rig{auth: rules{connect: passwords}}).over(overLoops).start(t)
	for name, connect := range map[string]*packets.Connect{
		"at once":        {ClientID: "$no"},
		"by a goroutine": {ClientID: "c", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("wrong")},
	} {
		t.Run(name, func(t *testing.T) {
			connect.Version = packets.V5
			for range 20 {
				c := brokertest.NewClient(t, r.dial(), packets.V5)
				c.SendRaw(append(connect.Append(nil, packets.V5), bytes.Repeat([]byte{0xc0, 0}, 100_000)...))
				if ack := brokertest.Expect[*packets.Connack](c); !ack.Code.Failed() {
					t.Errorf("CONNACK %v", ack.Code)
				}
				c.ExpectClosed()
			}
		})
	}
}

// TestRefusedMayGo: a refused client that closes is gone then; its descriptor is not kept for the time that it has to read.
func TestRefusedMayGo(t *testing.T) {
	r := (&rig{auth: rules{connect: passwords}}).over(overLoops).start(t)
	nc := r.dial()
	nc.Write((&packets.Connect{Version: packets.V5, ClientID: "c", HasUsername: true, Username: "u"}).Append(nil, packets.V5))
	nc.Read(make([]byte, 100))
	l := r.Server.loops[0]
	var at time.Time
	eventually(t, "it lingers", func() bool {
		l.do(func() {
			for w := range l.leaving {
				w.closeBy = w.closeBy.Add(time.Hour)
				at = w.closeBy
			}
		})
		return !at.IsZero()
	})
	nc.Close()
	r.quiet()
}

// slowAuth has each login with a user name wait, and tells when it does.
type slowAuth struct {
	allowAll
	began, goOn chan struct{}
}

func (a *slowAuth) Connect(_ context.Context, r auth.ConnectRequest) (auth.Identity, error) {
	if r.Username != "" {
		a.began <- struct{}{}
		<-a.goOn
	}
	if string(r.Password) == "wrong" {
		return auth.Identity{}, &auth.Refused{Code: packets.BadUserNameOrPassword, Reason: auth.ReasonBadLogin}
	}
	return auth.Identity{User: r.Username, ClientID: r.ClientID}, nil
}

// TestPacketsBehindSlowLogin: while a password is checked on a goroutine others are served; what came with CONNECT, in one segment
// or cut anywhere, is handled behind CONNACK, or not at all.
func TestPacketsBehindSlowLogin(t *testing.T) {
	a := &slowAuth{began: make(chan struct{}), goOn: make(chan struct{})}
	r := (&rig{auth: a}).over(overLoops).start(t)
	watcher := r.client(packets.V5, "watcher", true)
	watcher.Subscribe("a", 0)
	for password, right := range map[string]bool{"right": true, "wrong": false} {
		connect := &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: "u", HasPassword: true, Password: []byte(password)}
		wire := connect.Append(nil, packets.V5)
		behind := len(wire)
		wire = (&packets.Publish{Topic: "a", Payload: []byte(password)}).Append(wire, packets.V5)
		wire = (&packets.Pingreq{}).Append(wire, packets.V5)
		for cut := 0; cut < len(wire); cut++ {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			if cut > 0 {
				c.SendRaw(wire[:cut])
				if cut < behind {
					r.quiet()
				}
			}
			c.SendRaw(wire[cut:])
			<-a.began
			watcher.ExpectNothing() // others are served
			a.goOn <- struct{}{}
			ack := brokertest.Expect[*packets.Connack](c)
			if right != (ack.Code == packets.Success) {
				t.Fatalf("cut at %d: CONNACK %v", cut, ack.Code)
			}
			if !right {
				c.ExpectClosed()
				c.Close()
				continue
			}
			brokertest.Expect[*packets.Pingresp](c)
			watcher.Expect(&packets.Publish{Topic: "a", Payload: []byte(password)})
			c.Close()
			r.quiet()
		}
	}
	watcher.ExpectNothing()
}

// TestLoginOnGoroutineEnds: the client goes, or the broker stops, while a login is on a goroutine.
func TestLoginOnGoroutineEnds(t *testing.T) {
	connect := &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: "u"}
	begin := func(t *testing.T) (*rig, *slowAuth, *brokertest.Client) {
		a := &slowAuth{began: make(chan struct{}), goOn: make(chan struct{})}
		r := (&rig{auth: a}).over(overLoops).start(t)
		nc := r.dial()
		nc.(*dialed).Conn.(*net.TCPConn).SetLinger(0) // its close is a reset, which epoll reports unasked
		c := brokertest.NewClient(t, nc, packets.V5)
		c.Send(connect)
		<-a.began
		return r, a, c
	}
	t.Run("the client goes", func(t *testing.T) {
		r, a, c := begin(t)
		quiet := r.client(packets.V5, "quiet", true)
		c.Close()
		r.expectFewTurns(t, quiet, 100)
		a.goOn <- struct{}{}
		eventually(t, "it is gone", func() bool { return r.Server.Stats().Connections == 1 && r.Server.Stats().Sessions == 1 })
	})
	t.Run("the broker stops", func(t *testing.T) {
		r, a, c := begin(t)
		stopped := make(chan struct{})
		go func() { r.stop(); close(stopped) }()
		eventually(t, "it stops", r.Server.isClosed)
		a.goOn <- struct{}{}
		<-stopped
		if p, err := c.Next(); err == nil {
			if ack, ok := p.(*packets.Connack); !ok || ack.Code == packets.Success {
				t.Errorf("got %s", brokertest.Describe(p))
			}
		}
	})
}

// heldTap holds the first connection of each client up where it has its session and its loop does not know yet.
type heldTap struct {
	recorder
	began, goOn chan struct{}
	once        sync.Once
}

func (h *heldTap) Session(e broker.SessionEvent) {
	if e.ClientID == "c" && e.Kind == broker.Connected {
		h.once.Do(func() {
			h.began <- struct{}{}
			<-h.goOn
		})
	}
}

// TestKickedDuringLogin: a connection is taken over, or disconnected, when it has its session and its login is still on a goroutine.
func TestKickedDuringLogin(t *testing.T) {
	connect := &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: "u"}
	for name, c := range map[string]struct {
		kick func(t *testing.T, r *rig)
		want packets.ReasonCode
		left int
	}{
		"taken over":   {func(t *testing.T, r *rig) { brokertest.NewClient(t, r.dial(), packets.V5).Send(connect) }, packets.SessionTakenOver, 1},
		"disconnected": {func(t *testing.T, r *rig) { r.Server.Disconnect("c", broker.ReasonAdmin) }, packets.AdministrativeAction, 0},
		"disconnected by one who is held up in the middle": {func(t *testing.T, r *rig) {
			r.Server.clientOf("c").kickFirst(broker.ReasonAdmin, &packets.Disconnect{Code: packets.AdministrativeAction})
		}, packets.AdministrativeAction, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tap := &heldTap{began: make(chan struct{}), goOn: make(chan struct{})}
			r := (&rig{taps: []broker.Tap{tap}}).over(overLoops).start(t)
			first := brokertest.NewClient(t, r.dial(), packets.V5)
			first.Send(connect)
			<-tap.began
			kicked := r.Server.clientOf("c")
			c.kick(t, r)
			eventually(t, "it is kicked", func() bool { return kicked.reasonKicked() != "" })
			r.turns() // the loop has seen that
			close(tap.goOn)
			brokertest.Expect[*packets.Connack](first)
			if code := first.ExpectClosed(); code != c.want {
				t.Errorf("told %v", code)
			}
			eventually(t, "it is gone", func() bool { return r.Server.Stats().Connections == c.left })
		})
	}
}

// TestQuietAfterLogin: the tests' quiet waits for a login that a goroutine carries out, also when a commit is awaited.
func TestQuietAfterLogin(t *testing.T) {
	a := &slowAuth{began: make(chan struct{}), goOn: make(chan struct{})}
	r := (&rig{store: &brokertest.Store{}, auth: a}).over(overLoops).start(t)
	c := brokertest.NewClient(t, r.dial(), packets.V5)
	c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, HasUsername: true, Username: "u"})
	<-a.began
	r.Server.nextCommit()
	for range 10 {
		if r.isQuiet() {
			t.Error("quiet, and a login goes on")
		}
	}
	a.goOn <- struct{}{}
	brokertest.Expect[*packets.Connack](c)
	r.quiet()
}

// TestHeldUpLoop: a loop that could not run for longer than a keep alive reads what its clients have sent meanwhile before it judges.
func TestHeldUpLoop(t *testing.T) {
	r := (&rig{loops: 1}).over(overLoops).start(t)
	const n = 3 * eventsPerTurn
	var all []net.Conn
	for i := range n {
		c := r.dial()
		defer c.Close()
		c.Write((&packets.Connect{Version: packets.V4, ClientID: fmt.Sprint("c", i), CleanStart: true, KeepAlive: 1}).Append(nil, packets.V4))
		all = append(all, c)
	}
	r.quiet()
	l := r.Server.loops[0]
	l.do(func() { l.looked = l.now })
	held, goOn := make(chan struct{}), make(chan struct{})
	l.call(func() { close(held); <-goOn })
	<-held
	r.clock.add(time.Second)
	for i, c := range all {
		if i > 0 {
			c.Write([]byte{0xc0, 0})
		}
	}
	r.clock.add(5 * time.Second)
	close(goOn)
	eventually(t, "who was silent is gone", func() bool { return r.Server.Stats().Clients < n })
	r.quiet()
	if got := r.Server.Stats().Clients; got != n-1 {
		t.Errorf("%d of %d clients are left", got, n-1)
	}
}

// TestFailedListener: a listener whose accept fails ends its Serve, and no loop; another may be served then.
func TestFailedListener(t *testing.T) {
	r := (&rig{}).over(overLoops).start(t)
	c := r.client(packets.V5, "c", true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(t.Context(), Listener{Listener: l, Name: "second"}) }()
	connect := func(at string) error {
		nc, err := net.Dial("tcp", at)
		if err != nil {
			return err
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(brokertest.Timeout))
		nc.Write(connectPacket(packets.V4, "x"))
		_, err = nc.Read(make([]byte, 4))
		return err
	}
	if err := connect(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // accept fails from now on
	if err := <-served; !errors.Is(err, unix.EINVAL) {
		t.Errorf("Serve: %v", err)
	}
	c.ExpectNothing()
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { served <- r.Server.Serve(ctx, Listener{Listener: again, Name: "second", Anonymous: true}) }()
	if err := connect(again.Addr().String()); err != nil {
		t.Errorf("served again: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestReplayHasItsSlice: a subscription that has to look at many retained topics does so over many turns, so that others have theirs.
func TestReplayHasItsSlice(t *testing.T) {
	r := (&rig{}).over(overLoops).start(t)
	const n = 20 * replaySlice
	for i := range n {
		name := topic.Name(fmt.Sprint("line/", i))
		if _, err := r.router.Publish(&broker.Message{Topic: name, Payload: []byte("x"), Retain: true, From: "$test"}); err != nil {
			t.Fatal(err)
		}
	}
	c := r.client(packets.V5, "c", true)
	before := r.turns()
	c.Subscribe("+/+/none", 0)
	c.Subscribe("+/1", 0)
	if got := brokertest.Expect[*packets.Publish](c); got.Topic != "line/1" || !got.Retain {
		t.Errorf("got %s", got.Topic)
	}
	if turns := r.turns() - before; turns < n/replaySlice {
		t.Errorf("%d topics were looked at in %d turns", n, turns)
	}
}
