package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"edge/broker"
	"edge/broker/topic"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func message(n int) *broker.Message {
	return &broker.Message{Topic: "t", Payload: fmt.Append(nil, n), QoS: 2, From: "pub"}
}

// twin is a session as simple as can be: one list of messages, each with what has become of it.
type twin struct {
	quota   int
	entries []Entry         // those in the window first, in the order sent; then the queue
	again   int             // so many of the window are still to be sent again
	early   map[uint16]bool // PUBREL that were, before those in front of them
}

func (w *twin) window() int {
	return len(w.entries) - len(w.queued())
}

func (w *twin) queued() []Entry {
	i := slices.IndexFunc(w.entries, func(e Entry) bool { return e.State == Queued })
	if i < 0 {
		return nil
	}
	return w.entries[i:]
}

// machine drives a session and its twin by random steps, and applies every Change to a snapshot.
type machine struct {
	s         *Session
	limits    *Limits
	twin      twin
	stored    Snapshot
	known     bool // the store has the session
	now       time.Time
	connected bool
	n         int
	o         Output
}

func (m *machine) carry(t *rapid.T) {
	for i := range m.o.Save {
		c := &m.o.Save[i]
		switch {
		case c.ClientID != "c":
			t.Fatalf("change without client identifier: %+v", c)
		case c.Kind == Created:
			m.known = true
		case !m.known:
			t.Fatalf("change of a session that was not created: %+v", c)
		}
		m.stored.Apply(c)
	}
	m.o.Reset()
}

// takeSent moves the session's sends into the twin's list and checks their order and identifiers [MQTT-4.6.0-1].
func (m *machine) takeSent(t *rapid.T) {
	for _, p := range m.o.Send {
		if m.takeAgain(t, &p) {
			continue
		}
		if p.Kind != Publish || p.Dup || p.PacketID == 0 {
			t.Fatalf("sent %+v", p)
		}
		for _, e := range m.twin.entries[:m.twin.window()] {
			if e.PacketID == p.PacketID {
				t.Fatalf("packet identifier %d is in use", p.PacketID) // [MQTT-2.2.1-4]
			}
		}
		e := &m.twin.queued()[0]
		if e.Message != p.Message || e.QoS != p.QoS {
			t.Fatalf("sent %s out of order, want %s", p.Message.Payload, e.Message.Payload) // [MQTT-4.6.0-5]
		}
		e.State, e.PacketID = Sent, p.PacketID
	}
	if len(m.twin.entries) > 0 && m.connected && m.twin.window() > m.twin.quota && len(m.o.Send) > 0 && m.twin.again == 0 {
		for _, p := range m.o.Send {
			if p.Kind == Publish && !p.Dup {
				t.Fatalf("%d in the window of %d", m.twin.window(), m.twin.quota) // [MQTT-4.9.0-2]
			}
		}
	}
}

func (m *machine) connect(t *rapid.T) {
	if m.connected {
		t.Skip("connected")
	}
	m.twin.quota = rapid.IntRange(1, 6).Draw(t, "receive maximum")
	m.s.Connect(Connect{User: "u", Protocol: 5, Expiry: time.Hour, ReceiveMaximum: m.twin.quota, Will: m.will(t)}, m.now, &m.o)
	m.twin.quota = min(m.twin.quota, m.limits.Inflight)
	m.twin.again, m.twin.early = m.twin.window(), map[uint16]bool{}
	m.connected = true
	m.carry(t)
}

func (m *machine) will(t *rapid.T) *Will {
	if rapid.Bool().Draw(t, "will") {
		return &Will{Message: message(0), Delay: time.Minute}
	}
	return nil
}

func (m *machine) disconnect(t *rapid.T) {
	m.s.Disconnect(rapid.Bool().Draw(t, "withdraw"), -1, m.now, &m.o)
	m.connected = false
	m.carry(t)
}

// deliver: what is accepted is in the session, sent or queued [MQTT-4.5.0-1] [MQTT-4.9.0-1].
func (m *machine) deliver(t *rapid.T) {
	m.n++
	d := Delivery{Message: message(m.n), QoS: byte(rapid.IntRange(1, 2).Draw(t, "qos"))}
	if rapid.Bool().Draw(t, "shared") {
		d.Shared = "$share/g/t"
	}
	room := rapid.Bool().Draw(t, "room")
	full := len(m.twin.queued()) >= m.limits.QueueMessages
	takes := m.s.Takes(&d)
	seq := m.s.Deliver(d, room && m.connected, &m.o)
	if (seq == 0) != full || takes == full {
		t.Fatalf("taken %v with %d queued", seq != 0, len(m.twin.queued()))
	}
	if seq > 0 {
		m.twin.entries = append(m.twin.entries, Entry{Seq: seq, Message: d.Message, QoS: d.QoS, Shared: d.Shared})
		if rapid.IntRange(0, 9).Draw(t, "take back") == 0 { // its Save failed
			m.s.TakeBack(seq)
			m.twin.entries = m.twin.entries[:len(m.twin.entries)-1]
			m.o.Reset()
			return
		}
	}
	m.takeSent(t)
	m.carry(t)
}

func (m *machine) pump(t *rapid.T) {
	m.s.Pump(int64(rapid.IntRange(1, 500).Draw(t, "room")), m.now, &m.o)
	m.takeSent(t)
	m.carry(t)
}

// acknowledge answers any message in the window, or one that is not.
func (m *machine) acknowledge(t *rapid.T) {
	sent := m.twin.window() - m.twin.again
	var open []int // places of what may be answered
	for i, e := range m.twin.entries[:m.twin.window()] {
		if i < sent || m.twin.early[e.PacketID] {
			open = append(open, i)
		}
	}
	if !m.connected || len(open) == 0 {
		if m.s.Puback(60000, &m.o) || m.s.Pubcomp(60000, &m.o) {
			t.Fatal("an unknown identifier is known")
		}
		return
	}
	i := rapid.SampledFrom(open).Draw(t, "entry")
	e := &m.twin.entries[i]
	remove := true
	switch {
	case e.QoS == 1:
		if m.s.Pubcomp(e.PacketID, &m.o) || !m.s.Puback(e.PacketID, &m.o) {
			t.Fatal("PUBACK")
		}
	case e.State == Sent:
		refused := rapid.Bool().Draw(t, "refused")
		if !m.s.Pubrec(e.PacketID, refused, &m.o) {
			t.Fatal("PUBREC")
		}
		if !refused {
			if len(m.o.Send) != 1 || m.o.Send[0].Kind != Pubrel {
				t.Fatalf("PUBREC is answered with %+v", m.o.Send) // [MQTT-4.3.3-4]
			}
			e.State, e.Message, e.Shared, remove = Released, nil, "", false
		}
	default:
		if !m.s.Pubcomp(e.PacketID, &m.o) {
			t.Fatal("PUBCOMP")
		}
	}
	if remove {
		delete(m.twin.early, e.PacketID) // before Delete moves the entries
		m.twin.entries = slices.Delete(m.twin.entries, i, i+1)
		if i >= sent {
			m.twin.again--
		}
	}
	m.carry(t)
}

func (m *machine) receive(t *rapid.T) {
	id := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
	_, had := slices.BinarySearch(m.stored.Received, id)
	if rapid.Bool().Draw(t, "publish") {
		if again := m.s.Receive(id, &m.o); again != had { // [MQTT-4.3.3-10]
			t.Fatalf("PUBLISH %d again is %v", id, again)
		}
	} else if known := m.s.Complete(id, &m.o); known != had {
		t.Fatalf("PUBREL %d known is %v", id, known)
	}
	m.carry(t)
}

func (m *machine) subscribe(t *rapid.T) {
	f := rapid.SampledFrom([]topic.Filter{"a", "b", "c/#"}).Draw(t, "filter")
	_, had := m.s.Subscription(f)
	if rapid.Bool().Draw(t, "subscribe") {
		if isNew := m.s.Subscribe(Subscription{Filter: f, QoS: byte(rapid.IntRange(0, 2).Draw(t, "qos"))}, &m.o); isNew == had {
			t.Fatal("isNew")
		}
	} else if m.s.Unsubscribe(f, &m.o) != had {
		t.Fatal("unsubscribe")
	}
	m.carry(t)
}

// restart puts what the store holds in the place of the session, as after a crash.
func (m *machine) restart(t *rapid.T) {
	if !m.known {
		t.Skip("nothing stored")
	}
	m.s = Restore(&m.stored, m.limits, m.now)
	m.connected = false
	m.stored.Connected, m.stored.DisconnectedAt = false, m.s.EndedAt()
}

func (m *machine) check(t *rapid.T) {
	if !m.known {
		return
	}
	snap, ok := m.s.Snapshot()
	if !ok {
		t.Fatal("a session that outlives its connection has no snapshot")
	}
	snap.LastSeq = m.stored.LastSeq // a Deliver that was taken back leaves a hole
	snap.LastPacketID = m.stored.LastPacketID
	if diff := cmp.Diff(m.stored, snap, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("what the changes say and what the session holds (-changes +session):\n%s", diff)
	}
	ignore := cmpopts.IgnoreFields(Entry{}, "IDs")
	if diff := cmp.Diff(m.twin.entries, snap.Entries, cmpopts.EquateEmpty(), ignore); diff != "" {
		t.Fatalf("twin and session (-twin +session):\n%s", diff)
	}
	shared := 0
	for _, e := range m.twin.entries {
		if e.Shared != "" {
			shared++
		}
	}
	if m.s.SharedCount() != shared {
		t.Fatalf("%d shared messages, counted %d", shared, m.s.SharedCount())
	}
	if used := m.limits.Total.Used(); used != m.s.QueuedBytes() {
		t.Fatalf("budget %d, session %d", used, m.s.QueuedBytes())
	}
}

// TestSessionAgainstTwin takes random steps and checks after each that session, twin and stored changes agree.
func TestSessionAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{limits: &Limits{Inflight: 4, QueueMessages: 5}, now: start}
		m.s = New("c", m.limits)
		m.limits.Total = &Budget{}
		m.connect(t)
		t.Repeat(map[string]func(*rapid.T){
			"":            m.check,
			"connect":     m.connect,
			"disconnect":  m.disconnect,
			"deliver":     m.deliver,
			"pump":        m.pump,
			"acknowledge": m.acknowledge,
			"receive":     m.receive,
			"subscribe":   m.subscribe,
			"give":        m.give,
			"replay":      m.replay,
			"restart": func(t *rapid.T) {
				m.limits.Total = &Budget{}
				m.restart(t)
			},
		})
	})
}

func TestIdentifiersSkipThoseInUse(t *testing.T) {
	var d identifiers
	inUse := []entry{{Entry: Entry{PacketID: 1}}, {Entry: Entry{PacketID: 2}}, {Entry: Entry{PacketID: 65535}}}
	seen := make(map[uint16]bool)
	for range 2 * 65535 {
		id := d.next(inUse)
		if id < 3 || id == 65535 {
			t.Fatalf("gave out %d, which is in use or none", id) // [MQTT-2.2.1-4]
		}
		seen[id] = true
	}
	if len(seen) != 65535-3 {
		t.Errorf("%d identifiers given out, want all but three", len(seen))
	}
}

func TestWillAndExpiry(t *testing.T) {
	type step struct {
		at    time.Duration // since the connection ended
		will  bool
		ended bool
	}
	for name, c := range map[string]struct {
		expiry, delay time.Duration
		withdraw      bool
		steps         []step
	}{
		"clean session, will at once":      {0, 0, false, []step{{0, true, true}}},
		"clean session, delay is cut":      {0, time.Minute, false, []step{{0, true, true}}}, // [MQTT-3.1.2-8]
		"will at once, session later":      {time.Minute, 0, false, []step{{0, true, false}, {time.Minute, false, true}}},
		"will after its delay":             {time.Minute, time.Second, false, []step{{0, false, false}, {time.Second, true, false}, {time.Minute, false, true}}},
		"will with the end of the session": {time.Second, time.Minute, false, []step{{0, false, false}, {time.Second, true, true}}},
		"no will after DISCONNECT":         {time.Second, 0, true, []step{{0, false, false}, {time.Second, false, true}}},                    // [MQTT-3.1.2-10]
		"never expires":                    {Never, time.Second, false, []step{{time.Second, true, false}, {1e6 * time.Hour, false, false}}}, // [MQTT-3.1.2.11.2-a]
	} {
		t.Run(name, func(t *testing.T) {
			s := New("c", &Limits{})
			var o Output
			s.Connect(Connect{Protocol: 5, Expiry: c.expiry, Will: &Will{Message: message(1), Delay: c.delay}}, start, &o)
			o.Reset()
			s.Disconnect(c.withdraw, -1, start, &o)
			for i, want := range c.steps {
				if i > 0 || want.at > 0 {
					o.Reset()
					s.Tick(start.Add(want.at), &o)
				}
				if got := (step{want.at, o.Route != nil, o.Ended}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if due := s.Due(); !o.Ended && i+1 < len(c.steps) && c.steps[i+1].at < Never/2 && !due.IsZero() && due.After(start.Add(c.steps[i+1].at)) {
					t.Errorf("due %v, but something happens %v after the end", due, c.steps[i+1].at)
				}
			}
		})
	}
}

func TestBounds(t *testing.T) {
	big := &broker.Message{Topic: "t", Payload: make([]byte, 1000)}
	for name, c := range map[string]struct {
		limits Limits
		reason string
		taken  int // of ten
	}{
		"messages":     {Limits{QueueMessages: 3}, DropQueueFull, 3},
		"bytes":        {Limits{QueueBytes: 4 * Cost(big)}, DropQueueFull, 4},
		"one too big":  {Limits{QueueBytes: 10}, DropQueueFull, 1}, // else it could never be delivered
		"all sessions": {Limits{Total: &Budget{MaxBytes: 2 * Cost(big)}}, DropAllFull, 2},
		"no limit":     {Limits{}, "", 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := New("c", &c.limits)
			var o Output
			s.Connect(Connect{Protocol: 4, Expiry: time.Hour}, start, &o)
			s.Disconnect(false, -1, start, &o)
			o.Reset()
			for range 10 {
				s.Deliver(Delivery{Message: big, QoS: 1}, false, &o)
			}
			dropped := 0
			for _, d := range o.Drops {
				if d.Reason != c.reason {
					t.Errorf("dropped because %q, want %q", d.Reason, c.reason)
				}
				dropped += int(d.Count)
			}
			if s.Queued() != c.taken || dropped != 10-c.taken || s.Dropped() != uint64(dropped) {
				t.Errorf("%d taken, %d dropped, want %d", s.Queued(), dropped, c.taken)
			}
			s.End(&o)
			if c.limits.Total != nil && c.limits.Total.Used() != 0 {
				t.Errorf("%d bytes not given back", c.limits.Total.Used())
			}
		})
	}
}

func TestExpiredMessagesAreNotSent(t *testing.T) {
	s := New("c", &Limits{Inflight: 1})
	var o Output
	s.Connect(Connect{Protocol: 5, Expiry: time.Hour}, start, &o)
	for n := range 3 {
		m := message(n)
		m.Expires = start.Add(time.Second)
		s.Deliver(Delivery{Message: m, QoS: 1}, true, &o)
	}
	o.Reset()
	s.Disconnect(false, -1, start, &o)
	s.Connect(Connect{Protocol: 5, Expiry: time.Hour}, start.Add(time.Minute), &o)
	o.Reset()
	s.Pump(1000, start.Add(time.Minute), &o)
	if len(o.Send) != 1 || !o.Send[0].Dup { // begun: no expiry any more [MQTT-4.3.3-7]
		t.Fatalf("sent %+v, want the one that was begun", o.Send)
	}
	s.Puback(o.Send[0].PacketID, &o)
	o.Reset()
	s.Pump(1000, start.Add(time.Minute), &o)
	if len(o.Send) != 0 || len(o.Drops) == 0 || o.Drops[0].Reason != DropExpired { // [MQTT-3.3.2-5]
		t.Errorf("sent %+v, dropped %+v", o.Send, o.Drops)
	}
}

// TestRestoreWithAWrongClock: a session whose connection ended in what is the future now, as a clock was ahead then or is behind now, has its
// time from the restart on, and not until that future comes.
func TestRestoreWithAWrongClock(t *testing.T) {
	for name, c := range map[string]struct {
		ended, due time.Duration // from the restart
	}{
		"before":     {-10 * time.Minute, 50 * time.Minute},
		"long ago":   {-24 * time.Hour, -23 * time.Hour},
		"in a year":  {365 * 24 * time.Hour, time.Hour},
		"in a while": {time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := Restore(&Snapshot{ClientID: "c", Expiry: time.Hour, DisconnectedAt: start.Add(c.ended)}, &Limits{}, start)
			if due := s.Due().Sub(start); due != c.due {
				t.Errorf("due %v after the restart, want %v", due, c.due)
			}
		})
	}
}
