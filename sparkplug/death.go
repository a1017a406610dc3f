package sparkplug

import (
	"fmt"
	"time"
)

// nodeDeath ends a session by the host's clock. It is not subject to seq. A late will, whose bdSeq is not the
// present session's, is ignored; so is a second one.
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline]
func (s *step) nodeDeath(t Topic, m *Message, p *Payload) {
	n := s.h.nodes[t.NodeRef()]
	if n == nil || n.state == StateOffline {
		return
	}
	bdSeq := BdSeqOf(p)
	if bdSeq >= 0 && bdSeq != n.bdSeq {
		s.h.stats.LateDeaths++
		return
	}
	if bdSeq < 0 {
		s.warn(n, "NDEATH without bdSeq [tck-id-topics-ndeath-payload]")
	}
	if p.HasSeq {
		s.warn(n, "NDEATH with seq [tck-id-topics-ndeath-seq]")
	}
	s.endSession(n, s.deathWhy(n, m.ClientID))
}

// endSession applies what is still held, which came before the death, and lets the node die.
func (s *step) endSession(n *node, why []Reason) {
	if n.state == StateOnline {
		s.flushHeld(n)
	}
	s.dropHeld(n)
	s.die(n, why)
	n.want, n.awaiting, n.gone = "", false, time.Time{}
	s.schedule(n)
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
	n.state, n.since, n.why = state, s.now, why
	for _, d := range n.all() {
		s.deviceDown(d, state, s.now, why)
	}
	s.touch(n)
}

// deviceDown makes a device's metrics stale as of at. One that is down already keeps its time and why.
func (s *step) deviceDown(d *device, state State, at time.Time, why []Reason) {
	if d.state != StateOnline {
		if d.state == StateUnknown && state != StateUnknown {
			d.state, d.since, d.why = state, at, why
		}
		return
	}
	d.state, d.since, d.why = state, at, why
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
		s.wantRebirth(n, fmt.Sprintf("DDEATH of device %.80q, which has no birth", name))
		return
	}
	if d.state != StateOnline {
		return
	}
	at := s.stamp(p)
	why := deviceDeathWhy(n, s.now)
	s.deviceDown(d, StateOffline, at, why)
	s.event(Event{Kind: DeviceDied, At: at, Group: n.ref.Group, Node: n.ref.Node, Device: d.name, Reason: sentence(why), BdSeq: -1})
	s.touch(n)
}
