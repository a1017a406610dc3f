package session

import (
	"slices"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// Delivery is a message for this session as the router matched it.
type Delivery struct {
	Message *broker.Message
	QoS     byte // 1 or 2
	Retain  bool
	IDs     []uint32     // kept by the session
	Shared  topic.Filter // see Entry
	Cost    int64        // of Message, counted once for all its sessions; 0: not counted yet
}

// connectedReserve is what a session with a connection may hold even when all sessions together hold as much as they may:
// who hoards messages does not take them from those who read.
const connectedReserve = 128 << 10

// Deliver takes a QoS 1 or 2 message over [MQTT-4.5.0-1]: sends it if the window is open, nothing waits before
// it and room says that the connection takes it; else queues it; else drops it, counts that and returns 0. Else it
// returns the Seq of the entry.
func (s *Session) Deliver(d Delivery, room bool, o *Output) (seq uint64) {
	cost := d.cost()
	if reason := s.admit(d.Message, cost); reason != "" {
		s.drop(o, reason, 1)
		return 0
	}
	s.bytes += cost
	s.lastSeq++
	e := entry{Entry: Entry{Seq: s.lastSeq, Message: d.Message, QoS: d.QoS, Retain: d.Retain, IDs: d.IDs, Shared: d.Shared}, cost: cost}
	if e.Shared != "" {
		s.shared++
	}
	if room && s.queue.len() == 0 && s.resend == 0 && s.windowOpen() {
		s.send(&e, o)
	} else {
		s.queue.push(e)
	}
	if s.saved && s.durable() {
		saved := e.Entry // a copy of its own: the journal keeps it
		s.save(o, Change{Kind: Enqueued, Entry: &saved})
	}
	return e.Seq
}

// TakeBack undoes the last Deliver, which returned seq: its Save failed.
func (s *Session) TakeBack(seq uint64) {
	if n := len(s.inflight); n > 0 && s.inflight[n-1].Seq == seq {
		s.forget(&s.inflight[n-1])
		s.inflight = s.inflight[:n-1]
	} else if n := s.queue.len(); n > 0 && s.queue.at(n-1).Seq == seq {
		s.forget(s.queue.at(n - 1))
		s.queue.items = s.queue.items[:len(s.queue.items)-1]
	}
}

func (d *Delivery) cost() int64 {
	cost := d.Cost
	if cost == 0 {
		cost = Cost(d.Message)
	}
	return cost + 4*int64(len(d.IDs))
}

// admit counts a message of that cost, or returns the reason for which it is not taken.
func (s *Session) admit(m *broker.Message, cost int64) string {
	if reason := s.full(cost); reason != "" {
		return reason
	}
	switch l := s.limits; {
	case l.Total.takeMessage(m, cost):
	case s.connected && s.bytes+cost <= connectedReserve:
		l.Total.addMessage(m, cost)
	default:
		return DropAllFull
	}
	return ""
}

// full tells whether a message is above the session's own bounds.
func (s *Session) full(cost int64) string {
	switch l := s.limits; {
	case !s.connected && !s.durable():
		return DropEnded
	case l.QueueMessages > 0 && s.queue.len() >= l.QueueMessages:
		return DropQueueFull
	case l.QueueBytes > 0 && s.bytes+cost > l.QueueBytes && s.bytes > 0:
		return DropQueueFull
	}
	return ""
}

// Takes tells whether Deliver would take d over now.
func (s *Session) Takes(d *Delivery) bool {
	cost := d.cost()
	return s.full(cost) == "" && (s.limits.Total.roomFor(d.Message, cost) || s.connected && s.bytes+cost <= connectedReserve)
}

// windowOpen tells whether one more QoS 1 or 2 message may be sent [MQTT-4.9.0-2].
func (s *Session) windowOpen() bool {
	return s.connected && len(s.inflight) < s.quota
}

// send gives e an identifier and puts it into the window.
func (s *Session) send(e *entry, o *Output) {
	e.State, e.PacketID = Sent, s.ids.next(s.inflight)
	s.pushSent(e)
	o.Send = append(o.Send, e.packet(false))
}

// pushSent appends to the window. Acknowledgements mostly come in order, so the window moves along its memory; at the end of that it
// moves back to the beginning if half of it is free.
func (s *Session) pushSent(e *entry) {
	if n := len(s.inflight); n == cap(s.inflight) {
		if 2*n >= len(s.window) {
			s.window = make([]entry, max(8, 4*n))
		}
		copied := copy(s.window, s.inflight)
		clear(s.window[copied:])
		s.inflight = s.window[:copied]
	}
	s.inflight = append(s.inflight, *e)
}

// removeSent takes the entry at place i out of the window.
func (s *Session) removeSent(i int) {
	if i > 0 {
		s.inflight = slices.Delete(s.inflight, i, i+1)
		return
	}
	s.inflight[0] = entry{}
	s.inflight = s.inflight[1:]
}

func (e *entry) packet(dup bool) Send {
	if e.State == Released {
		return Send{Kind: Pubrel, PacketID: e.PacketID}
	}
	return Send{Kind: Publish, PacketID: e.PacketID, Message: e.Message, QoS: e.QoS, Retain: e.Retain, Dup: dup, IDs: e.IDs}
}

// Pump sends what waits and may go now: first what was sent on an earlier connection and not acknowledged,
// in its first order [MQTT-4.6.0-1], then the queue. The caller gives maxBytes, the room that the connection
// has, and calls again when there is more; at least one packet is sent if any may be.
func (s *Session) Pump(maxBytes int64, now time.Time, o *Output) {
	if !s.connected {
		return
	}
	for s.resend > 0 && maxBytes > 0 {
		i := len(s.inflight) - s.resend
		e := &s.inflight[i]
		if i >= s.quota && e.State != Released { // the client's Receive Maximum is smaller than it was
			s.sendEarly(i+1, o)
			return
		}
		s.resend--
		if !e.early {
			o.Send = append(o.Send, e.packet(true))
			maxBytes -= e.cost
		}
	}
	for s.queue.len() > 0 && s.resend == 0 && s.windowOpen() && maxBytes > 0 {
		e := s.queue.pop()
		if !e.Message.Expires.IsZero() && !now.Before(e.Message.Expires) {
			s.forget(&e)
			s.saveState(o, Change{Kind: EntryDropped, Seq: e.Seq})
			s.drop(o, DropExpired, 1)
			continue
		}
		s.send(&e, o)
		s.saveState(o, Change{Kind: EntrySent, Seq: e.Seq, PacketID: e.PacketID})
		maxBytes -= e.cost
	}
}

// sendEarly sends what of the window from place i on is no PUBLISH: a full window holds back nothing else [MQTT-3.3.4-10].
func (s *Session) sendEarly(i int, o *Output) {
	for ; i < len(s.inflight); i++ {
		if e := &s.inflight[i]; e.State == Released && !e.early {
			e.early = true
			o.Send = append(o.Send, e.packet(true))
		}
	}
}

// Waiting tells whether a Pump could send something if the connection had room.
func (s *Session) Waiting() bool {
	if !s.connected {
		return false
	}
	if s.resend > 0 {
		i := len(s.inflight) - s.resend
		return i < s.quota || s.inflight[i].State == Released
	}
	return s.queue.len() > 0 && s.windowOpen()
}

// WindowOpen tells whether a QoS 1 or 2 message that comes now would be sent at once, the connection's room aside.
func (s *Session) WindowOpen() bool {
	return s.resend == 0 && s.queue.len() == 0 && s.windowOpen()
}

// deque is a queue of entries in one slice; what was popped is let go of and its place used again.
type deque struct {
	items []entry
	head  int
}

func (d *deque) len() int        { return len(d.items) - d.head }
func (d *deque) at(i int) *entry { return &d.items[d.head+i] }

func (d *deque) push(e entry) {
	if d.head > 32 && d.head > len(d.items)/2 {
		n := copy(d.items, d.items[d.head:])
		clear(d.items[n:])
		d.items, d.head = d.items[:n], 0
	}
	d.items = append(d.items, e)
}

// remove takes entry i out. What is before it moves: entries are taken out from the front on.
func (d *deque) remove(i int) {
	at := d.head + i
	copy(d.items[d.head+1:at+1], d.items[d.head:at])
	d.pop()
}

func (d *deque) pop() entry {
	e := d.items[d.head]
	d.items[d.head] = entry{}
	d.head++
	if d.head == len(d.items) {
		d.items, d.head = d.items[:0], 0
		if cap(d.items) > 1024 {
			d.items = nil
		}
	}
	return e
}
