package historian

import (
	"bytes"
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Reading a damaged file without bbolt: page by page, down from the root as far as pages can be trusted.

// page takes what is on a page and below it. Its keys lie between low and high; nil is no bound. Bucket nil is the root, whose
// elements are buckets. An error is about the new file.
func (w *wreck) page(id uint64, bucket, low, high []byte, depth int) error {
	buf := w.load(id)
	if buf == nil || depth > 32 {
		w.miss(bucket, low, high)
		return nil
	}
	return w.elements(buf, bucket, low, high, depth)
}

// load reads a page with its overflow, once; nil if it cannot be one.
func (w *wreck) load(id uint64) []byte {
	var head [pageHeader]byte
	if id < 2 || id >= uint64(len(w.seen)) || w.seen[id] {
		return nil
	}
	if _, err := w.file.ReadAt(head[:], int64(id)*pageBytes); err != nil {
		return nil
	}
	flags, more := binary.LittleEndian.Uint16(head[8:]), uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head[:]) != id || id+more >= uint64(len(w.seen)) || flags != pageBranch && flags != pageLeaf {
		return nil
	}
	buf := make([]byte, (more+1)*pageBytes)
	if _, err := w.file.ReadAt(buf, int64(id)*pageBytes); err != nil {
		return nil
	}
	w.seen[id] = true
	return buf
}

// element is one of a page: a key and its value, its bucket or the page that it leads to.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// elementsOf reads those elements of a page that lie in it.
func elementsOf(buf []byte) (out []element, whole bool) {
	leaf, count := binary.LittleEndian.Uint16(buf[8:]) == pageLeaf, int(binary.LittleEndian.Uint16(buf[10:]))
	whole = true
	for i := range count {
		at := pageHeader + i*16
		if at+16 > len(buf) {
			return out, false
		}
		h := buf[at:]
		pos, kn, vn := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:]), uint32(0)
		e := element{child: binary.LittleEndian.Uint64(h[8:])}
		if leaf {
			e.bucket = binary.LittleEndian.Uint32(h) == leafBucket
			pos, kn, vn = binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
		}
		start := uint64(at) + uint64(pos)
		end := start + uint64(kn) + uint64(vn)
		if kn == 0 || kn > bolt.MaxKeySize || end > uint64(len(buf)) {
			whole = false
			continue
		}
		e.key, e.value = buf[start:start+uint64(kn)], buf[start+uint64(kn):end]
		out = append(out, e)
	}
	return out, whole
}

func (w *wreck) elements(buf, bucket, low, high []byte, depth int) error {
	list, whole := elementsOf(buf)
	if !whole {
		w.miss(bucket, low, high)
	}
	branch := binary.LittleEndian.Uint16(buf[8:]) == pageBranch
	for i, e := range list {
		var err error
		switch {
		case branch:
			next := high
			if i+1 < len(list) {
				next = list[i+1].key
			}
			err = w.page(e.child, bucket, e.key, next, depth+1)
		case bucket != nil:
			var ok bool
			if ok, err = w.take(bucket, e.key, e.value); !ok {
				w.missOne(bucket, list, i, low, high)
			}
		case e.bucket && len(e.value) >= 16:
			err = w.bucket(e, depth)
		default:
			w.miss(nil, nil, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket takes what is in a bucket, whose root is a page or, of a small one, in the value.
func (w *wreck) bucket(e element, depth int) error {
	all := w.d.kind.all()
	name := slices.IndexFunc(all, func(b []byte) bool { return bytes.Equal(b, e.key) })
	if name < 0 {
		w.miss(nil, nil, nil)
		return nil
	}
	bucket := all[name]
	if !w.stale {
		w.sums[string(bucket)] = binary.LittleEndian.Uint64(e.value[8:])
	}
	if root := binary.LittleEndian.Uint64(e.value); root != 0 {
		return w.page(root, bucket, nil, nil, depth+1)
	}
	if inline := e.value[16:]; len(inline) >= pageHeader && binary.LittleEndian.Uint16(inline[8:]) == pageLeaf {
		return w.elements(inline, bucket, nil, nil, depth+1)
	}
	w.miss(bucket, nil, nil)
	return nil
}

// missOne notes that element i of a page is lost: it lay between its neighbours.
func (w *wreck) missOne(bucket []byte, list []element, i int, low, high []byte) {
	if i > 0 {
		low = list[i-1].key
	}
	if i+1 < len(list) {
		high = list[i+1].key
	}
	w.miss(bucket, low, high)
}
