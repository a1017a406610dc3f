package simulate

import (
	"encoding/binary"
	"math"
	"time"

	"edge/sparkplug"
)

// recipe is what the oven does to a batch, as a data set; it changes with the batch.
func recipe(k machine) Signal {
	columns := []string{"Step", "Temperature", "Minutes"}
	types := []sparkplug.DataType{sparkplug.String, sparkplug.Double, sparkplug.Int32}
	return Signal{Name: "Oven/Recipe", Type: sparkplug.DataSet, Spacing: 15 * time.Minute, Value: func(m Moment) sparkplug.Value {
		n, _ := k.locate(m.At, m.Shift)
		hotter := float64(n%3) * 5
		return table(columns, types, [][]any{
			{"Preheat", 120 + hotter, 25}, {"Cure", 165 + hotter, 140}, {"Cool", 60.0, 30},
		})
	}}
}

// tariff is what energy costs in each part of the day.
func tariff() Signal {
	columns := []string{"From", "Until", "ct/kWh"}
	types := []sparkplug.DataType{sparkplug.String, sparkplug.String, sparkplug.Double}
	v := table(columns, types, [][]any{{"06:00", "22:00", 21.4}, {"22:00", "06:00", 16.9}})
	return Signal{Name: "Tariff", Type: sparkplug.DataSet, Value: func(Moment) sparkplug.Value { return v }}
}

// table is a data set value: the bytes of the DataSet message. A cell is a string, a float64 or an int.
func table(columns []string, types []sparkplug.DataType, rows [][]any) sparkplug.Value {
	b := []byte{1 << 3} // num_of_columns
	b = binary.AppendUvarint(b, uint64(len(columns)))
	for _, c := range columns {
		b = appendField(b, 2, []byte(c))
	}
	for _, t := range types { // [tck-id-payloads-dataset-types-value]
		b = binary.AppendUvarint(append(b, 3<<3), uint64(t))
	}
	for _, row := range rows {
		var elements []byte
		for _, cell := range row {
			elements = appendField(elements, 1, appendCell(nil, cell))
		}
		b = appendField(b, 4, elements)
	}
	return sparkplug.Value{Type: sparkplug.DataSet, Bytes: b}
}

// appendField appends a length-delimited field: tag, length, bytes.
func appendField(b []byte, number byte, data []byte) []byte {
	b = binary.AppendUvarint(append(b, number<<3|2), uint64(len(data)))
	return append(b, data...)
}

// appendCell appends the one field of a DataSetValue.
func appendCell(b []byte, cell any) []byte {
	switch x := cell.(type) {
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 4<<3|1), math.Float64bits(x))
	case int:
		return binary.AppendUvarint(append(b, 1<<3), uint64(uint32(x)))
	case string:
		return appendField(b, 6, []byte(x))
	}
	panic("BUG: a data set cell of a type that no table of ours has")
}
