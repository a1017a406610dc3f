package store

import (
	"errors"
	"time"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

var errDamaged = errors.New("damaged record")

// decodeRecord reads a journal record of ours: changes, or one retained message. What it returns lies in data.
func decodeRecord(data []byte) (changes []session.Change, retained *broker.Message, err error) {
	return new(memory).decodeRecord(data)
}

// memory is what one record's decoding leaves for the next: names come again and again, and changes are soon applied.
type memory struct {
	names    map[string]string // texts that were read: at most maxNames of at most maxName bytes
	changes  []session.Change
	messages []*broker.Message
}

const (
	maxNames = 1 << 12
	maxName  = 256
)

// name returns b as a string, which is made once.
func (m *memory) name(b []byte) string {
	if s, known := m.names[string(b)]; known {
		return s
	}
	if len(m.names) >= maxNames {
		clear(m.names)
	}
	if m.names == nil {
		m.names = make(map[string]string)
	}
	s := string(b)
	m.names[s] = s
	return s
}

// decodeRecord is the same; the changes it returns are good until the next call.
func (m *memory) decodeRecord(data []byte) (changes []session.Change, retained *broker.Message, err error) {
	d := decoder{Fields: journal.Fields{B: data}, memory: m}
	switch d.Byte() {
	case recordChanges:
		changes = d.changes()
	case recordRetained:
		retained = d.message()
	default:
		d.Bad = true
	}
	if !d.Whole() {
		return nil, nil, errDamaged
	}
	return changes, retained, nil
}

// decodeHeader reads what appendHeader wrote.
func decodeHeader(b []byte) (*session.Snapshot, error) {
	d := decoder{Fields: journal.Fields{B: b}}
	s := &session.Snapshot{ClientID: d.text(), User: d.text(), Protocol: d.Byte(), Connected: d.Byte() == 1}
	s.Expiry = time.Duration(d.Varint())
	s.DisconnectedAt = d.time()
	s.LastSeq = d.Uvarint()
	s.LastPacketID = uint16(d.Uvarint())
	for range d.count() {
		s.Subscriptions = append(s.Subscriptions, *d.subscription())
	}
	for range d.count() {
		s.Received = append(s.Received, uint16(d.Uvarint()))
	}
	if d.Byte() == 1 {
		s.Will = &session.Will{Delay: time.Duration(d.Varint()), Expiry: time.Duration(d.Varint())}
		s.Will.Message = d.message()
	}
	if len(d.B) > 0 { // version 1 ends before
		for n := d.count(); n > 0 && !d.Bad; n-- {
			r := extend(&s.Replays)
			textTo(&d, &r.Filter)
			textTo(&d, &r.After)
		}
	}
	if !d.Whole() {
		return nil, errDamaged
	}
	return s, nil
}

// decodeStored reads what appendStored wrote.
func decodeStored(b []byte) (*session.Entry, error) {
	d := decoder{Fields: journal.Fields{B: b}}
	e := d.entry()
	if d.Byte() == 1 {
		e.Message = d.message()
	}
	if !d.Whole() {
		return nil, errDamaged
	}
	return e, nil
}

// decoder reads a record or a row.
type decoder struct {
	journal.Fields
	memory *memory // nil: none
}

func (d *decoder) changes() []session.Change {
	m := d.memory
	clear(m.messages)
	clear(m.changes)
	m.messages, m.changes = m.messages[:0], m.changes[:0]
	for n := d.count(); n > 0 && !d.Bad; n-- {
		m.messages = append(m.messages, d.message())
	}
	for n := d.count(); n > 0 && !d.Bad; n-- {
		m.changes = append(m.changes, d.change(m.messages))
	}
	return m.changes
}

func (d *decoder) change(messages []*broker.Message) session.Change {
	c := session.Change{Kind: session.ChangeKind(d.Byte()), ClientID: d.text()}
	switch c.Kind {
	case session.Created, session.Connected:
		c.User, c.Protocol, c.Expiry, c.At = d.text(), d.Byte(), time.Duration(d.Varint()), d.time()
	case session.Disconnected:
		c.Expiry, c.At = time.Duration(d.Varint()), d.time()
	case session.Ended, session.WillCleared:
	case session.WillSet:
		m := d.place(messages)
		c.Will = &session.Will{Message: m, Delay: time.Duration(d.Varint()), Expiry: time.Duration(d.Varint())}
		d.Bad = d.Bad || m == nil
	case session.Subscribed:
		c.Subscription = d.subscription()
	case session.Unsubscribed, session.Replayed:
		textTo(d, &c.Filter)
	case session.Replaying:
		textTo(d, &c.Filter)
		textTo(d, &c.Topic)
	case session.Enqueued:
		m := d.place(messages)
		c.Entry = d.entry()
		c.Entry.Message = m
	case session.EntrySent:
		c.Seq, c.PacketID = d.Uvarint(), uint16(d.Uvarint())
	case session.EntryDropped:
		c.Seq = d.Uvarint()
	case session.EntryReleased, session.EntryDone, session.Received, session.Completed:
		c.PacketID = uint16(d.Uvarint())
	default:
		d.Bad = true
	}
	return c
}

func (d *decoder) place(messages []*broker.Message) *broker.Message {
	n := d.Uvarint()
	if n > uint64(len(messages)) {
		d.Bad = true
	}
	if n == 0 || d.Bad {
		return nil
	}
	return messages[n-1]
}

func (d *decoder) message() *broker.Message {
	flags := d.Byte()
	m := &broker.Message{QoS: flags & messageQoS, Retain: flags&messageRetain != 0}
	textTo(d, &m.Topic)
	m.Payload = d.bytes()
	m.From, m.User = d.text(), d.text()
	if flags&messageReceived != 0 {
		m.Received = time.Unix(0, d.Varint())
	}
	if flags&messageExpires != 0 {
		m.Expires = time.Unix(0, d.Varint())
	}
	if flags&messageProperties != 0 {
		p := newAt(&m.Properties)
		flags := d.Byte()
		p.PayloadFormat, p.ZeroPayloadFormat, p.EmptyContentType = flags&payloadText, flags&zeroFormat != 0, flags&emptyContentType != 0
		p.ContentType, p.ResponseTopic, p.CorrelationData = d.text(), d.text(), d.bytes()
		if flags&emptyCorrelation != 0 {
			p.CorrelationData = []byte{}
		}
		for n := d.count(); n > 0 && !d.Bad; n-- {
			u := extend(&p.User)
			u.Name, u.Value = d.text(), d.text()
		}
	}
	return m
}

// textTo, newAt and extend make values of types that belong to packages which this one does not import.
func textTo[T ~string](d *decoder, to *T) { *to = T(d.text()) }

func newAt[T any](to **T) *T {
	*to = new(T)
	return *to
}

func extend[T any](s *[]T) *T {
	*s = append(*s, *new(T))
	return &(*s)[len(*s)-1]
}

func (d *decoder) entry() *session.Entry {
	e := &session.Entry{Seq: d.Uvarint(), QoS: d.Byte()}
	flags := d.Byte()
	e.Retain, e.State = flags&entryRetain != 0, session.State(d.Byte())
	e.PacketID = uint16(d.Uvarint())
	for n := d.count(); n > 0 && !d.Bad; n-- {
		e.IDs = append(e.IDs, uint32(d.Uvarint()))
	}
	if flags&entryShared != 0 {
		textTo(d, &e.Shared)
	}
	return e
}

func (d *decoder) subscription() *session.Subscription {
	flags := d.Byte()
	s := &session.Subscription{
		QoS: flags & 3, NoLocal: flags&(1<<2) != 0, RetainAsPublished: flags&(1<<3) != 0, RetainHandling: flags >> 4, ID: uint32(d.Uvarint()),
	}
	textTo(d, &s.Filter)
	return s
}

func (d *decoder) time() time.Time {
	if d.Byte() == 0 {
		return time.Time{}
	}
	return time.Unix(0, d.Varint())
}

// count reads how many of something follow; each takes at least one byte.
func (d *decoder) count() int {
	n := d.Uvarint()
	if n > uint64(len(d.B)) {
		d.Bad, d.B = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	b := d.bytes()
	if d.memory == nil || len(b) == 0 || len(b) > maxName {
		return string(b)
	}
	return d.memory.name(b)
}

// bytes reads a length and that many bytes, where they lie; nil for none.
func (d *decoder) bytes() []byte {
	if n := d.Uvarint(); n > 0 {
		return d.Take(n)
	}
	return nil
}
