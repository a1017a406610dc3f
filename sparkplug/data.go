package sparkplug

import (
	"fmt"
	"slices"
	"time"
)

// data applies an NDATA or DDATA.
func (s *step) data(n *node, t Topic, p *Payload) {
	d := n.own
	if t.Type == DDATA {
		d = n.devices[t.Device]
		if d == nil || d.state != StateOnline {
			s.h.stats.UnknownMetrics += uint64(len(p.Metrics))
			s.wantRebirth(n, AskNoDevice, fmt.Sprintf("DDATA of device %.80q, which has no birth", t.Device))
			return
		}
	}
	for i := range p.Metrics {
		pm := &p.Metrics[i]
		if d == n.own && (pm.Name == NameBdSeq || pm.Name == "" && n.hasBdAlias && pm.HasAlias && pm.Alias == n.bdAlias) {
			continue
		}
		m := s.resolve(d, pm)
		if m == nil {
			s.h.stats.UnknownMetrics++
			cause, reason := unknownMetric(d, t, pm)
			s.wantRebirth(n, cause, reason)
			continue
		}
		s.apply(m, pm, p, false, len(p.Metrics)-i)
	}
}

// resolve finds the metric that a DATA's metric means in its device: by alias, else by name.
func (s *step) resolve(d *device, pm *Metric) *metric {
	if !pm.HasAlias {
		m := d.metrics[pm.Name]
		if m != nil && m.hasAlias {
			s.warn(d.node, "data names a metric that has an alias [tck-id-payloads-alias-data-cmd-requirement]")
		}
		return m
	}
	if pm.Name != "" {
		s.warn(d.node, "data carries name and alias together [tck-id-payloads-alias-data-cmd-requirement]")
	}
	if m := d.aliased(pm.Alias); m != nil {
		return m
	}
	if pm.Name == "" {
		return nil
	}
	return d.metrics[pm.Name]
}

func unknownMetric(d *device, t Topic, pm *Metric) (RebirthCause, string) {
	switch {
	case pm.Name != "":
		return AskMetric, fmt.Sprintf("metric %.80q in %s is not in the birth", pm.Name, t.Type)
	case d.node.aliases[pm.Alias] != nil:
		return AskAlias, fmt.Sprintf("alias %d in %s is of another device", pm.Alias, t.Type)
	}
	return AskAlias, fmt.Sprintf("alias %d in %s is not in the birth", pm.Alias, t.Type)
}

// apply takes one metric of a birth or of data: the live value, unless it is historical, and a sample, unless it is
// transient.
func (s *step) apply(m *metric, pm *Metric, p *Payload, birth bool, more int) {
	n := m.device.node
	v, err := pm.As(m.typ)
	if err != nil {
		s.misfits(m, pm, fmt.Sprintf("metric %.80q: %v", m.name, err))
		return
	}
	if !birth {
		s.judgeData(n, m, pm)
	}
	if !v.Null && (v.Type == Template || pm.Metadata != nil) {
		var ok bool
		if v, ok = s.whole(m, pm, v, birth); !ok {
			if !birth {
				return
			}
			v, pm.Missing = Value{Type: v.Type, Null: true}, true // until its last part
		}
	}
	at, code := s.stampOf(n, pm, p), s.properties(n, m, pm)
	foreign := s.stranger(n)
	if !pm.Historical {
		s.set(m, v)
		m.turn, m.foreign = s.h.turn, foreign
		m.at, m.received, m.code = at, s.arrived, code
		m.missing, m.unfit = birth && pm.Missing, false
		if !s.silent {
			s.remember()
			s.out.Changed = slices.Grow(s.out.Changed, more)
		}
		s.changed(m)
	}
	if pm.Transient || m.transient || birth && pm.Missing || m.name == NameRebirth {
		return
	}
	ref := m.ref()
	s.record(Sample{Group: ref.Group, Node: ref.Node, Device: ref.Device, Metric: ref.Name, At: at, Received: s.arrived,
		Value: v, Quality: recorded(code, foreign != "" || m.shared), Historical: pm.Historical, Birth: birth, Slot: &m.slot}, more)
}

// recorded is the quality code of a sample. What is shown as uncertain, since another said it than the node's client or its
// alias is another metric's too, is never good in the history either; a device's own bad or stale outweighs it.
func recorded(code uint16, doubtful bool) uint16 {
	if doubtful && code == QualityCodeGood {
		return QualityCodeUncertain
	}
	return code
}

// misfits keeps a value that cannot be taken from passing silently: what is shown is not what the device says, until a
// birth or a value that fits.
func (s *step) misfits(m *metric, pm *Metric, text string) {
	s.warn(m.device.node, text)
	if !pm.Historical {
		m.unfit = true
		s.changed(m)
	}
	s.wantRebirth(m.device.node, AskDatatype, text)
}

// judgeData notes what is wrong with a metric in DATA.
func (s *step) judgeData(n *node, m *metric, pm *Metric) {
	switch {
	case pm.Type != Unknown && pm.Type != m.typ:
		s.warn(n, fmt.Sprintf("metric %.80q has another datatype than in its birth", m.name))
	case pm.Missing:
		s.warn(n, fmt.Sprintf("metric %.80q has neither a value nor is_null; taken as null", m.name))
	case !pm.HasTimestamp:
		s.warn(n, "metrics without a timestamp [tck-id-payloads-name-birth-data-requirement]")
	}
}

// stampOf returns a metric's own timestamp, else the payload's, else the arrival.
func (s *step) stampOf(n *node, pm *Metric, p *Payload) time.Time {
	if !pm.HasTimestamp || pm.Timestamp > maxDate {
		return s.stamp(p)
	}
	at := time.UnixMilli(int64(pm.Timestamp))
	if at.Sub(s.now) > s.h.o.FutureStamp {
		s.warn(n, "time stamps from the future: the node's clock is ahead")
	}
	return at
}

// properties takes what the host uses of a metric's properties and returns the quality code; without one it is good.
func (s *step) properties(n *node, m *metric, pm *Metric) uint16 {
	code := uint16(QualityCodeGood)
	for i := range pm.Properties {
		v := pm.Properties[i].Value
		switch pm.Properties[i].Key {
		case propertyQuality:
			c, ok := QualityCode(v)
			if !ok {
				s.warn(n, "a Quality property that is not Int32 0, 192 or 500 [tck-id-payloads-propertyset-quality-value-value]")
			}
			code = c
		case "engUnit":
			m.unit = unitText(v)
		case "engLow":
			m.low = number(v)
		case "engHigh":
			m.high = number(v)
		}
	}
	return code
}

// QualityCode returns the code of a Quality property. One beyond the specification's three is kept, what is no code at all is
// uncertain, and null says nothing: ok is false for all of them. [tck-id-payloads-propertyset-quality-value-type]
func QualityCode(v Value) (code uint16, ok bool) {
	switch {
	case v.Null:
		return QualityCodeGood, false
	case v.Type < Int8 || v.Type > UInt64 || v.Num > 65535:
		return QualityCodeUncertain, false
	}
	code = uint16(v.Num)
	known := code == QualityCodeBad || code == QualityCodeGood || code == QualityCodeStale
	return code, known && v.Type == Int32
}

func unitText(v Value) string {
	if v.Null || v.Type != String && v.Type != Text {
		return ""
	}
	return string(v.Bytes[:min(len(v.Bytes), 64)])
}

func number(v Value) *float64 {
	if f, ok := v.Float64(); ok {
		return &f
	}
	return nil
}
