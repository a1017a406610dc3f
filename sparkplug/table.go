package sparkplug

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Table is what a data set holds. A row may be shorter than the columns; a cell that is empty, or does not fit its
// column's datatype, is null.
type Table struct {
	Columns []string
	Types   []DataType // one for each column; 1 to 14
	Rows    [][]Value
}

// ErrStructure says that a value is not the kind of structure that was asked for.
var ErrStructure = errors.New("not a structure of this datatype")

// ParseTable reads a value of datatype DataSet.
func ParseTable(v Value, l Limits) (Table, error) {
	if v.Null || v.Type != DataSet {
		return Table{}, ErrStructure
	}
	d := structureDecoder(l)
	if err := d.table(v.Bytes); err != nil {
		return Table{}, err
	}
	return d.readTable(v.Bytes)
}

// structureDecoder returns a decoder with full budgets for one structure.
func structureDecoder(l Limits) *decoder {
	l = l.withDefaults()
	return &decoder{p: new(Payload), l: l, metrics: l.Metrics, cells: l.Cells}
}

// table checks a DataSet. Its columns, types, rows and cells come from one budget.
// [tck-id-payloads-dataset-column-size] [tck-id-payloads-dataset-types-num] [tck-id-payloads-dataset-types-value]
func (d *decoder) table(data []byte) error {
	var said, columns, types, widest uint64
	datatype := func(v uint64) error {
		if types++; !dataType(v).basic() {
			d.p.problem("a data set's column has no basic datatype [tck-id-payloads-dataset-types-value]")
		}
		return d.cell()
	}
	r := reader{data: data}
	for r.next() {
		var err error
		switch r.tag {
		case 1<<3 | wireVarint:
			said = r.v
		case 2<<3 | wireBytes:
			if columns++; len(r.b) > d.l.Name {
				return overLimit("name bytes", d.l.Name)
			}
			err = d.cell()
		case 3<<3 | wireVarint:
			err = datatype(r.v)
		case 3<<3 | wireBytes:
			err = packed(r.b, datatype)
		case 4<<3 | wireBytes:
			var width uint64
			width, err = d.row(r.b)
			widest = max(widest, width)
		}
		if err != nil {
			return err
		}
	}
	if err := r.err(); err != nil {
		return err
	}
	if said != columns {
		d.p.problem("a data set's num_of_columns is not the number of its columns [tck-id-payloads-dataset-column-size]")
	}
	if types != columns {
		d.p.problem("a data set has not as many types as columns [tck-id-payloads-dataset-types-num]")
	}
	if widest > max(columns, types) {
		d.p.problem("a data set's row has more cells than there are columns")
	}
	return nil
}

// packed calls f for each varint of a packed list, which proto2 readers accept where the schema says otherwise.
func packed(b []byte, f func(uint64) error) error {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return malformed("packed types: %v", protowire.ParseError(n))
		}
		if err := f(v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// row checks a Row and returns the number of its cells.
func (d *decoder) row(data []byte) (cells uint64, err error) {
	if err := d.cell(); err != nil {
		return 0, err
	}
	r := reader{data: data}
	for r.next() {
		if r.tag != 1<<3|wireBytes {
			continue
		}
		if cells++; d.cell() != nil {
			return cells, overLimit("data set cells", d.l.Cells)
		}
		if _, err := d.tableCell(r.b); err != nil {
			return cells, err
		}
	}
	return cells, r.err()
}

// tableCell reads a DataSetValue: Field and a raw Value.
func (d *decoder) tableCell(data []byte) (m Metric, err error) {
	r := reader{data: data}
	for r.next() {
		if f := cellField(r.tag>>3, 1); f != FieldNone && int(r.tag&7) == wireType(f) {
			if err := d.cellValue(&m, f, &r); err != nil {
				return m, err
			}
		}
	}
	return m, r.err()
}

// readTable reads a DataSet that was checked.
func (d *decoder) readTable(data []byte) (t Table, err error) {
	r := reader{data: data}
	var rows [][]byte
	for r.next() {
		var err error
		switch r.tag {
		case 2<<3 | wireBytes:
			t.Columns = append(t.Columns, string(r.b))
		case 3<<3 | wireVarint:
			t.Types = append(t.Types, dataType(r.v))
		case 3<<3 | wireBytes:
			err = packed(r.b, func(v uint64) error { t.Types = append(t.Types, dataType(v)); return nil })
		case 4<<3 | wireBytes:
			rows = append(rows, r.b)
		}
		if err != nil {
			return t, err
		}
	}
	if err := r.err(); err != nil {
		return t, err
	}
	t.Rows = make([][]Value, len(rows))
	for i, b := range rows {
		if t.Rows[i], err = d.readRow(b, t.Types); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (d *decoder) readRow(data []byte, types []DataType) ([]Value, error) {
	row := make([]Value, 0, count(data, 1<<3|wireBytes))
	r := reader{data: data}
	for r.next() {
		if r.tag != 1<<3|wireBytes {
			continue
		}
		m, err := d.tableCell(r.b)
		if err != nil {
			return row, err
		}
		t := Unknown
		if len(row) < len(types) {
			t = types[len(row)]
		}
		v, ok := m.as(t)
		if !ok {
			v = Value{Type: t, Null: true}
		}
		row = append(row, v)
	}
	return row, r.err()
}

// TableValue returns a data set of t. Cells must be of their columns' datatypes or null; what is sent for a null is
// a cell without a value. UInt32 goes into int_value.
func TableValue(t Table) Value {
	b := appendVarint(nil, 1, uint64(len(t.Columns)))
	for _, c := range t.Columns {
		b = appendBytes(b, 2, []byte(c))
	}
	for _, typ := range t.Types {
		b = appendVarint(b, 3, uint64(typ))
	}
	var row, cell []byte
	for _, cells := range t.Rows {
		row = row[:0]
		for _, v := range cells {
			if cell = cell[:0]; !v.Null {
				cell = appendValue(cell, v, FieldNone, cellNumber(1))
			}
			row = appendBytes(row, 1, cell)
		}
		b = appendBytes(b, 4, row)
	}
	return Value{Type: DataSet, Bytes: b}
}

// cellNumber returns the inverse of cellField.
func cellNumber(first protowire.Number) func(Field) protowire.Number {
	return func(f Field) protowire.Number {
		switch {
		case f >= FieldInt && f <= FieldString:
			return protowire.Number(f-FieldInt) + first
		case f == FieldExtension:
			return first + 6
		}
		return 0
	}
}
