package store

import (
	"encoding/binary"
	"errors"
	"time"

	"edge/broker"
	"edge/broker/session"
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
	d := decoder{b: data, memory: m}
	switch d.byte() {
	case recordChanges:
		changes = d.changes()
	case recordRetained:
		retained = d.message()
	default:
		d.bad = true
	}
	if d.bad || len(d.b) > 0 {
		return nil, nil, errDamaged
	}
	return changes, retained, nil
}

// decodeHeader reads what appendHeader wrote.
func decodeHeader(b []byte) (*session.Snapshot, error) {
	d := decoder{b: b}
	s := &session.Snapshot{ClientID: d.text(), User: d.text(), Protocol: d.byte(), Connected: d.byte() == 1}
	s.Expiry = time.Duration(d.varint())
	s.DisconnectedAt = d.time()
	s.LastSeq = d.uvarint()
	s.LastPacketID = uint16(d.uvarint())
	for range d.count() {
		s.Subscriptions = append(s.Subscriptions, *d.subscription())
	}
	for range d.count() {
		s.Received = append(s.Received, uint16(d.uvarint()))
	}
	if d.byte() == 1 {
		s.Will = &session.Will{Delay: time.Duration(d.varint()), Expiry: time.Duration(d.varint())}
		s.Will.Message = d.message()
	}
	if len(d.b) > 0 { // version 1 ends before
		for n := d.count(); n > 0 && !d.bad; n-- {
			r := extend(&s.Replays)
			textTo(&d, &r.Filter)
			textTo(&d, &r.After)
		}
	}
	if d.bad || len(d.b) > 0 {
		return nil, errDamaged
	}
	return s, nil
}

// decodeStored reads what appendStored wrote.
func decodeStored(b []byte) (*session.Entry, error) {
	d := decoder{b: b}
	e := d.entry()
	if d.byte() == 1 {
		e.Message = d.message()
	}
	if d.bad || len(d.b) > 0 {
		return nil, errDamaged
	}
	return e, nil
}

// decoder reads from b; after anything wrong, bad is set and all it reads is zero.
type decoder struct {
	b      []byte
	bad    bool
	memory *memory // nil: none
}

func (d *decoder) changes() []session.Change {
	m := d.memory
	clear(m.messages)
	clear(m.changes)
	m.messages, m.changes = m.messages[:0], m.changes[:0]
	for n := d.count(); n > 0 && !d.bad; n-- {
		m.messages = append(m.messages, d.message())
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		m.changes = append(m.changes, d.change(m.messages))
	}
	return m.changes
}

func (d *decoder) change(messages []*broker.Message) session.Change {
	c := session.Change{Kind: session.ChangeKind(d.byte()), ClientID: d.text()}
	switch c.Kind {
	case session.Created, session.Connected:
		c.User, c.Protocol, c.Expiry, c.At = d.text(), d.byte(), time.Duration(d.varint()), d.time()
	case session.Disconnected:
		c.Expiry, c.At = time.Duration(d.varint()), d.time()
	case session.Ended, session.WillCleared:
	case session.WillSet:
		m := d.place(messages)
		c.Will = &session.Will{Message: m, Delay: time.Duration(d.varint()), Expiry: time.Duration(d.varint())}
		d.bad = d.bad || m == nil
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
		c.Seq, c.PacketID = d.uvarint(), uint16(d.uvarint())
	case session.EntryDropped:
		c.Seq = d.uvarint()
	case session.EntryReleased, session.EntryDone, session.Received, session.Completed:
		c.PacketID = uint16(d.uvarint())
	default:
		d.bad = true
	}
	return c
}

func (d *decoder) place(messages []*broker.Message) *broker.Message {
	n := d.uvarint()
	if n > uint64(len(messages)) {
		d.bad = true
	}
	if n == 0 || d.bad {
		return nil
	}
	return messages[n-1]
}

func (d *decoder) message() *broker.Message {
	flags := d.byte()
	m := &broker.Message{QoS: flags & messageQoS, Retain: flags&messageRetain != 0}
	textTo(d, &m.Topic)
	m.Payload = d.bytes()
	m.From, m.User = d.text(), d.text()
	if flags&messageReceived != 0 {
		m.Received = time.Unix(0, d.varint())
	}
	if flags&messageExpires != 0 {
		m.Expires = time.Unix(0, d.varint())
	}
	if flags&messageProperties != 0 {
		p := newAt(&m.Properties)
		flags := d.byte()
		p.PayloadFormat, p.ZeroPayloadFormat, p.EmptyContentType = flags&payloadText, flags&zeroFormat != 0, flags&emptyContentType != 0
		p.ContentType, p.ResponseTopic, p.CorrelationData = d.text(), d.text(), d.bytes()
		if flags&emptyCorrelation != 0 {
			p.CorrelationData = []byte{}
		}
		for n := d.count(); n > 0 && !d.bad; n-- {
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
	e := &session.Entry{Seq: d.uvarint(), QoS: d.byte()}
	flags := d.byte()
	e.Retain, e.State = flags&entryRetain != 0, session.State(d.byte())
	e.PacketID = uint16(d.uvarint())
	for n := d.count(); n > 0 && !d.bad; n-- {
		e.IDs = append(e.IDs, uint32(d.uvarint()))
	}
	if flags&entryShared != 0 {
		textTo(d, &e.Shared)
	}
	return e
}

func (d *decoder) subscription() *session.Subscription {
	flags := d.byte()
	s := &session.Subscription{
		QoS: flags & 3, NoLocal: flags&(1<<2) != 0, RetainAsPublished: flags&(1<<3) != 0, RetainHandling: flags >> 4, ID: uint32(d.uvarint()),
	}
	textTo(d, &s.Filter)
	return s
}

func (d *decoder) time() time.Time {
	if d.byte() == 0 {
		return time.Time{}
	}
	return time.Unix(0, d.varint())
}

// count reads how many of something follow; each takes at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
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
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
	}
	if n == 0 || d.bad {
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}
