package chunk

import (
	"encoding/binary"
)

// reader reads bytes that may be damaged: past the end, or after a malformed number, it is bad and gives zeros.
type reader struct {
	b     []byte
	bad   bool
	tight bool    // columns are those of blocks since version 3
	code  decoder // on: residuals are coded, not packed
	known *known  // what is said elsewhere of the column that is read; nil: nothing
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) svarint() int64 { return unzigzag(r.uvarint()) }

// count reads a number that may be at most limit.
func (r *reader) count(limit int) int {
	x := r.uvarint()
	if x > uint64(limit) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(x)
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func zigzag(x int64) uint64   { return uint64(x<<1) ^ uint64(x>>63) }
func unzigzag(x uint64) int64 { return int64(x>>1) ^ -int64(x&1) }

func appendSvarint(dst []byte, x int64) []byte { return binary.AppendUvarint(dst, zigzag(x)) }
