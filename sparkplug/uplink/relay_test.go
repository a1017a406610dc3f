package uplink

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt3 "github.com/eclipse/paho.mqtt.golang"
)

// A relay is a TCP link between the uplink and a server that can be cut, or swallow everything without a sign.
type relay struct {
	l      net.Listener
	target string

	mu    sync.Mutex // guards the rest
	down  bool
	hole  bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newRelay(t testing.TB, target string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, target: target, conns: map[net.Conn]bool{}}
	r.wg.Go(r.acceptLoop)
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
		r.wg.Wait()
	})
	return r
}

func (r *relay) url() string { return "mqtt://" + r.l.Addr().String() }

func (r *relay) acceptLoop() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", r.target)
		r.mu.Lock()
		if err != nil || r.down {
			_ = c.Close()
			if err == nil {
				_ = s.Close()
			}
			r.mu.Unlock()
			continue
		}
		r.conns[c], r.conns[s] = true, true
		r.mu.Unlock()
		r.wg.Go(func() { r.pump(c, s) })
		r.wg.Go(func() { r.pump(s, c) })
	}
}

// pump copies until one side ends. In a hole it reads on and passes nothing.
func (r *relay) pump(from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		hole := r.hole
		r.mu.Unlock()
		if err == nil && !hole {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			break
		}
	}
	_ = from.Close()
	_ = to.Close()
	r.mu.Lock()
	delete(r.conns, from)
	r.mu.Unlock()
}

// cut drops every connection and takes none.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = true
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hole { // what was in the hole is lost; so are its connections, once they notice
		for c := range r.conns {
			_ = c.Close()
		}
	}
	r.down, r.hole = false, false
}

func (r *relay) blackhole() {
	r.mu.Lock()
	r.hole = true
	r.mu.Unlock()
}

// listen has a checker read everything that reaches a server. It returns whether it listens.
func listen(t testing.TB, address string, c *checker) *atomic.Bool {
	t.Helper()
	var subscribed atomic.Bool
	o := mqtt3.NewClientOptions().AddBroker("tcp://" + address).SetClientID("checker " + t.Name()).SetOrderMatters(true).
		SetMaxReconnectInterval(100 * time.Millisecond)
	o.SetOnConnectHandler(func(cl mqtt3.Client) {
		cl.Subscribe("spBv1.0/#", 0, func(_ mqtt3.Client, msg mqtt3.Message) { c.take(msg.Topic(), msg.Payload()) }).Wait()
		subscribed.Store(true)
	})
	o.SetConnectionLostHandler(func(mqtt3.Client, error) { subscribed.Store(false) })
	cl := mqtt3.NewClient(o)
	if tok := cl.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { cl.Disconnect(0) })
	until(t, "the host is there", subscribed.Load)
	return &subscribed
}
