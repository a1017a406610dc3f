package simulate

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one habit that a node breaks.
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
)

// Faults lists all faults in the order of the command's help.
func Faults() []Fault {
	return []Fault{ClockSkew, SeqGap, LostBirth, AliasReuse, TypeChange, NoWill, BdSeqStuck, Flapping,
		DuplicateID, HugeBirth, Garbage, SlowLink, Backlog}
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
