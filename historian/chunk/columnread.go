package chunk

// column fills dst with what appendColumn or appendTimes wrote.
func (r *reader) column(dst []int64) { r.columnIn(dst, false) }

// columnOf is the like for a column of which something is known, if k is not nil.
func (r *reader) columnOf(dst []int64, k *known) {
	r.known = k
	r.columnIn(dst, false)
	r.known = nil
}

func (r *reader) columnIn(dst []int64, inGrid bool) {
	if len(dst) == 0 {
		return
	}
	if r.tight && r.known == nil && len(r.b) > 0 && r.b[0] >= smallConst {
		fill(dst, unzigzag(uint64(r.byte()&^smallConst)))
		return
	}
	switch form := r.form(); {
	case form == colConst && !r.code.on:
		fill(dst, r.start())
	case form == colFrame:
		r.frame(dst, r.low())
	case form == colDelta:
		dst[0] = r.start()
		r.delta(dst[1:], dst[0])
	case form == colDelta2 && len(dst) > 1:
		dst[0] = r.start()
		d := r.svarint()
		dst[1] = dst[0] + d
		r.delta2(dst[2:], dst[1], d)
	case form == colDeltaFrame:
		dst[0] = r.start()
		r.deltaFrame(dst[1:], dst[0], r.svarint())
	case form == colCentre:
		centre := r.svarint()
		if r.known != nil {
			centre += r.known.first
		}
		r.centre(dst, centre)
	case form == colBand && r.tight:
		dst[0] = r.start()
		r.band(dst[1:], dst[0], int64(r.uvarint()))
	case form == colGrid && !inGrid && !r.code.on:
		r.grid(dst)
	default:
		r.bad = true
	}
}

func fill(dst []int64, x int64) {
	for i := range dst {
		dst[i] = x
	}
}

// start is the first value, low the smallest.
func (r *reader) start() int64 {
	if r.known != nil {
		return r.known.first
	}
	return r.svarint()
}

func (r *reader) low() int64 {
	if r.known != nil {
		return r.known.low
	}
	return r.svarint()
}

func (r *reader) frame(dst []int64, low int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			d[i] = int64(uint64(low) + x)
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta(dst []int64, last int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			last += unzigzag(x)
			d[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta2(dst []int64, last, step int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			step += unzigzag(x)
			last += step
			d[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) deltaFrame(dst []int64, last, low int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			last += low + int64(x)
			d[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) centre(dst []int64, centre int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			d[i] = centre + unzigzag(x)
		}
		dst = dst[len(u):]
	}
}

func (r *reader) band(dst []int64, last, band int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		d := dst[:len(u)]
		for i, x := range u {
			step, sign := int64(x>>1)+band+1, -int64(x&1)
			last += step ^ sign - sign
			d[i] = last
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

// skipColumn passes over a column of n values of a block before version 3.
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
