package historian

import (
	"bytes"
	"encoding/binary"
	"errors"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// eachBlock calls f with every block of a group that has samples with from <= At < to: those of the windows in order of
// time, then the late ones in order of arrival. damaged is told of a block that cannot be read, and with an errObject of a large
// value that cannot. The block is the file's
// memory: nothing of it may be kept.
func eachBlock(blk, late *bolt.Bucket, group uint32, from, to journal.Millis, f func(*chunk.Block) error, damaged func(key []byte, err error)) error {
	visit := func(k, v []byte) error {
		b, err := chunk.Parse(v)
		if err == nil {
			if b.Last < from || b.First >= to {
				return nil
			}
			b.Objects = objectsOf(blk.Tx(), func(err error) { damaged(k, err) })
			err = f(b)
		}
		if isDamage(err) {
			damaged(k, err)
			return nil
		}
		return err
	}
	return eachBlockIn(blk, late, group, from, to, visit)
}

// eachBlockIn visits the blocks of a group that may have samples with from <= At < to.
func eachBlockIn(blk, late *bolt.Bucket, group uint32, from, to journal.Millis, visit func(k, v []byte) error) error {
	first, end := unitsOf(from, to)
	if err := eachUnit(blk.Cursor(), group, first, end, visit); err != nil {
		return err
	}
	return eachLate(late.Cursor(), group, visit)
}

// unitsOf are the units whose blocks may have samples with from <= At < to. A block lies in a window, and that in an hour; a window
// that was written again has a later unit than its samples have.
func unitsOf(from, to journal.Millis) (first, end uint32) {
	return unitOf(floorTo(from, hourMillis)), unitOf(floorTo(max(0, to-1), hourMillis)+hourMillis) - 1
}

// eachUnit visits a group's blocks with first <= unit <= end. Keys are sorted by unit, then group: it jumps over the others.
func eachUnit(c *bolt.Cursor, group, first, end uint32, visit func(k, v []byte) error) (err error) {
	for k, v := c.Seek(blockKey(first, group)); k != nil && err == nil; {
		unit, g := binary.BigEndian.Uint32(k), binary.BigEndian.Uint32(k[4:])
		switch {
		case unit > end:
			return nil
		case g == group:
			if err := visit(k, v); err != nil {
				return err
			}
			k, v, err = jump(c, k, blockKey(unit+1, group))
		case g < group:
			k, v, err = jump(c, k, blockKey(unit, group))
		default:
			k, v, err = jump(c, k, blockKey(unit+1, group))
		}
	}
	return err
}

// jump moves a cursor that is at key k to the first row from a later key on. In a damaged page it might go back, and for ever.
func jump(c *bolt.Cursor, k, to []byte) (key, value []byte, err error) {
	key, value = c.Seek(to)
	if key != nil && bytes.Compare(key, k) <= 0 {
		return nil, nil, &CorruptError{Err: errOrder, Hint: hintQuarantine}
	}
	return key, value, nil
}

var errOrder = errors.New("keys out of order")

// eachLate visits a group's late blocks.
func eachLate(c *bolt.Cursor, group uint32, visit func(k, v []byte) error) (err error) {
	for k, v := c.First(); k != nil && err == nil; {
		flush, g := binary.BigEndian.Uint64(k), binary.BigEndian.Uint32(k[8:])
		switch {
		case g == group:
			if err := visit(k, v); err != nil {
				return err
			}
			k, v = c.Next()
		case g < group:
			k, v, err = jump(c, k, lateKey(flush, group))
		default:
			k, v, err = jump(c, k, lateKey(flush+1, group))
		}
	}
	return err
}

// eachLateOf visits the late blocks that one flush wrote for a group.
func eachLateOf(c *bolt.Cursor, flush uint64, group uint32, visit func(k, v []byte) error) error {
	prefix := lateKey(flush, group)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := visit(k, v); err != nil {
			return err
		}
	}
	return nil
}
