package simulate

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one habit that a node breaks, or one thing that breaks in its plant.
type Fault string

// The faults, named as on the command line.
const (
	ClockSkew   Fault = "clock-skew"   // its clock is two hours fast
	SeqGap      Fault = "seq-gap"      // every tenth data message skips one sequence number
	LostBirth   Fault = "lost-birth"   // the NBIRTH of every session is lost; one that was asked for is sent
	AliasReuse  Fault = "alias-reuse"  // two metrics of one birth share an alias
	TypeChange  Fault = "type-change"  // a metric changes its datatype in data, later in a new birth
	NoWill      Fault = "no-will"      // connects without a Will and leaves without NDEATH
	BdSeqStuck  Fault = "bdseq-stuck"  // bdSeq is 0 in every session
	Flapping    Fault = "flapping"     // the connection is cut every tenth interval
	DuplicateID Fault = "duplicate-id" // a second node with the same client id and the same name
	HugeBirth   Fault = "huge-birth"   // the NBIRTH has 5,000 metrics more
	Garbage     Fault = "garbage"      // every tenth data message does not decode
	SlowLink    Fault = "slow-link"    // 4 kB/s with 50 ms on each write
	Backlog     Fault = "backlog"      // out for twenty intervals, then all that was missed in one burst
	DeviceLoss  Fault = "device-loss"  // its first device goes with a DDEATH and comes back with a DBIRTH, for fifteen intervals each
)

// shows says, for each fault in the order of the command's help, what a host's page must show of a node that has it.
// What stands between quotation marks is said there in just these words; * is any text.
var shows = []struct {
	fault Fault
	page  string
}{
	{ClockSkew, `the warning “time stamps from the future: the node's clock is ahead”, and by how much`},
	{SeqGap, `the warning or event “sequence gap: expected *, got *”, a rebirth asked and answered, values good again`},
	{LostBirth, `“data before a birth”`},
	{AliasReuse, `the warning “alias 1 stands for two metrics”`},
	{TypeChange, `the warning “has another datatype than in its birth”`},
	{NoWill, `after a kill “no will came”, some seconds late`},
	{BdSeqStuck, `“bdSeq”`},
	{Flapping, `“flapping”`},
	{DuplicateID, `“take”`},
	{HugeBirth, `more than 5,000 metrics of one node`},
	{Garbage, `the warning “cannot be decoded”`},
	{SlowLink, `births that take seconds, values that come late`},
	{Backlog, `the node offline for a while; then the gap in its trends is filled with historical values`},
	{DeviceLoss, `the device offline by “DDEATH” and its values stale, the node online`},
}

// Faults lists all faults in the order of the command's help.
func Faults() []Fault {
	out := make([]Fault, len(shows))
	for i, s := range shows {
		out[i] = s.fault
	}
	return out
}

// Shows says what a host's page must show of a node with this fault; empty for a fault that is none.
func (f Fault) Shows() string {
	for _, s := range shows {
		if s.fault == f {
			return s.page
		}
	}
	return ""
}

// ParseFaults reads a comma-separated list; the empty string is no fault.
func ParseFaults(s string) ([]Fault, error) {
	var out []Fault
	for word := range strings.SplitSeq(s, ",") {
		f := Fault(strings.TrimSpace(word))
		switch {
		case f == "":
		case !slices.Contains(Faults(), f):
			return nil, fmt.Errorf("fault %q: want some of %v", f, Faults())
		case !slices.Contains(out, f):
			out = append(out, f)
		}
	}
	return out, nil
}
