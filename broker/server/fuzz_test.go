package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// FuzzClients turns bytes into what three hostile clients do, in any order: valid packets, bytes of any kind, halves of packets,
// take-overs, ends, time, a journal that is held back. An honest client stands beside them and is never harmed; nobody gets a message that it did not subscribe
// to; QoS 2 comes once; and when all have gone and their sessions have expired, nothing is left of them.
func FuzzClients(f *testing.F) {
	files, err := filepath.Glob("../packets/testdata/streams/*.client")
	if err != nil || len(files) == 0 {
		f.Fatal("no streams: ", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		seed := []byte{}
		for len(b) > 0 { // dial, and then the stream in pieces
			n := min(len(b), 200)
			seed = append(append(append(seed, 0, 0, byte(n)), b[:n]...), 10)
			b = b[n:]
		}
		f.Add(seed)
	}
	f.Add([]byte("\x01\x00\x00\x02\x00\x01\x02\x01\x01\x10\x02\x00\x02\x03\x01\x01\x00\x05\x00\x08\x02"))
	f.Add([]byte("\x01\x00\x07\x01\x01\x07\x01\x02\x07\x02\x00\x04\x02\x01\x05\x09\x0a\x02\x00\x03\x0a\x05\x01\x06\x03\x08\x01\x0a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		synctest.Test(t, func(t *testing.T) { runSchedule(t, raw) })
	})
}

// TestSchedules runs FuzzClients' schedules from random bytes: without coverage to look after it gets through many more. EDGE_LONG
// is for how many thousand.
func TestSchedules(t *testing.T) {
	seed, n := rand.Uint64(), 200
	if thousands, err := strconv.Atoi(os.Getenv("EDGE_LONG")); err == nil {
		n = 1000 * max(20, thousands)
	}
	if set, err := strconv.ParseUint(os.Getenv("EDGE_SEED"), 10, 64); err == nil {
		seed = set
	}
	t.Logf("seed %d, %d schedules: set EDGE_SEED to take the same", seed, n)
	for i := range n {
		rnd := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%020d%012d", seed, i)))
		raw := make([]byte, 100+rnd.Uint64()%1000)
		rnd.Read(raw)
		if !t.Run(strconv.Itoa(i), func(t *testing.T) { in(t, func(t *testing.T) { runSchedule(t, raw) }) }) {
			t.Fatalf("schedule %q", raw)
		}
	}
}

// maxActions bounds one schedule.
const maxActions = 100

func runSchedule(t *testing.T, raw []byte) {
	portion := len(raw) % 2  // 1: each message is routed in the smallest
	goes := len(raw) / 2 % 2 // and delivered
	r := (&rig{store: &brokertest.Store{}, portion: portion, goes: goes, limits: Limits{Inflight: 3, QueueMessages: 10, QueueBytes: 20000, TotalQueueBytes: 40000,
		OutBytes: 4000, TotalOutBytes: 10000, ReceiveMaximum: 5, Subscriptions: 4, TotalFilterBytes: 8000, PacketBytes: 4096,
		ConnectPacketBytes: 512, TopicLevels: 4, TopicAlias: 4, AliasBytes: 20, Sessions: 5}}).start(t)
	s := &schedule{t: t, rig: r, dice: dice{raw}, filters: map[string][]topic.Filter{}, shares: map[string]bool{}, once: map[string]int{}}
	s.honest = r.client(packets.V4, "honest", true)
	s.honest.Subscribe("h/#", 1)
	s.observer = r.client(packets.V4, "observer", true)
	s.observer.Subscribe("t/#", 2)
	clean := r.Server.Stats()
	for range maxActions {
		if len(s.dice.b) == 0 {
			break
		}
		s.step()
	}
	s.honestRound()
	for i := range s.foes {
		s.hangUp(i)
	}
	r.store.Commit()
	pass(25 * time.Hour)
	r.store.Commit()
	synctest.Wait()
	s.observe()
	s.honestRound()
	s.judge(clean)
}

// schedule is one run.
type schedule struct {
	t        *testing.T
	rig      *rig
	dice     dice
	foes     [3]*foe
	honest   *brokertest.Client
	observer *brokertest.Client
	n        int // messages

	mu      sync.Mutex
	filters map[string][]topic.Filter // by client identifier: all that it ever asked for
	shares  map[string]bool           // by client identifier: it was there with 5.0, in which its filters may be shared
	once    map[string]int            // payloads of QoS 2, and how often the observer got them
	failed  string
}

// dice gives out the bytes of the input, zeros at its end.
type dice struct{ b []byte }

func (d *dice) next(below int) int {
	if len(d.b) == 0 {
		return 0
	}
	n := int(d.b[0]) % below
	d.b = d.b[1:]
	return n
}

func (d *dice) bytes(n int) []byte {
	n = min(n, len(d.b))
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// step is one action.
func (s *schedule) step() {
	d := &s.dice
	op, i := d.next(11), d.next(len(s.foes))
	f := s.foes[i]
	if f == nil && op != 9 && op != 10 {
		f = s.dial(i, packets.V4+packets.Version(op%2))
	}
	switch op {
	case 0: // any bytes
		s.mayComeAgain()
		f.write(d.bytes(d.next(256)))
	case 1, 2:
		s.connect(f)
	case 3, 4:
		f.write(s.packet(f))
	case 5: // a part of a packet
		s.mayComeAgain()
		p := s.packet(f)
		f.write(p[:d.next(256)%(len(p)+1)])
	case 6: // two at once
		f.write(append(s.packet(f), s.packet(f)...))
	case 7:
		s.hangUp(i)
	case 8:
		f.reads.Store(d.next(3) != 0)
	case 9:
		switch d.next(4) {
		case 0:
			s.rig.store.Hold()
		default:
			s.rig.store.Commit()
		}
	case 10:
		pass([]time.Duration{0, 100 * time.Millisecond, time.Second, 6 * time.Second, 21 * time.Second, 400 * time.Second}[d.next(6)])
		s.honestRound()
	}
	synctest.Wait()
	s.observe()
}

// connect sends CONNECT; on a connection that has sent one it is a fault.
func (s *schedule) connect(f *foe) {
	d := &s.dice
	s.mayComeAgain()
	c := &packets.Connect{Version: f.v, ClientID: []string{"a", "b", "c", "honestly"}[d.next(4)], CleanStart: d.next(2) == 0, KeepAlive: uint16(d.next(3) * 60)}
	if f.v == packets.V5 {
		c.SessionExpiry = uint32(d.next(3) * 200)
		c.ReceiveMaximum = uint16(d.next(4))
		c.MaximumPacketSize = uint32(d.next(3) * 60)
		c.TopicAliasMaximum = uint16(d.next(3))
	}
	if d.next(2) == 0 {
		c.Will = &packets.Will{Topic: s.topic(), QoS: byte(d.next(3)), Retain: d.next(4) == 0, Payload: []byte("will")}
		if f.v == packets.V5 {
			c.Will.Delay = uint32(d.next(3) * 5)
		}
	}
	f.write(c.Append(nil, f.v))
}

func (s *schedule) topic() string { return []string{"t/a", "t/b", "t/a/b", "x"}[s.dice.next(4)] }

// packet is a valid one with fields from the input.
func (s *schedule) packet(f *foe) []byte {
	d := &s.dice
	id := uint16(1 + d.next(4))
	var p packets.Packet
	switch d.next(10) {
	case 0:
		p = &packets.Subscribe{PacketID: id, Filters: []packets.Subscription{
			{Filter: []string{"t/#", "t/+", "x", "$share/g/t/#", "#", "t/a"}[d.next(6)], QoS: byte(d.next(3))}}}
	case 1:
		p = &packets.Unsubscribe{PacketID: id, Filters: []string{[]string{"t/#", "t/+", "#"}[d.next(3)]}}
	case 2:
		p = &packets.Puback{PacketID: id}
	case 3:
		p = &packets.Pubrec{PacketID: id}
	case 4:
		s.mayComeAgain()
		p = &packets.Pubrel{PacketID: id}
	case 5:
		p = &packets.Pubcomp{PacketID: id}
	case 6:
		p = &packets.Disconnect{}
	case 7: // the last QoS 2 message again
		if f.last == nil {
			return nil
		}
		again := bytes.Clone(f.last)
		again[0] |= 8
		return again
	default:
		s.n++
		m := &packets.Publish{Topic: s.topic(), QoS: byte(d.next(3)), Retain: d.next(4) == 0, Payload: fmt.Appendf(nil, "%d %s", s.n, bytes.Repeat([]byte("x"), d.next(8)*200))}
		if m.QoS > 0 {
			m.PacketID = id
		}
		if m.QoS == 2 {
			s.mu.Lock()
			s.once[string(m.Payload)] = 0
			s.mu.Unlock()
		}
		if f.v == packets.V5 {
			m.TopicAlias = uint16(d.next(3))
		}
		p = m
	}
	b := p.Append(nil, f.v)
	if b[0]>>4 == byte(packets.TypePublish) && b[0]&6 == 4 {
		f.last = b
	}
	return b
}

// mayComeAgain: after a PUBREL, or on another connection, a QoS 2 message that is sent again may be another one.
func (s *schedule) mayComeAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.once)
}

// honestRound: the honest client publishes to itself and gets it, whatever the others do. A journal that is held back holds
// its acknowledgement back only if someone else has to have the message on disk.
func (s *schedule) honestRound() {
	s.n++
	want := fmt.Appendf(nil, "honest %d", s.n)
	id := s.honest.NextID()
	s.honest.Send(&packets.Publish{Topic: "h/x", QoS: 1, PacketID: id, Payload: want})
	p := s.honest.Await("its own message", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
	if !bytes.Equal(p.Payload, want) {
		s.t.Fatalf("the honest client got %q, not %q", p.Payload, want)
	}
	s.honest.Acknowledge(p)
	synctest.Wait()
	s.rig.store.Commit()
	s.honest.Await("PUBACK", func(p packets.Packet) bool { return p.Type() == packets.TypePuback })
}

// observe takes what the observer got and completes it.
func (s *schedule) observe() {
	for {
		s.observer.Send(&packets.Pingreq{})
		p, err := s.observer.Next()
		if err != nil {
			s.t.Fatalf("observer: %v", err)
		}
		for ; p.Type() != packets.TypePingresp; p, err = s.observer.Next() {
			if err != nil {
				s.t.Fatalf("observer: %v", err)
			}
			switch p := p.(type) {
			case *packets.Publish:
				s.seen(p)
			case *packets.Pubrel:
				s.observer.Send(&packets.Pubcomp{PacketID: p.PacketID})
			}
		}
		synctest.Wait()
		if s.rig.waitsFor("observer") == 0 {
			break
		}
		s.rig.store.Commit()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != "" {
		s.t.Fatal(s.failed)
	}
}

func (s *schedule) seen(p *packets.Publish) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, isOnce := s.once[string(p.Payload)]; isOnce {
		if s.once[string(p.Payload)]++; n > 0 {
			s.t.Fatalf("%.20q came %d times", p.Payload, n+1)
		}
	}
	switch p.QoS {
	case 1:
		s.observer.Send(&packets.Puback{PacketID: p.PacketID})
	case 2:
		s.observer.Send(&packets.Pubrec{PacketID: p.PacketID})
	}
}

// waitsFor is how many messages are on their way to a client.
func (r *rig) waitsFor(id string) int {
	for _, c := range r.Server.Clients() {
		if c.ClientID == id {
			return c.Inflight + c.Queued
		}
	}
	return 0
}

// judge looks at what is left when all foes have gone.
func (s *schedule) judge(clean broker.Stats) {
	t, srv := s.t, s.rig.Server
	st := srv.Stats()
	if st.Clients != 2 || st.Connections != 2 || st.Sessions != 2 || st.Subscriptions != clean.Subscriptions || st.Inflight+st.Queued != 0 || st.OutboxBytes != 0 {
		t.Errorf("left behind: %+v", st)
	}
	l := &srv.sessionLimits
	if l.Total.Used() != 0 || l.Wills.Used() != 0 || l.Filters.Used() != session.FilterCost("h/#")+session.FilterCost("t/#") {
		t.Errorf("left behind: %d bytes of messages, %d of wills, %d of filters", l.Total.Used(), l.Wills.Used(), l.Filters.Used())
	}
	if out := srv.outBytes.Load(); out != 0 || srv.half.bytes != 0 || len(srv.half.of) != 0 {
		t.Errorf("left behind: %d bytes in outboxes, %d of packets", out, srv.half.bytes)
	}
	if n := len(srv.waiting); n != 0 {
		t.Errorf("%d connections wait for the journal", n)
	}
	if diff := cmp.Diff(s.rig.sessions(), srv.Snapshots(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what the store has and what the server has (-store +server):\n%s", diff)
	}
	if n := st.Logins - 2; n > st.Accepted-2 {
		t.Errorf("%d logins of %d connections", n, st.Accepted)
	}
}

// foe is one hostile connection.
type foe struct {
	*schedule
	net.Conn
	v      packets.Version
	reads  atomic.Bool   // it reads what it gets
	last   []byte        // its last QoS 2 message
	closed chan struct{} // by hangUp
	ended  chan struct{} // by readLoop

	out  sync.Mutex // one write at a time, in the order in which twin sees them
	twin []byte     // what was sent and is not a whole packet yet
	id   string
}

func (s *schedule) dial(i int, v packets.Version) *foe {
	f := &foe{schedule: s, Conn: s.rig.dial(), v: v, closed: make(chan struct{}), ended: make(chan struct{})}
	f.reads.Store(true)
	s.foes[i] = f
	go f.readLoop()
	return f
}

func (s *schedule) hangUp(i int) {
	if f := s.foes[i]; f != nil {
		close(f.closed)
		f.Close()
		<-f.ended
		s.foes[i] = nil
	}
}

// write sends bytes, or as many as the broker takes in a second.
func (f *foe) write(b []byte) {
	f.out.Lock()
	defer f.out.Unlock()
	f.note(b)
	f.SetWriteDeadline(time.Now().Add(time.Second))
	if n, _ := f.Write(b); n < len(b) {
		f.Close() // or note would not know what the broker has got
	}
}

// note remembers which filters the client asks for.
func (f *foe) note(b []byte) {
	f.twin = append(f.twin, b...)
	for {
		n, whole, err := packets.FrameLength(f.twin, 0)
		if err != nil || !whole {
			return
		}
		frame := f.twin[:n:n]
		f.twin = f.twin[n:]
		if f.id == "" && frame[0]>>4 == byte(packets.TypeConnect) {
			f.v = packets.ConnectVersion(frame)
		}
		p, _ := packets.Decode(f.v, frame)
		switch p := p.(type) {
		case *packets.Connect:
			if f.id == "" { // a second one is a fault
				f.id = p.ClientID
				f.mu.Lock()
				f.shares[f.id] = f.shares[f.id] || f.v == packets.V5
				f.mu.Unlock()
			}
		case *packets.Subscribe:
			f.mu.Lock()
			for _, sub := range p.Filters {
				f.filters[f.id] = append(f.filters[f.id], topic.Filter(sub.Filter))
			}
			f.mu.Unlock()
		}
	}
}

// readLoop reads what the broker sends and holds it against what was asked for.
func (f *foe) readLoop() {
	defer close(f.ended)
	var buf []byte
	chunk := make([]byte, 4096)
	aliases := map[uint16]string{}
	for {
		for !f.reads.Load() {
			select {
			case <-f.closed:
				return
			case <-time.After(time.Second):
			}
		}
		n, err := f.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			n, whole, err := packets.FrameLength(buf, 0)
			if err != nil {
				f.fail("the broker sent % x", buf)
				return
			}
			if !whole {
				break
			}
			p, err := packets.Decode(f.v, buf[:n:n])
			if err != nil {
				f.fail("the broker sent % x: %v", buf[:n], err)
				return
			}
			buf = buf[n:]
			if p, ok := p.(*packets.Publish); ok {
				f.got(p, aliases)
			}
		}
	}
}

func (f *foe) got(p *packets.Publish, aliases map[uint16]string) {
	if p.TopicAlias > 0 && p.Topic != "" {
		aliases[p.TopicAlias] = p.Topic
	}
	name := p.Topic
	if name == "" {
		name = aliases[p.TopicAlias]
	}
	f.mu.Lock()
	wanted := false
	for _, filter := range f.filters[f.id] {
		wanted = wanted || topic.Match(filter, topic.Name(name))
		if f.shares[f.id] {
			_, inner := splitShare(filter, byte(packets.V5))
			wanted = wanted || topic.Match(inner, topic.Name(name))
		}
	}
	f.mu.Unlock()
	if !wanted {
		f.fail("%q got a message on %q; it asked for %q", f.id, name, f.filters[f.id])
	}
}

func (f *foe) fail(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = fmt.Sprintf(format, args...)
}
