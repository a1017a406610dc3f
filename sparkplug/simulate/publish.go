package simulate

import (
	"context"
	"fmt"
	"time"

	"edge/sparkplug"
)

// hugeExtra is how many metrics huge-birth adds.
const hugeExtra = 5000

// death is the NDEATH of this session: one metric bdSeq and no seq. [tck-id-topics-ndeath-payload] [tck-id-topics-ndeath-seq]
func (s *session) death() message {
	p := sparkplug.NodeDeath(sparkplug.NodeRef{Group: s.spec.Group, Node: s.spec.Node}, s.bdSeq, s.now())
	return message{topic: p.Topic, payload: p.Payload}
}

// birth sends the NBIRTH with seq 0 and then a DBIRTH for each device. A rebirth is the same with the same bdSeq.
// [tck-id-topics-nbirth-seq-num] [tck-id-topics-nbirth-bdseq-included] [tck-id-topics-nbirth-rebirth-metric]
func (s *session) birth(ctx context.Context) error {
	at, asked := s.now(), s.asked
	s.seq, s.born, s.asked = 0, time.Now(), false
	metrics := []sparkplug.Metric{sparkplug.BdSeqMetric(s.bdSeq, at), named(sparkplug.NameRebirth, at, sparkplug.BoolValue(false))}
	metrics = append(metrics, s.bornMetrics("", at)...)
	if s.has(HugeBirth) {
		for i := range hugeExtra {
			metrics = append(metrics, named(fmt.Sprintf("Huge/Channel %04d", i+1), at, numeric(sparkplug.Double, float64(i))))
		}
	}
	if s.has(LostBirth) && !asked {
		s.seq++
	} else if err := s.send(ctx, sparkplug.NBIRTH, "", at, metrics); err != nil {
		return err
	}
	s.update(func(st *Status) {
		st.Births++
		if asked {
			st.Rebirths++
		}
	})
	for _, d := range s.spec.Devices {
		if d.Device == s.lost {
			continue
		}
		if err := s.send(ctx, sparkplug.DBIRTH, d.Device, at, s.bornMetrics(d.Device, at)); err != nil {
			return err
		}
	}
	return nil
}

// bornMetrics are all metrics of the node itself or of a device, with name, alias, datatype and properties.
func (s *session) bornMetrics(device string, at time.Time) []sparkplug.Metric {
	var out []sparkplug.Metric
	for _, t := range s.tags {
		if t.device != device {
			continue
		}
		t.kind = s.typeOf(t)
		t.reported, t.known = s.value(t, at), true
		m := named(t.Name, at, as(t.reported, t.kind))
		m.Alias, m.HasAlias, m.Properties = t.alias, true, properties(t.Signal)
		out = append(out, m)
	}
	return out
}

// look is one interval: what has changed goes out, one message per device.
func (s *session) look(ctx context.Context) error {
	s.looks++
	if err := s.misbehave(ctx); err != nil {
		return err
	}
	if err := s.report(ctx, ""); err != nil {
		return err
	}
	for _, d := range s.spec.Devices {
		if err := s.report(ctx, d.Device); err != nil {
			return err
		}
	}
	return nil
}

// report sends the changed metrics of the node itself or of a device, by alias and without datatype.
// [tck-id-payloads-name-requirement] [tck-id-payloads-alias-data-cmd-requirement]
func (s *session) report(ctx context.Context, device string) error {
	if device != "" && device == s.lost {
		return nil
	}
	at := s.now()
	var out []sparkplug.Metric
	for _, t := range s.tags {
		if t.device != device {
			continue
		}
		v := s.value(t, at)
		if t.known && !changed(t.Signal, t.reported, v) {
			continue
		}
		t.reported, t.known = v, true
		out = append(out, s.dataMetric(t, at, v))
	}
	if len(out) == 0 {
		return nil
	}
	kind := sparkplug.NDATA
	if device != "" {
		kind = sparkplug.DDATA
	}
	s.data++
	if s.has(SeqGap) && s.data%10 == 0 {
		s.seq++
	}
	s.spoil = s.has(Garbage) && s.data%10 == 9
	err := s.send(ctx, kind, device, at, out)
	s.spoil = false
	if err != nil {
		return err
	}
	s.update(func(st *Status) { st.Samples += len(out) })
	return nil
}

func (s *session) dataMetric(t *tag, at time.Time, v sparkplug.Value) sparkplug.Metric {
	m := sparkplug.Metric{Alias: t.alias, HasAlias: true, Timestamp: sparkplug.Millis(at), HasTimestamp: true, Value: v}
	if kind := s.typeOf(t); kind != t.Type {
		m.Value = as(v, kind)
		if kind != t.kind {
			m.Type = kind
		}
	}
	return m
}

// send publishes with the next seq. A number is used up only by a message that was handed to the socket.
// [tck-id-payloads-sequence-num-incrementing]
func (s *session) send(ctx context.Context, kind sparkplug.MessageType, device string, at time.Time, metrics []sparkplug.Metric) error {
	p := &sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Seq: uint64(s.seq), HasSeq: true, Metrics: metrics}
	m := message{topic: s.topic(kind, device), payload: sparkplug.Encode(p)}
	if s.spoil {
		m.payload = append([]byte{0x12, 0xff, 0xff, 0xff, 0x0f}, m.payload[:len(m.payload)/2]...) // a metric longer than the payload
	}
	if err := s.link.publish(ctx, m); err != nil {
		return fmt.Errorf("publish %s: %w", m.topic, err)
	}
	s.update(func(st *Status) { st.Messages++; st.Seq = int(s.seq) })
	s.seq++
	return nil
}

func (s *session) topic(kind sparkplug.MessageType, device string) string {
	return sparkplug.Topic{Type: kind, Group: s.spec.Group, Node: s.spec.Node, Device: device}.String()
}

func named(name string, at time.Time, v sparkplug.Value) sparkplug.Metric {
	return sparkplug.Metric{Name: name, Timestamp: sparkplug.Millis(at), HasTimestamp: true, Type: v.Type, Value: v}
}

// properties are the conventional ones: engUnit, engLow, engHigh.
func properties(s *Signal) []sparkplug.Property {
	var out []sparkplug.Property
	if s.Unit != "" {
		out = append(out, sparkplug.Property{Key: "engUnit", Value: sparkplug.StringValue(s.Unit)})
	}
	if s.Low != s.High {
		out = append(out, sparkplug.Property{Key: "engLow", Value: numeric(sparkplug.Double, s.Low)},
			sparkplug.Property{Key: "engHigh", Value: numeric(sparkplug.Double, s.High)})
	}
	return out
}
