package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxNotes bounds the list of a node's connections.
const maxNotes = 20

// note appends to a node's list of connections. A refusal like the one before it is counted there.
func (n *node) note(x SessionNote) {
	if last := len(n.notes) - 1; last >= 0 && x.Kind == CauseRefused {
		if l := &n.notes[last]; l.Kind == x.Kind && l.ClientID == x.ClientID && hostOf(l.Address) == hostOf(x.Address) && l.Detail == x.Detail {
			l.Last, l.Count = x.At, l.Count+1
			return
		}
	}
	if len(n.notes) == maxNotes {
		n.notes = slices.Delete(n.notes, 0, 1)
	}
	n.notes = append(n.notes, x)
}

func (n *node) noteEnd(c *ClientView) {
	n.note(SessionNote{Kind: c.End, At: c.Ended, Last: c.Ended, ClientID: c.ID, Address: c.Address, User: c.User, Detail: c.EndDetail, Count: 1})
}

// Sessions returns the newest connections of clients that speak for a node, their ends, and what was refused, oldest first.
func (h *Host) Sessions(ref NodeRef) []SessionNote {
	if n := h.nodes[ref]; n != nil {
		return slices.Clone(n.notes)
	}
	return nil
}

// refusal is what was refused of a node, over and over.
type refusal struct {
	Refused
	first, last time.Time
	count       int
}

// refused tells a refusal at the nodes it concerns: the one the topic names, those whose client has that name, and, of a
// connection that never said its name, those whose client is gone and was at that address.
func (s *step) refused(r *Refused) {
	var named NodeRef
	if t, err := ParseTopic(r.Topic); err == nil && (!r.Connect || t.Type == NDEATH) {
		named = t.NodeRef()
	}
	for _, n := range s.h.sorted {
		c := &n.client
		switch {
		case n.ref == named, r.ClientID != "" && (c.ID == r.ClientID || n.other(r.ClientID) != nil):
		case r.ClientID == "" && r.Connect && !c.Connected && c.Address != "" && hostOf(c.Address) == hostOf(r.Address):
		default:
			continue
		}
		s.refusedAt(n, r)
	}
}

func (s *step) refusedAt(n *node, r *Refused) {
	x := &n.refusal
	if x.count == 0 || x.ClientID != r.ClientID || x.Reason != r.Reason || x.Connect != r.Connect || hostOf(x.Address) != hostOf(r.Address) {
		*x = refusal{Refused: Refused{ClientID: strings.Clone(r.ClientID), Address: r.Address, User: r.User, Topic: strings.Clone(r.Topic),
			Connect: r.Connect, Reason: r.Reason}, first: s.now}
	}
	x.count++
	x.last = s.now
	if n.stillDown() || !r.Connect {
		s.touch(n)
	}
	n.note(SessionNote{Kind: CauseRefused, At: s.now, Last: s.now, ClientID: x.ClientID, Address: x.Address, User: x.User, Detail: x.what(), Count: 1})
}

func (n *node) stillDown() bool { return n.state != StateOnline }

// what is a refusal without who and how often: "wrong user name or password", "NBIRTH: not its own node".
func (x *refusal) what() string {
	if t, err := ParseTopic(x.Topic); err == nil && !x.Connect {
		return t.Type.String() + ": " + x.Reason
	}
	return x.Reason
}

// line says a refusal: "client C at 10.0.0.7 was refused: wrong user name or password, 3 times".
func (x *refusal) line() Reason {
	text := clientName(x.ClientID, x.Address) + " was refused: " + shown(x.what())
	if x.count > 1 {
		text += fmt.Sprintf(", %d times", x.count)
	}
	return Reason{Kind: CauseRefused, At: x.first, Text: text, Lasts: x.count > 1, Also: true}
}

// A node flaps when it connects so often within so long.
const (
	flaps      = 4
	flapWithin = 5 * time.Minute
)

// flapping says whether a node's clients connected too often just before the newest connection.
func (n *node) flapping() (r Reason, ok bool) {
	var times []time.Time
	for i := range n.notes {
		if n.notes[i].Kind == CauseConnected {
			times = append(times, n.notes[i].At)
		}
	}
	if len(times) == 0 {
		return r, false
	}
	newest := times[len(times)-1]
	times = slices.DeleteFunc(times, func(t time.Time) bool { return newest.Sub(t) > flapWithin })
	if len(times) < flaps {
		return r, false
	}
	return Reason{Kind: CauseFlapping, At: times[0], Text: fmt.Sprintf("its clients connected %d times", len(times)), Lasts: true, Also: true}, true
}

func (n *node) newestConnect() (at time.Time) {
	for i := range n.notes {
		if n.notes[i].Kind == CauseConnected {
			at = n.notes[i].At
		}
	}
	return at
}
