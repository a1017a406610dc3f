package chunk

import (
	"encoding/binary"
)

const (
	minZip = 256     // bytes; fewer do not shrink
	maxZip = 4 << 20 // bytes of one series in one block that are compressed, and that a reader gets
)

// texts appends text or bytes: as they are or as words of a dictionary, and compressed where that is smaller.
func (e *Encoder) texts(dst []byte, c *column) []byte {
	at := len(dst)
	dst, form := e.words(dst, c.texts)
	if n := len(dst) - at; n >= minZip && n <= maxZip {
		zipped, err := Zip(e.work.words[:0], dst[at:])
		if e.work.words = zipped; err == nil && len(zipped) < n-n/16 {
			c.form |= valZipped
			return appendText(binary.AppendUvarint(append(dst[:at], form), uint64(n)), zipped)
		}
	}
	c.form |= form
	return dst
}

// words appends the smaller of two forms, and says which.
func (e *Encoder) words(dst []byte, texts [][]byte) (out []byte, form byte) {
	place := make(map[string]uint64)
	w := &e.work
	w.gaps, w.words = w.gaps[:0], w.words[:0]
	plain := 1
	for _, s := range texts {
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
		dst = binary.AppendUvarint(dst, uint64(len(place)))
		return appendPFOR(append(dst, w.words...), w.gaps), valDict
	}
	for _, s := range texts {
		dst = appendText(dst, s)
	}
	return dst, valText
}

// appendText appends a length and the bytes.
func appendText(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (r *reader) text() []byte { return r.take(r.count(len(r.b))) }

// texts fills dst with slices of the block, or of what was compressed in it.
func (r *reader) texts(form byte, dst [][]byte) {
	if form == valZipped {
		form = r.byte()
		n := r.uvarint()
		zipped := r.text()
		if r.bad || form == valZipped || n > maxZip {
			r.bad = true
			return
		}
		b, err := Unzip(zipped, n)
		in := reader{b: b}
		in.texts(form, dst)
		r.bad = err != nil || in.bad || len(in.b) != 0
		return
	}
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
	r.code.on = false
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
