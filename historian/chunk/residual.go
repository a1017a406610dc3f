package chunk

// fill computes the residuals of a column of at least two values in one form; ok is false if it has no such form.
func (w *scratch) fill(form byte, v []int64) (ok bool) {
	u := resize(w.residuals[form], len(v))
	switch form {
	case colFrame:
		framed(u, v)
	case colDelta:
		u = u[:len(v)-1]
		differences(u, v)
	case colDelta2:
		u = u[:len(v)-2]
		secondDifferences(u, v)
	case colDeltaFrame:
		u = u[:len(v)-1]
		framedDifferences(u, v)
	case colCentre:
		centred(u, v)
	case colBand:
		u = u[:len(v)-1]
		if !banded(u, v) {
			return false
		}
	}
	w.residuals[form] = u
	return true
}

func framed(u []uint64, v []int64) {
	low := v[0]
	for _, x := range v {
		low = min(low, x)
	}
	for i, x := range v {
		u[i] = uint64(x) - uint64(low)
	}
}

func differences(u []uint64, v []int64) {
	last := v[0]
	for i, x := range v[1:] {
		u[i] = zigzag(x - last)
		last = x
	}
}

func secondDifferences(u []uint64, v []int64) {
	last, d := v[1], v[1]-v[0]
	for i, x := range v[2:] {
		u[i] = zigzag(x - last - d)
		last, d = x, x-last
	}
}

func framedDifferences(u []uint64, v []int64) {
	step, last := v[1]-v[0], v[0]
	for _, x := range v[1:] {
		step = min(step, x-last)
		last = x
	}
	last = v[0]
	for i, x := range v[1:] {
		u[i] = uint64(x-last) - uint64(step)
		last = x
	}
}

func centred(u []uint64, v []int64) {
	sum := int64(0)
	for _, x := range v {
		sum += x - v[0]
	}
	centre := v[0] + sum/int64(len(v))
	for i, x := range v {
		u[i] = zigzag(x - centre)
	}
}

// banded is for a signal that is reported when it leaves a band around what was reported last: no two neighbours are closer.
func banded(u []uint64, v []int64) (ok bool) {
	band, last := distance(v[0], v[1]), v[0]
	for _, x := range v[1:] {
		band = min(band, distance(last, x))
		last = x
	}
	if band == 0 {
		return false
	}
	last = v[0]
	for i, x := range v[1:] {
		u[i] = (distance(last, x)-band)<<1 | uint64(x-last)>>63
		last = x
	}
	return true
}

// distance is how far two values lie apart; arithmetic wraps.
func distance(a, b int64) uint64 {
	d := b - a
	return uint64((d ^ d>>63) - d>>63)
}
