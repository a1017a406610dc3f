package journal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A segment's first page: a header, then zeros.
//
//	0   8  magic "EDGEJRNL"
//	8   4  format version
//	12  4  CRC32C of bytes 0..12 and 16..40
//	16  8  epoch: sequence number << 32 | random number
//	24  8  after: the last index that counts before this segment
//	32  8  size of the file
const (
	segmentMagic  = "EDGEJRNL"
	formatVersion = 2
	segmentHeader = 40
	segmentSuffix = ".seg"
	sparePrefix   = "spare-"
)

// segment is one file of the log. Set when it is opened: all but what is noted.
type segment struct {
	seq   uint32
	epoch uint64
	after Index
	name  string // path
	size  int64
	r     File // for readers
	older bool // of an earlier format version: nothing more is written to it

	// Guarded by Journal.mu.
	frames []frameRef
	end    int64 // where the next frame goes
	pins   int   // readers at work; a pinned segment is not recycled
}

func segmentName(seq uint32) string { return fmt.Sprintf("%08d%s", seq, segmentSuffix) }

// segmentSeq is the inverse of segmentName.
func segmentSeq(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 32)
	return uint32(seq), err == nil && seq > 0
}

// newEpoch mixes the sequence number with a random one, so that no payload can be made to look like a frame.
func newEpoch(seq uint32) uint64 {
	var salt [4]byte
	rand.Read(salt[:]) // never fails
	return uint64(seq)<<32 | uint64(binary.LittleEndian.Uint32(salt[:]))
}

func encodeSegmentHeader(version uint32, epoch uint64, after Index, size int64) []byte {
	b := make([]byte, pageBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], epoch)
	binary.LittleEndian.PutUint64(b[24:], uint64(after))
	binary.LittleEndian.PutUint64(b[32:], uint64(size))
	binary.LittleEndian.PutUint32(b[12:], segmentCRC(b))
	return b
}

func segmentCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:segmentHeader])
}

// parseSegmentHeader reads the first page; ok is false when it is not one of ours.
func parseSegmentHeader(b []byte) (version uint32, epoch uint64, after Index, ok bool) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic || segmentCRC(b) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, 0, 0, false
	}
	return binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint64(b[16:]), Index(binary.LittleEndian.Uint64(b[24:])), true
}

// last is the last index in the segment, after when it has none.
func (s *segment) lastLocked() Index {
	if len(s.frames) == 0 {
		return s.after
	}
	return s.frames[len(s.frames)-1].last
}

// createZeroed makes a file of zeros that is on the disk, so that a commit into it changes no metadata: one flush.
func createZeroed(fs Files, name string, size int) error {
	tmp := name + ".tmp"
	f, err := fs.Open(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	zeros := make([]byte, 256<<10)
	for off := 0; off < size && err == nil; off += len(zeros) {
		_, err = f.WriteAt(zeros[:min(len(zeros), size-off)], int64(off))
	}
	if err == nil {
		err = f.Datasync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, name)
	}
	if err != nil {
		fs.Remove(tmp) // what cannot be removed is removed by the next Open
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

// startSegment turns the file at from into segment seq, with an open writer. The header is durable with the first commit.
func startSegment(fs Files, dir, from string, seq uint32, after Index) (s *segment, w File, err error) {
	s = &segment{seq: seq, epoch: newEpoch(seq), after: after, name: filepath.Join(dir, segmentName(seq)), end: pageBytes}
	if err := fs.Rename(from, s.name); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			closeAll(w, s.r)
			fs.Remove(s.name)
		}
	}()
	if w, err = fs.Open(s.name, os.O_RDWR|Direct); err != nil {
		return s, nil, err
	}
	if s.r, err = fs.Open(s.name, os.O_RDONLY); err != nil {
		return s, w, err
	}
	if s.size, err = w.Size(); err != nil {
		return s, w, err
	}
	if _, err = w.WriteAt(encodeSegmentHeader(formatVersion, s.epoch, after, s.size), 0); err != nil {
		return s, w, err
	}
	return s, w, fs.SyncDir(dir) // the new name is durable before anything in it is acknowledged
}

func closeAll(files ...File) {
	for _, f := range files {
		if f != nil {
			f.Close() // a file that is given up: its error has been told already
		}
	}
}
