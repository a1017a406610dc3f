package server

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// pool is a shared subscription whose members come, go and acknowledge as chance has it, and what became of each message. It is the
// model: a message is finished by whom it was given to, once, unless a connection broke while it was not answered.
type pool struct {
	t       *testing.T
	rt      *rapid.T
	rig     *rig
	pub     *brokertest.Client
	members []*poolMember
	sent    []*poolMessage
}

type poolMessage struct {
	qos      byte
	finished int // by members
	broken   int // connections with it unanswered
	excused  bool
}

type poolMember struct {
	id      string
	keeps   bool // its session outlives its connection
	member  bool
	client  *brokertest.Client
	pending []*packets.Publish    // not answered
	begun   map[*poolMessage]bool // of QoS 2, with this session
}

func (p *pool) connect(m *poolMember) {
	connect := &packets.Connect{Version: packets.V5, ClientID: m.id, ReceiveMaximum: uint16(rapid.IntRange(1, 3).Draw(p.rt, "receive maximum"))}
	if m.keeps {
		connect.SessionExpiry = 3600
	}
	c := brokertest.NewClient(p.t, p.rig.dial(), packets.V5)
	c.Send(connect)
	if present := brokertest.Expect[*packets.Connack](c).SessionPresent; !present {
		c.Subscribe("$share/g/t", 2)
		m.begun = make(map[*poolMessage]bool)
	}
	m.client, m.pending, m.member = c, nil, true
}

// read takes what has come to a member, and tells whether anything did.
func (p *pool) read(m *poolMember) (any bool) {
	synctest.Wait()
	m.client.Send(&packets.Pingreq{})
	for {
		x, err := m.client.Next()
		if err != nil {
			p.t.Fatal(err)
		}
		switch x := x.(type) {
		case *packets.Pingresp:
			return any
		case *packets.Publish:
			m.pending = append(m.pending, x)
			m.begun[p.message(x)] = x.QoS == 2
		case *packets.Pubrel:
			m.client.Send(&packets.Pubcomp{PacketID: x.PacketID})
		}
		any = true
	}
}

func (p *pool) message(x *packets.Publish) *poolMessage {
	n, err := strconv.Atoi(string(x.Payload))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.sent[n]
}

// finish answers one message.
func (p *pool) finish(m *poolMember, i int) {
	x := m.pending[i]
	m.pending = slices.Delete(m.pending, i, i+1)
	p.message(x).finished++
	delete(m.begun, p.message(x))
	if x.QoS == 2 {
		m.client.Send(&packets.Pubrec{PacketID: x.PacketID})
	} else {
		m.client.Send(&packets.Puback{PacketID: x.PacketID})
	}
	synctest.Wait()
}

// leave ends a connection, and with ends the session: a QoS 2 message that was begun ends with it [MQTT-4.8.2-5].
func (p *pool) leave(m *poolMember, ends bool) {
	for p.read(m) { // a PUBCOMP makes room for more
	}
	for _, x := range m.pending {
		p.message(x).broken++
	}
	if ends {
		for x, begun := range m.begun {
			x.excused = x.excused || begun
		}
		m.member = false
		m.client.Send(&packets.Disconnect{SessionExpiry: packets.Some[uint32](0), Code: packets.Success})
		synctest.Wait()
	}
	m.client.Close()
	m.client = nil
	synctest.Wait()
}

func (p *pool) any(what string, ok func(*poolMember) bool) *poolMember {
	var list []*poolMember
	for _, m := range p.members {
		if ok(m) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		p.rt.Skip("none " + what)
	}
	return rapid.SampledFrom(list).Draw(p.rt, what)
}

func (m *poolMember) away() bool  { return m.client == nil }
func (m *poolMember) there() bool { return m.client != nil }

// bubbled is a T in a bubble, which may not be asked for its deadline.
type bubbled struct{ *testing.T }

func (bubbled) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// TestSharedAgainstModel: however members come and go, sessions end and the program crashes, a message that was acknowledged to
// its publisher is finished by one of them, and one of QoS 2 never by two.
func TestSharedAgainstModel(t *testing.T) {
	in(t, func(t *testing.T) { // rapid runs within the bubble
		rapid.Check(bubbled{t}, func(rt *rapid.T) { (&pool{t: t, rt: rt}).run() })
	})
}

func (p *pool) run() {
	p.rig = (&rig{store: &brokertest.Store{}, started: true}).start(p.t)
	defer func() { p.rig.stop() }()
	p.pub = p.rig.client(packets.V5, "pub", true)
	crashes := rapid.Bool().Draw(p.rt, "crashes") // what is in memory only is lost then
	for i := range 4 {
		m := &poolMember{id: fmt.Sprint("m", i), keeps: crashes || i < 2}
		p.members = append(p.members, m)
		p.connect(m)
	}
	p.rt.Repeat(map[string]func(*rapid.T){
		"publish": func(rt *rapid.T) { p.publish() },
		"finish": func(rt *rapid.T) {
			m := p.any("member that is there", (*poolMember).there)
			if p.read(m); len(m.pending) > 0 {
				p.finish(m, rapid.IntRange(0, len(m.pending)-1).Draw(rt, "message"))
			}
		},
		"connect": func(rt *rapid.T) { p.connect(p.any("member that is away", (*poolMember).away)) },
		"cut": func(rt *rapid.T) {
			m := p.any("member that is there", (*poolMember).there)
			p.leave(m, !m.keeps)
		},
		"leave": func(rt *rapid.T) {
			p.leave(p.any("member whom another outlives", func(m *poolMember) bool {
				return m.there() && m.keeps && slices.ContainsFunc(p.members, func(o *poolMember) bool { return o != m && o.keeps && o.member })
			}), true)
		},
		"crash": func(rt *rapid.T) {
			if !crashes {
				rt.Skip("what is in memory would be lost")
			}
			p.crash()
		},
	})
	p.finishAll()
}

func (p *pool) publish() {
	n := len(p.sent)
	p.sent = append(p.sent, &poolMessage{qos: byte(rapid.IntRange(1, 2).Draw(p.rt, "qos"))})
	if code := p.pub.Publish(&packets.Publish{Topic: "t", QoS: p.sent[n].qos, Payload: fmt.Append(nil, n)}); code != packets.Success {
		p.rt.Fatalf("message %d: %v", n, code)
	}
}

func (p *pool) crash() {
	for _, m := range p.members {
		if m.there() {
			p.leave(m, false) // what it was sent is known
		}
	}
	synctest.Wait()
	old := p.rig
	p.rig = old.crash(p.t)
	old.stop()
	p.pub = p.rig.client(packets.V5, "pub", true)
}

// finishAll lets everyone come and finish everything, and looks at each message.
func (p *pool) finishAll() {
	for _, m := range p.members {
		if m.away() {
			p.connect(m)
		}
	}
	for more := true; more; {
		more = false
		for _, m := range p.members {
			more = p.read(m) || more
			for len(m.pending) > 0 {
				p.finish(m, 0)
			}
		}
	}
	for n, x := range p.sent {
		switch most := 1 + x.broken; {
		case x.finished == 0 && !x.excused:
			p.rt.Fatalf("message %d of QoS %d is lost", n, x.qos)
		case x.qos == 2 && x.finished > 1, x.finished > most:
			p.rt.Fatalf("message %d of QoS %d was finished %d times, %d connections broke with it", n, x.qos, x.finished, x.broken)
		}
	}
}

// TestSharedPassesOver: a member whose queue is full, or whose Maximum Packet Size is too small (section 3.1.2.11.4), is passed over;
// when all are full, the publisher is told.
func TestSharedPassesOver(t *testing.T) {
	for name, expiry := range map[string]uint32{"in memory": 0, "on disk": 3600} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{store: &brokertest.Store{}, limits: Limits{QueueMessages: 1}}).over(way).start(t)
				member := func(id string, max uint32) *brokertest.Client {
					c := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: id, SessionExpiry: expiry, ReceiveMaximum: 1, MaximumPacketSize: max})
					c.Subscribe("$share/g/t", 1)
					return c
				}
				a, b, small := member("a", 0), member("b", 0), member("small", 30)
				pub := r.client(packets.V5, "pub", true)
				for n := range 4 { // one sent and one queued for each of a and b
					if code := pub.Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: fmt.Appendf(nil, "message %30d", n)}); code != packets.Success {
						t.Fatalf("message %d: %v", n, code)
					}
				}
				pub.Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: make([]byte, 40)})
				small.ExpectNothing()
				pub.Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: []byte("x")})
				brokertest.Expect[*packets.Publish](small)
				for _, c := range []*brokertest.Client{a, b} {
					for range 2 {
						c.Acknowledge(brokertest.Expect[*packets.Publish](c))
					}
					c.ExpectNothing()
				}
			})
		})
	}
}
