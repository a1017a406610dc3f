package simulate

import (
	"bytes"
	"math"
	"time"

	"edge/sparkplug"
)

// number reads a numeric value of any width; other types are 0.
func number(v sparkplug.Value) float64 {
	switch v.Type {
	case sparkplug.Float:
		return float64(math.Float32frombits(uint32(v.Num)))
	case sparkplug.Double:
		return math.Float64frombits(v.Num)
	case sparkplug.UInt64:
		return float64(v.Num)
	}
	return float64(int64(v.Num))
}

// numeric is x as a value of a numeric type.
func numeric(t sparkplug.DataType, x float64) sparkplug.Value {
	v := sparkplug.Value{Type: t}
	switch t {
	case sparkplug.Float:
		v.Num = uint64(math.Float32bits(float32(x)))
	case sparkplug.Double:
		v.Num = math.Float64bits(x)
	default:
		v.Num = uint64(int64(x))
	}
	return v
}

// analog is a measured number with the decimals that its deadband asks for, as a transmitter would give.
func analog(t sparkplug.DataType, name, unit string, low, high, deadband float64, c curve) Signal {
	decimals := math.Pow(10, math.Ceil(-math.Log10(deadband/4)))
	return Signal{Name: name, Type: t, Unit: unit, Low: low, High: high, Deadband: deadband,
		Value: func(m Moment) sparkplug.Value {
			return numeric(t, math.Round(min(max(c(m), low), high)*decimals)/decimals)
		}}
}

// count is a counter or a state number; every change is reported.
func count(t sparkplug.DataType, name string, c curve) Signal {
	return Signal{Name: name, Type: t, Value: func(m Moment) sparkplug.Value { return numeric(t, c(m)) }}
}

// meter is a number that only grows, such as an energy meter.
func meter(name, unit string, deadband float64, c curve) Signal {
	return Signal{Name: name, Type: sparkplug.Double, Unit: unit, Deadband: deadband,
		Value: func(m Moment) sparkplug.Value { return numeric(sparkplug.Double, math.Round(c(m)*1000)/1000) }}
}

// knob is a writable number.
func knob(t sparkplug.DataType, name, unit string, low, high, base float64) Signal {
	c := setpoint(name, base)
	return Signal{Name: name, Type: t, Unit: unit, Low: low, High: high, Writable: true,
		Value: func(m Moment) sparkplug.Value { return numeric(t, c(m)) }}
}

// lever is a writable switch.
func lever(name string, base bool) Signal {
	on := 0.0
	if base {
		on = 1
	}
	c := setpoint(name, on)
	return Signal{Name: name, Type: sparkplug.Boolean, Writable: true,
		Value: func(m Moment) sparkplug.Value { return sparkplug.BoolValue(c(m) != 0) }}
}

func flag(name string, f func(Moment) bool) Signal {
	return Signal{Name: name, Type: sparkplug.Boolean, Value: func(m Moment) sparkplug.Value { return sparkplug.BoolValue(f(m)) }}
}

func words(name string, f func(Moment) string) Signal {
	return Signal{Name: name, Type: sparkplug.String, Value: func(m Moment) sparkplug.Value { return sparkplug.StringValue(f(m)) }}
}

// floats is a FloatArray, looked at once in five minutes of history.
func floats(name, unit string, cs ...curve) Signal {
	return Signal{Name: name, Type: sparkplug.FloatArray, Unit: unit, Spacing: 5 * time.Minute,
		Value: func(m Moment) sparkplug.Value {
			elements := make([]sparkplug.Value, len(cs))
			for i, c := range cs {
				elements[i] = numeric(sparkplug.Float, math.Round(c(m)*10)/10)
			}
			return sparkplug.Array(sparkplug.FloatArray, elements)
		}}
}

// switches is a BooleanArray.
func switches(name string, f func(Moment) []bool) Signal {
	return Signal{Name: name, Type: sparkplug.BooleanArray, Value: func(m Moment) sparkplug.Value {
		var elements []sparkplug.Value
		for _, on := range f(m) {
			elements = append(elements, sparkplug.BoolValue(on))
		}
		return sparkplug.Array(sparkplug.BooleanArray, elements)
	}}
}

// changed tells whether a new value is worth a report: report by exception.
func changed(s *Signal, last, v sparkplug.Value) bool {
	if s.Deadband > 0 && !last.Null && !v.Null {
		return math.Abs(number(v)-number(last)) >= s.Deadband*(1-1e-9)
	}
	return last.Null != v.Null || last.Num != v.Num || !bytes.Equal(last.Bytes, v.Bytes)
}
