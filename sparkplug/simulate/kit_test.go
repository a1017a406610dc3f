package simulate

import (
	"sync/atomic"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/sparkplug"
	"edge/sparkplug/observe/kit"
)

// TestEdgeNodeKit drives a simulated node through every situation that the specification speaks of, with both protocols.
func TestEdgeNodeKit(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			t.Parallel()
			var own, ofDevice atomic.Int64
			dial := func(name string, from *atomic.Int64) Signal {
				return count(sparkplug.Int64, name, func(Moment) float64 { return float64(from.Load()) })
			}
			spec := NodeSpec{Group: "G", Node: "E", Signals: []Signal{dial("Count", &own)},
				Devices: []DeviceSpec{{Device: "D", Signals: []Signal{dial("Count", &ofDevice), knob(sparkplug.Double, "Setpoint", "°C", 0, 100, 20)}}}}
			var stop func()
			n := kit.Node{Group: "G", Node: "E", Device: "D", PrimaryHost: "scada", Setpoint: "Setpoint",
				Start: func(servers []string) {
					_, stop = start(t, Options{Broker: servers[0], Nodes: []NodeSpec{spec}, Protocol: protocol, PrimaryHost: "scada", Interval: time.Millisecond})
				},
				Stop: func() { stop() },
				Set: func(device string, v float64) {
					if device == "" {
						own.Store(int64(v))
					} else {
						ofDevice.Store(int64(v))
					}
				},
			}
			r := kit.RunNode(t, n, brokertest.StartMosquitto(t).Addr)
			r.Healthy(t)
			r.Committed(t, "simulator-"+protocol.String(), "edge-node")
		})
	}
}
