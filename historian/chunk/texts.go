package chunk

import (
	"encoding/binary"
)

// texts appends text or bytes in the smaller of two forms.
func (e *Encoder) texts(dst []byte, c *column) []byte {
	place := make(map[string]uint64)
	w := &e.work
	w.gaps, w.words = w.gaps[:0], w.words[:0]
	plain := 1
	for _, s := range c.texts {
		code, seen := place[string(s)]
		if !seen {
			code = uint64(len(place))
			place[string(s)] = code
			w.words = appendText(w.words, s)
		}
		w.gaps = append(w.gaps, code)
		plain += len(s) + 1 + len(s)/128
	}
	if len(w.words)+pforSize(w.gaps)+3 < plain {
		c.form |= valDict
		dst = binary.AppendUvarint(dst, uint64(len(place)))
		return appendPFOR(append(dst, w.words...), w.gaps)
	}
	c.form |= valText
	for _, s := range c.texts {
		dst = appendText(dst, s)
	}
	return dst
}

// appendText appends a length and the bytes.
func appendText(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (r *reader) text() []byte { return r.take(r.count(len(r.b))) }

// texts fills dst with slices of the block.
func (r *reader) texts(form byte, dst [][]byte) {
	if form == valText {
		for i := range dst {
			dst[i] = r.text()
		}
		return
	}
	words := make([][]byte, r.count(len(dst)))
	for i := range words {
		words[i] = r.text()
	}
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		codes := r.pforBlock(&buf, len(dst))
		for i, code := range codes {
			if code >= uint64(len(words)) {
				r.bad = true
				return
			}
			dst[i] = words[code]
		}
		dst = dst[len(codes):]
	}
}
