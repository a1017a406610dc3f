package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"edge/broker/packets"
)

// attacker is the process that attacks. What an attack expects and does not get ends it with a word.
type attacker struct {
	addr  string
	until time.Time // for attacks that could go on for ever

	mu   sync.Mutex
	kept []net.Conn // or the garbage collector would close them
}

func (a *attacker) failf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(exitFailed)
}

// many is short in a go test and long with EDGE_LONG.
func (a *attacker) many(short, long int) int {
	if longRun() {
		return long
	}
	return short
}

// workers runs f in n goroutines until all have ended.
func (a *attacker) workers(n int, f func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { f(i) })
	}
	running.Wait()
}

// leastTimes is how often an attack is repeated when its time was over before it began.
const leastTimes = 6

// repeat runs f again and again, in four goroutines, until the time is up; n counts each one's calls.
func (a *attacker) repeat(f func(worker, n int)) {
	a.workers(4, func(worker int) {
		for n := 0; n < leastTimes || time.Now().Before(a.until); n++ {
			f(worker, n)
		}
	})
}

// hold waits until the time is up.
func (a *attacker) hold() { <-time.After(time.Until(a.until)) }

// foe is one connection of the attacker. It reads only when it is asked to.
type foe struct {
	net.Conn
	*attacker
	v   packets.Version
	buf []byte
	id  uint16
}

func (a *attacker) dial(v packets.Version) *foe {
	conn, err := net.DialTimeout("tcp", a.addr, 30*time.Second)
	if err != nil {
		a.failf("dial: %v", err)
	}
	a.mu.Lock()
	a.kept = append(a.kept, conn)
	a.mu.Unlock()
	return &foe{Conn: conn, attacker: a, v: v}
}

// login dials and connects; it must be let in.
func (a *attacker) login(v packets.Version, id string, change ...func(*packets.Connect)) *foe {
	f := a.dial(v)
	if ack := f.connect(id, change...); ack.Code != packets.Success {
		a.failf("CONNECT %s: %v", id, ack.Code)
	}
	return f
}

func (f *foe) connect(id string, change ...func(*packets.Connect)) *packets.Connack {
	c := &packets.Connect{Version: f.v, ClientID: id, CleanStart: true}
	for _, g := range change {
		g(c)
	}
	f.send(c)
	return expect[*packets.Connack](f)
}

// send writes packets; that the broker has closed the connection is no news.
func (f *foe) send(list ...packets.Packet) {
	var b []byte
	for _, p := range list {
		b = p.Append(b, f.v)
	}
	f.raw(b)
}

// raw writes bytes and tells whether the broker took them within ten seconds.
func (f *foe) raw(b []byte) bool {
	f.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := f.Write(b)
	return err == nil
}

// next returns the next packet, or why there is none.
func (f *foe) next() (packets.Packet, error) {
	f.SetReadDeadline(time.Now().Add(patience))
	chunk := make([]byte, 64<<10)
	for {
		n, whole, err := packets.FrameLength(f.buf, 0)
		if err != nil {
			return nil, err
		}
		if whole {
			frame := bytes.Clone(f.buf[:n])
			f.buf = f.buf[n:]
			return packets.Decode(f.v, frame)
		}
		n, err = f.Read(chunk)
		f.buf = append(f.buf, chunk[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

func expect[P packets.Packet](f *foe) P {
	p, err := f.next()
	got, ok := p.(P)
	if !ok {
		var want P
		f.failf("expected %s, got %#v %v", want.Type(), p, err)
	}
	return got
}

// end reads until the connection ends, and holds the reason of a DISCONNECT of 5.0 against want.
func (f *foe) end(what string, want packets.ReasonCode) {
	defer f.Close()
	code := packets.Success
	for {
		p, err := f.next()
		if d, ok := p.(*packets.Disconnect); ok {
			code = d.Code
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			f.failf("%s: the connection lives", what)
		}
		if f.v == packets.V5 && code != want {
			f.failf("%s: told %v, not %v", what, code, want)
		}
		return
	}
}

// still fails unless the broker goes on serving the connection. Messages that come before are passed over.
func (f *foe) still(what string) {
	f.send(&packets.Pingreq{})
	for {
		p, err := f.next()
		if err != nil {
			f.failf("%s: %v", what, err)
		}
		if _, ok := p.(*packets.Pingresp); ok {
			return
		}
	}
}

func (f *foe) subscribe(filters ...string) []packets.ReasonCode {
	f.id++
	p := &packets.Subscribe{PacketID: f.id}
	for _, filter := range filters {
		p.Filters = append(p.Filters, packets.Subscription{Filter: filter, QoS: 1})
	}
	f.send(p)
	for {
		p, err := f.next()
		if ack, ok := p.(*packets.Suback); ok {
			return ack.Codes
		}
		if err != nil {
			f.failf("SUBSCRIBE: %v", err)
		}
	}
}

// publish sends a QoS 1 message and returns the code of its PUBACK.
func (f *foe) publish(p packets.Publish) packets.ReasonCode {
	f.id++
	p.QoS, p.PacketID = 1, f.id
	f.send(&p)
	for {
		p, err := f.next()
		if ack, ok := p.(*packets.Puback); ok {
			return ack.Code
		}
		if err != nil {
			f.failf("PUBLISH: %v", err)
		}
	}
}

// drain reads and throws away until the connection ends, in a goroutine that ends with the process.
func (f *foe) drain() { go io.Copy(io.Discard, f.Conn) }
