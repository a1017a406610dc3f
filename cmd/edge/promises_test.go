package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/broker/packets"
)

// TestPromises kills the program at random moments under four clients that publish, subscribe, come and go, take over from
// themselves and have wills. Each remembers what an MQTT client has to, and what it was promised; in the end all of it is kept:
// QoS 1 at least once, QoS 2 once, each in order, one will for each connection that was lost, with a delay or without, the last
// retained message, what was subscribed and unsubscribed, and messages that one of several has to get.
func TestPromises(t *testing.T) {
	t.Parallel()
	keepPromises(t, t.TempDir(), cycles(), (*child).kill)
}

// keepPromises runs the clients against a program with its data in dir, which end ends in the middle of it, so many times.
func keepPromises(t *testing.T, dir string, times int, end func(*child)) {
	seed := seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	config := configure(t, t.TempDir(), fmt.Sprintf("data: %s\n", dir))
	all := &promises{t: t, acked: map[string]bool{}, wills: map[string]bool{}, noWills: map[string]bool{}, shared: map[string]bool{},
		sharedGot: map[string]int{}}
	var plants []*plantClient
	for i, id := range []string{"a", "b", "c", "d"} {
		plants = append(plants, &plantClient{promises: all, id: id, version: packets.V4 + packets.Version(i%2),
			rng: rand.New(rand.NewPCG(seed, uint64(i+1))), got: map[string]int{}, last: map[string]int{}, receiving: map[uint16]bool{}})
	}
	for round := range times + 1 {
		c := start(t, config, "EDGE_TEST_AS_PROGRAM=impatient") // with a short log: broker.db is written all the time
		all.checkRetained(c, plants)
		last := round == times
		here := slices.DeleteFunc(slices.Clone(plants), func(*plantClient) bool { return round > 0 && !last && rng.IntN(3) == 0 })
		for _, p := range here { // all listen before anyone speaks
			if p.dial(c.mqtt); !p.subscribed {
				p.subscribe()
			}
		}
		ghost := all.ghost(c, round, rng)
		if last {
			ghost.Close()
		}
		var running sync.WaitGroup
		for _, p := range here {
			if last {
				running.Go(func() { p.drain() })
			} else {
				running.Go(func() { p.run(c.mqtt) })
			}
		}
		if !last {
			<-time.After(time.Duration(20+rng.IntN(200)) * time.Millisecond)
			end(c)
		}
		running.Wait()
		ghost.Close()
		if t.Failed() {
			return
		}
		if last {
			all.checkRetained(c, plants)
		}
	}
	n := 0
	for _, p := range plants {
		n += p.n
	}
	t.Logf("%d messages, %d wills", n, len(all.wills))
}

// promises is what all clients were promised.
type promises struct {
	t       *testing.T
	mu      sync.Mutex
	acked   map[string]bool // messages that everyone has to get
	wills   map[string]bool // of connections that were in force and lost
	noWills map[string]bool // of connections that ended in order, or whose client came back before its will's delay had passed

	shared    map[string]bool // messages that one of those who share a subscription has to get
	sharedGot map[string]int
}

// plantClient is one client with all that it remembers between its connections.
type plantClient struct {
	*promises
	id         string
	version    packets.Version
	rng        *rand.Rand
	subscribed bool

	conn    net.Conn
	buf     []byte
	number  int    // of the connection
	delayed bool   // its will has a delay that does not pass
	settled bool   // something was acknowledged on it, so that its will is in force
	ended   string // will of the connection that ended in order before this one

	out          []*sending
	nextID       uint16
	n            int // messages begun
	retained     int // the last n that was retained
	retainedSure int // the last that was acknowledged

	toggled  toggle         // of the subscription that comes and goes
	toggling packets.Packet // SUBSCRIBE or UNSUBSCRIBE that is not answered

	receiving map[uint16]bool // QoS 2 identifiers between PUBLISH and PUBREL
	got       map[string]int
	last      map[string]int // by topic
}

// sending is a message on its way to the broker.
type sending struct {
	packets.Publish
	n        int
	released bool
}

func (p *plantClient) will() string { return fmt.Sprintf("w/%s %d", p.id, p.number) }

// dial connects, taking over from the connection that may still be there, and goes on with what is unfinished. False: the
// program is gone.
func (p *plantClient) dial(address string) bool {
	old := p.conn
	p.lost()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	p.conn, p.buf, p.settled = conn, nil, false
	p.number++
	will := &packets.Will{Topic: "w/" + p.id, QoS: 2, Payload: fmt.Append(nil, p.number)}
	if p.delayed = p.version == packets.V5 && p.rng.IntN(3) == 0; p.delayed {
		will.Delay = 3600
	}
	p.send(&packets.Connect{Version: p.version, ClientID: p.id, SessionExpiry: 0xFFFFFFFF * uint32(p.version-packets.V4), Will: will})
	ack, ok := p.read(patience).(*packets.Connack)
	if old != nil {
		old.Close()
	}
	if !ok || ack.Code.Failed() { // the disk takes nothing
		return false
	}
	if ack.SessionPresent != p.subscribed {
		p.t.Errorf("%s: session present %t, want %t", p.id, ack.SessionPresent, p.subscribed)
	}
	for _, s := range p.out {
		if s.released {
			p.send(&packets.Pubrel{PacketID: s.PacketID})
		} else {
			s.Dup = true
			p.send(&s.Publish)
		}
	}
	return true
}

func (p *plantClient) subscribe() {
	filters := []packets.Subscription{{Filter: "q/#", QoS: 2}, {Filter: "w/#", QoS: 2}}
	if p.version == packets.V5 {
		filters = append(filters, packets.Subscription{Filter: "$share/all/s/#", QoS: 2})
	}
	p.send(&packets.Subscribe{PacketID: subscribeID, Filters: filters})
	for {
		switch x := p.read(patience).(type) {
		case nil:
			p.t.Errorf("%s: no SUBACK", p.id)
			return
		case *packets.Suback:
			p.subscribed = true
			p.handle(x)
			return
		default:
			p.handle(x)
		}
	}
}

// run does what clients do until the program is killed.
func (p *plantClient) run(address string) {
	for alive := true; alive; {
		switch k := p.rng.IntN(100); {
		case k == 0: // comes again without a word
			alive = p.dial(address)
			continue
		case k == 1:
			p.conn.Close()
			alive = p.dial(address)
			continue
		case k == 2:
			p.send(&packets.Disconnect{})
			p.ended, p.settled = p.will(), false
			for p.read(patience) != nil {
			}
			alive = p.dial(address)
			continue
		case k == 3 && p.version == packets.V5:
			p.toggle()
		case len(p.out) < 20:
			p.publish([...]string{"q", "q", "q", "s", "r"}[k%5], byte(1+k%2))
		}
		for alive {
			x := p.read(time.Duration(p.rng.IntN(3)) * time.Millisecond)
			if x == nil {
				alive = p.conn != nil
				break
			}
			p.handle(x)
		}
	}
	p.lost()
	p.ended = "" // who knows
}

// drain finishes what was begun, and waits for all that was promised.
func (p *plantClient) drain() {
	for end := time.Now().Add(patience); len(p.missing()) > 0 || len(p.out) > 0; {
		for x := p.read(10 * time.Millisecond); x != nil; x = p.read(10 * time.Millisecond) {
			p.handle(x)
		}
		if p.conn == nil || time.Now().After(end) {
			p.t.Errorf("%s: %d unfinished, never got %q", p.id, len(p.out), p.missing())
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.noWills {
		if p.got[key] > 0 {
			p.t.Errorf("%s: got the will %s of a connection that ended in order or whose client came back", p.id, key)
		}
	}
}

func (p *plantClient) missing() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, owed := range []map[string]bool{p.acked, p.wills} {
		for key := range owed {
			if p.got[key] == 0 {
				list = append(list, key)
			}
		}
	}
	for key := range p.shared {
		if p.sharedGot[key] == 0 {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

func (p *plantClient) handle(x packets.Packet) {
	switch x := x.(type) {
	case *packets.Publish:
		p.receive(x)
	case *packets.Pubrel:
		delete(p.receiving, x.PacketID)
		p.send(&packets.Pubcomp{PacketID: x.PacketID})
	case *packets.Puback:
		p.done(x.PacketID)
	case *packets.Pubrec:
		for _, s := range p.out {
			if s.PacketID == x.PacketID {
				s.released = true
				p.promise(s)
			}
		}
		p.send(&packets.Pubrel{PacketID: x.PacketID})
	case *packets.Pubcomp:
		p.done(x.PacketID)
	}
	p.toggleAnswered(x)
	switch x.(type) {
	case *packets.Puback, *packets.Pubcomp, *packets.Suback, *packets.Unsuback:
		p.settled = true
		if p.ended != "" {
			p.mu.Lock()
			p.noWills[p.ended] = true
			p.mu.Unlock()
			p.ended = ""
		}
	}
}

// receive is a receiver as section 4.3 has it.
func (p *plantClient) receive(x *packets.Publish) {
	if x.QoS == 0 && strings.HasPrefix(x.Topic, "w/") { // the disk takes nothing: who listens is told at least
		return
	}
	again := x.QoS == 2 && p.receiving[x.PacketID]
	if x.QoS == 1 {
		p.send(&packets.Puback{PacketID: x.PacketID})
	} else {
		p.receiving[x.PacketID] = true
		p.send(&packets.Pubrec{PacketID: x.PacketID})
	}
	if again {
		return
	}
	key, n := x.Topic+" "+string(x.Payload), 0
	if strings.HasPrefix(x.Topic, "s/") {
		p.receiveShared(key, x)
		return
	}
	fmt.Sscan(string(x.Payload), &n)
	p.got[key]++
	switch first := p.got[key] == 1; {
	case !first && x.QoS == 2:
		p.t.Errorf("%s: got %s %d times, dup %t", p.id, key, p.got[key], x.Dup)
	case first && n <= p.last[x.Topic]:
		p.t.Errorf("%s: got %s behind %d", p.id, key, p.last[x.Topic])
	}
	p.last[x.Topic] = max(p.last[x.Topic], n)
}

func (p *plantClient) done(id uint16) {
	i := slices.IndexFunc(p.out, func(s *sending) bool { return s.PacketID == id })
	if i < 0 {
		return
	}
	p.promise(p.out[i])
	p.out = slices.Delete(p.out, i, i+1)
}

func (p *plantClient) promise(s *sending) {
	if s.Retain {
		p.retainedSure = s.n
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if key := s.Topic + " " + string(s.Payload); strings.HasPrefix(key, "s/") {
		p.shared[key] = true
	} else {
		p.acked[key] = true
	}
}

// lost notes that the connection is gone, and that its will is due, or never.
func (p *plantClient) lost() {
	if p.settled {
		p.mu.Lock()
		if p.delayed {
			p.noWills[p.will()] = true
		} else {
			p.wills[p.will()] = true
		}
		p.mu.Unlock()
	}
	p.conn, p.settled = nil, false
	p.toggleLost()
}

func (p *plantClient) send(x packets.Packet) {
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	p.conn.Write(x.Append(nil, p.version)) //nolint:errcheck // read tells
}

// read returns the next packet, nil if none comes in time or the connection has ended: then conn is nil.
func (p *plantClient) read(wait time.Duration) packets.Packet {
	p.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		if n, whole, _ := packets.FrameLength(p.buf, 0); whole {
			x, err := packets.Decode(p.version, bytes.Clone(p.buf[:n]))
			if err != nil {
				p.t.Errorf("%s: %v", p.id, err)
			}
			p.buf = p.buf[n:]
			return x
		}
		chunk := make([]byte, 4096)
		n, err := p.conn.Read(chunk)
		p.buf = append(p.buf, chunk[:n]...)
		if err != nil && n == 0 {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				p.conn.Close()
				p.lost()
			}
			return nil
		}
	}
}
