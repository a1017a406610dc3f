package chunk

import (
	"encoding/binary"
	"math/bits"
)

// The codes: for each the length in bits of the symbols 0 to 15. Shorter codes stand for smaller symbols: the first eight suit
// differences that are normally distributed, of growing width, the others such as decay. They are part of the format.
var codeLengths = [...][16]byte{
	{1, 3, 6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5},
	{1, 2, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5},
	{1, 2, 4, 7, 7, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6},
	{1, 2, 3, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7},
	{1, 2, 3, 4, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7},
	{1, 2, 3, 4, 5, 7, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 2, 2, 3, 4, 5, 7, 7, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 8, 8, 9, 9, 9, 9},
	{1, 2, 3, 4, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8},
	{1, 2, 3, 4, 5, 7, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 9, 7},
	{3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 4},
}

const (
	codeBits  = 9      // of the longest code
	codeCount = 12     // codes
	escape    = 15     // the symbol of all that is larger
	maxLow    = 40     // low bits that follow a code as they are
	isCoded   = 1 << 7 // of a form: its residuals are coded, not packed
)

// codeOf[c][s] is symbol s in code c, its first bit lowest; symbolOf[c][bits] is the symbol that bits begin with, and its length.
var codeOf, symbolOf = makeCodes()

func makeCodes() (of [codeCount][16]uint16, symbols [codeCount][1 << codeBits]uint8) {
	for c, lengths := range codeLengths {
		next := uint16(0)
		for n := byte(1); n <= codeBits; n++ {
			for s, l := range lengths {
				if l != n {
					continue
				}
				of[c][s] = bits.Reverse16(next) >> (16 - n)
				for x := of[c][s]; x < 1<<codeBits; x += 1 << n {
					symbols[c][x] = uint8(s)<<4 | n
				}
				next++
			}
			next <<= 1
		}
	}
	return of, symbols
}

// lengthsOf[s] are symbol s's lengths in all codes, three in a word, so that three codes are added up at once: a block's
// MaxSamples symbols of codeBits have no more than laneBits.
var lengthsOf = packLengths()

const (
	lanes    = 3
	laneBits = 21
)

func packLengths() (of [16][codeCount / lanes]uint64) {
	for c, lengths := range codeLengths {
		for s, l := range lengths {
			of[s][c/lanes] |= uint64(l) << (c % lanes * laneBits)
		}
	}
	return of
}

// codeFor finds the code and the number of low bits with which v is smallest, and its size in bytes.
func codeFor(v []uint64) (code, low, size int) {
	sum := uint64(0)
	for _, x := range v {
		sum += min(x, 1<<44)
	}
	middle := bits.Len64(sum / uint64(len(v)))
	if middle > maxLow {
		return 0, 0, 1 << 62
	}
	size = 1 << 62
	for k := max(0, middle-2); k <= min(max(0, middle-1), maxLow); k++ {
		var hist [16]int
		extra := 0
		for _, x := range v {
			s := min(x>>k, escape)
			hist[s]++
			if s == escape {
				extra += (bits.Len64((x>>k-escape)|1) + 6) / 7
			}
		}
		var total [codeCount / lanes]uint64
		for s, n := range hist {
			for i := range total {
				total[i] += uint64(n) * lengthsOf[s][i]
			}
		}
		for c := range codeLengths {
			n := int(total[c/lanes] >> (c % lanes * laneBits) & (1<<laneBits - 1))
			if n = (n+len(v)*k+7)/8 + extra; n < size {
				code, low, size = c, k, n
			}
		}
	}
	return code, low, size + 4 // and what stands before
}

// appendCoded appends v: u8 low bits, u8 code, uv length of what follows: uv how many are too large for a symbol and of each uv
// what it has more, then each value's code and low bits.
func (w *scratch) appendCoded(dst []byte, v []uint64, code, low int) []byte {
	large := uint64(0)
	for _, x := range v {
		if x>>low >= escape {
			large++
		}
	}
	body := binary.AppendUvarint(w.code[:0], large)
	if large > 0 {
		for _, x := range v {
			if x>>low >= escape {
				body = binary.AppendUvarint(body, x>>low-escape)
			}
		}
	}
	var acc uint64
	have := 0
	mask := uint64(1)<<low - 1
	for _, x := range v {
		s := min(x>>low, escape)
		n := int(codeLengths[code][s])
		acc |= (uint64(codeOf[code][s]) | (x&mask)<<n) << have
		for have += n + low; have >= 8; have -= 8 {
			body = append(body, byte(acc))
			acc >>= 8
		}
	}
	if have > 0 {
		body = append(body, byte(acc))
	}
	w.code = body
	dst = binary.AppendUvarint(append(dst, byte(low), byte(code)), uint64(len(body)))
	return append(dst, body...)
}

// decoder reads coded values.
type decoder struct {
	on, begun bool
	code, low int
	src       []byte
	bit       int    // of src, where the next code begins
	escapes   []byte // of each value that is too large for a symbol, what it has more
}

// form reads the form of a column or of slots, and whether its residuals are coded.
func (r *reader) form() byte {
	form := r.byte()
	r.code.on, r.code.begun, r.code.bit = form&isCoded != 0, false, 0
	return form &^ isCoded
}

// beginCoded reads what stands before the codes.
func (r *reader) beginCoded() {
	d := &r.code
	d.begun, d.low, d.code = true, int(r.byte()), int(r.byte())
	body := reader{b: r.take(r.count(len(r.b)))}
	large := body.count(len(body.b))
	d.escapes = body.b
	for range large {
		body.uvarint()
	}
	d.src = body.b
	if r.bad = r.bad || body.bad || d.low > maxLow || d.code >= codeCount; r.bad {
		d.low, d.code, d.src = 0, 0, nil
	}
}

// codedBlock reads the next values into dst.
func (r *reader) codedBlock(dst []uint64) {
	d := &r.code
	if !d.begun {
		r.beginCoded()
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
		for i, x := range dst {
			if x>>low == escape {
				more, n := binary.Uvarint(d.escapes)
				if n <= 0 {
					r.bad = true
					return
				}
				dst[i] += more << low
				d.escapes = d.escapes[n:]
			}
		}
	}
}

// skipCoded passes over coded values.
func (r *reader) skipCoded() {
	r.take(2)
	r.take(r.count(len(r.b)))
}
