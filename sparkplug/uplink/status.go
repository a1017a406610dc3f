package uplink

import "time"

// State is what an uplink or one of its proxies is doing.
type State string

// The states of a proxy, in the order of its life; an uplink shows the best state of its proxies, or Down.
const (
	Idle       State = "idle" // no live plant node behind it
	Connecting State = "connecting"
	WaitState  State = "wait_state" // waiting for the primary host's STATE
	Birthing   State = "birthing"
	Live       State = "live"
	Flushing   State = "flushing" // live, and sending history
	Dying      State = "dying"
	Down       State = "down" // no server can be reached
)

// Status is a copy of one uplink's state.
type Status struct {
	Name       string
	State      State
	Reason     string // for an operator, in plain words, with advice
	Since      time.Time
	Server     string            // URL without credentials
	Owed       uint64            // samples taken by the journal for this uplink and not yet delivered
	Oldest     time.Time         // arrival of the oldest owed sample; zero when none
	Rate       float64           // samples delivered per second, over the last 10 s
	Eta        time.Duration     // until Owed is 0 at the present rates; -1: growing or unknown
	Drops      map[string]uint64 // samples given up, by reason
	Delivered  uint64            // samples confirmed by a barrier since start
	Duplicated uint64            // samples sent again after a loss since start
	Nodes      []NodeStatus
}

// NodeStatus is a copy of one proxy's state.
type NodeStatus struct {
	Group, Node string
	State       State
	Reason      string
	Since       time.Time
	BdSeq       int    // of the upstream session; -1 before the first
	Cursor      uint64 // every owed sample up to this journal index is delivered
	Owed        uint64
}

// Outage is the report of one interruption of an uplink: from the loss of the first session to the moment
// its backlog was delivered.
type Outage struct {
	ID         uint64
	From, To   time.Time // To is zero while it lasts
	Restored   time.Time // when sessions were up again; zero while down
	Cause      string
	Server     string
	Owed       uint64 // samples that were not delivered when sessions were up again, plus those rewound
	Delivered  uint64 // of Owed
	Duplicated uint64 // samples that may have arrived twice
	Waived     uint64 // samples given up by policy
	Gaps       []Gap
	Nodes      []NodeOutage
}

// Gap is a stretch of samples that will never be delivered.
type Gap struct {
	Group, Node string
	From, To    time.Time
	Count       uint64
	Reason      string
}

// NodeOutage is what happened to one node during an outage.
type NodeOutage struct {
	Group, Node string
	Owed        uint64
	Delivered   uint64
	Deaths      []Span // the node's own deaths in the plant during the outage
}

// Span is a stretch of time; To is zero while it lasts.
type Span struct{ From, To time.Time }
