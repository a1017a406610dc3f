package sparkplug

import "time"

// State is what the host knows of a node or a device.
type State string

// The states. Unknown: nothing was heard since the host started, or it was heard without a birth.
const (
	StateOnline  State = "online"
	StateOffline State = "offline"
	StateUnknown State = "unknown"
)

// Quality is what a reader may believe of a metric's value; the words of the HTTP interface.
type Quality string

// The six qualities.
const (
	QualityGood      Quality = "good"
	QualityUncertain Quality = "uncertain" // the node is alive, but the value is older than a loss, a stranger's, or not what its birth allows
	QualityStale     Quality = "stale"     // its node or device is dead, or not heard of since the start
	QualityBad       Quality = "bad"       // the Quality property says 0
	QualityNull      Quality = "null"      // is_null
	QualityNever     Quality = "never"     // in the birth without a value
)

// NodeView is a copy of what the host knows of one edge node.
type NodeView struct {
	Group, Node   string
	State         State
	Since         time.Time // when State began; by the node's clock if it said so itself
	Heard         time.Time // Since, by our clock
	Reason        string    // why it is in that state, for an operator: "connection lost, will published"
	BdSeq         int       // of the current or last session; -1 unknown
	Seq           int       // last sequence number processed; -1 before a birth
	LastBirth     time.Time // by the node's clock; zero: never
	BirthHeard    time.Time // LastBirth, by our clock
	LastDeath     time.Time // zero: never
	DeathReason   string
	Metrics       int // of the node itself
	Devices       []DeviceView
	RebirthsAsked int // by this host since start
	RebirthsDone  int
	RebirthCauses [RebirthCauses]int // of RebirthsAsked
	Gaps          int                // sequence gaps since start
	Warnings      []string           // conformance warnings, newest last, at most 16
	Client        ClientView
	Sessions      []SessionNote // the newest 20, oldest first; nil in Nodes
	Why           []Reason      // see Host.Why
	ClockSkew     time.Duration // how far the node's clock is ahead of ours, the way of its messages taken out
	Server        string        // where it was born last; empty for a host that has one
}

// DeviceView is a copy of what the host knows of one device.
type DeviceView struct {
	Device  string
	State   State
	Since   time.Time
	Heard   time.Time // as a node's
	Reason  string
	Why     []Reason // see Host.Why; none while it is online
	Metrics int
}

// ClientView is an MQTT client that speaks for a node, as its session was seen; zero when there is none.
type ClientView struct {
	ID, Address string
	TLS         bool
	User        string
	Cert        string // subject of its certificate
	Protocol    byte   // 4 or 5; 0: not known
	KeepAlive   time.Duration
	WillTopic   string
	Connected   bool
	Since       time.Time // of the connection
	Ended       time.Time // zero while connected
	End         Cause     // why it ended
	EndReason   string    // the session event's words for it
	EndDetail   string
}

// SessionNote is one line of a node's list of connections.
type SessionNote struct {
	Kind              Cause     // CauseConnected, CauseRefused, or why the connection ended
	At, Last          time.Time // Last: of a refusal that was repeated
	ClientID, Address string
	User              string
	Detail            string
	Count             int // how often without another in between
}

// MetricView is a copy of one metric's current value.
type MetricView struct {
	Group, Node, Device, Name string
	Alias                     uint64
	HasAlias                  bool
	Type                      DataType
	Field                     Field    // the member the peer's birth used, which a command uses too
	Unit                      string   // the engUnit property
	Low, High                 *float64 // the engLow and engHigh properties
	Value                     Value
	Quality                   Quality
	At                        time.Time // the device's time stamp; zero: never
	Received                  time.Time // zero: never
	Cause                     string    // why Quality is not good, or what is doubtful though it is; see Explain
	Transient                 bool
}
