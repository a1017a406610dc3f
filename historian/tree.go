package historian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// The parts of a bbolt page that are checked here (bbolt internal/common/page.go; the numbers are of a little endian machine).
const (
	pageBytes  = 4096
	pageHeader = 16 // id u64, flags u16, count u16, overflow u32
	pageBranch = 1
	pageLeaf   = 2
	leafBucket = 1
)

// readTree checks every page of a file: numbers, bounds and order of keys, and that a page begins with the key its parent has for it:
// bbolt finds the page's place there by that key, and were it another one, the next write would leave both in the tree. A writer of a file without a freelist makes
// bbolt read the tree in a goroutine of its own, where a panic at a damaged page would end the program; so nothing damaged
// may come there.
func readTree(path string) error {
	db, err := openBolt(path, true, 0)
	if err != nil {
		return err
	}
	err = guard(path, func() error {
		return db.View(func(tx *bolt.Tx) error {
			if err := checkTree(path, tx); err != nil {
				return err
			}
			if err := checkSums(path, tx); err != nil {
				return err
			}
			return checkAccount(path, tx)
		})
	})
	return errors.Join(err, guard(path, db.Close))
}

func checkTree(path string, tx *bolt.Tx) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if size := tx.DB().Info().PageSize; size != pageBytes {
		return errors.Join(&CorruptError{File: path, Err: fmt.Errorf("pages of %d bytes", size), Hint: hintQuarantine}, f.Close())
	}
	t := &tree{file: f, seen: make([]bool, tx.Size()/pageBytes)}
	err = t.page(uint64(tx.Cursor().Bucket().Root()), nil, nil, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return &CorruptError{File: path, Err: err, Hint: hintQuarantine}
	}
	return nil
}

// checkAccount compares a day's blocks with its totals, and with their keys: a page that lost elements is still a page, and a
// key that has changed a little still in order.
func checkAccount(path string, tx *bolt.Tx) error {
	meta, blk, late := tx.Bucket(bucketMeta), tx.Bucket(bucketBlock), tx.Bucket(bucketLate)
	if meta == nil || blk == nil || late == nil {
		return nil // no day, or one whose buckets are looked for elsewhere
	}
	c := &account{tx: tx, groups: make(map[journal.SeriesID]uint32)}
	err := errors.Join(blk.ForEach(c.block), late.ForEach(c.block))
	if row := meta.Get(metaTotals); err == nil && row != nil {
		var t totals
		if t, err = readTotals(row); err == nil && c.bytes != t.blockBytes {
			err = fmt.Errorf("%d bytes of blocks, it had %d", c.bytes, t.blockBytes)
		}
	}
	if err != nil {
		return &CorruptError{File: path, Err: err, Hint: hintQuarantine}
	}
	return nil
}

type account struct {
	tx     *bolt.Tx
	bytes  uint64
	groups map[journal.SeriesID]uint32
}

// block takes a row of blk or late. A block that is damaged itself is its readers' affair.
func (c *account) block(k, v []byte) error {
	c.bytes += uint64(len(v))
	b, err := chunk.Parse(v)
	if err != nil {
		return nil
	}
	id, at := b.Entries[0].Series, 4
	if _, ok := c.groups[id]; !ok {
		if e, err := readSeries(big4(uint32(id)), c.tx.Bucket(bucketSeries).Get(big4(uint32(id)))); err == nil {
			c.groups[id] = e.group
		}
	}
	if len(k) == 14 {
		at = 8
	} else if len(k) != 8 || !unitHolds(binary.BigEndian.Uint32(k), b) {
		return fmt.Errorf("a block of %s under the key %x", stampText(b.First), k)
	}
	if group, ok := c.groups[id]; ok && group != binary.BigEndian.Uint32(k[at:]) {
		return fmt.Errorf("a block of group %d under the key %x", group, k)
	}
	return nil
}

// unitHolds says that a block may stand under a unit: both lie in the same hour.
func unitHolds(unit uint32, b *chunk.Block) bool {
	return floorTo(journal.Millis(unit)*unitMillis, hourMillis) == floorTo(b.First, hourMillis)
}

type tree struct {
	file io.ReaderAt
	seen []bool
}

// page checks a page and all below it. Its keys begin with first and are below high; nil is no bound.
func (t *tree) page(id uint64, first, high []byte, depth int) error {
	var head [pageHeader]byte
	if id < 2 || id >= uint64(len(t.seen)) || depth > 32 {
		return fmt.Errorf("page %d of %d, %d deep", id, len(t.seen), depth)
	}
	if _, err := t.file.ReadAt(head[:], int64(id)*pageBytes); err != nil {
		return err
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head[:]) != id || id+more >= uint64(len(t.seen)) {
		return fmt.Errorf("page %d says it is %d and %d more", id, binary.LittleEndian.Uint64(head[:]), more)
	}
	for p := id; p <= id+more; p++ {
		if t.seen[p] {
			return fmt.Errorf("page %d is used twice", p)
		}
		t.seen[p] = true
	}
	buf := make([]byte, (more+1)*pageBytes)
	if _, err := t.file.ReadAt(buf, int64(id)*pageBytes); err != nil {
		return err
	}
	if err := t.elements(buf, first, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

var errElement = errors.New("malformed element")

// elements checks what a page holds, and what that leads to.
func (t *tree) elements(buf, first, high []byte, depth int) error {
	flags, count := binary.LittleEndian.Uint16(buf[8:]), int(binary.LittleEndian.Uint16(buf[10:]))
	if flags != pageBranch && flags != pageLeaf || pageHeader+count*16 > len(buf) || flags == pageBranch && count < 2 ||
		count == 0 && first != nil {
		return errElement
	}
	keys, values := make([][]byte, count), make([][]byte, count)
	for i := range count {
		at := pageHeader + i*16
		pos, kn, vn := binary.LittleEndian.Uint32(buf[at:]), binary.LittleEndian.Uint32(buf[at+4:]), uint32(0)
		if flags == pageLeaf {
			pos, kn, vn = binary.LittleEndian.Uint32(buf[at+4:]), binary.LittleEndian.Uint32(buf[at+8:]), binary.LittleEndian.Uint32(buf[at+12:])
		}
		start := uint64(at) + uint64(pos)
		end := start + uint64(kn) + uint64(vn)
		if end > uint64(len(buf)) || kn == 0 || kn > bolt.MaxKeySize {
			return errElement
		}
		keys[i], values[i] = buf[start:start+uint64(kn)], buf[start+uint64(kn):end]
		if i == 0 && first != nil && !bytes.Equal(keys[i], first) || i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 ||
			high != nil && bytes.Compare(keys[i], high) >= 0 {
			return errOrder
		}
	}
	for i := range count {
		if err := t.below(buf[pageHeader+i*16:], flags, keys, values[i], i, high, depth); err != nil {
			return err
		}
	}
	return nil
}

// below follows element i of a page: a branch to its page, a bucket to its root.
func (t *tree) below(element []byte, flags uint16, keys [][]byte, value []byte, i int, high []byte, depth int) error {
	if flags == pageBranch {
		if i+1 < len(keys) {
			high = keys[i+1]
		}
		return t.page(binary.LittleEndian.Uint64(element[8:]), keys[i], high, depth+1)
	}
	switch kind := binary.LittleEndian.Uint32(element); {
	case kind > leafBucket:
		return errElement
	case kind != leafBucket:
		return nil
	case len(value) < 16:
		return errElement
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return t.page(root, nil, nil, depth+1)
	}
	inline := value[16:] // a small bucket's only page, in its value
	if len(inline) < pageHeader || binary.LittleEndian.Uint64(inline) != 0 || binary.LittleEndian.Uint16(inline[8:]) != pageLeaf || depth > 32 {
		return errElement
	}
	return t.elements(inline, nil, nil, depth+1)
}
