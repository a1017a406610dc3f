package sparkplug

import (
	"fmt"
	"time"
)

// nodeDeath ends a session by the host's clock. It is not subject to seq. The will of another session is ignored; so is
// a second death of the same one.
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline]
func (s *step) nodeDeath(t Topic, m *Message, p *Payload) {
	n := s.h.nodes[t.NodeRef()]
	if n == nil || n.state == StateOffline {
		return
	}
	bdSeq := n.deathOf(p)
	if n.survives(m, bdSeq) {
		s.h.stats.LateDeaths++
		return
	}
	switch {
	case bdSeq < 0:
		s.warn(n, "NDEATH without bdSeq [tck-id-topics-ndeath-payload]")
	case n.bdSeq < 0 && !n.lastBirth.IsZero(): // a client that left before it was born has shown none
		s.warn(n, "NDEATH with a bdSeq, NBIRTH without [tck-id-payloads-ndeath-bdseq]")
	}
	if p.HasSeq {
		s.warn(n, "NDEATH with seq [tck-id-topics-ndeath-seq]")
	}
	s.endSession(n, s.deathWhy(n, m.ClientID))
}

// deathOf returns the bdSeq of an NDEATH, which may call it by the alias that the birth gave it; -1 if it has none.
func (n *node) deathOf(p *Payload) int {
	if n.hasBdAlias {
		for i := range p.Metrics {
			if m := &p.Metrics[i]; m.Name == "" && m.HasAlias && m.Alias == n.bdAlias {
				m.Name = NameBdSeq
			}
		}
	}
	return BdSeqOf(p)
}

// survives tells whether an NDEATH is not of the present session: its bdSeq is another's, or, for peers whose bdSeq never
// moves, it comes from another server, or is the will of a client that spoke for the node before the one that does now. One
// that has no bdSeq, or whose birth had none, is believed. [tck-id-payloads-ndeath-bdseq]
func (n *node) survives(m *Message, bdSeq int) bool {
	switch {
	case bdSeq >= 0 && n.bdSeq >= 0 && bdSeq != n.bdSeq:
		return true
	case n.state == StateOnline && m.Server != n.server:
		return true
	}
	before := n.other(m.ClientID)
	return n.client.Connected && before != nil && !before.Connected
}

// endSession applies what is still held, which came before the death, and lets the node die.
func (s *step) endSession(n *node, why []Reason) {
	s.closeHeld(n)
	s.die(n, why)
	n.want, n.awaiting, n.gone = "", false, time.Time{}
	n.unanswered, n.askedFor = 0, "" // nobody is there who could answer
	s.schedule(n)
}

// closeHeld applies what a session still holds, and drops what never had one. It ends, so nothing is asked of it.
func (s *step) closeHeld(n *node) {
	if n.state == StateOnline {
		n.closing = true
		s.flushHeld(n)
		n.closing = false
	}
	s.dropHeld(n)
}

// die makes a node offline, and its devices, and their metrics stale, now.
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale]
func (s *step) die(n *node, why []Reason) {
	s.down(n, StateOffline, why)
	n.lastDeath, n.died = s.now, why
	s.event(Event{Kind: NodeDied, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: sentence(why), BdSeq: n.bdSeq})
}

// down takes a node and its devices out of StateOnline.
func (s *step) down(n *node, state State, why []Reason) {
	n.state, n.since, n.heard, n.why = state, s.now, s.now, why
	for _, d := range n.sorted {
		s.deviceDown(d, state, s.now, why)
	}
	s.touch(n)
}

// deviceDown makes a device's metrics stale as of at. One that is down already keeps its time and why.
func (s *step) deviceDown(d *device, state State, at time.Time, why []Reason) {
	if d.state != StateOnline {
		if d.state == StateUnknown && state != StateUnknown {
			d.state, d.since, d.heard, d.why = state, at, s.arrived, why
		}
		return
	}
	d.state, d.since, d.heard, d.why = state, at, s.arrived, why
	for _, m := range d.sorted {
		s.changed(m)
	}
}

// deviceDeath makes a device offline at the payload's time.
// [tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale]
func (s *step) deviceDeath(n *node, name string, p *Payload) {
	d := n.devices[name]
	if d == nil {
		s.wantRebirth(n, AskNoDevice, fmt.Sprintf("DDEATH of device %.80q, which has no birth", name))
		return
	}
	if d.state != StateOnline {
		return
	}
	at := s.stamp(p)
	why := s.deviceDeathWhy(n)
	s.deviceDown(d, StateOffline, at, why)
	s.event(Event{Kind: DeviceDied, At: at, Group: n.ref.Group, Node: n.ref.Node, Device: d.name, Reason: sentence(why), BdSeq: -1})
	s.touch(n)
}

// lost makes every node that was born on a server unknown and its metrics stale: the host's own connection to it is gone.
// The rule is normative but has no id in the specification's chapter 5. Nodes born on other servers live on.
func (s *step) lost(l *Lost) {
	for _, n := range s.h.sorted {
		if n.server != l.Server {
			continue
		}
		if n.state == StateOnline {
			s.down(n, StateUnknown, serverLost(l.Server, s.now))
			n.unborn = AskLost
		}
		s.dropHeld(n)
		n.want, n.gone = "", time.Time{}
		n.client.Connected, n.others = false, nil
		s.schedule(n)
	}
	s.h.told = false
	clear(s.h.clients) // a host that is told of them has one server
}
