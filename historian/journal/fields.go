package journal

import (
	"encoding/binary"
	"math"
)

// Fields reads what binary.AppendUvarint, binary.AppendVarint and lengths with bytes behind them were appended to, in the order in
// which they were, from bytes that may be damaged: past the end, or after a malformed number, it is Bad and gives zeros. It is what
// the journal's entries and the rows of the stores over it are read with.
type Fields struct {
	B   []byte // what is left; nothing once it is Bad
	Bad bool
}

func (f *Fields) spoil() { f.Bad, f.B = true, nil }

// Byte reads one byte.
func (f *Fields) Byte() byte {
	if len(f.B) == 0 {
		f.Bad = true
		return 0
	}
	c := f.B[0]
	f.B = f.B[1:]
	return c
}

// Uvarint reads a number that binary.AppendUvarint wrote.
func (f *Fields) Uvarint() uint64 {
	v, n := binary.Uvarint(f.B)
	if n <= 0 {
		f.spoil()
		return 0
	}
	f.B = f.B[n:]
	return v
}

// Varint reads a number that binary.AppendVarint wrote.
func (f *Fields) Varint() int64 {
	v, n := binary.Varint(f.B)
	if n <= 0 {
		f.spoil()
		return 0
	}
	f.B = f.B[n:]
	return v
}

// Take reads n bytes and returns them where they lie; nil where there are fewer.
func (f *Fields) Take(n uint64) []byte {
	if n > uint64(len(f.B)) || n > math.MaxInt32 {
		f.spoil()
		return nil
	}
	p := f.B[:n:n]
	f.B = f.B[n:]
	return p
}

// Text reads a length and that many bytes.
func (f *Fields) Text() string { return string(f.Take(f.Uvarint())) }

// Whole tells whether everything was there and nothing is left.
func (f *Fields) Whole() bool { return !f.Bad && len(f.B) == 0 }
