package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// A commit on disk: a header, the entries, zeros up to the next page.
//
//	0   4  CRC32C of all that follows, up to the end of the entries
//	4   4  n, length of the entries
//	8   8  epoch of the segment
//	16  8  first index
//	24  8  last index
//	32  8  time that the entries' times are relative to, milliseconds since 1970 UTC
//	40  n  entries
const (
	pageBytes   = 4096
	frameHeader = 40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pages rounds up to whole pages.
func pages(n int) int { return (n + pageBytes - 1) &^ (pageBytes - 1) }

// frame is one commit: in memory its payload, in a segment its place.
type frame struct {
	first, last Index
	base        Millis
	payload     []byte // the entries; shared, never written to
}

// frameRef says where a frame lies in its segment.
type frameRef struct {
	first, last Index
	off         int64
	payloadLen  int
}

func (r frameRef) len() int { return frameHeader + r.payloadLen }

// sealFrame fills in the header of b, which holds room for it, and then the entries.
func sealFrame(b []byte, epoch uint64, first, last Index, base Millis) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHeader))
	binary.LittleEndian.PutUint64(b[8:], epoch)
	binary.LittleEndian.PutUint64(b[16:], uint64(first))
	binary.LittleEndian.PutUint64(b[24:], uint64(last))
	binary.LittleEndian.PutUint64(b[32:], uint64(base))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

// frameState is what parseFrame found.
type frameState uint8

const (
	frameNone frameState = iota // nothing of this epoch begins here
	frameTorn                   // something of this epoch begins here, and is not whole
	frameGood
)

// parseFrame looks for a frame of this epoch at the start of b. The epoch is inside the checksum: what a recycled segment
// still holds of its former life never counts.
func parseFrame(b []byte, epoch uint64) (frame, frameState) {
	if len(b) < frameHeader || binary.LittleEndian.Uint64(b[8:]) != epoch {
		return frame{}, frameNone
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if n > int64(len(b)-frameHeader) {
		return frame{}, frameTorn
	}
	b = b[:frameHeader+n]
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return frame{}, frameTorn
	}
	f := frame{
		first:   Index(binary.LittleEndian.Uint64(b[16:])),
		last:    Index(binary.LittleEndian.Uint64(b[24:])),
		base:    Millis(binary.LittleEndian.Uint64(b[32:])),
		payload: b[frameHeader:],
	}
	if f.first == 0 || f.last < f.first {
		return frame{}, frameTorn
	}
	return f, frameGood
}
