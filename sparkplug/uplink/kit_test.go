package uplink

import (
	"context"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/historian/journal"
	"edge/sparkplug"
	"edge/sparkplug/observe/kit"
)

// plantBirth writes a birth with any metrics, as the host would.
func (r *rig) plantBirth(group, node, device string, metrics ...sparkplug.Metric) {
	at := time.Now()
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, HasSeq: true, Metrics: metrics}
	kind := journal.DeviceBirth
	if device == "" {
		kind = journal.NodeBirth
		p.Metrics = append(p.Metrics, sparkplug.BdSeqMetric(7, at))
	}
	for i := range p.Metrics {
		p.Metrics[i].Alias, p.Metrics[i].HasAlias = uint64(100*len(device)+i), p.Metrics[i].Name != sparkplug.NameBdSeq
	}
	r.append(journal.Record{Kind: journal.KindEvent, Event: &journal.Event{Kind: kind, At: journal.Millis(p.Timestamp), Group: group,
		Node: node, Device: device, Payload: sparkplug.Encode(&p)}})
}

func number(name string) sparkplug.Metric {
	return sparkplug.Metric{Name: name, Type: sparkplug.Double, Value: sparkplug.DoubleValue(0), Timestamp: sparkplug.Millis(time.Now()), HasTimestamp: true}
}

// commandFunc is the plant's side of the gate.
type commandFunc func(topic string, payload []byte) error

func (f commandFunc) Command(_ context.Context, topic string, payload []byte) error {
	return f(topic, payload)
}

// TestEdgeNodeKit: a plant node's proxy at the enterprise is an edge node, and is driven through every situation that the
// specification speaks of, with two servers and a primary host.
func TestEdgeNodeKit(t *testing.T) {
	t.Parallel()
	var r *rig
	device := func() { r.plantBirth("G", "E", "D", number("temp"), number("Setpoint")) }
	report := kit.RunNode(t, kit.Node{Group: "G", Node: "E", Device: "D", PrimaryHost: "scada", Setpoint: "Setpoint",
		Start: func(servers []string) {
			var all []Server
			for _, s := range servers {
				all = append(all, Server{URL: "mqtt://" + s})
			}
			o := quick(all...)
			o.PrimaryHost, o.HostRewind, o.Commands = "scada", -1, []CommandRule{{Metric: "Setpoint", PerMinute: 100}}
			r = newRig(t, o)
			r.commands = commandFunc(func(string, []byte) error {
				r.samples(r.sample("G", "E", "D", "Setpoint", time.Now(), 42))
				return nil
			})
			r.start()
			definition, instance, dataSet, rated := kit.Structures(time.Now())
			r.plantBirth("G", "E", "", number("temp"), definition, instance, dataSet, rated)
			device()
		},
		Stop: func() { r.stop() },
		Set:  func(device string, v float64) { r.samples(r.sample("G", "E", device, "temp", time.Now(), v)) },
		DeviceDown: func() {
			r.samples(journal.Sample{Series: r.id(journal.SeriesKey{Group: "G", Node: "E", Metric: "Motor 1", Type: journal.DataType(sparkplug.Template)}),
				At: journal.Millis(time.Now().UnixMilli()), Received: journal.Millis(time.Now().UnixMilli()), Quality: journal.Good,
				Value: journal.Value{Type: journal.DataType(sparkplug.Template), Bytes: kit.InstanceData().Bytes}})
			r.death("G", "E", "D", "lost")
		},
		DeviceUp: func() { device() },
	}, brokertest.StartMosquitto(t).Addr, brokertest.StartMosquitto(t).Addr)
	report.Healthy(t)
	report.Committed(t, "uplink", "edge-node")
}
