package simulate

import (
	"fmt"
	"time"

	"edge/sparkplug"
)

// Protocol is the MQTT protocol level of a node's connection.
type Protocol byte

// The two protocols. The zero Protocol of a NodeSpec takes that of Options.
const (
	V311 Protocol = 4
	V5   Protocol = 5
)

// ParseProtocol reads "5", "5.0", "3.1.1" or "4".
func ParseProtocol(s string) (Protocol, error) {
	switch s {
	case "5", "5.0":
		return V5, nil
	case "4", "3.1.1":
		return V311, nil
	}
	return 0, fmt.Errorf("protocol %q: want 5 or 3.1.1", s)
}

func (p Protocol) String() string {
	if p == V311 {
		return "3.1.1"
	}
	return "5"
}

// NodeSpec describes one edge node.
type NodeSpec struct {
	Group, Node string
	Signals     []Signal // of the node itself
	Devices     []DeviceSpec
	Protocol    Protocol // zero: Options.Protocol
	Faults      []Fault  // besides Options.Faults

	machine machine // what its signals share; its standstill is where the history has its gap
}

// DeviceSpec describes one device of a node.
type DeviceSpec struct {
	Device  string
	Signals []Signal
}

// Signal is one metric: what its birth says of it, when it reports and what it is worth.
type Signal struct {
	Name      string
	Type      sparkplug.DataType
	Unit      string                       // engUnit property; empty: none
	Low, High float64                      // engLow and engHigh properties; none when equal
	Deadband  float64                      // numeric change that is reported; 0: any change
	Spacing   time.Duration                // between looks at the signal in history, in whole minutes; 0: one
	Writable  bool                         // a command sets it
	Value     func(Moment) sparkplug.Value // pure: history asks it for the past
}

// Moment is all that a signal's value depends on.
type Moment struct {
	At     time.Time
	Seed   uint64  // the fleet's seed mixed with group, node, device and name
	Shift  uint64  // the fleet's seed mixed with group and node: what all signals of a machine share
	Writes []Write // to setpoints of the same device, oldest first
}

// Write is a command that a node has accepted.
type Write struct {
	Name  string
	At    time.Time
	Value sparkplug.Value
}

// metrics counts the signals of a node and its devices.
func (s NodeSpec) metrics() int {
	n := len(s.Signals)
	for _, d := range s.Devices {
		n += len(d.Signals)
	}
	return n
}
