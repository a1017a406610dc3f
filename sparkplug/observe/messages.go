package observe

import (
	"encoding/json"
	"fmt"

	"edge/sparkplug"
)

func (o *Observer) data(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	typ := lower[t.Type]
	if n.born && !n.alive {
		o.say("tck-id-payloads-"+typ+"-order", "%s of a dead node", t.Type)
	}
	o.order(n, t, p)
	names := n.own
	if t.Type == sparkplug.DDATA {
		if names = n.devices[t.Device]; n.alive && names == nil {
			o.say("tck-id-payloads-ddata-order", "DDATA before the device's DBIRTH")
		}
	}
	latest := map[string]uint64{}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		o.metric(m)
		if m.Type != sparkplug.Unknown {
			o.say("tck-id-payloads-metric-datatype-not-req", "metric %s carries its datatype", called(m))
		}
		if m.Missing {
			o.say("tck-id-topics-"+typ+"-payload", "metric %s has neither a value nor is_null", called(m))
		}
		o.reference(n, t, names, m)
		if m.Historical || !m.HasTimestamp {
			continue
		}
		if before, seen := latest[called(m)]; seen && m.Timestamp < before {
			o.say("tck-id-operational-behavior-data-publish-"+typ[:1]+"birth-order", "values of %s are not in the order of time", called(m))
		}
		latest[called(m)] = m.Timestamp
	}
}

// reference judges how data or a command names its metric: by alias alone if it has one, and only what the birth
// declared.
func (o *Observer) reference(n *node, t sparkplug.Topic, names map[string]bool, m *sparkplug.Metric) {
	if m.HasAlias && m.Name != "" {
		o.say("tck-id-payloads-alias-data-cmd-requirement", "metric %.80q carries its alias and its name", m.Name)
		return
	}
	if !n.alive || names == nil {
		return
	}
	of, hasAlias := n.aliases[m.Alias]
	aliased, declared := names[m.Name]
	switch {
	case m.HasAlias && (!hasAlias || of.device != t.Device), !m.HasAlias && !declared:
		o.undeclared(t, m)
	case !m.HasAlias && aliased && !sparkplug.IsControl(m.Name):
		o.say("tck-id-payloads-alias-data-cmd-requirement", "metric %.80q has an alias and is called by name", m.Name)
	}
}

func (o *Observer) undeclared(t sparkplug.Topic, m *sparkplug.Metric) {
	id := map[sparkplug.MessageType]string{
		sparkplug.NDATA: "tck-id-topics-nbirth-metric-reqs", sparkplug.DDATA: "tck-id-topics-dbirth-metric-reqs",
		sparkplug.NCMD: "tck-id-operational-behavior-data-commands-ncmd-metric-name",
		sparkplug.DCMD: "tck-id-operational-behavior-data-commands-dcmd-metric-name",
	}[t.Type]
	o.say(id, "metric %s is not in the birth", called(m))
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
	o.bdSeqMetric(p, "tck-id-topics-ndeath-payload", "tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq")
	if len(p.Metrics) > 1 {
		o.say("tck-id-topics-ndeath-payload", "NDEATH with %d metrics, want bdSeq alone", len(p.Metrics))
	}
	if sparkplug.BdSeqOf(p) == n.bdSeq {
		n.alive, n.next = false, -1
	}
}

func (o *Observer) command(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	if p.HasSeq {
		o.say("tck-id-payloads-"+lower[t.Type]+"-seq", "%s with seq %d", t.Type, p.Seq)
	}
	names := n.own
	if t.Type == sparkplug.DCMD {
		names = n.devices[t.Device]
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name == sparkplug.NameRebirth && t.Type == sparkplug.NCMD {
			if v, err := m.As(sparkplug.Boolean); err != nil || v.Null || v.Num == 0 {
				o.say("tck-id-operational-behavior-data-commands-ncmd-rebirth-value", "a rebirth request that is not true")
			}
			continue
		}
		o.reference(n, t, names, m)
	}
}

// state judges a host's STATE: JSON with exactly a boolean and an integer, QoS 1, retained.
func (o *Observer) state() {
	s, err := sparkplug.ParseState(o.m.Payload)
	typ := "birth"
	if err == nil && !s.Online {
		typ = "death"
	}
	id := "tck-id-host-topic-phid-" + typ
	var keys map[string]json.RawMessage
	if err != nil {
		o.say(id+"-payload", "%.60q: %v", o.m.Payload, err)
	} else if json.Unmarshal(o.m.Payload, &keys) == nil && (len(keys) != 2 || keys["online"] == nil || keys["timestamp"] == nil) {
		o.say(id+"-payload", "the keys are not online and timestamp alone")
	}
	if o.m.QoS == 2 || o.o.AsPublished && o.m.QoS != 1 {
		o.say(id+"-qos", "STATE with QoS %d, want 1", o.m.QoS)
	}
	if o.o.AsPublished && !o.m.Retain {
		o.say(id+"-retain", "STATE is not retained")
	}
}
