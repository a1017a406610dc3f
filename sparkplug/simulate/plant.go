package simulate

import (
	"fmt"
	"math"
	"time"

	"edge/sparkplug"
)

// Plant is a small plant in group "plant": press, oven, conveyor and utilities, with devices and signals
// that a maintenance engineer would recognize.
func Plant() []NodeSpec {
	return []NodeSpec{press(), oven(), conveyor(), utilities()}
}

func press() NodeSpec {
	k := machine{period: 2 * time.Hour, run: 104 * time.Minute, pause: 4 * time.Minute}
	const cycle = 12 * time.Second
	stroke := k.ramp(cycle)
	return NodeSpec{Group: "plant", Node: "press", machine: k,
		Signals: machineSignals(k, 6, 74),
		Devices: []DeviceSpec{
			{Device: "hydraulics", Signals: []Signal{
				knob(sparkplug.Double, "Pressure Setpoint", "bar", 80, 220, 180),
				analog(sparkplug.Float, "Pressure", "bar", 0, 250, 0.5,
					wobble(times(follow("Pressure Setpoint", 180, 20*time.Second), k.work(0.1, 1)), 3)),
				analog(sparkplug.Float, "Oil Temperature", "°C", 0, 90, 0.025, wobble(scale(k.warmth(25*time.Minute), 28, 54), 0.8)),
				analog(sparkplug.Float, "Oil Level", "%", 0, 100, 0.025, wobble(daily(82, 3), 0.5)),
				analog(sparkplug.Double, "Pump Current", "A", 0, 160, 0.25, wobble(k.work(12, 96), 4)),
				analog(sparkplug.Float, "Oil Flow", "l/min", 0, 300, 0.25, wobble(k.work(5, 168), 6)),
				flag("Pump Running", func(m Moment) bool { return k.state(m) == running || k.state(m) == heating }),
				flag("Filter Clogged", func(m Moment) bool { n, in := k.locate(m.At, m.Shift); return n%7 == 3 && in < k.run/2 }),
			}},
			{Device: "ram", Signals: []Signal{
				count(sparkplug.Int64, "Cycle Count", k.cycles(cycle)),
				count(sparkplug.Int64, "Reject Count", k.cycles(37*cycle)),
				analog(sparkplug.Float, "Force", "kN", 0, 1600, 5, wobble(scale(stroke, 200, 1180), 30)),
				analog(sparkplug.Float, "Position", "mm", 0, 420, 1, scale(stroke, 5, 400)),
				analog(sparkplug.Double, "Die Temperature", "°C", 0, 120, 0.025, wobble(scale(k.warmth(40*time.Minute), 22, 46), 0.6)),
				analog(sparkplug.Float, "Cycle Time", "s", 0, 60, 0.01, wobble(constant(12), 0.4)),
				analog(sparkplug.Double, "Bearing Vibration", "mm/s", 0, 20, 0.01, wobble(k.work(0.3, 3.4), 0.4)),
				floats("Stroke Profile", "mm", scale(stroke, 0, 90), scale(stroke, 10, 180), scale(stroke, 20, 310), scale(stroke, 30, 400)),
			}},
		}}
}

func oven() NodeSpec {
	k := machine{period: 4 * time.Hour, run: 220 * time.Minute, pause: 5 * time.Minute}
	var zones []Signal
	for zone, base := range []float64{165, 182, 174} {
		name := fmt.Sprintf("Oven/Zone %d", zone+1)
		warm := times(follow(name+"/Setpoint", base, 6*time.Minute), k.warmth(18*time.Minute))
		zones = append(zones,
			knob(sparkplug.Double, name+"/Setpoint", "°C", 20, 250, base),
			analog(sparkplug.Double, name+"/Temperature", "°C", 0, 300, 0.05, wobble(plus(constant(18), times(constant(0.9), warm)), 0.9)))
	}
	return NodeSpec{Group: "plant", Node: "oven", machine: k,
		Signals: machineSignals(k, 9, 118),
		Devices: []DeviceSpec{
			{Device: "furnace", Signals: append(zones,
				analog(sparkplug.Float, "Oven/Belt Speed", "m/min", 0, 10, 0.005, wobble(k.work(0.4, 3.2), 0.08)),
				analog(sparkplug.Float, "Oven/Heater Power", "%", 0, 100, 0.25, wobble(k.work(4, 63), 6)),
				flag("Oven/Door Open", func(m Moment) bool { return k.state(m) == idle || k.state(m) == jammed }),
				recipe(k),
				floats("Oven/Belt Profile", "°C", daily(60, 4), wobble(scale(k.warmth(15*time.Minute), 20, 140), 2),
					wobble(scale(k.warmth(18*time.Minute), 20, 155), 2), wobble(scale(k.warmth(25*time.Minute), 20, 90), 2)),
			)},
			{Device: "exhaust", Signals: []Signal{
				knob(sparkplug.Int32, "Fan Speed Setpoint", "rpm", 0, 3000, 1450),
				analog(sparkplug.Float, "Fan Speed", "rpm", 0, 3000, 1.5,
					wobble(times(follow("Fan Speed Setpoint", 1450, 8*time.Second), k.work(0.3, 1)), 18)),
				analog(sparkplug.Float, "Filter Pressure", "Pa", 0, 800, 0.5, wobble(k.work(60, 310), 14)),
				analog(sparkplug.Float, "Damper", "%", 0, 100, 0.25, wobble(k.work(15, 58), 3)),
				analog(sparkplug.Double, "Oxygen", "%", 0, 21, 0.01, wobble(k.work(20.6, 8.2), 0.3)),
				analog(sparkplug.Float, "Stack Temperature", "°C", 0, 400, 0.1, wobble(scale(k.warmth(12*time.Minute), 24, 176), 3)),
			}},
		}}
}

func conveyor() NodeSpec {
	k := machine{period: 90 * time.Minute, run: 78 * time.Minute, pause: 2 * time.Minute}
	const spacing = 4 * time.Second
	return NodeSpec{Group: "plant", Node: "conveyor", machine: k,
		Signals: machineSignals(k, 0.4, 7.5),
		Devices: []DeviceSpec{
			{Device: "drive", Signals: []Signal{
				knob(sparkplug.Float, "Speed Setpoint", "m/s", 0, 2, 0.8),
				analog(sparkplug.Float, "Speed", "m/s", 0, 2.5, 0.0025,
					wobble(times(follow("Speed Setpoint", 0.8, 3*time.Second), k.work(0, 1)), 0.02)),
				analog(sparkplug.Float, "Motor Current", "A", 0, 30, 0.025, wobble(k.work(0.8, 11.5), 0.7)),
				analog(sparkplug.Float, "Motor Temperature", "°C", 0, 120, 0.025, wobble(scale(k.warmth(14*time.Minute), 22, 41), 0.7)),
				analog(sparkplug.Double, "Belt Tension", "N", 0, 2000, 1, wobble(daily(820, 25), 12)),
				analog(sparkplug.Float, "Motor Vibration", "mm/s", 0, 20, 0.01, wobble(k.work(0.2, 2.6), 0.4)),
				flag("Jam", func(m Moment) bool { return k.state(m) == jammed }),
				lever("Reverse", false),
			}},
			{Device: "weigher", Signals: []Signal{
				count(sparkplug.Int64, "Parts", k.cycles(spacing)),
				count(sparkplug.UInt32, "Rejects", k.cycles(53*spacing)),
				analog(sparkplug.Double, "Weight", "g", 0, 5000, 0.5, wobble(constant(1240), 16)),
				analog(sparkplug.Double, "Throughput", "1/h", 0, 2000, 1, wobble(k.work(0, 890), 22)),
				analog(sparkplug.Float, "Load Cell Zero", "g", -50, 50, 0.025, wobble(daily(1.5, 1), 0.6)),
				analog(sparkplug.Float, "Belt Temperature", "°C", 0, 80, 0.025, wobble(scale(k.warmth(30*time.Minute), 21, 12), 0.4)),
				floats("Last Weights", "g", wobble(constant(1240), 14), wobble(constant(1238), 14), wobble(constant(1242), 14)),
				lastStop(k),
			}},
		}}
}

func utilities() NodeSpec {
	k := machine{period: 6 * time.Hour, run: 340 * time.Minute, pause: 3 * time.Minute}
	phase := func(shift float64) curve { return wobble(daily(231+shift, 1.6), 1.2) }
	return NodeSpec{Group: "plant", Node: "utilities", machine: k,
		Signals: machineSignals(k, 14, 160),
		Devices: []DeviceSpec{
			{Device: "compressor", Signals: []Signal{
				knob(sparkplug.Double, "Pressure Setpoint", "bar", 5, 9, 7.2),
				analog(sparkplug.Double, "Pressure", "bar", 0, 10, 0.005, wobble(follow("Pressure Setpoint", 7.2, time.Minute), 0.12)),
				analog(sparkplug.Float, "Flow", "m³/h", 0, 900, 1, wobble(k.work(60, 540), 40)),
				analog(sparkplug.Float, "Dew Point", "°C", -60, 20, 0.025, wobble(constant(-38), 1.5)),
				analog(sparkplug.Float, "Oil Temperature", "°C", 0, 120, 0.025, wobble(scale(k.warmth(20*time.Minute), 30, 48), 0.8)),
				lever("Auto", true),
			}},
			{Device: "chiller", Signals: []Signal{
				analog(sparkplug.Double, "Supply Temperature", "°C", 0, 30, 0.01, wobble(daily(7, 0.4), 0.3)),
				analog(sparkplug.Double, "Return Temperature", "°C", 0, 40, 0.01, wobble(plus(daily(9, 0.6), k.work(0, 4)), 0.4)),
				analog(sparkplug.Float, "Water Flow", "m³/h", 0, 60, 0.025, wobble(k.work(12, 31), 1)),
				count(sparkplug.UInt8, "Compressors On", func(m Moment) float64 { return math.Round(k.work(1, 3)(m)) }),
				switches("Alarms", func(m Moment) []bool { return []bool{k.state(m) == jammed, false, k.state(m) == idle} }),
			}},
			{Device: "meter", Signals: []Signal{
				analog(sparkplug.Float, "Voltage L1", "V", 0, 260, 0.05, phase(0)),
				analog(sparkplug.Float, "Voltage L2", "V", 0, 260, 0.05, phase(0.7)),
				analog(sparkplug.Float, "Voltage L3", "V", 0, 260, 0.05, phase(-0.4)),
				analog(sparkplug.Double, "Frequency", "Hz", 45, 55, 0.0025, wobble(constant(50), 0.06)),
				analog(sparkplug.Float, "Power Factor", "", 0, 1, 0.0025, wobble(k.work(0.7, 0.94), 0.02)),
				tariff(),
			}},
		}}
}

// machineSignals are what every node reports of itself.
func machineSignals(k machine, idleKW, runKW float64) []Signal {
	return []Signal{
		count(sparkplug.Int32, "State", func(m Moment) float64 { return float64(k.state(m)) }),
		words("State Text", func(m Moment) string { return stateNames[k.state(m)] }),
		words("Batch", func(m Moment) string {
			n, _ := k.locate(m.At, m.Shift)
			return fmt.Sprintf("B-%05d", n)
		}),
		analog(sparkplug.Double, "Power", "kW", 0, 400, runKW/500, wobble(k.work(idleKW, runKW), runKW/40)),
		meter("Energy", "kWh", 0.1, k.energy(idleKW, runKW)),
	}
}

// scale maps 0..1 to base..base+span.
func scale(c curve, base, span float64) curve {
	return func(m Moment) float64 { return base + span*c(m) }
}

// lastStop is the time the machine last went to idle.
func lastStop(k machine) Signal {
	return Signal{Name: "Last Stop", Type: sparkplug.DateTime, Value: func(m Moment) sparkplug.Value {
		_, in := k.locate(m.At, m.Shift)
		stop := m.At.Add(k.run - in)
		if in < k.run {
			stop = stop.Add(-k.period)
		}
		return sparkplug.Value{Type: sparkplug.DateTime, Num: uint64(stop.UnixMilli())}
	}}
}
