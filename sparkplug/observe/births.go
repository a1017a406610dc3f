package observe

import (
	"strings"

	"edge/sparkplug"
)

func (o *Observer) nodeBirth(n *node, p *sparkplug.Payload) {
	o.check(p.HasSeq && p.Seq == 0, "topics-nbirth-seq-num", "NBIRTH with seq %d (present: %t), want 0", p.Seq, p.HasSeq)
	o.check(p.HasSeq && p.Seq <= 255, rulesOf[sparkplug.NBIRTH].seq, "NBIRTH with seq %d (present: %t)", p.Seq, p.HasSeq)
	bdSeq := sparkplug.BdSeqOf(p)
	o.bdSeqMetric(p, "topics-nbirth-bdseq-included payloads-nbirth-bdseq", "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq")
	if n.born && !n.alive && bdSeq >= 0 {
		o.check(bdSeq != n.bdSeq, "topics-nbirth-bdseq-increment", "a new session with bdSeq %d of the one that died", bdSeq)
	}
	*n = newNode()
	n.born, n.alive, n.bdSeq, n.next = true, true, bdSeq, int(p.Seq+1)&255
	n.own = o.declared(n, "", p, "nbirth")
	o.rebirthMetric(p)
}

func (o *Observer) deviceBirth(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	if n.born {
		o.check(n.alive, "message-flow-device-birth-publish-nbirth-wait", "DBIRTH without a living node")
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

// declared judges a birth's metrics and returns them by name.
func (o *Observer) declared(n *node, device string, p *sparkplug.Payload, typ string) metrics {
	names := make(metrics, len(p.Metrics))
	folded := make(map[string]string, len(p.Metrics))
	for i := range p.Metrics {
		m := &p.Metrics[i]
		o.metric(m)
		if m.HasAlias || m.Name == "" {
			o.check(m.Name != "", "payloads-alias-birth-requirement payloads-name-requirement", "metric %d of the birth has no name", i)
		}
		if m.Name == "" {
			continue
		}
		o.check(true, "payloads-name-requirement", "")
		names[m.Name] = declaration{m.HasAlias, m.Type}
		o.check(m.Type != sparkplug.Unknown, "payloads-metric-datatype-req", "metric %.80q has no datatype", m.Name)
		o.check(!m.Missing, "operational-behavior-data-publish-"+typ+"-values", "metric %.80q has neither a value nor is_null", m.Name)
		o.check(!m.Historical, "topics-"+typ+"-metrics", "metric %.80q of the birth is historical, want the current value", m.Name)
		other, taken := folded[strings.ToLower(m.Name)]
		o.check(!taken || other == m.Name, "case-sensitivity-metric-names", "metrics %.80q and %.80q", other, m.Name)
		folded[strings.ToLower(m.Name)] = m.Name
		for k := range m.Properties {
			o.check(m.Properties[k].Value.Type != sparkplug.Unknown, "payloads-metric-propertyvalue-type-req",
				"property %.80q of %.80q has no type", m.Properties[k].Key, m.Name)
		}
		o.alias(n, device, m)
		if m.Type == sparkplug.Template && device == "" {
			o.definition(n, m)
		}
	}
	for i := range p.Metrics { // when all definitions are known
		if m := &p.Metrics[i]; m.Type == sparkplug.Template {
			o.instance(n, m, true)
		}
	}
	return names
}

func (o *Observer) alias(n *node, device string, m *sparkplug.Metric) {
	if !m.HasAlias {
		return
	}
	other, taken := n.aliases[m.Alias]
	o.check(!taken || other == (owner{device, m.Name}), "payloads-alias-uniqueness", "alias %d stands for %.80q and %.80q", m.Alias, other.name, m.Name)
	n.aliases[m.Alias] = owner{device, m.Name}
}

// metric judges what holds for a metric of births and data alike.
func (o *Observer) metric(m *sparkplug.Metric) {
	o.check(m.HasTimestamp, "payloads-name-birth-data-requirement", "metric %s has no timestamp", called(m))
	if m.HasTimestamp && !m.Historical {
		o.check(inMillis(m.Timestamp), "payloads-metric-timestamp-in-UTC", "timestamp %d of %s is not in ms since 1970", m.Timestamp, called(m))
	}
	if m.Type != sparkplug.Unknown {
		o.check(m.Type.OfMetric(), "payloads-metric-datatype-value", "metric %s has %s", called(m), m.Type)
	}
	if m.Type == sparkplug.DataSet {
		o.unless(dataSetIDs)
	}
	if len(m.Properties) > 0 {
		o.unless(propertySetIDs)
	}
	for i := range m.Properties {
		o.property(m, &m.Properties[i])
	}
}

func (o *Observer) property(m *sparkplug.Metric, p *sparkplug.Property) {
	t := p.Value.Type
	o.check(t <= sparkplug.Text || t == sparkplug.PropertySet || t == sparkplug.PropertySetList,
		"payloads-metric-propertyvalue-type-value payloads-metric-propertyvalue-type-type", "property %.80q of %s is %s", p.Key, called(m), t)
	if p.Key != "Quality" {
		return
	}
	o.check(t == sparkplug.Int32, "payloads-propertyset-quality-value-type", "Quality of %s is %s", called(m), t)
	ok := p.Value.Num == sparkplug.QualityCodeBad || p.Value.Num == sparkplug.QualityCodeGood || p.Value.Num == sparkplug.QualityCodeStale
	o.check(ok, "payloads-propertyset-quality-value-value", "Quality of %s is %d", called(m), int64(p.Value.Num))
}

// rebirthMetric judges Node Control/Rebirth in an NBIRTH.
func (o *Observer) rebirthMetric(p *sparkplug.Payload) {
	const there = "topics-nbirth-rebirth-metric operational-behavior-data-commands-rebirth-name payloads-nbirth-rebirth-req"
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name != sparkplug.NameRebirth {
			continue
		}
		o.check(true, there, "")
		o.check(!m.HasAlias, "operational-behavior-data-commands-rebirth-name-aliases", "Node Control/Rebirth has alias %d", m.Alias)
		o.check(m.Type == sparkplug.Boolean, "operational-behavior-data-commands-rebirth-datatype", "Node Control/Rebirth is %s", m.Type)
		o.check(!m.Value.Null && m.Value.Num == 0, "operational-behavior-data-commands-rebirth-value", "Node Control/Rebirth is not false")
		return
	}
	o.check(false, there, "NBIRTH without Node Control/Rebirth")
}

// bdSeqMetric judges the metric bdSeq of a birth or a death.
func (o *Observer) bdSeqMetric(p *sparkplug.Payload, missing, datatype string) {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == sparkplug.NameBdSeq {
			o.check(true, missing, "")
			o.check(m.Type == sparkplug.Int64, datatype, "bdSeq is %s, want Int64", m.Type)
			if sparkplug.BdSeqOf(p) < 0 {
				o.check(false, datatype, "bdSeq is not 0 to 255")
			}
			return
		}
	}
	o.check(false, missing, "no metric bdSeq")
}
