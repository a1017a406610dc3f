package historian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// checkBranches reads the branch pages of a file that is opened for reading: no page is led to twice. bbolt follows them without
// counting, and a circle would use up its stack, which ends the program. They are few: a hundredth of the leaf pages, which
// are all equally deep and not read here.
func checkBranches(path string, db *bolt.DB) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return db.View(func(tx *bolt.Tx) error {
		t := &tree{file: f, seen: make([]bool, tx.Size()/pageBytes)}
		if err := t.branches(uint64(tx.Cursor().Bucket().Root()), true); err != nil {
			return &CorruptError{File: path, Err: err, Hint: hintQuarantine}
		}
		return nil
	})
}

// branches goes down level by level to the leaf pages. Those of the root hold the buckets, whose pages come next.
func (t *tree) branches(id uint64, root bool) error {
	level := []uint64{id}
	if err := t.visit(id); err != nil {
		return err
	}
	for range 32 {
		head, err := t.readPage(level[0], pageHeader)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(head[8:]) != pageBranch {
			if !root {
				return nil
			}
			return t.buckets(level)
		}
		var next []uint64
		for _, id := range level {
			list, err := t.readElements(id, pageBranch)
			if err != nil {
				return err
			}
			for _, e := range list {
				if err := t.visit(e.child); err != nil {
					return err
				}
				next = append(next, e.child)
			}
		}
		if level = next; len(level) == 0 {
			return errElement
		}
	}
	return errors.New("too deep")
}

func (t *tree) buckets(leaves []uint64) error {
	for _, id := range leaves {
		list, err := t.readElements(id, pageLeaf)
		if err != nil {
			return err
		}
		for _, e := range list {
			if !e.bucket || len(e.value) < 16 {
				return errElement
			}
			if root := binary.LittleEndian.Uint64(e.value); root != 0 {
				if err := t.branches(root, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *tree) visit(id uint64) error {
	if id < 2 || id >= uint64(len(t.seen)) || t.seen[id] {
		return fmt.Errorf("page %d of %d is used twice, or is none", id, len(t.seen))
	}
	t.seen[id] = true
	return nil
}

// readPage reads the first n bytes of a page that says that it is the one.
func (t *tree) readPage(id uint64, n int) ([]byte, error) {
	buf := make([]byte, n)
	if _, err := t.file.ReadAt(buf, int64(id)*pageBytes); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint64(buf) != id {
		return nil, fmt.Errorf("page %d says it is %d", id, binary.LittleEndian.Uint64(buf))
	}
	return buf, nil
}

// readElements reads a page of the given kind, all of whose elements lie in it.
func (t *tree) readElements(id uint64, kind uint16) ([]element, error) {
	head, err := t.readPage(id, pageHeader)
	if err != nil {
		return nil, err
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint16(head[8:]) != kind || id+more >= uint64(len(t.seen)) || more > 64 {
		return nil, fmt.Errorf("page %d: %w", id, errElement)
	}
	buf, err := t.readPage(id, int(more+1)*pageBytes)
	if err != nil {
		return nil, err
	}
	list, whole := elementsOf(buf)
	if !whole {
		return nil, fmt.Errorf("page %d: %w", id, errElement)
	}
	return list, nil
}
