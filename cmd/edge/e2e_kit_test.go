package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/observe/kit"
	"edge/ui"
)

// TestBrokerKit asks our server for all that chapter 10 demands of an aware one, with both protocols and over a restart.
func TestBrokerKit(t *testing.T) {
	for name, v := range map[string]packets.Version{"3.1.1": packets.V4, "5": packets.V5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			app := startApp(t, dir, appOptions{})
			r := kit.RunBroker(t, kit.Broker{Addr: app.MQTTAddr(), Version: v, Aware: true, Restart: func() string {
				if err := app.stop(); err != nil {
					t.Error(err)
				}
				return startApp(t, dir, appOptions{}).MQTTAddr()
			}})
			r.Healthy(t)
			r.Committed(t, "our-server", "broker")
		})
	}
}

// TestHostKit drives the host of the appliance. It has no connection to a server, so its STATE and its commands are seen by
// a client.
func TestHostKit(t *testing.T) {
	t.Parallel()
	app := startApp(t, t.TempDir(), appOptions{writes: true}, func(c *Config) { c.Sparkplug.ReorderTimeout = Duration(250 * time.Millisecond) })
	plant := app.pipeline.plant
	metric := func(group, node, device, name string) (sparkplug.MetricView, sparkplug.MetricRef) {
		ref := sparkplug.MetricRef{Group: group, Node: node, Device: device, Name: name}
		m, _ := plant.Metric(ref)
		return m, ref
	}
	r := kit.RunHost(t, kit.Host{ID: "edge", Reorders: true,
		Stop: func() {
			if err := app.stop(); err != nil {
				t.Error(err)
			}
		},
		Write: func(group, node, device, name string, v float64) {
			_, ref := metric(group, node, device, name)
			if err := app.pipeline.commands.Write(t.Context(), ui.Write{Ref: ref, Value: sparkplug.DoubleValue(v), Reason: "test", By: "test"}); err != nil {
				t.Error(err)
			}
		},
		View: func(group, node, device string) (v kit.HostView) {
			n, _ := plant.Node(group, node)
			v.Node, v.NodeSince = n.State == sparkplug.StateOnline, n.Since
			for _, d := range n.Devices {
				if d.Device == device {
					v.Device, v.DeviceSince = d.State == sparkplug.StateOnline, d.Since
				}
			}
			own, _ := metric(group, node, "", kit.NodeMetric)
			other, _ := metric(group, node, device, kit.DeviceMetric)
			v.NodeStale, v.DeviceStale = own.Quality != sparkplug.QualityGood, other.Quality != sparkplug.QualityGood
			return v
		},
	}, app.MQTTAddr())
	r.Healthy(t)
	r.Committed(t, "our-host", "host-application")
}

// TestEdgeNodeKitSparkplugClient finds the known faults of Eclipse Tahu's sparkplug-client, an edge node written by others: the kit
// can fail.
func TestEdgeNodeKitSparkplugClient(t *testing.T) {
	t.Parallel()
	node, script := peer(t, "sparkplug_node.mjs")
	n := startLines(t, node, script)
	data := func(device string, v float64) {
		name := "Count"
		if device != "" {
			name = "Speed"
		}
		n.send(`{"do":"data","device":%q,"metrics":[{"name":%q,"type":"Double","value":%v}]}`, device, name, v)
	}
	r := kit.RunNode(t, kit.Node{Group: "G", Node: "E", Device: "D",
		Start: func(servers []string) {
			n.send(`{"do":"connect","url":"mqtt://%s","group":"G","node":"E","metrics":[{"name":"Count","type":"Double","value":0}],`+
				`"devices":{"D":[{"name":"Speed","type":"Double","value":0}]}}`, servers[0])
		},
		Stop:       func() { n.send(`{"do":"stop"}`) },
		Set:        data,
		DeviceDown: func() { n.send(`{"do":"device_death","device":"D"}`) },
		DeviceUp:   func() { n.send(`{"do":"device_birth","device":"D"}`) },
	}, brokertest.StartMosquitto(t).Addr)
	r.Explain(t)
	r.Committed(t, "npm-client", "edge-node")
	want := []string{
		"tck-id-message-flow-device-dcmd-subscribe",                              // at QoS 0
		"tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",       // UInt64
		"tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq", // UInt64
		"tck-id-message-flow-edge-node-birth-publish-will-message-qos",           // 0
		"tck-id-message-flow-edge-node-ncmd-subscribe",                           // at QoS 0
		"tck-id-payloads-metric-datatype-not-req",                                // datatypes in data
		"tck-id-payloads-name-birth-data-requirement",                            // bdSeq without a timestamp
		"tck-id-payloads-ndeath-will-message-qos",                                // 0
		"tck-id-topics-nbirth-bdseq-increment",                                   // always 0
	}
	if diff := cmp.Diff(want, r.Broken()); diff != "" {
		t.Errorf("(-known faults +found):\n%s", diff)
	}
}
