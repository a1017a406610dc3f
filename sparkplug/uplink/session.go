package uplink

import (
	"context"
	"fmt"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/eclipse/paho.golang/paho"
)

// A session is one upstream MQTT session of one plant node, from its births to its death. Everything that it sends
// goes through one goroutine, so that seq follows the socket: live samples and history share it, and a message that
// is not written takes no number. [tck-id-payloads-sequence-num-incrementing]
type session struct {
	n          *node
	u          *Uplink
	l          *link
	server     int
	hostLeft   uint64 // how often the primary host had left the server when the births were due
	bdSeq      uint8
	seq        uint8
	postmortem bool

	pos      journal.Index // everything of the inbox up to here is sent or left to the history lane
	sent     intervals     // written in this session or delivered before
	restored journal.Index // the cut: what was owed up to here belongs to the outage
	tail     []item        // taken from the inbox
	lagging  map[*metric]lag

	declared map[string]map[string]sparkplug.DataType // device, metric: what the births of this session named
	ghosts   map[string]bool                          // devices born only for their history
	extra    bool                                     // a birth named metrics that only the backlog knows
	history  bool                                     // history was sent since the last birth
	caughtUp bool                                     // everything up to pos is confirmed
	flushing bool                                     // the history lane has something to send

	commands  chan inbound
	rebirthAt time.Time // a rebirth was asked for; zero: no
	held      bool      // a host asked for it: no data before the births [tck-id-operational-behavior-data-commands-rebirth-action-1]
	bornAt    time.Time

	barrier barrier
	buf     []byte
	takenAt journal.Index // how far the feed was when the tail was taken
	retryAt time.Time     // when history may be read again after an error
}

// inbound is a message from upstream.
type inbound struct {
	topic              string
	payload            []byte
	retained, repeated bool
	at                 time.Time
}

// birthDebounce is the least time between two births of one node.
const birthDebounce = 2 * time.Second

// maxInbound bounds the messages from upstream that wait for one node.
const maxInbound = 64

// begin attaches the session to the node at the cut: births show the values there, samples after it are live, what is
// owed before it is history.
func (s *session) begin() error {
	n := s.n
	fed := s.u.fed()
	n.mu.Lock()
	s.pos = max(n.fed, fed)
	s.restored = s.pos
	n.attached, n.inbox, n.lagging = true, nil, map[*metric]lag{}
	if n.owed == 0 {
		n.done = nil
		n.done.add(span{From: 1, To: s.pos})
	}
	s.sent = append(intervals(nil), n.done...)
	owed := n.owed
	n.mu.Unlock()
	s.u.restored(s.n.ref, owed)
	return s.births()
}

// end detaches it. What no barrier has confirmed stays owed, and may arrive twice.
func (s *session) end() {
	n := s.n
	n.mu.Lock()
	n.attached, n.inbox, n.lagging = false, nil, nil
	if s.u.o.FlushMode == modeInOrder && n.shown == nil {
		n.shown = n.model.values()
	}
	n.mu.Unlock()
	n.again += s.barrier.unconfirmed()
}

// births publishes NBIRTH with seq 0 and the DBIRTHs of all devices that are alive, from the values of now.
// [tck-id-payloads-sequence-num-req-nbirth] [tck-id-message-flow-device-birth-publish-nbirth-wait]
func (s *session) births() error {
	n := s.n
	b := s.birth(s.u.o.Clock())
	n.mu.Lock()
	nbirth := n.model.nodeBirthPayload(b, s.bdSeq)
	s.extra = len(n.model.node.former) > 0
	var devices []string
	var dbirths []*sparkplug.Payload
	for _, d := range n.model.order {
		if set := n.model.devices[d]; set.born || s.ghosts[d] {
			devices = append(devices, d)
			dbirths = append(dbirths, n.model.deviceBirthPayload(b, d))
			s.extra = s.extra || len(set.former) > 0
		}
	}
	n.mu.Unlock()
	s.seq, s.history = 0, false
	s.bornAt, s.rebirthAt, s.held = time.Now(), time.Time{}, false
	s.declared = map[string]map[string]sparkplug.DataType{}
	if err := s.publishBirth("", nbirth); err != nil {
		return err
	}
	for i, d := range devices {
		if err := s.publishBirth(d, dbirths[i]); err != nil {
			return err
		}
	}
	return nil
}

// birth is stamped later than every birth of the node before it, whatever the clock does. The caller may not hold mu.
func (s *session) birth(now time.Time) birth {
	s.n.mu.Lock()
	if !now.After(s.n.stamped) {
		now = s.n.stamped.Add(time.Millisecond)
	}
	s.n.stamped = now
	if _, _, due := s.sent.gap(s.pos); !due {
		s.n.shown = nil
	}
	shown := s.n.shown
	s.n.mu.Unlock()
	return birth{shown: shown, now: now, stampNow: s.u.o.Profile == "ignition", stale: s.postmortem}
}

// deviceBirth publishes one DBIRTH.
func (s *session) deviceBirth(device string) error {
	n := s.n
	b := s.birth(s.u.o.Clock())
	n.mu.Lock()
	p := n.model.deviceBirthPayload(b, device)
	set := n.model.devices[device]
	s.extra = s.extra || set != nil && len(set.former) > 0
	n.mu.Unlock()
	if set == nil {
		return nil
	}
	return s.publishBirth(device, p)
}

func (s *session) publishBirth(device string, p *sparkplug.Payload) error {
	names := make(map[string]sparkplug.DataType, len(p.Metrics))
	for i := range p.Metrics {
		names[p.Metrics[i].Name] = p.Metrics[i].Type
	}
	s.declared[device] = names
	t := sparkplug.NBIRTH
	if device != "" {
		t = sparkplug.DBIRTH
	}
	return s.publish(t, device, p)
}

// deviceDeath publishes a DDEATH. [tck-id-topics-ddeath-seq-num]
func (s *session) deviceDeath(device string, at time.Time) error {
	if s.declared[device] == nil {
		return nil
	}
	delete(s.declared, device)
	delete(s.ghosts, device)
	return s.publish(sparkplug.DDEATH, device, &sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true})
}

// publish gives the payload its seq and writes it, QoS 0, not retained.
// [tck-id-topics-nbirth-mqtt] [tck-id-topics-ndata-mqtt] [tck-id-topics-ddata-mqtt]
func (s *session) publish(t sparkplug.MessageType, device string, p *sparkplug.Payload) error {
	p.Seq, p.HasSeq = uint64(s.seq), true
	if !p.HasTimestamp {
		p.Timestamp, p.HasTimestamp = sparkplug.Millis(s.u.o.Clock()), true
	}
	if s.u.o.UInt32AsLong {
		p.UInt32AsLong()
	}
	s.buf = sparkplug.AppendPayload(s.buf[:0], p)
	topic := sparkplug.Topic{Type: t, Group: s.n.ref.Group, Node: s.n.ref.Node, Device: device}.String()
	if s.l.maxPacket > 0 && len(s.buf)+len(topic)+16 > s.l.maxPacket {
		return fmt.Errorf("%s has %d bytes, the server takes packets of %d; raise its limit", t, len(s.buf), s.l.maxPacket)
	}
	if _, err := s.l.client.Publish(context.Background(), &paho.Publish{Topic: topic, Payload: s.buf}); err != nil {
		return fmt.Errorf("write to the server: %s", plainError(err))
	}
	s.seq++
	s.barrier.wrote(time.Now())
	return nil
}

// farewell publishes NDEATH and ends the session in order. DISCONNECT 0x04 has the server publish the will as well:
// hosts drop the second by its bdSeq. [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]
// [tck-id-operational-behavior-edge-node-intentional-disconnect-packet]
func (s *session) farewell() {
	s.l.conn.hurry()
	_ = s.l.conn.uncork()
	ctx, cancel := context.WithTimeout(context.Background(), farewellTime)
	defer cancel()
	if s.l.conn.ping() == nil {
		s.barrier.pinged(time.Now())
	}
	d := sparkplug.NodeDeath(s.n.ref, s.bdSeq, s.u.o.Clock())
	if _, err := s.l.client.Publish(ctx, &paho.Publish{Topic: d.Topic, Payload: d.Payload, QoS: 1}); err == nil {
		s.confirm() // its PUBACK came after the PINGRESP
	}
	s.l.disconnect(0x04)
}
