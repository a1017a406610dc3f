package sparkplug

import (
	"fmt"
	"slices"
	"time"
)

// held is a message that waits for an earlier one, or for its node's birth.
type held struct {
	topic   Topic
	payload []byte
	seq     uint8
	at      time.Time // arrival
	server  string
	client  string // its publisher
	size    int    // what it takes in memory, about
}

// heldCost is what a held message takes beside its topic and payload.
const heldCost = 192

// inOrder takes a message that has a place in the node's sequence: DBIRTH, NDATA, DDATA, DDEATH. One that comes
// too early is held until the missing ones arrive or the reorder timeout ends.
// [tck-id-operational-behavior-host-reordering-param] [tck-id-operational-behavior-host-reordering-start]
func (s *step) inOrder(n *node, t Topic, m *Message, p *Payload) {
	if s.elsewhere(n, m) {
		return
	}
	if n.state == StateOnline && !p.HasSeq {
		s.warn(n, "messages without seq [tck-id-payloads-sequence-num-always-included]")
		s.dispatch(n, t, m.Payload, p)
		return
	}
	if p.Seq > 255 {
		s.warn(n, "seq above 255 [tck-id-payloads-sequence-num-incrementing]")
	}
	seq := uint8(p.Seq)
	if n.state != StateOnline || seq != n.next {
		s.heard(n)
		s.hold(n, held{topic: t, payload: m.Payload, seq: seq, at: s.now, server: m.Server, client: m.ClientID, size: heldCost + len(m.Topic) + len(m.Payload)})
		return
	}
	s.advance(n, seq)
	s.dispatch(n, t, m.Payload, p)
	if len(n.held) > 0 {
		s.drain(n)
	}
}

// elsewhere tells whether a message comes from another server than its node's session is on: it is not of this session,
// and counts nowhere. A node without a session is where it is heard.
func (s *step) elsewhere(n *node, m *Message) bool {
	if m.Server == n.server {
		return false
	}
	if n.state != StateOnline {
		n.server = m.Server
		return false
	}
	s.h.stats.OtherServer++
	s.warn(n, "two servers at a time [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]")
	return true
}

func (s *step) advance(n *node, seq uint8) {
	n.seq, n.next = int(seq), seq+1
}

// dispatch applies a message whose turn has come.
func (s *step) dispatch(n *node, t Topic, payload []byte, p *Payload) {
	switch t.Type {
	case DBIRTH:
		s.deviceBirth(n, t.Device, payload, p)
	case DDEATH:
		s.deviceDeath(n, t.Device, p)
	default:
		s.data(n, t, p)
	}
}

// hold keeps a message for later. A full buffer ends the waiting, as the timeout does.
func (s *step) hold(n *node, x held) {
	n.held = append(n.held, x)
	n.heldBytes += x.size
	s.h.heldBytes += x.size
	if n.reorder.IsZero() {
		n.reorder = s.now.Add(max(0, s.h.o.ReorderTimeout))
	}
	o := &s.h.o
	if o.ReorderTimeout < 0 || len(n.held) >= o.ReorderHeld || n.heldBytes >= o.ReorderBytes || s.h.heldBytes >= 16*o.ReorderBytes {
		s.giveUp(n)
		return
	}
	s.schedule(n)
}

// drain applies held messages as long as the next one is there. With none left the timer is off.
// [tck-id-operational-behavior-host-reordering-success]
func (s *step) drain(n *node) {
	for n.state == StateOnline {
		i := slices.IndexFunc(n.held, func(x held) bool { return x.seq == n.next && x.server == n.server })
		if i < 0 {
			break
		}
		x := n.held[i]
		n.held = slices.Delete(n.held, i, i+1)
		n.heldBytes -= x.size
		s.h.heldBytes -= x.size
		s.applyHeld(n, x)
	}
	if len(n.held) == 0 {
		s.clearHeld(n)
	} else { // another gap behind the one just filled
		n.reorder = n.held[0].at.Add(max(0, s.h.o.ReorderTimeout))
	}
	s.schedule(n)
}

func (s *step) applyHeld(n *node, x held) {
	var p Payload // the scratch payload may still be in use
	s.advance(n, x.seq)
	if err := p.Decode(x.payload, s.h.o.Limits); err == nil {
		from := s.from
		s.arrived, s.from = x.at, x.client
		s.dispatch(n, x.topic, x.payload, &p)
		s.arrived, s.from = s.now, from
	}
}

// giveUp ends the waiting for what is missing and asks for a rebirth. Before a birth the held messages mean
// nothing and go; in a session they are applied in the order of their numbers, for the historian wants all.
// [tck-id-operational-behavior-host-reordering-rebirth]
func (s *step) giveUp(n *node) {
	if n.state != StateOnline {
		first := n.held[0].topic.Type
		s.dropHeld(n)
		s.schedule(n)
		s.wantRebirth(n, n.unborn, first.String()+" before a birth"+unbornSince[n.unborn])
		return
	}
	reason := s.flushHeld(n)
	s.wantRebirth(n, AskGap, reason)
}

// unbornSince is what a missing birth has to do with us.
var unbornSince = map[RebirthCause]string{AskRestart: " since the start of this host", AskLost: " since the connection to the server was lost"}

// flushHeld applies what is held in spite of the gap before it, and returns the gap's description.
func (s *step) flushHeld(n *node) (reason string) {
	if len(n.held) == 0 {
		return ""
	}
	waiting, from := n.held, n.next
	slices.SortStableFunc(waiting, func(a, b held) int { return int(a.seq-from) - int(b.seq-from) })
	reason = fmt.Sprintf("sequence gap: expected %d, got %d", from, waiting[0].seq)
	s.clearHeld(n)
	s.schedule(n)
	n.gaps++
	s.h.stats.Gaps++
	s.touch(n)
	s.event(Event{Kind: SeqGap, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: reason, BdSeq: n.bdSeq})
	s.doubtful(n, CauseGap, reason)
	for _, x := range waiting {
		s.applyHeld(n, x)
	}
	return reason
}

// doubtful leaves the metrics uncertain that are older than a loss, and reports them.
func (s *step) doubtful(n *node, kind Cause, text string) {
	n.doubt = doubt{at: s.now, turn: s.h.turn, kind: kind, text: text}
	for _, d := range n.sorted {
		if d.state == StateOnline {
			for _, m := range d.sorted {
				s.changed(m)
			}
		}
	}
}

// afterBirth deals with what was held when an NBIRTH came. If it waited for just this birth, what follows it in
// sequence is applied; anything else is of an older session, its aliases are gone, and it is dropped.
func (s *step) afterBirth(n *node, early bool) {
	if early {
		s.drain(n)
	}
	s.dropHeld(n)
	s.schedule(n)
}

func (s *step) dropHeld(n *node) {
	s.h.stats.HeldDropped += uint64(len(n.held))
	s.clearHeld(n)
}

func (s *step) clearHeld(n *node) {
	s.h.heldBytes -= n.heldBytes
	n.held, n.heldBytes, n.reorder = nil, 0, time.Time{}
}
