package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// The forms of a column of rows: what stands for its numbers, of which there are at most MaxRows. All arithmetic wraps.
const (
	rowsConst  = iota // one number for all
	rowsPlain         // they themselves; none is negative
	rowsSigned        // zigzag
	rowsCentre        // a number near all, then zigzag differences from it
	rowsDelta         // the first, then zigzag differences
	rowsSteps         // the first, the smallest difference, then each difference less it
	rowsWide          // the smallest, then what each has more in as many bits: of numbers too large for a code
)

const (
	formWidth = 3 // bits of a form
	codeWidth = 4 // of a code's number
	lowWidth  = 6
	wideBits  = 48 // numbers of more are not coded
)

// rowColumns appends columns of rows to a stream of bits.
type rowColumns struct {
	bitWriter
	left [MaxRows]uint64
}

// column appends numbers: one as itself, more as their form and what it says of them.
func (w *rowColumns) column(v []int64) {
	switch len(v) {
	case 0:
		return
	case 1:
		w.number(zigzag(v[0]))
		return
	}
	form, base, sparse := formOf(v)
	w.put(uint64(form), formWidth)
	switch form {
	case rowsConst:
		w.number(zigzag(v[0]))
	case rowsWide:
		w.wide(v)
	default:
		w.coded(w.residuals(v, form, base), sparse)
	}
}

// residuals are the numbers that stand for those of a column, behind the bases that they need.
func (w *rowColumns) residuals(v []int64, form byte, base int64) []uint64 {
	u := w.left[:len(v)]
	switch form {
	case rowsPlain:
		for i, x := range v {
			u[i] = uint64(x)
		}
		return u
	case rowsSigned:
		for i, x := range v {
			u[i] = zigzag(x)
		}
		return u
	case rowsCentre:
		w.number(zigzag(base))
		for i, x := range v {
			u[i] = zigzag(x - base)
		}
		return u
	}
	w.number(zigzag(v[0]))
	u, last := u[:len(v)-1], v[0]
	if form == rowsDelta {
		for i, x := range v[1:] {
			u[i], last = zigzag(x-last), x
		}
		return u
	}
	w.number(zigzag(base))
	for i, x := range v[1:] {
		u[i], last = uint64(x-last-base), x
	}
	return u
}

// formOf finds the form that is likely the smallest, by the mean of its numbers. base is the middle of rowsCentre and the smallest
// difference of rowsSteps.
func formOf(v []int64) (form byte, base int64, sparse bool) {
	n := len(v)
	var all, signed, delta uint64
	zeros, still := 0, 0
	low, sum, step, last := v[0], int64(0), int64(math.MaxInt64), v[0]
	for i, x := range v {
		z := zigzag(x)
		all |= z
		signed += z
		if x == 0 {
			zeros++
		}
		low, sum = min(low, x), sum+x-v[0]
		if i > 0 {
			d := x - last
			if d == 0 {
				still++
			}
			delta += zigzag(d)
			step = min(step, d)
		}
		last = x
	}
	switch {
	case bits.Len64(all) > wideBits:
		return rowsWide, 0, false
	case delta == 0:
		return rowsConst, 0, false
	}
	cost := math.MaxInt
	try := func(f byte, sum uint64, n, zeros, bases int) bool {
		c, s := sizeOf(sum, n), false
		if zeros > 0 {
			if few := n<<sizeParts + sizeOf(sum-uint64(n-zeros), n-zeros); few < c {
				c, s = few, true
			}
		}
		if c += bases; c >= cost {
			return false
		}
		form, cost, sparse = f, c, s
		return true
	}
	if low >= 0 {
		try(rowsPlain, signed/2, n, zeros, 0)
	} else {
		try(rowsSigned, signed, n, zeros, 0)
	}
	middle := v[0] + sum/int64(n)
	var centred uint64
	for _, x := range v {
		centred += zigzag(x - middle)
	}
	if try(rowsCentre, centred, n, 0, sizeOfNumber(middle)) {
		base = middle
	}
	try(rowsDelta, delta, n-1, still, sizeOfNumber(v[0]))
	if try(rowsSteps, uint64(v[n-1]-v[0]-step*int64(n-1)), n-1, 0, sizeOfNumber(v[0])+sizeOfNumber(step)) {
		base = step
	}
	return form, base, sparse
}

// sizeParts: sizes are in parts of a bit, 2^-8.
const sizeParts = 8

// sizeOf is about how much the code of n numbers takes that come to sum: of each 1.35 bits and the logarithm of their mean and 0.4, at least one.
func sizeOf(sum uint64, n int) int {
	if n == 0 {
		return 0
	}
	x := sum<<sizeParts/uint64(n) + 102
	exp := bits.Len64(x) - 1
	log := exp<<sizeParts + int(x<<(63-exp)>>(63-sizeParts))&(1<<sizeParts-1) // between powers of two a straight line
	return n * max(1<<sizeParts, log-sizeParts<<sizeParts+346)
}

func sizeOfNumber(x int64) int { return (lengthBits - 1 + bits.Len64(zigzag(x))) << sizeParts }

// wide appends the smallest number, and what each has more in as many bits as the largest needs.
func (w *rowColumns) wide(v []int64) {
	low := slices.Min(v)
	n := bits.Len64(uint64(slices.Max(v)) - uint64(low))
	w.number(zigzag(low))
	w.put(uint64(n), lengthBits)
	for _, x := range v {
		w.put(uint64(x)-uint64(low), n)
	}
}

// coded appends a code, how many low bits follow it as they are, and of each number code and low bits; behind the code of all that is larger
// what it has more. sparse: there is a bit before each number, 0 for zero, and the others are one less.
func (w *rowColumns) coded(u []uint64, sparse bool) {
	if !sparse {
		w.put(0, 1)
	} else {
		var mask uint64
		n := 0
		for i, x := range u {
			if x != 0 {
				mask |= 1 << i
				u[n] = x - 1
				n++
			}
		}
		w.put(1, 1)
		w.put(mask, len(u))
		u = u[:n]
	}
	code, low := rowCode(u)
	w.put(uint64(code)|uint64(low)<<codeWidth, codeWidth+lowWidth)
	lengths, codes := &codeLengths[code], &codeOf[code]
	mask := uint64(1)<<low - 1
	for _, x := range u {
		s := min(x>>low, escape)
		n := int(lengths[s])
		w.put(uint64(codes[s])|(x&mask)<<n, n+low)
		if s == escape {
			w.number(x>>low - escape)
		}
	}
}

// rowCode finds a code and its low bits by the middle of the numbers, for a few among them may be far larger, and by their mean.
func rowCode(u []uint64) (code, low int) {
	var lengths [65]uint8
	sum := uint64(0)
	for _, x := range u {
		lengths[bits.Len64(x)]++
		sum += x
	}
	middle := 0
	for n := int(lengths[0]); 2*n < len(u); n += int(lengths[middle]) {
		middle++
	}
	best, last := math.MaxInt, -1
	for _, k := range [...]int{middle - 2, middle - 1, bits.Len64(sum/uint64(len(u))) - 1} {
		if k = min(max(0, k), maxLow2); k == last {
			continue
		}
		last = k
		if c, size := codeWith(u, k); size < best {
			code, low, best = c, k, size
		}
	}
	return code, low
}

// codeWith finds the code with which numbers are smallest with so many low bits, and about how many bits they have then.
func codeWith(u []uint64, low int) (code, size int) {
	var hist [16]int
	larger := 0
	for _, x := range u {
		s := min(x>>low, escape)
		if hist[s]++; s == escape {
			larger += lengthBits + bits.Len64(x>>low-escape)
		}
	}
	code, size = bestOf(&hist)
	return code, size + len(u)*low + larger
}

// column fills dst with what rowColumns.column wrote.
func (r *bitReader) column(dst []int64) {
	switch len(dst) {
	case 0:
		return
	case 1:
		dst[0] = unzigzag(r.number())
		return
	}
	switch r.take(formWidth) {
	case rowsConst:
		x := unzigzag(r.number())
		for i := range dst {
			dst[i] = x
		}
	case rowsPlain:
		r.coded(dst)
	case rowsSigned:
		r.coded(dst)
		for i, x := range dst {
			dst[i] = unzigzag(uint64(x))
		}
	case rowsCentre:
		base := unzigzag(r.number())
		r.coded(dst)
		for i, x := range dst {
			dst[i] = base + unzigzag(uint64(x))
		}
	case rowsDelta:
		last := unzigzag(r.number())
		dst[0] = last
		r.coded(dst[1:])
		for i, x := range dst[1:] {
			last += unzigzag(uint64(x))
			dst[i+1] = last
		}
	case rowsSteps:
		last, step := unzigzag(r.number()), unzigzag(r.number())
		dst[0] = last
		r.coded(dst[1:])
		for i, x := range dst[1:] {
			last += step + x
			dst[i+1] = last
		}
	case rowsWide:
		low, n := unzigzag(r.number()), int(r.take(lengthBits))
		if r.bad = r.bad || n > 64; r.bad {
			clear(dst)
			return
		}
		for i := range dst {
			dst[i] = low + int64(r.take(n))
		}
	default:
		r.bad = true
		clear(dst)
	}
}

// coded reads what rowColumns.coded wrote.
func (r *bitReader) coded(dst []int64) {
	if r.take(1) == 0 {
		r.codes(dst)
		return
	}
	mask := r.take(len(dst))
	n := bits.OnesCount64(mask)
	if n == 0 {
		r.bad = true
	}
	r.codes(dst[:n])
	for i := len(dst) - 1; i >= 0; i-- {
		if mask>>i&1 == 0 {
			dst[i] = 0
			continue
		}
		n--
		dst[i] = dst[n] + 1
	}
}

// codes fills dst with numbers that have a code.
func (r *bitReader) codes(dst []int64) {
	head := int(r.take(codeWidth + lowWidth))
	code, low := head&(1<<codeWidth-1), head>>codeWidth
	if code >= codeCount || low > maxLow2 {
		r.bad = true
		clear(dst)
		return
	}
	table, mask := &symbolOf[code], uint64(1)<<low-1
	bit := r.bit
	for i := range dst {
		var x uint64
		if at := bit >> 3; at+8 <= len(r.b) {
			x = binary.LittleEndian.Uint64(r.b[at:]) >> (bit & 7)
		} else {
			x = load64At(r.b, at) >> (bit & 7)
		}
		e := table[x&(1<<codeBits-1)]
		n := int(e & 15)
		u := uint64(e>>4)<<low | x>>n&mask
		bit += n + low
		if e>>4 == escape {
			r.bit = bit
			u += r.number() << low
			bit = r.bit
		}
		dst[i] = int64(u)
	}
	r.bit = 0
	r.skip(bit)
}
