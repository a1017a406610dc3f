package chunk

import (
	"encoding/binary"
	"slices"
)

// The forms of a column of integers. All arithmetic wraps, so every bit pattern survives.
const (
	colConst      = iota // the value
	colFrame             // the smallest value, then each less the smallest
	colDelta             // the first value, then zigzag differences
	colDelta2            // the first value and difference, then zigzag differences of the differences
	colDeltaFrame        // the first value, the smallest difference, then each difference less the smallest
	colCentre            // the mean, then zigzag differences from it
	colGrid              // the first value, a period, where more or fewer than one of it passed, then a column of what is left
)

// scratch is memory that an Encoder uses again.
type scratch struct {
	head, grid        []byte
	residuals         [colGrid][]uint64 // of a column, in each form
	sizes             [colGrid]int      // of those that were packed
	packed            bool              // nothing is to be coded
	code              []byte
	left              []int64 // of a grid
	total, sum, times []int64 // of slots
	floats            []float64
	gaps              []uint64
	words             []byte
}

// appendColumn appends v in its smallest form but the grid. An empty column takes no bytes.
func (w *scratch) appendColumn(dst []byte, v []int64) []byte {
	if len(v) == 0 {
		return dst
	}
	form, size := w.bestForm(v)
	coded, code, low := w.bestCode(form, size)
	if coded != colConst {
		form = coded
		dst = append(dst, form|isCoded)
	} else {
		dst = append(dst, form)
	}
	u := w.residuals[form]
	switch form {
	case colConst:
		return appendSvarint(dst, v[0])
	case colFrame:
		dst = appendSvarint(dst, int64(uint64(v[0])-u[0]))
	case colDelta:
		dst = appendSvarint(dst, v[0])
	case colDelta2:
		dst = appendSvarint(appendSvarint(dst, v[0]), v[1]-v[0])
	case colDeltaFrame:
		dst = appendSvarint(appendSvarint(dst, v[0]), int64(uint64(v[1]-v[0])-u[0]))
	case colCentre:
		dst = appendSvarint(dst, v[0]-unzigzag(u[0]))
	}
	if coded != colConst {
		return w.appendCoded(dst, u, code, low)
	}
	return appendPFOR(dst, u)
}

// bestCode finds the form that is smaller coded than the best is packed, by so much that it is worth the slower reading;
// colConst if nothing is.
func (w *scratch) bestCode(packed byte, size int) (form byte, code, low int) {
	n := len(w.residuals[colFrame])
	if packed == colConst || w.packed || n < minCoded || 8*size > maxCoded*n {
		return colConst, 0, 0
	}
	limit := size - size/codedGain
	for _, f := range [...]byte{colDelta, colDeltaFrame, colCentre} {
		if w.sizes[f] > size+size/6 {
			continue
		}
		if c, l, s := codeFor(w.residuals[f]); s < limit {
			form, code, low, limit = f, c, l, s
		}
	}
	return form, code, low
}

// Codes are read at half the speed of packed numbers: they have to be smaller by a twelfth, and what stands before them is too
// much for fewer values.
const (
	codedGain = 12
	minCoded  = 24
	maxCoded  = 14 // bits a value; of wider ones a code saves no twelfth
)

// bestForm finds the smallest form, fills its residuals, and tells its size (but for its first numbers).
func (w *scratch) bestForm(v []int64) (form byte, size int) {
	n := len(v)
	if isConst(v) {
		return colConst, 0
	}
	for f := range w.residuals {
		w.residuals[f] = resize(w.residuals[f], n)
	}
	delta := w.residuals[colDelta][:n-1]
	low, step, sum := v[0], v[1]-v[0], int64(0)
	for i, x := range v[1:] {
		d := x - v[i]
		delta[i] = uint64(d)
		low, step, sum = min(low, x), min(step, d), sum+x-v[0]
	}
	frame, centre, centred := w.residuals[colFrame], v[0]+sum/int64(n), w.residuals[colCentre]
	for i, x := range v {
		frame[i], centred[i] = uint64(x)-uint64(low), zigzag(x-centre)
	}
	delta2, deltaFrame := w.residuals[colDelta2][:n-2], w.residuals[colDeltaFrame][:n-1]
	last := int64(delta[0])
	for i, u := range delta {
		d := int64(u)
		if i > 0 {
			delta2[i-1] = zigzag(d - last)
		}
		last, deltaFrame[i], delta[i] = d, uint64(d)-uint64(step), zigzag(d)
	}
	w.residuals[colDelta], w.residuals[colDelta2], w.residuals[colDeltaFrame] = delta, delta2, deltaFrame
	form, size = colFrame, pforSize(frame)
	for f := byte(colDelta); f < colGrid; f++ {
		if f == colDelta2 && w.sizes[colDelta] > size {
			continue // it has no trend
		}
		w.sizes[f] = pforSize(w.residuals[f])
		if s := w.sizes[f]; s < size {
			form, size = f, s
		}
	}
	return form, size
}

func isConst(v []int64) bool {
	for _, x := range v {
		if x != v[0] {
			return false
		}
	}
	return true
}

// appendTimes appends times, which may lie about a period apart. They are not coded: every query reads them.
func (w *scratch) appendTimes(dst []byte, v []int64) []byte {
	w.packed = true
	defer func() { w.packed = false }()
	at := len(dst)
	dst = w.appendColumn(dst, v)
	if grid, ok := w.appendGrid(w.grid[:0], v); ok {
		if w.grid = grid; len(grid) < len(dst)-at {
			return append(dst[:at], grid...)
		}
	}
	return dst
}

// appendGrid appends v as multiples of a period and what is left. ok is false for times that do not lie so.
func (w *scratch) appendGrid(dst []byte, v []int64) (grid []byte, ok bool) {
	period := periodOf(v, &w.left)
	if period <= 0 {
		return dst, false
	}
	left := resize(w.left, len(v))
	w.left = left
	dst = appendSvarint(append(dst, colGrid), v[0])
	dst = binary.AppendUvarint(dst, uint64(period))
	count := len(dst)
	dst = append(dst, 0)
	at, jumps, place := int64(0), 0, 0
	for i, x := range v {
		k := rounded(x-v[0], period)
		if extra := k - at; extra != 0 {
			if jumps++; jumps > maxJumps {
				return dst, false
			}
			dst = appendSvarint(binary.AppendUvarint(dst, uint64(i-place)), extra)
			place = i
		}
		at, left[i] = k+1, x-v[0]-k*period
	}
	dst[count] = byte(jumps)
	return w.appendColumn(dst, left), true
}

const maxJumps = 100

// periodOf is the distance that times have, 0 if they do not follow one another. buf is memory.
func periodOf(v []int64, buf *[]int64) int64 {
	if len(v) < 8 {
		return 0
	}
	d := resize(*buf, len(v)-1)
	*buf = d
	for i := range d {
		if d[i] = v[i+1] - v[i]; d[i] < -maxStep || d[i] > maxStep {
			return 0
		}
	}
	slices.Sort(d)
	mid := d[len(d)/2]
	span := v[len(v)-1] - v[0]
	if mid <= 0 || span <= 0 {
		return 0
	}
	if n := rounded(span, mid); n > 0 {
		return rounded(span, n)
	}
	return 0
}

const maxStep = 1 << 40 // ms; a block's worth of them does not overflow

// column fills dst with what appendColumn or appendTimes wrote.
func (r *reader) column(dst []int64) { r.columnIn(dst, false) }

func (r *reader) columnIn(dst []int64, inGrid bool) {
	if len(dst) == 0 {
		return
	}
	switch form := r.form(); {
	case form == colConst && !r.code.on:
		x := r.svarint()
		for i := range dst {
			dst[i] = x
		}
	case form == colFrame:
		r.frame(dst, r.svarint())
	case form == colDelta:
		dst[0] = r.svarint()
		r.delta(dst[1:], dst[0])
	case form == colDelta2 && len(dst) > 1:
		dst[0] = r.svarint()
		d := r.svarint()
		dst[1] = dst[0] + d
		r.delta2(dst[2:], dst[1], d)
	case form == colDeltaFrame:
		dst[0] = r.svarint()
		r.deltaFrame(dst[1:], dst[0], r.svarint())
	case form == colCentre:
		r.centre(dst, r.svarint())
	case form == colGrid && !inGrid && !r.code.on:
		r.grid(dst)
	default:
		r.bad = true
	}
}

func (r *reader) frame(dst []int64, low int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			dst[i] = int64(uint64(low) + x)
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta(dst []int64, last int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			last += unzigzag(x)
			dst[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta2(dst []int64, last, d int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			d += unzigzag(x)
			last += d
			dst[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) deltaFrame(dst []int64, last, low int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			last += low + int64(x)
			dst[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) centre(dst []int64, centre int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			dst[i] = centre + unzigzag(x)
		}
		dst = dst[len(u):]
	}
}

func (r *reader) grid(dst []int64) {
	first, period := r.svarint(), int64(r.uvarint())
	jumps := reader{b: r.b[min(1, len(r.b)):]}
	n := int(r.byte())
	for range n {
		r.uvarint()
		r.svarint()
	}
	r.columnIn(dst, true)
	at, left := first, n
	next := -1
	var extra int64
	place := 0
	for i := range dst {
		for left > 0 && next < i {
			next, extra = place+jumps.count(len(dst)), jumps.svarint()
			place, left = next, left-1
		}
		if next == i {
			at += extra * period
		}
		dst[i] += at
		at += period
	}
}

// skipColumn passes over a column of n values.
func (r *reader) skipColumn(n int) {
	if n == 0 {
		return
	}
	form := r.form()
	r.uvarint()
	switch form {
	case colConst:
	case colFrame, colCentre:
		r.skipPFOR(n)
	case colDelta:
		r.skipPFOR(n - 1)
	case colDelta2:
		r.uvarint()
		r.skipPFOR(n - 2)
	case colDeltaFrame:
		r.uvarint()
		r.skipPFOR(n - 1)
	default:
		r.bad = true
	}
}
