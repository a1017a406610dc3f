package simulate

import (
	"fmt"
	"math"
	"time"

	"edge/sparkplug"
)

// Generic is a plant for load: nodes node1… with devices dev1… of metrics each, in group. With devices 0 the
// metrics are the node's own. Every look finds most of the metrics changed.
func Generic(group string, nodes, devices, metrics int) []NodeSpec {
	out, signals := make([]NodeSpec, nodes), genericSignals(metrics) // shared: what tells them apart is the Moment's seed
	for i := range out {
		out[i] = NodeSpec{Group: group, Node: fmt.Sprintf("node%d", i+1), machine: machine{period: 2 * time.Hour, run: 105 * time.Minute, pause: 3 * time.Minute}}
		if devices == 0 {
			out[i].Signals = signals
		}
		for d := range devices {
			out[i].Devices = append(out[i].Devices, DeviceSpec{Device: fmt.Sprintf("dev%d", d+1), Signals: signals})
		}
	}
	return out
}

// genericSignals goes round the types a load test should see: mostly analog, then a counter, a flag, a knob.
func genericSignals(n int) []Signal {
	out := make([]Signal, n)
	for i := range out {
		name := fmt.Sprintf("metric%d", i+1)
		switch i % 10 {
		case 7:
			out[i] = count(sparkplug.Int64, name, func(m Moment) float64 { return math.Max(0, math.Floor(m.At.Sub(modelEpoch).Seconds())) })
		case 8:
			out[i] = flag(name, func(m Moment) bool { return noise(m.Seed, m.At, time.Minute) > 0 })
		case 9:
			out[i] = knob(sparkplug.Double, name, "", 0, 100, 50)
		default:
			out[i] = analog(sparkplug.Double, name, "", 0, 100, 0.01, wobble(daily(50, 20), 10))
		}
	}
	return out
}
