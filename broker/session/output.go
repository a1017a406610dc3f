package session

import "edge/broker"

// PacketKind is a packet that a session sends of its own: the others answer a packet at once and are the server's.
type PacketKind uint8

// The packets a session sends.
const (
	Publish PacketKind = iota + 1 // QoS 1 or 2
	Pubrel
)

// Send is one packet to be written.
type Send struct {
	Kind     PacketKind
	PacketID uint16
	Message  *broker.Message // Publish; shared, not to be written to
	QoS      byte
	Retain   bool
	Dup      bool // sent before on another connection [MQTT-3.3.1-1]
	IDs      []uint32
}

// Output is what a step wants done, in this order: Save, then Route, then Send.
// A step appends to it; Reset empties it for the next and keeps the memory.
type Output struct {
	Save  []Change
	Route *broker.Message // a will that is due, with its Received and Expires set
	Send  []Send
	Ended bool   // the session is gone; the server forgets it
	Drops []Drop // messages that will not be delivered, to be counted
}

// Drop says how many messages are not delivered, and why.
type Drop struct {
	Reason string // one of the Drop constants
	Count  uint64
}

// Reset empties o.
func (o *Output) Reset() {
	clear(o.Save) // lets go of messages
	clear(o.Send)
	*o = Output{Save: o.Save[:0], Send: o.Send[:0], Drops: o.Drops[:0]}
}

func (s *Session) save(o *Output, c Change) {
	if s.saved {
		c.ClientID = s.clientID
		o.Save = append(o.Save, c)
	}
}

// saveState is save for what only a session that outlives its connection keeps.
func (s *Session) saveState(o *Output, c Change) {
	if s.durable() {
		s.save(o, c)
	}
}

func (s *Session) drop(o *Output, reason string, n int) {
	if n > 0 {
		s.dropped += uint64(n)
		o.Drops = append(o.Drops, Drop{Reason: reason, Count: uint64(n)})
	}
}
