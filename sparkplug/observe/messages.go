package observe

import (
	"encoding/json"
	"fmt"

	"edge/sparkplug"
)

func (o *Observer) data(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	typ := lower(t.Type)
	if n.born {
		o.check(n.alive, "payloads-"+typ+"-order", "%s of a dead node", t.Type)
	}
	o.order(n, t, p)
	names := n.own
	if t.Type == sparkplug.DDATA {
		if names = n.devices[t.Device]; n.alive {
			o.check(names != nil, "payloads-ddata-order", "DDATA before the device's DBIRTH")
		}
	}
	latest := map[string]uint64{}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		o.metric(m)
		o.check(m.Type == sparkplug.Unknown, "payloads-metric-datatype-not-req", "metric %s carries its datatype", called(m))
		o.check(!m.Missing, "topics-"+typ+"-payload", "metric %s has neither a value nor is_null", called(m))
		o.reference(n, t, names, m)
		if d := names[o.nameOf(n, m)]; d.typ == sparkplug.Template && m.Field != 0 {
			m.Value, _ = m.As(d.typ)
			o.instance(n, m, false)
		}
		if m.Historical || !m.HasTimestamp {
			continue
		}
		before, seen := latest[called(m)]
		o.check(!seen || m.Timestamp >= before, "operational-behavior-data-publish-"+typ[:1]+"birth-order", "values of %s are not in the order of time", called(m))
		latest[called(m)] = m.Timestamp
	}
}

// nameOf is a metric's name, by its alias if need be.
func (o *Observer) nameOf(n *node, m *sparkplug.Metric) string {
	if m.Name == "" && m.HasAlias {
		return n.aliases[m.Alias].name
	}
	return m.Name
}

// reference judges how data or a command names its metric: by alias alone if it has one, and only what the birth
// declared.
func (o *Observer) reference(n *node, t sparkplug.Topic, names metrics, m *sparkplug.Metric) {
	o.check(m.Name != "" || m.HasAlias, "payloads-name-requirement", "a metric has neither name nor alias")
	if m.HasAlias && m.Name != "" {
		o.check(false, "payloads-alias-data-cmd-requirement", "metric %.80q carries its alias and its name", m.Name)
		return
	}
	if !n.alive || names == nil {
		return
	}
	of, hasAlias := n.aliases[m.Alias]
	d, declared := names[m.Name]
	known := m.HasAlias && hasAlias && of.device == t.Device || !m.HasAlias && declared
	o.check(known, declaredIDs[t.Type], "metric %s is not in the birth", called(m))
	if known && (m.HasAlias || d.aliased) && !sparkplug.IsControl(m.Name) {
		o.check(m.HasAlias, "payloads-alias-data-cmd-requirement", "metric %.80q has an alias and is called by name", m.Name)
	}
}

// declaredIDs say that a birth has declared what a message of the type is about.
var declaredIDs = [...]string{
	sparkplug.NDATA: "topics-nbirth-metric-reqs operational-behavior-data-publish-nbirth",
	sparkplug.DDATA: "topics-dbirth-metric-reqs operational-behavior-data-publish-dbirth",
	sparkplug.NCMD:  "operational-behavior-data-commands-ncmd-metric-name",
	sparkplug.DCMD:  "operational-behavior-data-commands-dcmd-metric-name",
}

// called names a metric in a finding.
func called(m *sparkplug.Metric) string {
	if m.Name == "" && m.HasAlias {
		return fmt.Sprintf("alias %d", m.Alias)
	}
	return fmt.Sprintf("%.80q", m.Name)
}

func (o *Observer) deviceDeath(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	o.order(n, t, p)
	delete(n.devices, t.Device)
}

// nodeDeath judges an NDEATH. One of another session than the last birth's is a late will, which is nobody's fault.
func (o *Observer) nodeDeath(n *node, p *sparkplug.Payload) {
	o.bdSeqMetric(p, "topics-ndeath-payload", "message-flow-edge-node-birth-publish-will-message-payload-bdSeq")
	o.check(len(p.Metrics) <= 1, "topics-ndeath-payload", "NDEATH with %d metrics, want bdSeq alone", len(p.Metrics))
	if sparkplug.BdSeqOf(p) == n.bdSeq {
		n.alive, n.next = false, -1
	}
}

func (o *Observer) command(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	typ := lower(t.Type)
	o.check(!p.HasSeq, "payloads-"+typ+"-seq", "%s with seq %d", t.Type, p.Seq)
	o.check(len(p.Metrics) > 0, "topics-"+typ+"-payload", "%s without a metric", t.Type)
	names := n.own
	if t.Type == sparkplug.DCMD {
		names = n.devices[t.Device]
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.HasTimestamp {
			o.check(true, "payloads-name-cmd-requirement", "")
			o.check(inMillis(m.Timestamp), "payloads-metric-timestamp-in-UTC", "timestamp %d of %s is not in ms since 1970", m.Timestamp, called(m))
		}
		if m.Type != sparkplug.Unknown {
			o.check(m.Type.OfMetric(), "payloads-metric-datatype-value", "metric %s has %s", called(m), m.Type)
		}
		if m.Name == sparkplug.NameRebirth && t.Type == sparkplug.NCMD {
			o.check(true, "operational-behavior-data-commands-ncmd-rebirth-verb operational-behavior-data-commands-ncmd-rebirth-name", "")
			v, err := m.As(sparkplug.Boolean)
			o.check(err == nil && !v.Null && v.Num != 0, "operational-behavior-data-commands-ncmd-rebirth-value", "a rebirth request that is not true")
			continue
		}
		o.reference(n, t, names, m)
		if d := names[o.nameOf(n, m)]; d.typ != sparkplug.Unknown {
			_, err := m.As(d.typ)
			o.check(err == nil && (m.Type == sparkplug.Unknown || m.Type == d.typ), "operational-behavior-data-commands-"+typ+"-metric-value",
				"%s is written as %s, want %s", called(m), m.Type, d.typ)
		}
	}
}

// state judges a host's STATE: JSON with exactly a boolean and an integer, QoS 1, retained.
func (o *Observer) state() {
	s, err := sparkplug.ParseState(o.m.Payload)
	payload, qos, retain, topic := stateBirthPayload, stateBirthQoS, stateBirthRetain, stateBirthTopic
	if err == nil && !s.Online {
		payload, qos, retain, topic = stateDeathPayload, stateDeathQoS, stateDeathRetain, stateDeathTopic
	}
	o.check(true, topic, "")
	var keys map[string]json.RawMessage
	if err != nil {
		o.check(false, payload, "%.60q: %v", o.m.Payload, err)
	} else {
		_ = json.Unmarshal(o.m.Payload, &keys)
		o.check(len(keys) == 2 && keys["online"] != nil && keys["timestamp"] != nil, payload, "the keys are not online and timestamp alone")
	}
	if o.m.QoS == 2 || o.o.AsPublished {
		o.check(o.m.QoS == 1, qos, "STATE with QoS %d, want 1", o.m.QoS)
	}
	if o.o.AsPublished {
		o.check(o.m.Retain, retain, "STATE is not retained")
	}
}
