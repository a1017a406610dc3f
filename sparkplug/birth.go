package sparkplug

import (
	"fmt"
	"strings"
	"time"
)

// nodeBirth begins a session, or renews it: in the same session it is a rebirth, and nobody died. It needs no order, it
// resets it. Devices stay offline until their own births.
func (s *step) nodeBirth(n *node, m *Message, p *Payload) {
	bdSeq, at := BdSeqOf(p), s.stamp(p)
	early := n.state != StateOnline
	if !early && s.olderBirth(n, m, p) {
		return
	}
	if !early && n.anotherSession(m, bdSeq) {
		s.closeHeld(n)
		s.die(n, s.newSessionWhy(n))
	}
	s.bind(n, m.ClientID)
	s.judgeBirth(n, p, bdSeq)
	n.state, n.since, n.heard, n.why = StateOnline, at, s.arrived, nil
	n.server, n.born, n.unborn = m.Server, time.Time{}, AskNoBirth
	if p.HasTimestamp {
		n.born = at
	}
	n.bdSeq, n.seq = bdSeq, int(p.Seq&255)
	n.next = uint8(p.Seq) + 1
	n.lastBirth, n.birthHeard, n.doubt = at, s.arrived, doubt{}
	clear(n.aliases)
	for _, d := range n.devices {
		s.deviceDown(d, StateOffline, at, notReborn(at))
	}
	s.event(Event{Kind: NodeBorn, At: at, Group: n.ref.Group, Node: n.ref.Node, BdSeq: bdSeq, Payload: m.Payload})
	s.rebirthDone(n) // before its metrics, which may be cause for another
	s.born(n.own, p, at)
	s.touch(n)
	s.afterBirth(n, early)
}

// olderBirth tells whether a birth on another server than the node's is older than its session there: the newest wins.
// Two servers give no order, so the node's own clock decides; without it the last to arrive is the newest.
// [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]
func (s *step) olderBirth(n *node, m *Message, p *Payload) bool {
	if m.Server == n.server {
		return false
	}
	s.warn(n, "two servers at a time [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]")
	if !p.HasTimestamp || !s.stamp(p).Before(n.born) {
		return false
	}
	s.h.stats.OtherServer++
	return true
}

// anotherSession tells a birth of a new session from a rebirth: by bdSeq, or, for peers whose bdSeq never moves, by the
// end of the connection or another client or server.
func (n *node) anotherSession(m *Message, bdSeq int) bool {
	return bdSeq != n.bdSeq || n.ended.ID != "" || m.Server != n.server ||
		m.ClientID != "" && n.client.ID != "" && m.ClientID != n.client.ID
}

// judgeBirth notes what an NBIRTH lacks, and what it calls bdSeq.
func (s *step) judgeBirth(n *node, p *Payload, bdSeq int) {
	if bdSeq < 0 {
		s.warn(n, "NBIRTH without bdSeq [tck-id-topics-nbirth-bdseq-included]")
	}
	n.bdAlias, n.hasBdAlias = 0, false
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == NameBdSeq && m.HasAlias {
			n.bdAlias, n.hasBdAlias = m.Alias, true
			s.warn(n, "bdSeq has an alias; other hosts may not recognise its deaths [tck-id-topics-ndeath-payload]")
		}
	}
	if !p.HasSeq || p.Seq != 0 {
		s.warn(n, "NBIRTH whose seq is not 0 [tck-id-topics-nbirth-seq-num]")
	}
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == NameRebirth {
			if m.HasAlias {
				s.warn(n, "Node Control/Rebirth has an alias [tck-id-operational-behavior-data-commands-rebirth-name-aliases]")
			}
			return
		}
	}
	s.warn(n, "NBIRTH without Node Control/Rebirth [tck-id-topics-nbirth-rebirth-metric]")
}

// deviceBirth makes a device online, or renews its metrics; both are normal within a session.
func (s *step) deviceBirth(n *node, name string, payload []byte, p *Payload) {
	d := s.device(n, name)
	if d == nil {
		return
	}
	at := s.stamp(p)
	for _, m := range d.metrics {
		n.unalias(m)
	}
	s.event(Event{Kind: DeviceBorn, At: at, Group: n.ref.Group, Node: n.ref.Node, Device: d.name, BdSeq: -1, Payload: payload})
	s.born(d, p, at)
	s.touch(n)
}

// born replaces a device's metrics by those of a birth, and applies their values in the payload's order.
func (s *step) born(d *device, p *Payload, at time.Time) {
	d.state, d.since, d.heard, d.why, d.beyond = StateOnline, at, s.arrived, nil, 0
	if d == d.node.own {
		s.undefineAll(d.node)
	}
	keep := make(map[string]*metric, len(p.Metrics))
	named := make([]*metric, len(p.Metrics))
	folded := make(map[string]struct{}, len(p.Metrics))
	for i := range p.Metrics {
		if pm := &p.Metrics[i]; s.declarable(d, pm) {
			m := s.declare(d, keep, pm)
			if named[i] = m; m == nil {
				continue
			}
			if f := strings.ToLower(pm.Name); len(folded) < len(keep) {
				if _, twice := folded[f]; twice {
					s.warn(d.node, "metric names differ only in case [tck-id-case-sensitivity-metric-names]")
				}
				folded[f] = struct{}{}
			}
		}
	}
	s.replaceMetrics(d, keep)
	s.judgeFolders(d)
	for i, m := range named {
		if m != nil {
			s.apply(m, &p.Metrics[i], p, true, len(named)-i)
			s.changed(m) // a birth that brings no live value ends what was shown
		}
	}
}

// declarable tells whether a birth's metric becomes a metric of ours: bdSeq belongs to the session, and a template's
// definition has no value.
func (s *step) declarable(d *device, pm *Metric) bool {
	n := d.node
	switch {
	case pm.Name == NameBdSeq && d == n.own:
		return false
	case pm.Name == "":
		s.warn(n, "a birth's metric has no name [tck-id-payloads-alias-birth-requirement]")
		return false
	case !pm.Type.OfMetric():
		s.warn(n, fmt.Sprintf("metric %.80q has no valid datatype in its birth [tck-id-payloads-metric-datatype-req]", pm.Name))
		return false
	case pm.Type == Template && isDefinition(pm.Value.Bytes):
		if d != n.own {
			s.warn(n, "a template definition outside NBIRTH [tck-id-payloads-template-definition-nbirth-only]")
		}
		s.define(n, pm)
		return false
	}
	if !pm.HasTimestamp {
		s.warn(n, "metrics without a timestamp [tck-id-payloads-name-birth-data-requirement]")
	}
	return true
}

// declare enters one metric of a birth into keep and the alias map; nil when there is no room.
func (s *step) declare(d *device, keep map[string]*metric, pm *Metric) *metric {
	n := d.node
	if keep[pm.Name] != nil {
		s.warn(n, fmt.Sprintf("metric %.80q is twice in its birth", pm.Name))
	}
	m := keep[pm.Name]
	if m == nil {
		m = d.metrics[pm.Name]
		cost := metricCost + len(pm.Name)
		if n.metrics-len(d.metrics)+len(keep) >= s.h.o.MaxMetrics || m == nil && s.h.full(cost) {
			s.h.stats.Refused++
			d.beyond++
			s.warn(n, "more metrics than the limit; the rest is not shown or recorded")
			return nil
		}
		if m == nil {
			m = &metric{device: d, name: pm.Name}
			s.h.bytes += cost
		}
		keep[m.name] = m
	}
	m.typ, m.field, m.transient = pm.Type, pm.Field, pm.Transient
	m.unit, m.low, m.high, m.unfit, m.shared = "", nil, nil, false, false
	m.slot = Slot{}
	s.h.files.Drop(m)
	m.received = time.Time{} // a value of an older session is not this one's
	n.unalias(m)
	if pm.HasAlias && n.alias(m, pm.Alias) {
		s.warn(n, fmt.Sprintf("alias %d stands for two metrics [tck-id-payloads-alias-uniqueness]", m.alias))
	}
	return m
}

// judgeFolders notes a metric that others are named under: in a tree of names a folder should stay a folder.
func (s *step) judgeFolders(d *device) {
	for i, m := range d.sorted {
		for _, other := range d.sorted[i+1:] {
			if !strings.HasPrefix(other.name, m.name) {
				break
			}
			if other.name[len(m.name)] == '/' {
				s.warn(d.node, fmt.Sprintf("%.80q is a metric and a folder of others", m.name))
				return
			}
		}
	}
}
