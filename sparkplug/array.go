package sparkplug

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// arrayWidths are the bytes of one element; 0 for booleans and strings.
var arrayWidths = [...]int{Int8Array: 1, Int16Array: 2, Int32Array: 4, Int64Array: 8, UInt8Array: 1, UInt16Array: 2,
	UInt32Array: 4, UInt64Array: 8, FloatArray: 4, DoubleArray: 8, BooleanArray: 0, StringArray: 0, DateTimeArray: 8}

// arrayElements are the datatypes of one element.
var arrayElements = [...]DataType{Int8Array: Int8, Int16Array: Int16, Int32Array: Int32, Int64Array: Int64, UInt8Array: UInt8,
	UInt16Array: UInt16, UInt32Array: UInt32, UInt64Array: UInt64, FloatArray: Float, DoubleArray: Double, BooleanArray: Boolean,
	StringArray: String, DateTimeArray: DateTime}

// maxElements is the most elements of an array: a boolean takes one bit on the wire, and forty bytes as an element.
const maxElements = 1 << 20

// checkArray checks the length of an array's bytes. An unterminated last string is let pass.
func checkArray(t DataType, b []byte) error {
	if n := arrayLen(t, b); n > maxElements {
		return fmt.Errorf("%s of %d elements: at most %d", t, n, maxElements)
	}
	if w := arrayWidths[t]; w > 0 && len(b)%w != 0 {
		return fmt.Errorf("%s of %d bytes: not a multiple of %d", t, len(b), w)
	}
	if t == BooleanArray && (len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > 8*int64(len(b)-4)) {
		return fmt.Errorf("BooleanArray of %d bytes: count exceeds the bits", len(b))
	}
	return nil
}

// arrayLen returns how many elements an array has if its bytes are right.
func arrayLen(t DataType, b []byte) int {
	switch {
	case t == StringArray:
		return bytes.Count(b, []byte{0}) + 1
	case t == BooleanArray && len(b) >= 4:
		return int(binary.LittleEndian.Uint32(b))
	case t == BooleanArray:
		return 0
	}
	return len(b) / arrayWidths[t]
}

// Elements returns the elements of an array value, nil for a null or another type.
func (v Value) Elements() []Value {
	if v.Null || !v.Type.IsArray() || checkArray(v.Type, v.Bytes) != nil {
		return nil
	}
	out := make([]Value, 0, arrayLen(v.Type, v.Bytes))
	for e := range v.elements() {
		out = append(out, e)
	}
	return out
}

// elements yields the elements of an array value.
func (v Value) elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Null || !v.Type.IsArray() || checkArray(v.Type, v.Bytes) != nil {
			return
		}
		t, b := arrayElements[v.Type], v.Bytes
		switch v.Type {
		case BooleanArray: // count, then bits, the first in the most significant
			for i := range arrayLen(v.Type, b) {
				if !yield(Value{Type: t, Num: uint64(b[4+i/8]>>(7-i%8)) & 1}) {
					return
				}
			}
		case StringArray: // each ends with 00
			for len(b) > 0 {
				s, rest, _ := bytes.Cut(b, []byte{0})
				if b = rest; !yield(Value{Type: t, Bytes: s}) {
					return
				}
			}
		default:
			for w := arrayWidths[v.Type]; len(b) > 0; b = b[w:] {
				var n uint64
				for k := w - 1; k >= 0; k-- {
					n = n<<8 | uint64(b[k])
				}
				if !yield(Value{Type: t, Num: widen(t, FieldLong, n)}) {
					return
				}
			}
		}
	}
}

// Array packs elements, whose types are not looked at, into a value of array type t.
func Array(t DataType, elements []Value) Value {
	var b []byte
	switch t {
	case BooleanArray:
		b = binary.LittleEndian.AppendUint32(nil, uint32(len(elements)))
		b = append(b, make([]byte, (len(elements)+7)/8)...)
		for i, e := range elements {
			b[4+i/8] |= byte(e.Num&1) << (7 - i%8)
		}
	case StringArray:
		for _, e := range elements {
			b = append(append(b, e.Bytes...), 0)
		}
	default:
		for _, e := range elements {
			for k := range arrayWidths[t] {
				b = append(b, byte(e.Num>>(8*k)))
			}
		}
	}
	if b == nil {
		b = []byte{}
	}
	return Value{Type: t, Bytes: b}
}
