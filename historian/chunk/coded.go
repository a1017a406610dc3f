package chunk

import (
	"bytes"
	"encoding/binary"
)

// appendCoded appends v: u8 low bits, with hasEscapes if some values are too large for a symbol: then uv how many, and of each uv what
// it has more. Then of each 128 values the codes of what is above their low bits, and these, packed.
func appendCoded(dst []byte, v []uint64, code, low int) []byte {
	at := len(dst)
	dst = appendEscapes(append(dst, byte(low)|hasEscapes), v, low)
	if dst[at+1] == 0 { // there are none
		dst = append(dst[:at], byte(low))
	}
	for len(v) > 0 {
		n := min(len(v), pforBlock)
		dst = appendSymbols(dst, v[:n], code, low)
		dst = appendPacked(dst, v[:n], low)
		v = v[n:]
	}
	return dst
}

const hasEscapes = 1 << 7

// appendEscapes appends uv how many values are too large for a symbol and of each uv what it has more.
func appendEscapes(dst []byte, v []uint64, low int) []byte {
	large := uint64(0)
	for _, x := range v {
		if x>>low >= escape {
			large++
		}
	}
	dst = binary.AppendUvarint(dst, large)
	if large > 0 {
		for _, x := range v {
			if x>>low >= escape {
				dst = binary.AppendUvarint(dst, x>>low-escape)
			}
		}
	}
	return dst
}

// appendSymbols appends the codes, the first in the lowest bits.
func appendSymbols(dst []byte, v []uint64, code, low int) []byte {
	lengths, of := &codeLengths[code], &codeOf[code]
	var acc uint64
	have := uint(0)
	for _, x := range v {
		s := min(x>>low, escape)
		acc |= uint64(of[s]) << have
		if have += uint(lengths[s]); have >= 48 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)[:len(dst)+6]
			acc, have = acc>>48, have-48
		}
	}
	for ; have > 0; have -= min(have, 8) {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// decoder reads coded values.
type decoder struct {
	on, begun bool
	code, low int
	escapes   []byte // of each value that is too large for a symbol, what it has more
	src       []byte // of version 2: the codes
	bit       int    // of src, where the next code begins
}

// form reads the form of a column or of slots, and whether its residuals are coded.
func (r *reader) form() byte {
	form := r.byte()
	if !r.tight {
		r.code = decoder{on: form&isCoded2 != 0}
		return form &^ isCoded2
	}
	r.code = decoder{on: form>>codeShift != 0, code: int(form>>codeShift) - 1}
	if r.code.code >= codeCount {
		r.code, r.bad = decoder{}, true
	}
	return form & (1<<codeShift - 1)
}

// codeShift is where a form says by which code its residuals are coded: 1 the first, 0 they are packed.
const codeShift = 3

// coded is the form of what a code stands for; code -1: packed.
func coded(form byte, code int) byte { return form | byte(code+1)<<codeShift }

// codedBlock reads the next values into dst.
func (r *reader) codedBlock(dst []uint64) {
	d := &r.code
	if !d.begun {
		d.begun = true
		low := r.byte()
		if d.low = int(low &^ hasEscapes); low&hasEscapes != 0 {
			d.escapes = r.escapes()
		}
		if r.bad = r.bad || d.low > maxLow; r.bad {
			d.low = 0
		}
	}
	var list [pforBlock + 16]byte
	large := r.symbols(&list, len(dst))
	src := r.take((len(dst)*d.low + 7) / 8)
	if d.low > 8 && len(src) > 0 {
		unpackUnder(dst, src, d.low, list[:])
	} else {
		unpack(dst, src, d.low)
		for i := range dst {
			dst[i] |= uint64(list[i]) << (uint(d.low) & 63)
		}
	}
	if large {
		r.addEscapes(dst)
	}
}

// symbols reads the next n symbols; large says that one of them is the escape.
func (r *reader) symbols(list *[pforBlock + 16]byte, n int) (large bool) {
	many, src := &manyOf[r.code.code], r.b
	i, bit := 0, uint(0)
	for i+15 <= n && bit>>3+8 <= uint(len(src)) {
		x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) // 57 bits of it are there
		for range 5 {
			e := many[x&(1<<manyBits-1)]
			binary.LittleEndian.PutUint32(list[i&(pforBlock-1):], e)
			i += int(e >> 28)
			x >>= e >> 24 & 15
			bit += uint(e >> 24 & 15)
		}
	}
	table := &symbolOf[r.code.code]
	for ; i < n; i++ {
		if bit>>3 >= uint(len(src)) {
			r.bad = true
			break
		}
		e := table[load64(src, int(bit>>3))>>(bit&7)&(1<<codeBits-1)]
		list[i] = e >> 4
		bit += uint(e & 15)
	}
	r.take(int(bit+7) / 8)
	if len(r.code.escapes) > 0 {
		return bytes.IndexByte(list[:n], escape) >= 0
	}
	r.bad = r.bad || bytes.IndexByte(list[:n], escape) >= 0
	return false
}

// unpackUnder is unpack for values of more than 8 bits, whose higher ones are in list.
func unpackUnder(dst []uint64, src []byte, w int, list []byte) {
	n := uint(w) & 63
	mask := uint64(1)<<n - 1
	for len(dst) >= 8 && len(src) >= w+8 {
		d, s, h := dst[:8:8], src[:w+8], list[:8:8]
		d[0] = binary.LittleEndian.Uint64(s)&mask | uint64(h[0])<<n
		d[1] = binary.LittleEndian.Uint64(s[n>>3:])>>(n&7)&mask | uint64(h[1])<<n
		d[2] = binary.LittleEndian.Uint64(s[2*n>>3:])>>(2*n&7)&mask | uint64(h[2])<<n
		d[3] = binary.LittleEndian.Uint64(s[3*n>>3:])>>(3*n&7)&mask | uint64(h[3])<<n
		d[4] = binary.LittleEndian.Uint64(s[4*n>>3:])>>(4*n&7)&mask | uint64(h[4])<<n
		d[5] = binary.LittleEndian.Uint64(s[5*n>>3:])>>(5*n&7)&mask | uint64(h[5])<<n
		d[6] = binary.LittleEndian.Uint64(s[6*n>>3:])>>(6*n&7)&mask | uint64(h[6])<<n
		d[7] = binary.LittleEndian.Uint64(s[7*n>>3:])>>(7*n&7)&mask | uint64(h[7])<<n
		dst, src, list = dst[8:], src[w:], list[8:]
	}
	for i := range dst {
		bit := uint(i) * n
		dst[i] = load64(src, int(bit>>3))>>(bit&7)&mask | uint64(list[i])<<n
	}
}

// escapes reads what appendEscapes wrote, all but its beginning as it is.
func (r *reader) escapes() []byte {
	large := r.count(len(r.b))
	from := r.b
	for range large {
		r.uvarint()
	}
	return from[:len(from)-len(r.b)]
}

// addEscapes adds to values that were too large for a symbol what they have more.
func (r *reader) addEscapes(dst []uint64) {
	d := &r.code
	for i, x := range dst {
		if x>>d.low == escape {
			more, n := binary.Uvarint(d.escapes)
			if n <= 0 {
				r.bad = true
				return
			}
			dst[i] += more << d.low
			d.escapes = d.escapes[n:]
		}
	}
}
