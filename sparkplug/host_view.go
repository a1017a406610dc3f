package sparkplug

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// Nodes returns every node, sorted by group and node.
func (h *Host) Nodes() []NodeView { return h.NodesAfter(nil, len(h.sorted)) }

// NodesAfter returns at most limit nodes after the given one (nil: from the first), in the same order. Who holds a lock while it asks
// asks for a few at a time: a node takes some microseconds, with many devices some dozens.
func (h *Host) NodesAfter(after *NodeRef, limit int) []NodeView {
	from := 0
	if after != nil {
		at, found := slices.BinarySearchFunc(h.sorted, *after, func(n *node, ref NodeRef) int { return compareNodes(n.ref, ref) })
		if from = at; found {
			from++
		}
	}
	some := h.sorted[from:min(from+limit, len(h.sorted))]
	out := make([]NodeView, len(some))
	for i, n := range some {
		out[i] = h.nodeView(n)
	}
	return out
}

// Node returns one node, with its Sessions.
func (h *Host) Node(group, node string) (NodeView, bool) {
	n := h.nodes[NodeRef{group, node}]
	if n == nil {
		return NodeView{}, false
	}
	v := h.nodeView(n)
	v.Sessions = h.Sessions(n.ref)
	return v, true
}

// Stats returns the host's counters.
func (h *Host) Stats() Stats {
	st := h.stats
	st.Nodes, st.Clients = len(h.nodes), len(h.clients)
	for _, n := range h.sorted {
		st.Metrics += n.metrics
		switch n.state {
		case StateOnline:
			st.Online++
		case StateOffline:
			st.Offline++
		}
	}
	return st
}

func (h *Host) nodeView(n *node) NodeView {
	v := NodeView{Group: n.ref.Group, Node: n.ref.Node, State: n.state, Since: n.since, Heard: n.heard, Reason: sentence(n.why),
		BdSeq: n.bdSeq, Seq: n.seq, LastBirth: n.lastBirth, BirthHeard: n.birthHeard, LastDeath: n.lastDeath, DeathReason: sentence(n.died),
		Metrics: len(n.own.metrics), RebirthsAsked: n.asked, RebirthsDone: n.answered, Gaps: n.gaps,
		Warnings: slices.Clone(n.warnings), Client: n.client, ClockSkew: n.skew.value(), Server: n.server, RebirthCauses: n.causes,
		Why: h.whyNode(n)}
	if len(n.devices) > 0 {
		v.Devices = make([]DeviceView, 0, len(n.devices))
	}
	for _, d := range n.sorted[1:] {
		x := DeviceView{Device: d.name, State: d.state, Since: d.since, Heard: d.heard, Reason: sentence(d.why), Metrics: len(d.metrics)}
		if d.state != StateOnline {
			x.Why = h.whyDevice(d)
		}
		v.Devices = append(v.Devices, x)
	}
	return v
}

// Metric returns one metric.
func (h *Host) Metric(ref MetricRef) (MetricView, bool) {
	m := h.metric(ref)
	if m == nil {
		return MetricView{}, false
	}
	return h.metricView(m, &causeMemo{}), true
}

// metric finds a metric; nil if there is none.
func (h *Host) metric(ref MetricRef) *metric {
	n := h.nodes[NodeRef{ref.Group, ref.Node}]
	if n == nil {
		return nil
	}
	d := n.own
	if ref.Device != "" {
		if d = n.devices[ref.Device]; d == nil {
			return nil
		}
	}
	return d.metrics[ref.Name]
}

func (h *Host) metricView(m *metric, memo *causeMemo) MetricView {
	ref := m.ref()
	v := MetricView{Group: ref.Group, Node: ref.Node, Device: ref.Device, Name: ref.Name, Alias: m.alias, HasAlias: m.hasAlias,
		Type: m.typ, Field: m.field, Unit: m.unit, Low: m.low, High: m.high, Value: m.value, At: m.at, Received: m.received,
		Transient: m.transient}
	v.Value.Bytes = bytes.Clone(m.value.Bytes)
	v.Quality, _ = m.quality()
	v.Cause = h.cause(m, memo)
	return v
}

// quality tells what a reader may believe, and what speaks against it; see whyMetric. A dead bearer outweighs everything the value
// says itself.
func (m *metric) quality() (Quality, Cause) {
	d := m.device
	switch {
	case d.state != StateOnline:
		return QualityStale, CauseDown
	case m.unfit:
		return QualityUncertain, CauseType
	case m.received.IsZero():
		return QualityNever, CauseNoLive
	case m.missing:
		return QualityNever, CauseNoValue
	case m.tooLarge:
		return QualityUncertain, CauseTooLarge
	case m.value.Null:
		return QualityNull, CauseNull
	case m.code == QualityCodeBad:
		return QualityBad, CauseBad
	case m.code == QualityCodeStale:
		return QualityStale, CauseStale
	case m.code != QualityCodeGood:
		return QualityUncertain, CauseQuality
	case m.foreign != "":
		return QualityUncertain, CauseForeign
	case m.shared:
		return QualityUncertain, CauseAlias
	case m.turn < d.node.doubt.turn:
		return QualityUncertain, d.node.doubt.kind
	}
	return QualityGood, ""
}

// MetricFilter selects metrics; an empty field selects all.
type MetricFilter struct {
	Group, Node string
	Device      *string // pointer to "": metrics of the node itself
	Contains    string  // in the metric's name, in any case
	Quality     Quality
}

// metricsLimit is the most metrics on one page.
const metricsLimit = 1000

// Metrics returns at most limit metrics after the given one (nil: from the first), sorted by group, node, device and
// name, and whether there are more. A limit of 0 or above 1,000 is 1,000.
func (h *Host) Metrics(f MetricFilter, after *MetricRef, limit int) (page []MetricView, more bool) {
	if limit <= 0 || limit > metricsLimit {
		limit = metricsLimit
	}
	f.Contains = strings.ToLower(f.Contains)
	var memo causeMemo
	for _, n := range h.from(after) {
		if f.Group != "" && f.Group != n.ref.Group || f.Node != "" && f.Node != n.ref.Node {
			continue
		}
		for _, d := range n.sorted {
			if f.Device != nil && *f.Device != d.name {
				continue
			}
			for _, m := range d.after(after) {
				if !f.matches(m) {
					continue
				}
				if len(page) == limit {
					return page, true
				}
				page = append(page, h.metricView(m, &memo))
			}
		}
	}
	return page, false
}

// from returns the nodes from the given metric's on.
func (h *Host) from(after *MetricRef) []*node {
	if after == nil {
		return h.sorted
	}
	i, _ := slices.BinarySearchFunc(h.sorted, NodeRef{after.Group, after.Node}, func(n *node, ref NodeRef) int { return compareNodes(n.ref, ref) })
	return h.sorted[i:]
}

// after returns the device's metrics behind the given one.
func (d *device) after(ref *MetricRef) []*metric {
	if ref == nil || (NodeRef{ref.Group, ref.Node}) != d.node.ref || d.name > ref.Device {
		return d.sorted
	}
	if d.name < ref.Device {
		return nil
	}
	i, found := slices.BinarySearchFunc(d.sorted, ref.Name, func(m *metric, name string) int { return strings.Compare(m.name, name) })
	if found {
		i++
	}
	return d.sorted[i:]
}

func (f *MetricFilter) matches(m *metric) bool {
	if f.Contains != "" && !strings.Contains(strings.ToLower(m.name), f.Contains) {
		return false
	}
	if f.Quality == "" {
		return true
	}
	q, _ := m.quality()
	return q == f.Quality
}

// Seed restores one birth from before a restart, from its topic or its certificate's topic: the node is StateUnknown
// and its metrics are stale until an NBIRTH arrives. A node's NBIRTH comes before its DBIRTHs. A node that was heard
// already is left as it is. It returns an error for what is no birth.
func (h *Host) Seed(topic string, payload []byte, received time.Time) error {
	if certified, ok := CertifiedTopic(topic); ok {
		topic = certified
	}
	t, err := ParseTopic(topic)
	if err != nil {
		return err
	}
	if t.Type != NBIRTH && t.Type != DBIRTH {
		return topicError(topic, "not a birth")
	}
	p, err := Decode(payload, h.o.Limits)
	if err != nil {
		return err
	}
	s := h.begin(received)
	s.silent = true
	n := s.node(t.NodeRef())
	if n == nil || n.state != StateUnknown {
		return nil
	}
	s.seed(n, t, p)
	return nil
}

// SeedValue restores a metric's last value from before a restart, if it is newer than that of its birth. It stays stale.
// ok is false when it was not wanted: the device is online, and knows better.
func (h *Host) SeedValue(ref MetricRef, v Value, at, received, now time.Time) (ok bool) {
	m := h.metric(ref)
	if m == nil || m.device.state == StateOnline || m.typ != v.Type || !at.After(m.at) {
		return false
	}
	s := h.begin(now)
	s.set(m, v)
	m.at, m.received, m.missing = at, received, false
	return true
}

// seed enters a birth without believing it.
func (s *step) seed(n *node, t Topic, p *Payload) {
	why := notHeard(s.h.o.Started)
	d := n.own
	if t.Type == DBIRTH {
		if d = s.device(n, t.Device); d == nil {
			return
		}
	} else {
		n.bdSeq, n.lastBirth, n.birthHeard, n.why, n.unborn = BdSeqOf(p), s.stamp(p), s.now, why, AskRestart
		n.since, n.heard = s.now, s.now
	}
	s.born(d, p, s.stamp(p))
	d.state, d.since, d.heard, d.why = StateUnknown, s.now, s.now, why
}
