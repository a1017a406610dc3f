package sparkplug

import (
	"fmt"
	"time"
)

// nodeDeath ends a session by the host's clock. It is not subject to seq. A late will, whose bdSeq is not the
// present session's, is ignored; so is a second one.
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline]
func (s *step) nodeDeath(t Topic, p *Payload) {
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
	s.endSession(n, s.deathReason(n))
}

// deathReason says why an NDEATH came, as far as session events tell.
func (s *step) deathReason(n *node) string {
	n.goodbye = n.ended == "" && n.connected
	switch {
	case n.ended != "":
		return n.ended + ", will published"
	case n.goodbye:
		return "NDEATH published by the node itself"
	}
	return "NDEATH received"
}

// endSession applies what is still held, which came before the death, and lets the node die.
func (s *step) endSession(n *node, reason string) {
	if n.state == StateOnline {
		s.flushHeld(n)
	}
	s.dropHeld(n)
	s.die(n, reason)
	n.want, n.awaiting, n.gone = "", false, time.Time{}
	s.schedule(n)
}

// die makes a node offline, and its devices, and their metrics stale, now.
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline]
// [tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale]
func (s *step) die(n *node, reason string) {
	s.down(n, StateOffline, reason)
	n.lastDeath, n.died = s.now, reason
	s.event(Event{Kind: NodeDied, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: reason, BdSeq: n.bdSeq})
}

// down takes a node and its devices out of StateOnline.
func (s *step) down(n *node, state State, reason string) {
	n.state, n.since, n.reason = state, s.now, reason
	for _, d := range n.all() {
		s.deviceDown(d, state, s.now, reason)
	}
	s.touch(n)
}

// deviceDown makes a device's metrics stale as of at. One that is down already keeps its time and reason.
func (s *step) deviceDown(d *device, state State, at time.Time, reason string) {
	if d.state != StateOnline {
		if d.state == StateUnknown && state != StateUnknown {
			d.state, d.since, d.reason = state, at, reason
		}
		return
	}
	d.state, d.since, d.reason = state, at, reason
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
	s.deviceDown(d, StateOffline, at, "DDEATH")
	s.event(Event{Kind: DeviceDied, At: at, Group: n.ref.Group, Node: n.ref.Node, Device: d.name, Reason: "DDEATH", BdSeq: -1})
	s.touch(n)
}
