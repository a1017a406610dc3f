package chunk

import (
	"math"
	"math/bits"
)

// The codes: for each the length in bits of the symbols 0 to 15. Shorter codes stand for smaller symbols: the first eight suit
// differences that are normally distributed, of growing width, the others such as decay. They are part of the format.
var codeLengths = [...][16]byte{
	{1, 3, 6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5},
	{1, 2, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5},
	{1, 2, 4, 7, 7, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6},
	{1, 2, 3, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7},
	{1, 2, 3, 4, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7},
	{1, 2, 3, 4, 5, 7, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 2, 2, 3, 4, 5, 7, 7, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 8, 8, 9, 9, 9, 9},
	{1, 2, 3, 4, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8},
	{1, 2, 3, 4, 5, 7, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9},
	{2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 9, 7},
	{3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 4},
}

const (
	codeBits  = 9  // of the longest code
	codeCount = 12 // codes
	escape    = 15 // the symbol of all that is larger
	maxLow    = 48 // low bits that follow a code as they are
	maxLow2   = 40 // the same in version 2
)

// codeOf[c][s] is symbol s in code c, its first bit lowest; symbolOf[c][bits] is the symbol that bits begin with, and its length.
var codeOf, symbolOf = makeCodes()

func makeCodes() (of [codeCount][16]uint16, symbols [codeCount][1 << codeBits]uint8) {
	for c, lengths := range codeLengths {
		next := uint16(0)
		for n := byte(1); n <= codeBits; n++ {
			for s, l := range lengths {
				if l != n {
					continue
				}
				of[c][s] = bits.Reverse16(next) >> (16 - n)
				for x := of[c][s]; x < 1<<codeBits; x += 1 << n {
					symbols[c][x] = uint8(s)<<4 | n
				}
				next++
			}
			next <<= 1
		}
	}
	return of, symbols
}

// manyOf[c][bits] are as many symbols as bits begin with, three at most: each a byte, then in the highest byte their length in
// bits and, from its bit 4 on, how many there are.
var manyOf = manySymbols()

const manyBits = 10

func manySymbols() (of [codeCount][1 << manyBits]uint32) {
	for c := range of {
		for x := range of[c] {
			entry, length, count := uint32(0), 0, 0
			for count < 3 {
				e := symbolOf[c][x>>length&(1<<codeBits-1)]
				if length+int(e&15) > manyBits {
					break
				}
				entry |= uint32(e>>4) << (8 * count)
				length += int(e & 15)
				count++
			}
			of[c][x] = entry | uint32(length)<<24 | uint32(count)<<28
		}
	}
	return of
}

// lengthsOf[s] are symbol s's lengths in all codes, three in a word, so that three codes are added up at once: a block's
// MaxSamples symbols of codeBits have no more than laneBits.
var lengthsOf = packLengths()

const (
	lanes    = 3
	laneBits = 21
)

func packLengths() (of [16][codeCount / lanes]uint64) {
	for c, lengths := range codeLengths {
		for s, l := range lengths {
			of[s][c/lanes] |= uint64(l) << (c % lanes * laneBits)
		}
	}
	return of
}

// codeFor finds the code and the number of low bits, at most most, with which v is smallest, and about how many bytes it has then.
func codeFor(v []uint64, most int) (code, low, size int) {
	var hi, lo, carry uint64
	for _, x := range v {
		lo, carry = bits.Add64(lo, min(x, 1<<56), 0)
		hi += carry
	}
	mean, _ := bits.Div64(hi, lo, uint64(len(v)))
	middle := bits.Len64(mean)
	if middle-2 > most {
		return 0, 0, math.MaxInt32
	}
	low = max(0, middle-2)
	var fine [32]int // by the value less low bits, and of those with one more the pairs
	var extra [2]int
	for _, x := range v {
		s := min(x>>(low&63), 31)
		if fine[s]++; s >= escape {
			extra[0] += (bits.Len64((x>>low-escape)|1) + 6) / 7
			if s >= 2*escape {
				extra[1] += (bits.Len64((x>>(low+1)-escape)|1) + 6) / 7
			}
		}
	}
	var hist [2][16]int
	for s, n := range fine {
		hist[0][min(s, escape)] += n
		hist[1][s/2] += n
	}
	code, n := bestOf(&hist[0])
	size = (n+len(v)*low+7)/8 + extra[0]
	if middle > 1 && low < most {
		c, n := bestOf(&hist[1])
		if s := (n+len(v)*(low+1)+7)/8 + extra[1]; s < size {
			return c, low + 1, s
		}
	}
	return code, low, size
}

// bestOf finds the code with the fewest bits for symbols that occur so often.
func bestOf(hist *[16]int) (code, size int) {
	var total [codeCount / lanes]uint64
	for s, n := range hist {
		for i := range total {
			total[i] += uint64(n) * lengthsOf[s][i]
		}
	}
	size = math.MaxInt32
	for c := range codeLengths {
		if n := int(total[c/lanes] >> (c % lanes * laneBits) & (1<<laneBits - 1)); n < size {
			code, size = c, n
		}
	}
	return code, size
}
