package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// What bbolt's pages look like (file format version 2, little endian machines; bbolt writes its memory as it is).
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	noFreelist     = 1<<64 - 1
	pageHeader     = 16 // id 8, flags 2, count 2, overflow 4
	elementBytes   = 16 // branch: pos 4, ksize 4, pgid 8; leaf: flags 4, pos 4, ksize 4, vsize 4
	branchPage     = 0x01
	leafPage       = 0x02
	bucketElement  = 0x01
	bucketHeader   = 16 // root page 8, sequence 8
	maxDepth       = 64
	maxPageOverrun = 1 << 18 // overflow pages of one node: 1 GiB
)

// verify reads a bbolt file and proves that its pages form a tree as bbolt writes it: every page reached once, where it says it is,
// with its elements inside it, its keys in order and the first of them the one its parent has for it. On a file that does not, bbolt
// panics, in a goroutine of its own even: whatever it objects to must be refused here. If only the latest transaction is damaged, it is taken back: the one before it is still whole in
// the file, and the journal has what came since. Any error but one of the file system means that the file is of no use.
func verify(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	metas := readMetas(f)
	if err := verifyMetas(f, metas); err != nil {
		return err
	}
	newest := verifyTree(f, metas[0], st.Size())
	if newest == nil || len(metas) == 1 {
		return newest
	}
	if err := verifyTree(f, metas[1], st.Size()); err != nil {
		return errors.Join(newest, err)
	}
	return takeBack(f, metas[0])
}

// verifyMetas refuses a file that bbolt would read with pages of another size: it takes the size from the first valid meta page
// that it finds, at 0 or at any power of two from 1 KiB.
func verifyMetas(f *os.File, metas []meta) error {
	if len(metas) == 0 {
		return errors.New("no valid meta page")
	}
	first := false
	for _, m := range metas {
		if m.pageSize != pageBytes {
			return fmt.Errorf("pages of %d bytes", m.pageSize)
		}
		first = first || m.page == 0
	}
	for at := int64(1024); at < pageBytes && !first; at *= 2 {
		if _, ok := readMeta(f, at); ok {
			return fmt.Errorf("meta page at byte %d", at)
		}
	}
	return nil
}

func verifyTree(f *os.File, m meta, size int64) error {
	if m.freelist != noFreelist {
		return fmt.Errorf("free pages listed in page %d", m.freelist)
	}
	if m.pages > uint64(size/pageBytes) {
		return fmt.Errorf("file of %d bytes is too short for %d pages", size, m.pages)
	}
	v := verifier{f: f, pages: m.pages, seen: map[uint64]bool{}}
	return v.tree(m.root, nil, nil, 0)
}

// takeBack makes the older transaction the latest, by spoiling the checksum of the newer one's meta page.
func takeBack(f *os.File, newer meta) error {
	if _, err := f.WriteAt(make([]byte, 8), newer.page*pageBytes+pageHeader+56); err != nil {
		return err
	}
	return f.Sync()
}

// meta is a valid meta page.
type meta struct {
	page                  int64 // 0 or 1
	pageSize              uint32
	root, freelist, pages uint64
	txid                  uint64
}

// readMetas returns the meta pages that bbolt calls valid, first the one it would use.
func readMetas(f *os.File) (metas []meta) {
	for page := range int64(2) {
		if m, ok := readMeta(f, page*pageBytes); ok {
			m.page = page
			metas = append(metas, m)
		}
	}
	if len(metas) == 2 && metas[1].txid > metas[0].txid {
		metas[0], metas[1] = metas[1], metas[0]
	}
	return metas
}

func readMeta(f *os.File, at int64) (m meta, ok bool) {
	b := make([]byte, pageHeader+64)
	if _, err := f.ReadAt(b, at); err != nil {
		return meta{}, false
	}
	b = b[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:56])
	m = meta{
		pageSize: binary.LittleEndian.Uint32(b[8:]), root: binary.LittleEndian.Uint64(b[16:]), freelist: binary.LittleEndian.Uint64(b[32:]),
		pages: binary.LittleEndian.Uint64(b[40:]), txid: binary.LittleEndian.Uint64(b[48:]),
	}
	return m, binary.LittleEndian.Uint32(b) == boltMagic && binary.LittleEndian.Uint32(b[4:]) == boltVersion &&
		binary.LittleEndian.Uint64(b[56:]) == sum.Sum64()
}

// verifier walks the pages of one transaction.
type verifier struct {
	f      *os.File
	pages  uint64 // all page numbers are below
	seen   map[uint64]bool
	inside bool // a bucket of ours, which has none in it
}

// tree walks the page and all below it. Its keys begin with first and are below high; nil is no bound. bbolt finds a page's place in
// its parent by the page's first key: were it another one there, the next write would leave both in the tree.
func (v *verifier) tree(id uint64, first, high []byte, depth int) error {
	b, err := v.node(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("page %d: tree too deep", id)
	}
	if err := v.elements(b, first, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// node reads a page with its overflow pages, and marks them as seen.
func (v *verifier) node(id uint64) ([]byte, error) {
	head := make([]byte, pageHeader)
	if id < 2 || id >= v.pages {
		return nil, fmt.Errorf("page %d out of bounds", id)
	}
	if _, err := v.f.ReadAt(head, int64(id)*pageBytes); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := binary.LittleEndian.Uint64(head); got != id {
		return nil, fmt.Errorf("page %d says it is %d", id, got)
	}
	n := uint64(binary.LittleEndian.Uint32(head[12:])) + 1
	if n > maxPageOverrun || id+n > v.pages {
		return nil, fmt.Errorf("page %d: overflow out of bounds", id)
	}
	for p := id; p < id+n; p++ {
		if v.seen[p] {
			return nil, fmt.Errorf("page %d reached twice", p)
		}
		v.seen[p] = true
	}
	b := make([]byte, n*pageBytes)
	if _, err := v.f.ReadAt(b, int64(id)*pageBytes); err != nil && err != io.EOF {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// elements checks the elements of a node, which may be inline in a bucket's value, and walks on.
func (v *verifier) elements(b, first, high []byte, depth int) error {
	flags, count := binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[10:]))
	if flags != branchPage && flags != leafPage || flags == branchPage && count < 2 {
		return fmt.Errorf("flags %#x with %d elements", flags, count)
	}
	if first != nil && count == 0 {
		return errors.New("empty below another page")
	}
	if pageHeader+count*elementBytes > len(b) {
		return fmt.Errorf("%d elements in %d bytes", count, len(b))
	}
	keys := make([][]byte, count)
	for i := range count {
		key, value, err := elementAt(b, i, flags)
		if err != nil {
			return err
		}
		if i == 0 && first != nil && !bytes.Equal(key, first) || i > 0 && bytes.Compare(keys[i-1], key) >= 0 ||
			high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("element %d: key out of order", i)
		}
		keys[i] = key
		if flags == leafPage && binary.LittleEndian.Uint32(b[pageHeader+i*elementBytes:])&bucketElement != 0 {
			if err := v.bucket(value, depth+1); err != nil {
				return err
			}
		}
	}
	if flags == leafPage {
		return nil
	}
	for i := range count {
		next := high
		if i+1 < count {
			next = keys[i+1]
		}
		if err := v.tree(binary.LittleEndian.Uint64(b[pageHeader+i*elementBytes+8:]), keys[i], next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// elementAt returns key and value of element i; both lie in b, behind the elements.
func elementAt(b []byte, i int, flags uint16) (key, value []byte, err error) {
	at := uint64(pageHeader + i*elementBytes)
	e := b[at : at+elementBytes]
	pos, ksize, vsize := uint64(binary.LittleEndian.Uint32(e)), uint64(binary.LittleEndian.Uint32(e[4:])), uint64(0)
	if flags == leafPage {
		pos, ksize, vsize = uint64(binary.LittleEndian.Uint32(e[4:])), uint64(binary.LittleEndian.Uint32(e[8:])),
			uint64(binary.LittleEndian.Uint32(e[12:]))
	}
	count := uint64(binary.LittleEndian.Uint16(b[10:]))
	if at+pos < pageHeader+count*elementBytes || at+pos+ksize+vsize > uint64(len(b)) || ksize == 0 {
		return nil, nil, fmt.Errorf("element %d out of bounds", i)
	}
	p := b[at+pos:]
	return p[:ksize:ksize], p[ksize : ksize+vsize : ksize+vsize], nil
}

// bucket walks a bucket: a tree of its own, or a small one inline.
func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader || v.inside {
		return errors.New("bucket where none can be")
	}
	v.inside = true
	defer func() { v.inside = false }()
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return v.tree(root, nil, nil, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint64(inline) != 0 || binary.LittleEndian.Uint16(inline[8:]) != leafPage || depth > maxDepth {
		return errors.New("inline bucket damaged")
	}
	return v.elements(inline, nil, nil, depth)
}
