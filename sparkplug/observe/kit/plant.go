package kit

import (
	"time"

	"edge/sparkplug"
)

// Structures are metrics of every kind that the specification has rules for, for the births of a plant: a template's
// definition (to stand in an NBIRTH) and its instance, a data set, properties with a quality that is bad.
func Structures(at time.Time) (definition, instance, dataSet, rated sparkplug.Metric) {
	stamp := func(name string, typ sparkplug.DataType, v sparkplug.Value) sparkplug.Metric {
		v.Type = typ
		return sparkplug.Metric{Name: name, Type: typ, Value: v, Timestamp: sparkplug.Millis(at), HasTimestamp: true}
	}
	definition = stamp("Motor", sparkplug.Template, sparkplug.Value{Bytes: template("", true, true)})
	instance = stamp("Motor 1", sparkplug.Template, sparkplug.Value{Bytes: template("Motor", false, true)})
	dataSet = stamp("Batches", sparkplug.DataSet, sparkplug.Value{Bytes: batches()})
	rated = stamp("Rated", sparkplug.Double, sparkplug.DoubleValue(7))
	rated.Properties = []sparkplug.Property{{Key: "engUnit", Value: sparkplug.StringValue("kW")},
		{Key: "Quality", Value: sparkplug.Int64Value(sparkplug.Int32, sparkplug.QualityCodeBad)}}
	return definition, instance, dataSet, rated
}

// InstanceData is the value of an instance of Structures' template with one of its members only, as DATA may have it.
func InstanceData() sparkplug.Value {
	return sparkplug.Value{Type: sparkplug.Template, Bytes: template("Motor", false, false)}
}

// template is a Template of version "1" with a member "Speed" (and, if whole, "State") and a parameter "Rating".
func template(ref string, definition, whole bool) []byte {
	speed := sparkplug.Metric{Name: "Speed", Type: sparkplug.Double, Value: sparkplug.DoubleValue(1)}
	state := sparkplug.Metric{Name: "State", Type: sparkplug.String, Value: sparkplug.StringValue("run")}
	b := field(nil, 1, []byte("1"))
	b = field(b, 2, sparkplug.AppendMetric(nil, &speed))
	if whole {
		b = field(b, 2, sparkplug.AppendMetric(nil, &state))
	}
	parameter := append(field(nil, 1, []byte("Rating")), 0x10, byte(sparkplug.Int32), 0x18, 15) // type, int_value
	b = field(b, 3, parameter)
	if ref != "" {
		b = field(b, 4, []byte(ref))
	}
	if definition {
		return append(b, 0x28, 1) // is_definition
	}
	return append(b, 0x28, 0)
}

// batches is a DataSet of two columns and one row.
func batches() []byte {
	b := []byte{0x08, 2} // num_of_columns
	b = field(b, 2, []byte("Batch"))
	b = field(b, 2, []byte("Count"))
	b = append(b, 0x18, byte(sparkplug.String), 0x18, byte(sparkplug.Int32)) // types
	row := field(nil, 1, field(nil, 6, []byte("A-1")))                       // string_value
	row = field(row, 1, []byte{0x08, 3})                                     // int_value
	return field(b, 4, row)
}

// field appends a protobuf field that has a length; all here are shorter than 128 bytes.
func field(b []byte, number byte, data []byte) []byte {
	return append(append(b, number<<3|2, byte(len(data))), data...)
}
