package chunk

import (
	"hash/maphash"
	"math/bits"

	"edge/historian/journal"
)

// digest stands for a set of samples, whatever their order: the sum of what each comes to. A sample that differs in a bit, is
// missing, or has what is another's changes it, but for one case in 2^64. So a block is compared with what was encoded although
// that lies in the order of arrival, and what is decoded in the order of series.
type digest uint64

// Numbers with about as many ones as zeros, from the digits of pi. They keep a factor from being 0, which would hide the other.
const (
	salt0 = 0x243f6a8885a308d3
	salt1 = 0x13198a2e03707344
	salt2 = 0xa4093822299f31d0
	salt3 = 0x082efa98ec4e6c89
	salt4 = 0x452821e638d01377
	salt5 = 0xbe5466cf34e90c6c
)

var textSeed = maphash.MakeSeed()

// rest packs what is narrow of a sample, without loss.
func rest(id journal.SeriesID, kind journal.DataType, q journal.Quality, flags uint8, null bool) uint64 {
	r := uint64(id) | uint64(kind)<<32 | uint64(q)<<40 | uint64(flags)<<56
	if null {
		r |= 1 << 63
	}
	return r
}

// add takes a sample. value is its number, or what textDigest says of its text; of null, 0.
func (d *digest) add(index journal.Index, at, received journal.Millis, rest, value uint64) {
	a := mix(uint64(at)^salt0, uint64(index)^salt1)
	b := mix(value^salt2, uint64(received)^salt3)
	*d += digest(mix(a^rest^salt4, b^salt5))
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func textDigest(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return maphash.Bytes(textSeed, b)
}

// sample takes a sample as it is to be encoded.
func (d *digest) sample(s *journal.Sample) {
	value := uint64(0)
	if !s.Value.Null {
		if value = s.Value.Num; len(s.Value.Bytes) > 0 {
			value ^= textDigest(s.Value.Bytes)
		}
	}
	d.add(s.Index, s.At, s.Received, rest(s.Series, s.Value.Type, s.Quality, flags(s), s.Value.Null), value)
}

// columns takes the samples of one series as they were decoded.
func (d *digest) columns(c *Columns) {
	quality, q, left := c.Quality, journal.Good, len(c.At)
	if len(quality) > 0 {
		left = 0
	}
	for n, at := range c.At {
		if left == 0 {
			q, left, quality = quality[0].Quality, quality[0].Count, quality[1:]
		}
		left--
		null, value := c.IsNull(n), uint64(0)
		switch {
		case null:
		case len(c.Bytes) > 0:
			value = textDigest(c.Bytes[n])
		default:
			value = c.Num[n]
		}
		d.add(c.Index[n], at, c.Received[n], rest(c.Series, c.Type, q, c.Flags[n], null), value)
	}
}
