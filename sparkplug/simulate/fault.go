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
	{ClockSkew, `“the node's clock is ahead”, by two hours`},
	{SeqGap, `“sequence gap: expected * got *”, a rebirth asked and answered`},
	{LostBirth, `“before a birth”, a rebirth asked; known from then on`},
	{AliasReuse, `“alias 1 stands for two metrics”`},
	{TypeChange, `“Double in string_value”`},
	{NoWill, `when it is killed “no will came”, after some seconds`},
	{BdSeqStuck, `“bd_seq":0” in every session, each death believed all the same`},
	{Flapping, `deaths by “lost connection” again and again`},
	{DuplicateID, `deaths by “take-over”, again and again`},
	{HugeBirth, `“"metrics":50*” metrics of the node itself`},
	{Garbage, `“cannot be decoded”, a rebirth asked and answered`},
	{SlowLink, `“"state":"online"” some seconds late, and values that come late`},
	{Backlog, `“"state":"offline"” for a while; then the gap in its trends is filled`},
	{DeviceLoss, `“DDEATH” at the device, and its values stale; the node online`},
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
