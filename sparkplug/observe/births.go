package observe

import "edge/sparkplug"

func (o *Observer) nodeBirth(n *node, p *sparkplug.Payload) {
	if !p.HasSeq || p.Seq != 0 {
		o.say("tck-id-topics-nbirth-seq-num", "NBIRTH with seq %d (present: %t), want 0", p.Seq, p.HasSeq)
	}
	bdSeq := sparkplug.BdSeqOf(p)
	o.bdSeqMetric(p, "tck-id-topics-nbirth-bdseq-included", "tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq")
	if n.born && !n.alive && bdSeq >= 0 && bdSeq == n.bdSeq {
		o.say("tck-id-topics-nbirth-bdseq-increment", "a new session with bdSeq %d of the one that died", bdSeq)
	}
	*n = node{born: true, alive: true, bdSeq: bdSeq, next: int(p.Seq+1) & 255, devices: map[string]map[string]bool{}, aliases: map[uint64]owner{}}
	n.own = o.declared(n, "", p, "nbirth")
	o.rebirthMetric(p)
}

func (o *Observer) deviceBirth(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	if n.born && !n.alive {
		o.say("tck-id-message-flow-device-birth-publish-nbirth-wait", "DBIRTH without a living node")
	}
	o.order(n, t, p)
	if len(n.devices) >= maxDevices || len(n.aliases) >= maxAliases { // judged message by message until the next NBIRTH
		*n = newNode()
		return
	}
	for alias, of := range n.aliases {
		if of.device == t.Device {
			delete(n.aliases, alias)
		}
	}
	n.devices[t.Device] = o.declared(n, t.Device, p, "dbirth")
}

// declared judges a birth's metrics and returns their names, each with whether it has an alias.
func (o *Observer) declared(n *node, device string, p *sparkplug.Payload, typ string) map[string]bool {
	names := make(map[string]bool, len(p.Metrics))
	for i := range p.Metrics {
		m := &p.Metrics[i]
		o.metric(m)
		if m.Name == "" {
			o.say("tck-id-payloads-alias-birth-requirement", "metric %d of the birth has no name", i)
			continue
		}
		names[m.Name] = m.HasAlias
		if m.Type == sparkplug.Unknown {
			o.say("tck-id-payloads-metric-datatype-req", "metric %.80q has no datatype", m.Name)
		}
		if m.Missing {
			o.say("tck-id-operational-behavior-data-publish-"+typ+"-values", "metric %.80q has neither a value nor is_null", m.Name)
		}
		for k := range m.Properties {
			if m.Properties[k].Value.Type == sparkplug.Unknown {
				o.say("tck-id-payloads-metric-propertyvalue-type-req", "property %.80q of %.80q has no type", m.Properties[k].Key, m.Name)
			}
		}
		if m.Historical {
			o.say("tck-id-topics-"+typ+"-metrics", "metric %.80q of the birth is historical, want the current value", m.Name)
		}
		if !m.HasAlias {
			continue
		}
		if other, taken := n.aliases[m.Alias]; taken && other != (owner{device, m.Name}) {
			o.say("tck-id-payloads-alias-uniqueness", "alias %d stands for %.80q and %.80q", m.Alias, other.name, m.Name)
		}
		n.aliases[m.Alias] = owner{device, m.Name}
	}
	return names
}

// metric judges what holds for a metric of births and data alike.
func (o *Observer) metric(m *sparkplug.Metric) {
	if !m.HasTimestamp {
		o.say("tck-id-payloads-name-birth-data-requirement", "metric %s has no timestamp", called(m))
	}
	if m.Type != sparkplug.Unknown && !m.Type.OfMetric() {
		o.say("tck-id-payloads-metric-datatype-value", "metric %s has %s", called(m), m.Type)
	}
	for i := range m.Properties {
		o.property(m, &m.Properties[i])
	}
}

func (o *Observer) property(m *sparkplug.Metric, p *sparkplug.Property) {
	if t := p.Value.Type; t > sparkplug.Text && t != sparkplug.PropertySet && t != sparkplug.PropertySetList {
		o.say("tck-id-payloads-metric-propertyvalue-type-value", "property %.80q of %s is %s", p.Key, called(m), t)
	}
	if p.Key != "Quality" {
		return
	}
	if p.Value.Type != sparkplug.Int32 {
		o.say("tck-id-payloads-propertyset-quality-value-type", "Quality of %s is %s", called(m), p.Value.Type)
	}
	switch p.Value.Num {
	case sparkplug.QualityCodeBad, sparkplug.QualityCodeGood, sparkplug.QualityCodeStale:
	default:
		o.say("tck-id-payloads-propertyset-quality-value-value", "Quality of %s is %d", called(m), int64(p.Value.Num))
	}
}

// rebirthMetric judges Node Control/Rebirth in an NBIRTH.
func (o *Observer) rebirthMetric(p *sparkplug.Payload) {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name != sparkplug.NameRebirth {
			continue
		}
		if m.HasAlias {
			o.say("tck-id-operational-behavior-data-commands-rebirth-name-aliases", "Node Control/Rebirth has alias %d", m.Alias)
		}
		if m.Type != sparkplug.Boolean {
			o.say("tck-id-operational-behavior-data-commands-rebirth-datatype", "Node Control/Rebirth is %s", m.Type)
		}
		if m.Value.Null || m.Value.Num != 0 {
			o.say("tck-id-operational-behavior-data-commands-rebirth-value", "Node Control/Rebirth is not false")
		}
		return
	}
	o.say("tck-id-topics-nbirth-rebirth-metric", "NBIRTH without Node Control/Rebirth")
}

// bdSeqMetric judges the metric bdSeq of a birth or a death.
func (o *Observer) bdSeqMetric(p *sparkplug.Payload, missing, datatype string) {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == sparkplug.NameBdSeq {
			if m.Type != sparkplug.Int64 {
				o.say(datatype, "bdSeq is %s, want Int64", m.Type)
			}
			if sparkplug.BdSeqOf(p) < 0 {
				o.say(datatype, "bdSeq is not 0 to 255")
			}
			return
		}
	}
	o.say(missing, "no metric bdSeq")
}
