package uplink

import (
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// A birth is synthesised, never replayed: the metrics of the plant node's birth with their current values, and what
// the backlog needs besides, as null.
type birth struct {
	now      time.Time
	stampNow bool                          // metric time stamps: now, instead of those of the values
	stale    bool                          // everything with Quality 500: a node or device that is dead in the plant
	shown    map[sparkplug.MetricRef]shown // flush mode in_order: the values of the last session's end, if they are known
}

// shown is the value that a host saw last.
type shown struct {
	value     sparkplug.Value
	timestamp uint64
	quality   journal.Quality
}

// values returns the current values of all metrics.
func (m *model) values() map[sparkplug.MetricRef]shown {
	out := map[sparkplug.MetricRef]shown{}
	add := func(device string, s *metricSet) {
		for _, c := range s.list {
			if c.m.HasTimestamp && !c.m.Missing {
				out[sparkplug.MetricRef{Device: device, Name: c.m.Name}] = shown{c.m.Value, c.m.Timestamp, c.quality}
			}
		}
	}
	add("", &m.node)
	for d, s := range m.devices {
		add(d, s)
	}
	return out
}

// nodeBirth returns an NBIRTH without seq, which is given when it is sent. [tck-id-topics-nbirth-metrics]
func (m *model) nodeBirthPayload(b birth, bdSeq uint8) *sparkplug.Payload {
	p := &sparkplug.Payload{Metrics: []sparkplug.Metric{sparkplug.BdSeqMetric(bdSeq, b.now)}}
	b.stale = b.stale || !m.node.born
	if m.node.byName[sparkplug.NameRebirth] == nil {
		p.Metrics = append(p.Metrics, b.rebirthMetric())
	}
	b.add(p, "", &m.node)
	for _, c := range m.strays() {
		p.Metrics = append(p.Metrics, b.metric("", c))
	}
	m.restate = false
	return p
}

// deviceBirth returns a DBIRTH without seq. [tck-id-topics-dbirth-metrics]
func (m *model) deviceBirthPayload(b birth, device string) *sparkplug.Payload {
	p := &sparkplug.Payload{}
	if s := m.devices[device]; s != nil {
		b.stale = b.stale || !s.born
		b.add(p, device, s)
	}
	return p
}

// rebirthMetric: Boolean, false, no alias. [tck-id-operational-behavior-data-commands-rebirth-name-aliases]
func (b birth) rebirthMetric() sparkplug.Metric {
	return sparkplug.Metric{Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false),
		Timestamp: sparkplug.Millis(b.now), HasTimestamp: true}
}

func (b birth) add(p *sparkplug.Payload, device string, s *metricSet) {
	p.Timestamp, p.HasTimestamp = sparkplug.Millis(b.now), true
	for _, c := range s.list {
		if c.m.Name == sparkplug.NameRebirth {
			p.Metrics = append(p.Metrics, b.rebirthMetric())
			continue
		}
		p.Metrics = append(p.Metrics, b.metric(device, c))
	}
	for _, f := range s.former {
		null := sparkplug.Metric{Name: f.name, Type: f.typ, Value: sparkplug.Value{Type: f.typ, Null: true},
			Timestamp: sparkplug.Millis(b.now), HasTimestamp: true}
		setQuality(&null, journal.Stale)
		p.Metrics = append(p.Metrics, null)
	}
}

// metric is a current value as a birth carries it: the alias of the plant does not go upstream, and the encoding is
// the specification's, not the peer's.
func (b birth) metric(device string, c *metric) sparkplug.Metric {
	m, q := c.m, c.quality
	if old, ok := b.shown[sparkplug.MetricRef{Device: device, Name: m.Name}]; ok && old.value.Type == m.Type {
		m.Value, m.Timestamp, m.HasTimestamp, m.Missing, q = old.value, old.timestamp, true, false, old.quality
	}
	m.Alias, m.HasAlias, m.Field, m.Historical = 0, false, sparkplug.FieldNone, false
	if m.Value.Type == sparkplug.Unknown { // the peer's value did not fit its datatype
		m.Value = sparkplug.Value{Type: m.Type, Null: true}
	}
	if m.Missing {
		m.Missing, m.Value = false, sparkplug.Value{Type: m.Type, Null: true}
	}
	if b.stale {
		q = journal.Stale
	}
	if b.stampNow || !m.HasTimestamp {
		m.Timestamp, m.HasTimestamp = sparkplug.Millis(b.now), true
	}
	setQuality(&m, q)
	return m
}
