package chunk

import (
	"encoding/binary"
)

// Codes as version 2 of blocks has them: u8 low bits, u8 code, uv length of what follows: uv how many values are too large for a symbol
// and of each uv what it has more, then of each value a code and its low bits.

// isCoded2 is of a form: its residuals are coded, not packed.
const isCoded2 = 1 << 7

// begin2 reads what stands before the codes.
func (r *reader) begin2() {
	d := &r.code
	d.begun, d.low, d.code = true, int(r.byte()), int(r.byte())
	body := reader{b: r.take(r.count(len(r.b)))}
	d.escapes = body.escapes()
	d.src = body.b
	if r.bad = r.bad || body.bad || d.low > maxLow2 || d.code >= codeCount; r.bad {
		d.low, d.code, d.src = 0, 0, nil
	}
}

// codedBlock2 reads the next values into dst.
func (r *reader) codedBlock2(dst []uint64) {
	d := &r.code
	if !d.begun {
		r.begin2()
	}
	table, low, src, bit := &symbolOf[d.code], d.low, d.src, d.bit
	mask, any := uint64(1)<<low-1, false
	i := 0
	for ; i < len(dst) && bit>>3+8 <= len(src); i++ {
		x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7)
		e := table[x&(1<<codeBits-1)]
		n := e & 15
		dst[i] = uint64(e>>4)<<low | x>>n&mask
		any = any || e>>4 == escape
		bit += int(n) + low
	}
	for ; i < len(dst); i++ { // the last bytes
		if bit>>3 >= len(src) {
			r.bad = true
			clear(dst[i:])
			break
		}
		x := load64(src, bit>>3) >> (bit & 7)
		e := table[x&(1<<codeBits-1)]
		n := e & 15
		dst[i] = uint64(e>>4)<<low | x>>n&mask
		any = any || e>>4 == escape
		bit += int(n) + low
	}
	d.bit = bit
	if any {
		r.addEscapes(dst)
	}
}

// skipCoded2 passes over coded values.
func (r *reader) skipCoded2() {
	r.take(2)
	r.take(r.count(len(r.b)))
}
