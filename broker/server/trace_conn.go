package server

import (
	"errors"
	"fmt"
	"strings"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

// The functions below stand where packets come and go. While nobody traces the client each costs one look at a pointer.

// connectCame counts a CONNECT and finds the trace of its client.
func (c *conn) connectCame(p *packets.Connect, size int) {
	c.received.others.Add(1)
	if !c.server.traces.some.Load() {
		return
	}
	t := c.server.traces.of(p.ClientID)
	if t == nil {
		return
	}
	c.traced.Store(t)
	note := fmt.Sprintf("from %s, listener %s, version %d, keep alive %d s", c.remote, c.listener.Name, c.level, p.KeepAlive)
	if p.HasUsername {
		note += fmt.Sprintf(", user %q", cut(p.Username))
	}
	if p.AuthMethod != "" {
		note += fmt.Sprintf(", method %q", cut(p.AuthMethod))
	}
	if p.CleanStart {
		note += ", clean start"
	}
	if p.SessionExpiry > 0 {
		note += fmt.Sprintf(", session expiry %d s", p.SessionExpiry)
	}
	l := TraceLine{Direction: TraceIn, Type: packets.TypeConnect, Size: size, Note: note}
	if w := p.Will; w != nil {
		l.Note += fmt.Sprintf(", will qos %d", w.QoS)
		l.Topics = []string{cut(w.Topic)}
	}
	c.trace(t, l)
}

// traceBegun catches a trace that was started while the client was logging in.
func (c *conn) traceBegun() {
	if c.server.traces.some.Load() && c.traced.Load() == nil {
		c.traced.Store(c.server.traces.of(c.client.id))
	}
}

// traceRead is called with each packet of a client that has logged in.
func (c *conn) traceRead(frame []byte) {
	if t := c.traced.Load(); t != nil {
		c.traceFrame(t, frame)
	}
}

// traceMessage is called with each PUBLISH that was appended to the outbox, or was dropped before.
func (c *conn) traceMessage(shared *packets.Shared, d *packets.Delivery, size int, o outcome) {
	if t := c.traced.Load(); t != nil {
		c.traceDelivery(t, shared, d, size, o)
	}
}

// tracePacket is called with each other packet that was appended to the outbox.
func (c *conn) tracePacket(p packets.Packet, size int) {
	if t := c.traced.Load(); t != nil {
		c.trace(t, describePacket(p, TraceLine{Direction: TraceOut, Size: size}))
	}
}

// traceAck is tracePacket for one that says success.
func (c *conn) traceAck(t packets.Type, id uint16) {
	if x := c.traced.Load(); x != nil {
		c.trace(x, TraceLine{Direction: TraceOut, Type: t, PacketID: id, Codes: []packets.ReasonCode{packets.Success}, Size: plainAck})
	}
}

// traceEnd is called when the connection has ended, traceRefused when it has not begun.
func (c *conn) traceEnd(reason broker.Reason, err error) {
	t := c.traced.Load()
	if t == nil {
		return
	}
	l := TraceLine{Note: "connection ended: " + string(reason)}
	if fault := (*packets.Error)(nil); errors.As(err, &fault) {
		l.Note = cut(l.Note + ": " + fault.Error())
	}
	c.trace(t, l)
}

func (c *conn) traceRefused(err error) {
	if t := c.traced.Load(); t != nil {
		c.trace(t, TraceLine{Note: cut("connection refused: " + err.Error())})
	}
}

// traceNotTaken is called behind a PUBLISH of the client that goes nowhere.
func (c *conn) traceNotTaken(err error) {
	if t := c.traced.Load(); t != nil {
		c.trace(t, TraceLine{Note: cut("message not taken: " + err.Error())})
	}
}

// trace keeps a line, and lets go of a trace that is over.
func (c *conn) trace(t *trace, l TraceLine) {
	l.At = c.server.now()
	if !t.add(l) {
		c.traced.CompareAndSwap(t, nil)
	}
}

func (c *conn) traceFrame(t *trace, frame []byte) {
	l := TraceLine{Direction: TraceIn, Type: packets.Type(frame[0] >> 4), Size: len(frame)}
	p, err := packets.Decode(c.level, frame)
	if err != nil {
		l.Note = cut("does not read: " + err.Error())
		c.trace(t, l)
		return
	}
	if p, ok := p.(*packets.Publish); ok {
		l.PacketID, l.QoS, l.Dup, l.Retain, l.Topics = p.PacketID, p.QoS, p.Dup, p.Retain, []string{cut(p.Topic)}
		l.Note, l.Payload = aliasNote(p.TopicAlias), t.payload(p.Payload)
		c.trace(t, l)
		return
	}
	c.trace(t, describePacket(p, l))
}

func (c *conn) traceDelivery(t *trace, shared *packets.Shared, d *packets.Delivery, size int, o outcome) {
	l := TraceLine{
		Direction: TraceOut, Type: packets.TypePublish, PacketID: d.PacketID, QoS: d.QoS, Dup: d.Dup, Retain: d.Retain,
		Topics: []string{cut(shared.Topic())}, Size: size, Note: aliasNote(d.TopicAlias), Payload: t.payload(shared.Payload()),
	}
	switch o {
	case noRoom:
		l.Note = "dropped: " + DropNoRoom
	case tooLarge:
		l.Note = "dropped: " + session.DropTooLarge
	}
	c.trace(t, l)
}

func aliasNote(alias uint16) string {
	if alias == 0 {
		return ""
	}
	return fmt.Sprintf("topic alias %d", alias)
}

// payload is what is kept of one.
func (t *trace) payload(b []byte) []byte {
	if !t.view.Payloads { // set when it was made
		return nil
	}
	return append([]byte{}, b[:min(len(b), maxTraceText)]...)
}

// describePacket fills in what there is to tell of a packet that is no PUBLISH. Authentication data is left out.
func describePacket(p packets.Packet, l TraceLine) TraceLine {
	l.Type = p.Type()
	switch p := p.(type) {
	case *packets.Connack:
		l.Codes = []packets.ReasonCode{p.Code}
		if p.SessionPresent {
			l.Note = "session present"
		}
		l.Note += reasonNote(p.ReasonString)
	case *packets.Puback:
		l.ack((*packets.Ack)(p))
	case *packets.Pubrec:
		l.ack((*packets.Ack)(p))
	case *packets.Pubrel:
		l.ack((*packets.Ack)(p))
	case *packets.Pubcomp:
		l.ack((*packets.Ack)(p))
	case *packets.Subscribe:
		l.PacketID = p.PacketID
		for _, f := range p.Filters[:min(len(p.Filters), maxTraceTopics)] {
			l.Topics = append(l.Topics, cut(f.Filter))
		}
		l.Note = subscribeNote(p)
	case *packets.Suback:
		l.PacketID, l.Codes, l.Note = p.PacketID, firstCodes(p.Codes), reasonNote(p.ReasonString)
	case *packets.Unsubscribe:
		l.PacketID = p.PacketID
		for _, f := range p.Filters[:min(len(p.Filters), maxTraceTopics)] {
			l.Topics = append(l.Topics, cut(f))
		}
	case *packets.Unsuback:
		l.PacketID, l.Codes, l.Note = p.PacketID, firstCodes(p.Codes), reasonNote(p.ReasonString)
	case *packets.Disconnect:
		l.Codes, l.Note = []packets.ReasonCode{p.Code}, reasonNote(p.ReasonString)
	case *packets.Auth:
		l.Codes, l.Note = []packets.ReasonCode{p.Code}, reasonNote(p.ReasonString)
	}
	return l
}

func (l *TraceLine) ack(a *packets.Ack) {
	l.PacketID, l.Codes, l.Note = a.PacketID, []packets.ReasonCode{a.Code}, reasonNote(a.ReasonString)
}

func reasonNote(reason string) string {
	if reason == "" {
		return ""
	}
	return cut("reason: " + reason)
}

func subscribeNote(p *packets.Subscribe) string {
	levels := make([]string, 0, maxTraceTopics)
	for _, f := range p.Filters[:min(len(p.Filters), maxTraceTopics)] {
		levels = append(levels, fmt.Sprint(f.QoS))
	}
	return fmt.Sprintf("%d filters, qos %s", len(p.Filters), strings.Join(levels, " "))
}

func firstCodes(codes []packets.ReasonCode) []packets.ReasonCode {
	return append([]packets.ReasonCode{}, codes[:min(len(codes), maxTraceTopics)]...)
}

// cut shortens a text, not keeping the whole of it in memory.
func cut(s string) string {
	if len(s) <= maxTraceText {
		return s
	}
	return strings.ToValidUTF8(strings.Clone(s[:maxTraceText]), "") + "…"
}
