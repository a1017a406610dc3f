package uplink

import "edge/sparkplug"

// A batch is the metrics of one NDATA or DDATA.
type batch struct {
	device  string
	metrics []sparkplug.Metric
	bytes   int
}

// batches groups metrics by device and keeps the order within each: a payload of live values is chronological.
// [tck-id-operational-behavior-data-publish-nbirth-order]
type batches struct {
	metrics, bytes int // limits of one payload
	list           []*batch
	total          int
}

func (b *batches) add(device string, m sparkplug.Metric) {
	size := metricSize(&m)
	b.total++
	for k := len(b.list) - 1; k >= 0; k-- {
		if o := b.list[k]; o.device == device {
			if len(o.metrics) < b.metrics && o.bytes+size <= b.bytes {
				o.metrics = append(o.metrics, m)
				o.bytes += size
				return
			}
			break
		}
	}
	b.list = append(b.list, &batch{device, []sparkplug.Metric{m}, size})
}

// metricSize is an upper estimate of a metric's bytes in a payload.
func metricSize(m *sparkplug.Metric) int {
	size := 40 + len(m.Name) + len(m.Value.Bytes)
	if m.Properties != nil {
		size += 40
	}
	return size
}

func (s *session) newBatches() batches {
	most := s.u.o.HistoryBytes
	if s.l.maxPacket > 0 {
		most = min(most, s.l.maxPacket-300)
	}
	return batches{metrics: s.u.o.HistoryMetrics, bytes: max(most, 1)}
}

// fits tells whether the server would take a payload with this metric alone.
func (s *session) fits(m *sparkplug.Metric) bool {
	return s.l.maxPacket <= 0 || metricSize(m)+300+len(s.n.ref.Group)+len(s.n.ref.Node) <= s.l.maxPacket
}

func (s *session) send(b *batches) error {
	for _, o := range b.list {
		t := sparkplug.NDATA
		if o.device != "" {
			t = sparkplug.DDATA
		}
		if err := s.publish(t, o.device, &sparkplug.Payload{Metrics: o.metrics}); err != nil {
			return err
		}
	}
	return nil
}
