package broker

import (
	"errors"
	"time"

	"edge/broker/packets"
	"edge/broker/topic"
)

// Index is a position in the journal that a message needs to be durable; 0 means it needs none.
// It is the same number as journal.Index, which this package may not know.
type Index uint64

// Message is one application message on its way from its publisher to subscribers and taps.
type Message struct {
	Topic      topic.Name
	Payload    []byte                     // never written to after the Message is made
	QoS        byte                       // 0, 1 or 2, as published
	Retain     bool                       // as published
	RetainLive bool                       // sent with the retain flag to those who listen now too; only our own publishers set it
	Properties *packets.PublishProperties // the MQTT 5 properties that travel with the message; nil if none
	From       string                     // client identifier, or the name of a publisher of ours, which begins with "$"
	User       string                     // the user the publisher logged in as; empty for anonymous and for our own
	Received   time.Time                  // when it entered
	Expires    time.Time                  // from the Message Expiry Interval; zero if it never expires [MQTT-3.3.2-5]
}

// Size is about how many bytes m holds in memory, its properties included; the work grows with their number.
func (m *Message) Size() int64 {
	n := len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData) + userPropertySize*len(p.User)
		for i := range p.User {
			n += len(p.User[i].Name) + len(p.User[i].Value)
		}
	}
	return int64(n)
}

// userPropertySize is what a user property takes beside its texts: two string headers, and the rounding of two small strings.
const userPropertySize = 32 + 16

// Publisher takes a message as if a client had sent it: it is stored, routed and tapped like any other.
// Publish does not wait. It returns the journal index that makes the message durable (0: none),
// or an error when the message could not be taken; then no subscriber gets it.
type Publisher interface {
	Publish(m *Message) (Index, error)
}

// ErrNotAllowed is wrapped by the error of a Gate that refuses a message for who its publisher is: 0x87 rather than 0x83.
var ErrNotAllowed = errors.New("not allowed")

// Gate may refuse a message before it is routed, or return another in its place.
// A nil Message with a nil error drops the message silently (it is acknowledged).
type Gate interface {
	Pass(m *Message) (*Message, error)
}

// Tap sees every routed message and every session event, a client's events in order with its messages. One that is also a
// Chooser sees the messages it wants.
//
// Message accepts without blocking. Accepting means the tap holds what it wants of the message; the index
// it returns is what must be durable before the publisher's QoS 1 or 2 message is acknowledged (0: nothing).
// An error means the tap could not hold it (its store is full): the publisher is not acknowledged with success.
type Tap interface {
	Message(m *Message) (Index, error)
	Session(e SessionEvent)
}

// Chooser is a Tap that wants the messages of some topics only. What nobody wants to keep costs no memory of its own.
type Chooser interface {
	Wants(name topic.Name) bool // always the same for a name; it takes no lock
}

// SessionEventKind says what happened to a client's network connection or session.
type SessionEventKind uint8

// The kinds of session events, in the order they happen to one client.
const (
	Connected    SessionEventKind = iota + 1 // CONNACK with success has been sent
	Disconnected                             // the network connection is gone; Reason says how
	Refused                                  // a connection was not let in; in no order with the others
)

// Reason is why a connection ended, in words an operator reads; the values are the constants below.
type Reason string

// The reasons of a Disconnected event.
const (
	ReasonClean     Reason = "clean disconnect"              // DISCONNECT 0x00: the will is not published
	ReasonWithWill  Reason = "disconnect with will"          // MQTT 5 DISCONNECT 0x04
	ReasonKeepAlive Reason = "keep alive timeout"            // nothing heard for 1.5 times the keep alive
	ReasonTakenOver Reason = "session taken over"            // another connection with the same client identifier
	ReasonLost      Reason = "connection lost"               // end of stream or reset without DISCONNECT
	ReasonProtocol  Reason = "protocol error"                // malformed packet or protocol error
	ReasonSlow      Reason = "slow consumer"                 // did not read within the write deadline
	ReasonAdmin     Reason = "disconnected by administrator" // from the page or a command
	ReasonShutdown  Reason = "broker shutting down"
	ReasonAuth      Reason = "re-authentication failed"
	ReasonQuota     Reason = "took more than it may" // memory that all share
	ReasonStore     Reason = "store failed"          // what the client needs saved could not be
)

// SessionEvent tells taps of a client's coming and going.
type SessionEvent struct {
	ClientID  string // Refused: as CONNECT claims, empty if it did not come so far
	User      string // Refused: as CONNECT claims
	Addr      string // remote address, host:port
	TLS       bool   // the connection is encrypted
	Cert      string // subject of the client certificate, empty without one
	Protocol  byte   // 4 or 5
	KeepAlive time.Duration
	Kind      SessionEventKind
	Reason    Reason     // Disconnected: one of the constants above; Refused: as counted
	Detail    string     // Disconnected: what is known beyond Reason, of a protocol error
	WillTopic topic.Name // topic of the will in force, empty without one
	Will      *Message   // that will, nil without one
	At        time.Time
}
