package chunk

import (
	"encoding/binary"
	"math"
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
	colBand              // the first value, how far the next is away at least, less one, then signs and how much farther it is
	colForms
)

// smallConst begins a column that is one small number, and has it in the bits below: blocks of a few late samples are mostly such.
const smallConst = 1 << 7

// scratch is memory that an Encoder uses again.
type scratch struct {
	head, grid        []byte
	residuals         [colForms][]uint64 // of a column, in each form
	sizes             [colForms]int      // of these, packed; 0: not filled
	packed            bool               // nothing is to be coded
	code              []byte             // of a list of slots
	left              []int64            // of a grid
	total, sum, times []int64            // of slots
	floats            []float64
	gaps              []uint64
	words             []byte
	rows              []int64 // of a directory
}

// known is what a series' statistics say of its column.
type known struct{ first, low int64 }

// choice is which forms a column's values were smallest in, a set of bits; 0: not known. It is found anew after so many uses.
type choice struct {
	forms, uses uint8
}

const choiceUses = 12

// tries are the forms that are worth a try: all, or those that were the smallest before and the one that most signals have.
func (h *choice) tries() uint8 {
	if h == nil || h.forms == 0 || h.uses >= choiceUses {
		return 1<<colForms - 1
	}
	h.uses++
	return h.forms | 1<<colDelta | 1<<colBand
}

func (h *choice) note(tried uint8, form byte) {
	if h == nil {
		return
	}
	if tried == 1<<colForms-1 {
		*h = choice{}
	}
	h.forms |= 1 << form
}

// appendColumn appends v in its smallest form but the grid. An empty column takes no bytes.
func (w *scratch) appendColumn(dst []byte, v []int64) []byte {
	return w.appendColumnAs(dst, v, nil, nil)
}

// appendColumnAs appends v in the smallest of the forms that are worth a try. What k says of it is left out.
func (w *scratch) appendColumnAs(dst []byte, v []int64, k *known, h *choice) []byte {
	if len(v) == 0 {
		return dst
	}
	if isConst(v) {
		if x := zigzag(v[0]); k == nil && x < smallConst {
			return append(dst, byte(smallConst|x))
		}
		return appendStart(append(dst, colConst), v[0], k)
	}
	tries := h.tries()
	form, size := w.bestForm(v, tries)
	h.note(tries, form)
	coded, code, low := w.bestCode(len(v), form, size)
	h.note(0, coded)
	return w.appendAs(dst, v, k, coded, code, low)
}

// appendStart appends the first value, if it is not known.
func appendStart(dst []byte, first int64, k *known) []byte {
	if k != nil {
		return dst
	}
	return appendSvarint(dst, first)
}

// appendAs writes a form whose residuals are filled; code -1: packed.
func (w *scratch) appendAs(dst []byte, v []int64, k *known, form byte, code, low int) []byte {
	u := w.residuals[form]
	dst = append(dst, coded(form, code))
	switch form {
	case colFrame:
		if k == nil {
			dst = appendSvarint(dst, int64(uint64(v[0])-u[0]))
		}
	case colDelta:
		dst = appendStart(dst, v[0], k)
	case colDelta2:
		dst = appendSvarint(appendStart(dst, v[0], k), v[1]-v[0])
	case colDeltaFrame:
		dst = appendSvarint(appendStart(dst, v[0], k), int64(uint64(v[1]-v[0])-u[0]))
	case colCentre:
		centre := v[0] - unzigzag(u[0])
		if k != nil {
			centre -= k.first
		}
		dst = appendSvarint(dst, centre)
	case colBand:
		dst = binary.AppendUvarint(appendStart(dst, v[0], k), distance(v[0], v[1])-u[0]>>1-1)
	}
	if code < 0 {
		return appendPFOR(dst, u)
	}
	return appendCoded(dst, u, code, low)
}

// bestCode finds the form that is smaller coded than the best is packed, by so much that it is worth the slower reading. code
// is -1 if nothing is.
func (w *scratch) bestCode(n int, packed byte, size int) (form byte, code, low int) {
	form, code = packed, -1

	if w.packed || n < minCoded {
		return form, code, 0
	}
	limit, head := size-min(size/codedShare, n/codedGain), 1+n/pforBlock
	for _, f := range [...]byte{colDelta, colDeltaFrame, colCentre, colBand} {
		if w.sizes[f] == 0 || w.sizes[f] > size+size/6 {
			continue
		}
		if c, l, s := codeFor(w.residuals[f], maxLow); s+head < limit {
			form, code, low, limit = f, c, l, s+head
		}
	}
	return form, code, low
}

// Codes take longer to read than packed numbers: they have to be smaller by a share of them, or by a quarter of a bit a value; what
// stands before them is too much for few values.
const (
	codedShare = 32
	codedGain  = 32 // values to a byte
	minCoded   = 24
)

// bestForm finds the smallest form to pack of those that are to be tried, with its residuals, and tells its size (but for its first
// numbers). v is not constant.
func (w *scratch) bestForm(v []int64, tries uint8) (form byte, size int) {
	size = math.MaxInt32
	banded := w.fill(colBand, v)
	for f := byte(colFrame); f < colForms; f++ {
		w.sizes[f] = 0
		switch {
		case f == colGrid, tries>>f&1 == 0:
			continue
		case f == colDelta2 && w.sizes[colDelta] > size:
			continue // it has no trend
		case f == colDelta && banded && tries != 1<<colForms-1:
			continue // a band is smaller
		case f == colBand && !banded:
			continue
		case f != colBand:
			w.fill(f, v)
		}
		w.sizes[f] = pforSize(w.residuals[f])
		if w.sizes[f] < size {
			form, size = f, w.sizes[f]
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
