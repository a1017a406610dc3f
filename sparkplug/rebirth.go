package sparkplug

import "time"

// RebirthCause is why a node was asked for its births.
type RebirthCause uint8

// The causes, and how many there are.
const (
	AskGap      RebirthCause = iota // a sequence number did not come in time
	AskNoBirth                      // the node talks, and no NBIRTH of its session was seen
	AskRestart                      // the same after a restart of ours
	AskLost                         // the same after the loss of our connection to its server
	AskNoDevice                     // a device talks or dies without a DBIRTH
	AskMetric                       // data names a metric that is not in the birth
	AskAlias                        // the same by an alias, or the alias stands for two
	AskDatatype                     // a value does not fit the birth's datatype
	AskGarbled                      // a payload that cannot be decoded
	AskOperator
	RebirthCauses
)

var rebirthCauseNames = [RebirthCauses]string{"gap", "no_birth", "restart", "server_lost", "no_device", "unknown_metric", "unknown_alias",
	"datatype", "undecodable", "operator"}

// String returns the cause's name in the HTTP interface and the metrics.
func (c RebirthCause) String() string {
	if c >= RebirthCauses {
		return "unknown"
	}
	return rebirthCauseNames[c]
}

// The longest times between two requests to one node that keeps giving cause. The time doubles with every request:
// births that do not help, and requests that nobody answers, load the plant for nothing.
const (
	slowestUseful  = time.Minute      // it answers
	slowestIgnored = 10 * time.Minute // it does not
)

// pace spreads the requests to all nodes together evenly: a host that starts beside a thousand nodes must not have
// a thousand births at once, nor twenty at the same moment.
type pace struct {
	every time.Duration
	next  time.Time // the earliest time of the next request
}

// RequestRebirth asks a node for its births on behalf of an operator, even where the host itself never asks. The
// debounce and the global cap hold here too, the longer times for nodes that do not answer do not: the request may go
// out at a later tick. ok is false for an unknown node.
func (h *Host) RequestRebirth(n NodeRef, reason string, now time.Time) (out Output, ok bool) {
	node := h.nodes[n]
	if node == nil {
		return Output{}, false
	}
	s := h.begin(now)
	s.expire()
	if node.want != "" {
		node.wantAt = earliest(node.wantAt, latest(now, node.askedAt.Add(h.o.RebirthDebounce)))
	} else {
		node.want, node.wantFor, node.wantAt = reason, AskOperator, now
		if !node.askedAt.IsZero() {
			node.wantAt = latest(now, node.askedAt.Add(h.o.RebirthDebounce))
		}
	}
	s.ask(node)
	return s.end(), true
}

// wantRebirth asks for a cause of the host's own: now, or when the time since the last request is long enough.
// Further causes until then are one with the first.
func (s *step) wantRebirth(n *node, cause RebirthCause, reason string) {
	if s.h.o.NoRebirths || n.want != "" || s.silent || n.closing {
		return
	}
	n.want, n.wantFor, n.wantAt = reason, cause, s.now
	if !n.askedAt.IsZero() {
		every, slowest := s.h.every(n)
		if !s.now.Before(n.askedAt.Add(2 * slowest)) {
			n.tries = 0 // it was quiet for long
		} else {
			n.wantAt = latest(s.now, n.askedAt.Add(every))
		}
	}
	s.ask(n)
}

// every is the least time between the last request to a node and the next, and the longest that it may become.
func (h *Host) every(n *node) (every, slowest time.Duration) {
	slowest = slowestUseful
	if n.awaiting {
		slowest = slowestIgnored
	}
	slowest = max(slowest, h.o.RebirthDebounce)
	every = h.o.RebirthDebounce
	for i := 1; i < n.tries && every < slowest; i++ {
		every *= 2
	}
	return min(every, slowest), slowest
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask enters the node among those that are to be asked, and asks the one whose turn it is if the pace allows it.
func (s *step) ask(n *node) {
	s.schedule(n)
	s.askNext()
}

// askNext sends the request that has been due for longest.
func (s *step) askNext() {
	if pace := &s.h.asks; !pace.next.After(s.now) {
		if n := s.h.longestWanted(s.now); n != nil {
			pace.next = s.now.Add(pace.every)
			s.asked(n)
			s.schedule(n)
		}
	}
}

func (s *step) asked(n *node) {
	reason := n.want
	switch n.unanswered++; n.unanswered {
	case 1:
		n.firstAsk = s.now
	case 3:
		s.warn(n, "does not answer rebirth requests; it is asked ever less often [tck-id-operational-behavior-data-commands-rebirth-action-2]")
	}
	n.askedFor = reason
	n.want, n.askedAt, n.awaiting = "", s.now, true
	n.asked++
	n.causes[n.wantFor]++
	s.h.stats.Rebirths[n.wantFor]++
	n.tries++
	s.event(Event{Kind: RebirthAsked, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: reason, BdSeq: n.bdSeq})
	request := RebirthRequest(n.ref, s.now)
	request.Server = n.server
	s.out.Publish = append(s.out.Publish, request)
	s.touch(n)
}

// rebirthDone closes a request when an NBIRTH comes, whatever its cause was.
func (s *step) rebirthDone(n *node) {
	if n.awaiting {
		n.answered++
		s.h.stats.RebirthsDone++
		s.event(Event{Kind: RebirthDone, At: s.now, Group: n.ref.Group, Node: n.ref.Node, BdSeq: n.bdSeq})
	}
	n.awaiting, n.want, n.unanswered, n.askedFor = false, "", 0, ""
}
