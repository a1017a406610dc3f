package store

import (
	"encoding/binary"
	"time"

	"edge/broker"
	"edge/broker/session"
)

// The first byte of a journal record of ours.
const (
	recordChanges  = 1
	recordRetained = 2
)

// encodeChanges writes each message that the changes share once, and then the changes.
func encodeChanges(changes []session.Change) []byte {
	var messages []*broker.Message
	room := 64 * len(changes)
	for i := range changes {
		if m := messageOf(&changes[i]); m != nil && place(messages, m) == 0 {
			messages = append(messages, m)
			room += 64 + len(m.Topic) + len(m.Payload)
		}
	}
	b := append(make([]byte, 0, room), recordChanges)
	b = binary.AppendUvarint(b, uint64(len(messages)))
	for _, m := range messages {
		b = appendMessage(b, m)
	}
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for i := range changes {
		b = appendChange(b, &changes[i], messages)
	}
	return b
}

// place returns where m stands in messages, counted from 1; 0 if it does not. The latest is the likeliest.
func place(messages []*broker.Message, m *broker.Message) int {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i] == m {
			return i + 1
		}
	}
	return 0
}

func encodeRetained(m *broker.Message) []byte { return appendMessage([]byte{recordRetained}, m) }

func messageOf(c *session.Change) *broker.Message {
	switch {
	case c.Kind == session.Enqueued:
		return c.Entry.Message
	case c.Kind == session.WillSet:
		return c.Will.Message
	}
	return nil
}

func appendChange(b []byte, c *session.Change, messages []*broker.Message) []byte {
	b = append(b, byte(c.Kind))
	b = appendText(b, c.ClientID)
	switch c.Kind {
	case session.Created, session.Connected:
		b = appendText(b, c.User)
		b = append(b, c.Protocol)
		b = binary.AppendVarint(b, int64(c.Expiry))
		b = appendTime(b, c.At)
	case session.Disconnected:
		b = binary.AppendVarint(b, int64(c.Expiry))
		b = appendTime(b, c.At)
	case session.WillSet:
		b = binary.AppendUvarint(b, uint64(place(messages, c.Will.Message)))
		b = binary.AppendVarint(b, int64(c.Will.Delay))
		b = binary.AppendVarint(b, int64(c.Will.Expiry))
	case session.Subscribed:
		b = appendSubscription(b, c.Subscription)
	case session.Unsubscribed, session.Replayed:
		b = appendText(b, string(c.Filter))
	case session.Replaying:
		b = appendText(appendText(b, string(c.Filter)), string(c.Topic))
	case session.Enqueued:
		b = binary.AppendUvarint(b, uint64(place(messages, c.Entry.Message)))
		b = appendEntry(b, c.Entry)
	case session.EntrySent:
		b = binary.AppendUvarint(b, c.Seq)
		b = binary.AppendUvarint(b, uint64(c.PacketID))
	case session.EntryDropped:
		b = binary.AppendUvarint(b, c.Seq)
	case session.EntryReleased, session.EntryDone, session.Received, session.Completed:
		b = binary.AppendUvarint(b, uint64(c.PacketID))
	}
	return b
}

// The flags of a message; what a flag does not announce is not there.
const (
	messageQoS        = 3 // mask
	messageRetain     = 1 << 2
	messageReceived   = 1 << 3
	messageExpires    = 1 << 4
	messageProperties = 1 << 5
)

func appendMessage(b []byte, m *broker.Message) []byte {
	flags := m.QoS & messageQoS
	if m.Retain {
		flags |= messageRetain
	}
	if !m.Received.IsZero() {
		flags |= messageReceived
	}
	if !m.Expires.IsZero() {
		flags |= messageExpires
	}
	if m.Properties != nil {
		flags |= messageProperties
	}
	b = append(b, flags)
	b = appendText(b, string(m.Topic))
	b = appendBytes(b, m.Payload)
	b = appendText(b, m.From)
	b = appendText(b, m.User)
	if flags&messageReceived != 0 {
		b = binary.AppendVarint(b, m.Received.UnixNano())
	}
	if flags&messageExpires != 0 {
		b = binary.AppendVarint(b, m.Expires.UnixNano())
	}
	if p := m.Properties; p != nil {
		b = append(b, propertyFlags(p.PayloadFormat, p.ZeroPayloadFormat, p.EmptyContentType, p.CorrelationData))
		b = appendText(b, p.ContentType)
		b = appendText(b, p.ResponseTopic)
		b = appendBytes(b, p.CorrelationData)
		b = binary.AppendUvarint(b, uint64(len(p.User)))
		for _, u := range p.User {
			b = appendText(b, u.Name)
			b = appendText(b, u.Value)
		}
	}
	return b
}

// The flags of properties. The last three say that a property is there though its value is the one of its absence.
const (
	payloadText      = 1 << 0
	zeroFormat       = 1 << 1
	emptyContentType = 1 << 2
	emptyCorrelation = 1 << 3
)

func propertyFlags(format byte, zero, emptyType bool, correlation []byte) (flags byte) {
	if format != 0 {
		flags |= payloadText
	}
	if zero {
		flags |= zeroFormat
	}
	if emptyType {
		flags |= emptyContentType
	}
	if correlation != nil && len(correlation) == 0 {
		flags |= emptyCorrelation
	}
	return flags
}

// The flags of an entry.
const (
	entryRetain = 1 << 0
	entryShared = 1 << 1
)

// appendEntry writes all of an entry but its message.
func appendEntry(b []byte, e *session.Entry) []byte {
	b = binary.AppendUvarint(b, e.Seq)
	flags := byte(0)
	if e.Retain {
		flags = entryRetain
	}
	if e.Shared != "" {
		flags |= entryShared
	}
	b = append(b, e.QoS, flags, byte(e.State))
	b = binary.AppendUvarint(b, uint64(e.PacketID))
	b = binary.AppendUvarint(b, uint64(len(e.IDs)))
	for _, id := range e.IDs {
		b = binary.AppendUvarint(b, uint64(id))
	}
	if e.Shared != "" {
		b = appendText(b, string(e.Shared))
	}
	return b
}

func appendSubscription(b []byte, s *session.Subscription) []byte {
	flags := s.QoS & 3
	if s.NoLocal {
		flags |= 1 << 2
	}
	if s.RetainAsPublished {
		flags |= 1 << 3
	}
	b = append(b, flags|s.RetainHandling<<4)
	b = binary.AppendUvarint(b, uint64(s.ID))
	return appendText(b, string(s.Filter))
}

// appendHeader writes all of a snapshot but its entries: what broker.db keeps in one value.
func appendHeader(b []byte, s *session.Snapshot) []byte {
	b = appendText(b, s.ClientID)
	b = appendText(b, s.User)
	connected := byte(0)
	if s.Connected {
		connected = 1
	}
	b = append(b, s.Protocol, connected)
	b = binary.AppendVarint(b, int64(s.Expiry))
	b = appendTime(b, s.DisconnectedAt)
	b = binary.AppendUvarint(b, s.LastSeq)
	b = binary.AppendUvarint(b, uint64(s.LastPacketID))
	b = binary.AppendUvarint(b, uint64(len(s.Subscriptions)))
	for i := range s.Subscriptions {
		b = appendSubscription(b, &s.Subscriptions[i])
	}
	b = binary.AppendUvarint(b, uint64(len(s.Received)))
	for _, id := range s.Received {
		b = binary.AppendUvarint(b, uint64(id))
	}
	if s.Will == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.AppendVarint(b, int64(s.Will.Delay))
		b = binary.AppendVarint(b, int64(s.Will.Expiry))
		b = appendMessage(b, s.Will.Message)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Replays)))
	for _, r := range s.Replays {
		b = appendText(appendText(b, string(r.Filter)), string(r.After))
	}
	return b
}

// appendStored writes an entry with its message, as broker.db keeps it.
func appendStored(b []byte, e *session.Entry) []byte {
	b = appendEntry(b, e)
	if e.Message == nil {
		return append(b, 0)
	}
	return appendMessage(append(b, 1), e.Message)
}

// appendTime writes nanoseconds since 1970 UTC behind a 1, or a 0 for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixNano())
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBytes(b, p []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(p)))
	return append(b, p...)
}
