package journal

import (
	"encoding/binary"
	"fmt"
)

// segmentScan is what a segment file holds.
type segmentScan struct {
	seg       *segment
	unstarted bool   // a recycled or new file whose own header never reached the disk: it holds nothing
	torn      int    // length of an unfinished commit at the end
	damage    []Lost // what cannot be read before the last good frame; not empty if the file is to be inspected
}

// scanSegment finds the frames in a segment file's bytes. After a frame that does not read, it looks on page by page: a later
// frame of this epoch proves that the bad one had been durable, so it is damage; without one it is the torn tail.
func scanSegment(data []byte, seq uint32) segmentScan {
	scan := segmentScan{seg: &segment{seq: seq}}
	s := scan.seg
	version, epoch, after, ok := parseSegmentHeader(data)
	switch {
	case ok && uint32(epoch>>32) != seq:
		scan.unstarted = true
		return scan
	case ok:
		s.epoch, s.after, s.older = epoch, after, version < formatVersion
	default:
		if s.epoch, ok = findEpoch(data, seq); !ok {
			scan.unstarted = allZero(data)
			if !scan.unstarted {
				scan.damage = []Lost{{Reason: segmentName(seq) + ": nothing readable"}}
			}
			return scan
		}
		scan.damage = []Lost{{Reason: segmentName(seq) + ": header damaged, records kept"}}
	}
	scan.frames(data)
	return scan
}

func (scan *segmentScan) frames(data []byte) {
	s := scan.seg
	off, last := int64(pageBytes), Index(0)
	for off < int64(len(data)) {
		f, state := parseFrame(data[off:], s.epoch)
		if state == frameGood && f.first > last {
			ref := frameRef{first: f.first, last: f.last, off: off, payloadLen: len(f.payload)}
			s.frames = append(s.frames, ref)
			off, last = off+int64(pages(ref.len())), f.last
			continue
		}
		next, first, ok := nextFrame(data, off+pageBytes, s.epoch, last)
		if !ok {
			if state == frameTorn {
				scan.torn = tornLen(data[off:])
			}
			break
		}
		reason := fmt.Sprintf("%s: bytes %d to %d damaged", segmentName(s.seq), off, next)
		scan.damage = append(scan.damage, Lost{From: last + 1, To: first - 1, Reason: reason})
		off = next
	}
	if s.after == 0 && len(s.frames) > 0 { // the header is gone
		s.after = s.frames[0].first - 1
	}
	s.end = off
	if len(scan.damage) > 0 {
		s.end = 0 // nothing more is written to a damaged file
	}
}

// nextFrame finds the first good frame at or after off.
func nextFrame(data []byte, off int64, epoch uint64, last Index) (at int64, first Index, ok bool) {
	for ; off < int64(len(data)); off += pageBytes {
		if f, state := parseFrame(data[off:], epoch); state == frameGood && f.first > last {
			return off, f.first, true
		}
	}
	return 0, 0, false
}

// findEpoch finds the epoch of a segment whose header is gone, from its first frame.
func findEpoch(data []byte, seq uint32) (uint64, bool) {
	for off := pageBytes; off+frameHeader <= len(data); off += pageBytes {
		epoch := binary.LittleEndian.Uint64(data[off+8:])
		if uint32(epoch>>32) != seq {
			continue
		}
		if _, state := parseFrame(data[off:], epoch); state == frameGood {
			return epoch, true
		}
	}
	return 0, false
}

func tornLen(b []byte) int {
	n := int64(binary.LittleEndian.Uint32(b[4:])) + frameHeader
	return int(min(n, int64(len(b))))
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
