package session

import (
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// Never is the expiry of a session that does not expire.
const Never time.Duration = 1<<63 - 1

// Subscription is one filter with its options, as granted.
type Subscription struct {
	Filter            topic.Filter // with $share/NAME/ in front if it is shared
	QoS               byte         // the highest QoS it is served with
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte   // 0, 1 or 2 [MQTT-3.3.1-9] and following
	ID                uint32 // subscription identifier, 0 for none
}

// Will is the message that is published when the connection ends without DISCONNECT 0x00.
type Will struct {
	Message *broker.Message // without Received and Expires: they are set when it is published
	Delay   time.Duration   // from the end of the connection [MQTT-3.1.2-8]
	Expiry  time.Duration   // the message's expiry interval, counted from its publication; 0 for never
}

// State is how far a message on its way to the client has come.
type State uint8

// The states of an Entry.
const (
	Queued   State = iota // not sent yet: it has no packet identifier
	Sent                  // PUBLISH sent; waits for PUBACK or PUBREC
	Released              // QoS 2: PUBREC came; PUBREL is sent, waits for PUBCOMP
)

// Entry is one QoS 1 or 2 message on its way to the client.
type Entry struct {
	Seq      uint64          // position among this session's messages, rising, never reused
	Message  *broker.Message // shared by every session that has it; nil once Released
	QoS      byte            // 1 or 2, as it is delivered
	Retain   bool            // the RETAIN flag as it is delivered
	IDs      []uint32        // subscription identifiers
	State    State
	PacketID uint16       // 0 while Queued
	Shared   topic.Filter // the shared subscription by which it came, $share/NAME/ in front; empty for others
}

// ChangeKind says what a Change changes.
type ChangeKind uint8

// The kinds of changes and the fields they set beside Kind and ClientID. The numbers are part of the journal.
const (
	Created       ChangeKind = iota + 1 // User, Protocol, Expiry, At: a new session, connected; any older one of this identifier is gone
	Connected                           // User, Protocol, Expiry, At: the session is connected again
	Disconnected                        // Expiry, At: the connection ended; expiry and will delay run from At
	Ended                               // the session is gone with all it had
	WillSet                             // Will
	WillCleared                         // published or withdrawn
	Subscribed                          // Subscription
	Unsubscribed                        // Filter
	Enqueued                            // Entry: Queued, or Sent with its packet identifier
	EntrySent                           // Seq, PacketID: a queued entry was sent
	EntryReleased                       // PacketID: PUBREC came, the message itself may be forgotten
	EntryDone                           // PacketID: PUBACK, PUBCOMP or a refusal came
	EntryDropped                        // Seq: an entry will not be sent (expired, too large), or another session has it
	Received                            // PacketID: a QoS 2 PUBLISH was taken over from the client
	Completed                           // PacketID: its PUBREL came
	Replaying                           // Filter, Topic: the retained messages for Filter above Topic ("": all) are to be sent
	Replayed                            // Filter: they were
)

// Change is one step of a session's durable state; exactly the fields of its Kind are set.
// It is complete in itself: whoever stores it may keep the pointers, nothing behind them is written to again.
type Change struct {
	Kind         ChangeKind
	ClientID     string
	User         string
	Protocol     byte // 4 or 5
	Expiry       time.Duration
	At           time.Time
	Will         *Will
	Subscription *Subscription
	Filter       topic.Filter
	Topic        topic.Name
	Entry        *Entry
	Seq          uint64
	PacketID     uint16
}
