package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/eclipse/paho.golang/packets"
)

// A rig is an uplink with a real journal on its left, a plant that writes into it, and servers on its right.
type rig struct {
	t    testing.TB
	j    *journal.Journal
	st   *journal.State
	o    Options
	up   *Uplink
	stop func()

	announced uint64 // duplicates of the uplinks that were stopped

	mu     sync.Mutex // guards the catalog
	keys   []journal.SeriesKey
	series map[journal.SeriesKey]journal.SeriesID

	log      Journal    // what the uplink reads; nil: j
	state    StateStore // nil: st
	backlog  Backlog
	commands Commands
}

// newRig opens a journal in a folder of its own and runs it until the test ends.
func newRig(t testing.TB, o Options) *rig {
	return newRigOver(t, o, journal.Options{SegmentBytes: 1 << 20})
}

func newRigOver(t testing.TB, o Options, log journal.Options) *rig {
	r := &rig{t: t, o: o, series: map[journal.SeriesKey]journal.SeriesID{}}
	dir := t.TempDir()
	var err error
	if r.j, err = journal.Open(filepath.Join(dir, "journal"), log); err != nil {
		t.Fatal(err)
	}
	if r.st, err = journal.OpenState(r.j, "uplink", filepath.Join(dir, "uplink.state")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("journal: %v", err)
		}
		_ = r.j.Close()
	})
	if r.o.Name == "" {
		r.o.Name = "up"
	}
	if r.o.Log == nil {
		r.o.Log = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return r
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// start runs an uplink until stop or the test's end.
func (r *rig) start() {
	r.t.Helper()
	if r.log == nil {
		r.log = r.j
	}
	if r.state == nil {
		r.state = r.st
	}
	up, err := New(r.o, Deps{Journal: r.log, Series: r.key, State: r.state, Backlog: r.backlog, Commands: r.commands})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- up.Run(ctx) }()
	var once sync.Once
	r.up = up
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("uplink: %v", err)
			}
			r.announced += up.Status().Duplicated
		})
	}
	r.t.Cleanup(r.stop)
}

func (r *rig) key(id journal.SeriesID) (journal.SeriesKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(id) > len(r.keys) || id == 0 {
		return journal.SeriesKey{}, false
	}
	return r.keys[id-1], true
}

func (r *rig) id(k journal.SeriesKey) journal.SeriesID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.series[k] == 0 {
		r.keys = append(r.keys, k)
		r.series[k] = journal.SeriesID(len(r.keys))
	}
	return r.series[k]
}

// metrics lists the catalog.
func (r *rig) metrics() (all []journal.Schema) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range r.keys {
		all = append(all, journal.Schema{Series: journal.SeriesID(i + 1), Key: k})
	}
	return all
}

func (r *rig) append(recs ...journal.Record) journal.Index {
	r.t.Helper()
	i, err := r.j.Append(time.Millisecond, recs...)
	if errors.Is(err, journal.ErrFull) { // the disk is slow: wait for it
		if err = r.j.Flush(context.Background()); err == nil {
			i, err = r.j.Append(time.Millisecond, recs...)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// A metricSpec is name and type of a metric, with an alias in the plant, as every plant node has.
type metricSpec struct {
	name string
	typ  sparkplug.DataType
}

// birth writes an NBIRTH (device empty) or DBIRTH as the host would: the event, then a sample for each metric that has
// a value.
func (r *rig) birth(group, node, device string, metrics ...metricSpec) {
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(time.Now()), HasTimestamp: true, HasSeq: true}
	kind := journal.DeviceBirth
	if device == "" {
		kind = journal.NodeBirth
		p.Metrics = append(p.Metrics, sparkplug.BdSeqMetric(7, time.Now()))
	}
	for i, m := range metrics {
		p.Metrics = append(p.Metrics, sparkplug.Metric{Name: m.name, Alias: uint64(len(device)*100 + i), HasAlias: true, Type: m.typ,
			Value: sparkplug.Value{Type: m.typ, Null: true}, Timestamp: p.Timestamp, HasTimestamp: true})
	}
	r.append(journal.Record{Kind: journal.KindEvent, Event: &journal.Event{Kind: kind, At: journal.Millis(p.Timestamp), Group: group,
		Node: node, Device: device, Payload: sparkplug.Encode(&p)}})
}

func (r *rig) death(group, node, device, reason string) {
	kind := journal.NodeDeath
	if device != "" {
		kind = journal.DeviceDeath
	}
	r.append(journal.Record{Kind: journal.KindEvent, Event: &journal.Event{Kind: kind, At: journal.Millis(time.Now().UnixMilli()),
		Group: group, Node: node, Device: device, Reason: reason}})
}

// sample is one Double of a metric.
func (r *rig) sample(group, node, device, name string, at time.Time, v float64) journal.Sample {
	return journal.Sample{Series: r.id(journal.SeriesKey{Group: group, Node: node, Device: device, Metric: name, Type: 10}),
		At: journal.Millis(at.UnixMilli()), Received: journal.Millis(time.Now().UnixMilli()), Quality: journal.Good,
		Value: journal.Value{Type: 10, Num: math.Float64bits(v)}}
}

func (r *rig) samples(s ...journal.Sample) journal.Index {
	return r.append(journal.Record{Kind: journal.KindSamples, Samples: s})
}

// pass lets time go by. Tests that use it run in a synctest bubble: no real time passes.
func pass(d time.Duration) { <-time.After(d) }

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatalf("did not come: %s", what)
		case <-tick.C:
		}
	}
}

// quick are options that do not make a test wait.
func quick(servers ...Server) Options {
	return Options{Servers: servers, Jitter: -1, ConnectRate: 1000, BackoffMin: 50 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
		BarrierEvery: 50 * time.Millisecond, StateDebounce: -1, FlushSamplesPerSecond: 100_000, FlushBitsPerSecond: -1}
}

// A server is an MQTT 5 server that does what these tests need: it keeps every packet of its clients in the order it
// came, routes publishes, keeps retained messages and wills, and can be told to misbehave.
type server struct {
	t testing.TB

	mu     sync.Mutex // guards the rest
	down   bool       // refuses connections
	mute   bool       // reads, but answers no PINGREQ
	refuse byte       // CONNACK reason

	dropSubscribe bool // the next SUBSCRIBE costs the connection
	maxPacket     uint32
	sessions      map[string]*serverSession
	retained      map[string]*packets.Publish
	log           []entry
	onEntry       func(entry)
	wg            sync.WaitGroup
}

// An entry is one packet that the server got, or a will that it published.
type entry struct {
	at      time.Time
	client  string
	kind    string // CONNECT, SUBSCRIBE, PUBLISH, PINGREQ, DISCONNECT, WILL
	topic   string
	payload []byte
	qos     byte
	retain  bool
	code    byte
	subs    []string
}

type serverSession struct {
	conn net.Conn
	id   string
	will *packets.Publish
	subs []packets.SubOptions
	out  chan *packets.ControlPacket
	hold chan struct{} // not nil: nothing is read until it is closed
}

func newServer(t testing.TB) *server {
	s := &server{t: t, sessions: map[string]*serverSession{}, retained: map[string]*packets.Publish{}}
	t.Cleanup(func() { s.cut(); s.wg.Wait() })
	return s
}

// as is the server's address for Options.
func (s *server) as() Server {
	return Server{URL: "mqtt://enterprise:1883", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connection refused")}
		}
		here, there := net.Pipe()
		s.wg.Go(func() { s.serve(there) })
		return here, nil
	}}
}

// cut drops every connection and takes no new one.
func (s *server) cut() {
	s.mu.Lock()
	s.down = true
	for _, c := range s.sessions {
		_ = c.conn.Close()
	}
	s.mu.Unlock()
}

func (s *server) restore() {
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
}

func (s *server) note(e entry) {
	e.at = time.Now()
	s.log = append(s.log, e)
	if s.onEntry != nil {
		s.onEntry(e)
	}
}

// entries returns a copy of what came.
func (s *server) entries() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]entry(nil), s.log...)
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	first, err := packets.ReadPacket(conn)
	if err != nil {
		return
	}
	cp, ok := first.Content.(*packets.Connect)
	if !ok {
		return
	}
	c := &serverSession{conn: conn, id: cp.ClientID, out: make(chan *packets.ControlPacket, 1000)}
	if cp.WillFlag {
		c.will = &packets.Publish{Topic: cp.WillTopic, Payload: cp.WillMessage, QoS: cp.WillQOS, Retain: cp.WillRetain}
	}
	ack := packets.NewControlPacket(packets.CONNACK)
	s.mu.Lock()
	ack.Content.(*packets.Connack).ReasonCode = s.refuse
	if s.maxPacket > 0 {
		ack.Content.(*packets.Connack).Properties.MaximumPacketSize = &s.maxPacket
	}
	if old := s.sessions[c.id]; old != nil {
		_ = old.conn.Close()
	}
	s.sessions[c.id] = c
	s.note(entry{client: c.id, kind: "CONNECT", payload: cp.WillMessage, topic: cp.WillTopic, qos: cp.WillQOS, retain: cp.WillRetain})
	s.mu.Unlock()
	if _, err := ack.WriteTo(conn); err != nil || s.refuse != 0 {
		return
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		broken := false
		for p := range c.out {
			if !broken {
				_, err := p.WriteTo(conn)
				broken = err != nil
			}
		}
	})
	clean := false
	for !clean {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			break
		}
		s.mu.Lock()
		hold := c.hold
		s.mu.Unlock()
		if hold != nil {
			<-hold
		}
		clean = s.packet(c, p)
	}
	s.mu.Lock()
	if s.sessions[c.id] == c {
		delete(s.sessions, c.id)
	}
	if c.will != nil {
		s.note(entry{client: c.id, kind: "WILL", topic: c.will.Topic, payload: c.will.Payload})
		s.routeLocked(c.will, "")
	}
	close(c.out)
	s.mu.Unlock()
	_ = conn.Close()
	writer.Wait()
}

// packet takes one packet; it returns true after DISCONNECT.
func (s *server) packet(c *serverSession, p *packets.ControlPacket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := p.Content.(type) {
	case *packets.Subscribe:
		if s.dropSubscribe {
			s.dropSubscribe = false
			_ = c.conn.Close()
			return false
		}
		ack := packets.NewControlPacket(packets.SUBACK)
		sa := ack.Content.(*packets.Suback)
		sa.PacketID = m.PacketID
		e := entry{client: c.id, kind: "SUBSCRIBE"}
		for _, o := range m.Subscriptions {
			sa.Reasons = append(sa.Reasons, o.QoS)
			e.subs = append(e.subs, fmt.Sprintf("%s qos=%d", o.Topic, o.QoS))
			c.subs = append(c.subs, o)
		}
		s.note(e)
		c.out <- ack
		for _, o := range m.Subscriptions {
			if kept := s.retained[o.Topic]; kept != nil {
				s.sendLocked(c, kept, true)
			}
		}
	case *packets.Publish:
		s.note(entry{client: c.id, kind: "PUBLISH", topic: m.Topic, payload: append([]byte(nil), m.Payload...), qos: m.QoS, retain: m.Retain})
		if m.QoS == 1 {
			ack := packets.NewControlPacket(packets.PUBACK)
			ack.Content.(*packets.Puback).PacketID = m.PacketID
			c.out <- ack
		}
		s.routeLocked(m, c.id)
	case *packets.Pingreq:
		s.note(entry{client: c.id, kind: "PINGREQ"})
		if !s.mute {
			c.out <- packets.NewControlPacket(packets.PINGRESP)
		}
	case *packets.Disconnect:
		s.note(entry{client: c.id, kind: "DISCONNECT", code: m.ReasonCode})
		if m.ReasonCode == 0 {
			c.will = nil
		}
		return true
	}
	return false
}

// publish is a message from some other client.
func (s *server) publish(topic string, payload []byte, retain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routeLocked(&packets.Publish{Topic: topic, Payload: payload, Retain: retain}, "other")
}

func (s *server) routeLocked(m *packets.Publish, from string) {
	if m.Retain {
		s.retained[m.Topic] = m
	}
	for _, c := range s.sessions {
		for _, o := range c.subs {
			prefix, wild := strings.CutSuffix(o.Topic, "#")
			if (o.Topic == m.Topic || wild && strings.HasPrefix(m.Topic, prefix)) && !(o.NoLocal && c.id == from) {
				s.sendLocked(c, m, false)
				break
			}
		}
	}
}

func (s *server) sendLocked(c *serverSession, m *packets.Publish, retained bool) {
	p := packets.NewControlPacket(packets.PUBLISH)
	out := p.Content.(*packets.Publish)
	out.Topic, out.Payload, out.Retain = m.Topic, m.Payload, retained
	select {
	case c.out <- p:
	default:
		s.t.Errorf("client %s does not read", c.id)
	}
}

func pingresp() *packets.ControlPacket { return packets.NewControlPacket(packets.PINGRESP) }
