package sparkplug

import "time"

// Message is an MQTT message as the host sees it.
type Message struct {
	Topic    string
	Payload  []byte
	Retain   bool
	Server   string // which MQTT server it came from; empty for a host that has one
	ClientID string // its publisher; empty when not known (a host that is an MQTT client itself)
}

// Session is an MQTT session event as the host sees it; only a host in the broker's own process gets them. A client's events come in order with its messages; the
// end of its connection comes before its will.
type Session struct {
	ClientID, Address string
	TLS               bool
	User              string
	Cert              string // subject of the client's certificate
	Protocol          byte   // 4 or 5; 0: not known
	KeepAlive         time.Duration
	WillTopic         string // empty without a will
	Connected         bool
	Reason            string // why it ended: a broker's word that EndCause knows, or others for an operator
	Detail            string // more of it
}

// Refused is what the broker, or the firewall in it, did not take. It is told at the nodes that it concerns.
type Refused struct {
	ClientID, Address, User string // ClientID is empty where none was given yet
	Topic                   string // of the message; of a CONNECT, the will's
	Connect                 bool   // a CONNECT, not a message
	Reason                  string // "wrong user name or password"
}

// Lost says that the host's own connection to a server is lost.
type Lost struct{ Server string }

// Input is one step's input: exactly one of the pointers is set, or none for a tick.
type Input struct {
	Message *Message
	Session *Session
	Refused *Refused
	Lost    *Lost // every node that was last born on this server becomes stale
}

// Sample is one value to be recorded. Transient metrics never become samples.
type Sample struct {
	Group, Node, Device, Metric string
	At, Received                time.Time
	Value                       Value
	Quality                     uint16 // Sparkplug's code: 0, 192, 500; QualityCodeUncertain; or one of the device's own
	Historical, Birth           bool
	Slot                        *Slot // of the metric
}

// Slot is room for whoever records a metric's samples: it holds nothing after each birth of the metric, and the host
// leaves what is written there alone. It may be used only while the host takes no step.
type Slot struct{ ID, At uint64 }

// EventKind names a host event; the pipeline maps it to the journal's kinds.
type EventKind uint8

// The host's events.
const (
	NodeBorn EventKind = iota + 1
	NodeDied
	DeviceBorn
	DeviceDied
	SeqGap
	RebirthAsked
	RebirthDone
	ClockStepped // of a node: its time stamps jumped against our clock
	StateDuel    // another client says that we are offline, again and again
)

// Event is something the host saw or decided.
type Event struct {
	Kind                EventKind
	At                  time.Time
	Group, Node, Device string
	Reason              string
	BdSeq               int    // -1: none
	Payload             []byte // NodeBorn, DeviceBorn: the birth as received
}

// Publish is a message that the host wants sent.
type Publish struct {
	Server  string // where to; empty for a host that has one
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Output is what one step wants done, in this order: Events and Samples to the journal in the order of
// their Seq-ordered arrival (a birth's event stands before its samples), Changed to whoever shows live values, Publish to the router.
type Output struct {
	Records []Record    // samples and events in the order they are true
	Changed []MetricRef // metrics whose view changed in this step
	Nodes   []NodeRef   // nodes whose own view changed (state, devices, counters); Seq and ClockSkew alone do not count
	Publish []Publish

	Forgotten []Topic // births of nodes and devices that made room for others: they need not be kept for Seed

	memory *memory // of Records and Changed, see Host.Done
}

// Record is a Sample or an Event; exactly one is set.
type Record struct {
	Sample *Sample
	Event  *Event
}

// NodeRef names a node.
type NodeRef struct{ Group, Node string }

// MetricRef names a metric.
type MetricRef struct{ Group, Node, Device, Name string }
