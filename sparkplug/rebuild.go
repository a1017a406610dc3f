package sparkplug

import "time"

// BirthEdit says how RebuildBirth changes a birth.
type BirthEdit struct {
	Now   time.Time // the new payload timestamp
	Seq   uint8
	BdSeq int // the new value of the metric bdSeq, which is added if missing; negative: bdSeq is left out (DBIRTH)

	// Metric is called for each metric but bdSeq, its alias already removed. It sets Value, Timestamp and
	// Properties as they should go out, and returns false to leave the metric out. Nil keeps every value.
	Metric func(m *Metric) bool

	// Add metrics come last.
	Add []Metric
}

// RebuildBirth returns a birth like the one given, as some other session of the same node would send it: metric
// set, datatypes, properties, metadata, uuid, body and unknown fields stay, aliases go, the rest is as the edit says. The peer's
// choice of field for UInt32 goes too: what is sent is what the specification says.
func RebuildBirth(birth []byte, l Limits, e BirthEdit) ([]byte, error) {
	p, err := Decode(birth, l)
	if err != nil {
		return nil, err
	}
	p.Timestamp, p.HasTimestamp = Millis(e.Now), true
	p.Seq, p.HasSeq = uint64(e.Seq), true
	kept := p.Metrics[:0]
	if e.BdSeq >= 0 {
		kept = make([]Metric, 0, len(p.Metrics)+1+len(e.Add))
		kept = append(kept, BdSeqMetric(uint8(e.BdSeq), e.Now))
	}
	for i := range p.Metrics {
		m := p.Metrics[i]
		if m.Name == NameBdSeq {
			continue
		}
		m.Alias, m.HasAlias = 0, false
		if m.Type != Unknown && m.Value.Type != Unknown {
			m.Field = FieldNone
		}
		if !m.HasTimestamp { // [tck-id-payloads-name-birth-data-requirement]
			m.Timestamp, m.HasTimestamp = p.Timestamp, true
		}
		if e.Metric == nil || e.Metric(&m) {
			kept = append(kept, m)
		}
	}
	p.Metrics = append(kept, e.Add...)
	return Encode(p), nil
}
