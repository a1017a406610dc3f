package historian

import (
	"encoding/binary"
	"errors"

	"edge/historian/journal"
)

var errMalformed = errors.New("malformed row")

// end returns errMalformed where a row has less or more than was read.
func end(f *journal.Fields) error {
	if !f.Whole() {
		return errMalformed
	}
	return nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// big4 and big8 make keys whose order is that of the numbers.
func big4(x uint32) []byte { return binary.BigEndian.AppendUint32(nil, x) }
func big8(x uint64) []byte { return binary.BigEndian.AppendUint64(nil, x) }

// be4 is the way back from big4.
func be4(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// blockKey is the key of a block: when its window (or the flush) began, then the group.
func blockKey(unit, group uint32) []byte {
	return binary.BigEndian.AppendUint32(big4(unit), group)
}

func lateKey(flush uint64, group uint32) []byte {
	return binary.BigEndian.AppendUint32(big8(flush), group)
}

// A series' row is the same in the catalog and in a day file: group number, type, the four names.
func appendSeries(dst []byte, s *series) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.group))
	dst = append(dst, byte(s.key.Type))
	for _, name := range [...]string{s.key.Group, s.key.Node, s.key.Device, s.key.Metric} {
		dst = appendText(dst, name)
	}
	return dst
}

func readSeries(k, v []byte) (*series, error) {
	f := &journal.Fields{B: v}
	group := uint32(f.Uvarint())
	key := journal.SeriesKey{Type: journal.DataType(f.Uvarint())}
	key.Group, key.Node, key.Device, key.Metric = f.Text(), f.Text(), f.Text(), f.Text()
	if len(k) != 4 || !f.Whole() {
		return nil, errMalformed
	}
	return newSeries(journal.SeriesID(binary.BigEndian.Uint32(k)), key, group), nil
}

// appendEvent appends an event without its index, which is the key, and without its payload.
func appendEvent(dst []byte, e journal.Event) []byte {
	dst = append(dst, byte(e.Kind))
	dst = binary.AppendVarint(dst, int64(e.At))
	dst = binary.AppendVarint(dst, int64(e.Until))
	for _, s := range [...]string{e.Group, e.Node, e.Device, e.Reason, e.User} {
		dst = appendText(dst, s)
	}
	dst = binary.AppendVarint(dst, int64(e.BdSeq))
	return binary.AppendUvarint(dst, e.Count)
}

func readEvent(k, v []byte) (e journal.Event, err error) {
	f := &journal.Fields{B: v}
	e.Kind = journal.EventKind(f.Uvarint())
	e.At, e.Until = journal.Millis(f.Varint()), journal.Millis(f.Varint())
	e.Group, e.Node, e.Device, e.Reason, e.User = f.Text(), f.Text(), f.Text(), f.Text(), f.Text()
	e.BdSeq, e.Count = int16(f.Varint()), f.Uvarint()
	if len(k) < 8 || !f.Whole() {
		return e, errMalformed
	}
	e.Index = journal.Index(binary.BigEndian.Uint64(k[len(k)-8:])) // an event's key ends with its index everywhere
	return e, nil
}
