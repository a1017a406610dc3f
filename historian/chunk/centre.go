package chunk

import (
	"math/bits"
)

// centre moves the time of each slot to where its samples agree best. A device that stamps each metric itself stamps it
// some ms behind the scan, a metric always about as many: with the scan's time as the slot's, what each sample has of its
// own is small. It is left as it was when that is no gain.
func (e *Encoder) centre() {
	if !e.fillOffsets() {
		return
	}
	before := e.offsetBits()
	total := resize(e.work.total, len(e.slotAt))
	e.work.total = total
	clear(total)
	e.shift(total, 3)
	if e.offsetBits() < before {
		for k, ms := range total {
			e.slotAt[k] += ms
			e.slotReceived[k] -= ms
		}
		return
	}
	for _, c := range e.series { // back
		for n, k := range c.slots {
			c.offset[n] += total[k]
		}
		c.noteOffset()
	}
}

// fillOffsets takes each sample's time less its slot's, if there is a series for which that says anything.
func (e *Encoder) fillOffsets() (any bool) {
	for _, c := range e.series {
		any = any || c.anyOffset
	}
	if !any {
		return false
	}
	for _, c := range e.series {
		c.offset = resize(c.offset, len(c.at))
		for n, k := range c.slots {
			c.offset[n] = c.at[n] - e.slotAt[k]
		}
	}
	return true
}

// offsetBits is about how many bits the offsets take: of each, how far it is from its series' mean.
func (e *Encoder) offsetBits() (n int) {
	for _, c := range e.series {
		if c.anyOffset {
			lag := mean(c.offset)
			for _, x := range c.offset {
				n += bits.Len64(zigzag(x - lag))
			}
		}
	}
	return n
}

// shift takes in turns each series' mean offset, and what the offsets of a slot have beyond it on the mean, which moves the
// slot. total gets by how much.
func (e *Encoder) shift(total []int64, rounds int) {
	sum, count := resize(e.work.sum, len(total)), resize(e.work.times, len(total))
	e.work.sum, e.work.times = sum, count
	for range rounds {
		clear(sum)
		clear(count)
		for _, c := range e.series {
			lag := mean(c.offset)
			for n, k := range c.slots {
				sum[k] += c.offset[n] - lag
				count[k]++
			}
		}
		for k := range sum {
			sum[k] = rounded(sum[k], count[k])
			total[k] += sum[k]
		}
		for _, c := range e.series {
			for n, k := range c.slots {
				c.offset[n] -= sum[k]
			}
		}
	}
	for _, c := range e.series {
		c.noteOffset()
	}
}

func (c *column) noteOffset() {
	c.anyOffset = false
	for _, x := range c.offset {
		if x != 0 {
			c.anyOffset = true
			return
		}
	}
}

// mean is that of numbers within slotReach of zero, which no sum of a block overflows.
func mean(v []int64) int64 {
	var sum int64
	for _, x := range v {
		sum += x
	}
	return rounded(sum, int64(len(v)))
}

func rounded(sum, n int64) int64 {
	if sum < 0 {
		return -((-sum + n/2) / n)
	}
	return (sum + n/2) / n
}
