package historian

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// wreck is a damaged day file, read without bbolt: page by page, down from the root as far as pages can be trusted, and where
// that misses blocks, through all other pages. What is found goes into a new file.
type wreck struct {
	s      *Store
	d      *storeFile
	file   *os.File
	seen   []bool // pages
	a      *anew
	units  map[uint32]*flushRow // what blocks there are, by unit
	flush  map[uint64]*flushRow // and late blocks, by flush
	ids    map[journal.SeriesID]bool
	blocks map[blockIdentity]bool // that were put
	about  about                  // of the wreck, as far as it is known; totals are of what is found
	had    totals                 // of the wreck
	stale  bool                   // pages of earlier transactions are looked at
	rolled []element              // the state of its rollups
	lost   []Gap                  // times whose blocks were not reached
}

// salvage writes a day anew with what can still be read of it. Its position is 0: what the log has of the day is taken again.
func (s *Store) salvage(d *storeFile) (found uint64, err error) {
	w := &wreck{s: s, d: d, units: make(map[uint32]*flushRow), flush: make(map[uint64]*flushRow), ids: make(map[journal.SeriesID]bool),
		blocks: make(map[blockIdentity]bool)}
	if w.file, err = os.Open(d.path); err != nil {
		return 0, err
	}
	defer w.file.Close()
	st, err := w.file.Stat()
	if err != nil {
		return 0, err
	}
	w.seen = make([]bool, st.Size()/pageBytes)
	if w.a, err = beginAnew(d); err != nil {
		return 0, err
	}
	if err = w.save(); err != nil {
		w.a.abandon()
		return 0, err
	}
	d.close()
	if err := keepWreck(d.path, s.o.Quarantine, s.o.Clock()); err != nil {
		w.a.abandon()
		return 0, err
	}
	if err := w.a.finish(); err != nil {
		return 0, err
	}
	if w.about, err = d.readMeta(); err != nil {
		return 0, err
	}
	s.days.setInfo(d, w.about)
	if !w.about.thin { // it is rolled up again
		s.setTrended(d.unit, false)
		if s.rolling != nil { // else all are looked at
			s.rolling[d.unit] = true
		}
	}
	w.tell()
	return w.about.totals.samples, nil
}

func (w *wreck) save() error {
	metas := readMetas(w.file)
	var err error
	if len(metas) > 0 {
		err = w.page(metas[0].root, nil, nil, nil, 0)
	} else {
		w.miss(bucketBlock, nil, nil)
	}
	if err == nil && len(w.lost) == 0 && w.about.totals.blockBytes != w.had.blockBytes {
		w.miss(nil, nil, nil) // elements left a page without a trace
	}
	if err == nil && (len(w.lost) > 0 || len(metas) < 2) { // a meta page that is lost may have been of the last transaction
		err = w.others()
	}
	if err == nil && w.had.samples > 0 && w.about.totals.samples >= w.had.samples {
		w.lost = nil // all was found
	}
	if err == nil {
		err = w.series()
	}
	if w.about.thin { // else they are rolled up again, from what is there
		for _, e := range w.rolled {
			err = errors.Join(err, w.a.put(bucketMeta, e.key, e.value))
		}
	}
	if err == nil {
		err = w.flushes()
	}
	if err != nil {
		return err
	}
	return w.a.put(bucketMeta, metaTotals, w.about.totals.bytes())
}

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
	name := slices.IndexFunc(slices.Concat(dayKind.buckets, dayKind.added), func(b []byte) bool { return bytes.Equal(b, e.key) })
	if name < 0 {
		w.miss(nil, nil, nil)
		return nil
	}
	bucket := slices.Concat(dayKind.buckets, dayKind.added)[name]
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

// take puts a row into the new file, if it can be one of its bucket; ok says so. An error is about the new file.
func (w *wreck) take(bucket, k, v []byte) (ok bool, err error) {
	switch &bucket[0] {
	case &bucketMeta[0]:
		if bytes.Equal(k, metaTotals) && !w.stale {
			w.had, _ = readTotals(v)
		}
		if bytes.Equal(k, metaRolled) || bytes.HasPrefix(k, metaUnrolled) {
			w.rolled = append(w.rolled, element{key: k, value: v})
		}
		if ok = bytes.Equal(k, metaThin); ok {
			w.about.thin = true
		}
	case &bucketSeries[0]:
		_, bad := readSeries(k, v)
		ok = bad == nil
	case &bucketBlock[0], &bucketLate[0]:
		return w.block(k, v)
	case &bucketEvent[0]:
		e, bad := readEvent(k, v)
		if ok = bad == nil && len(k) == 8; ok {
			w.about.totals.addEvent(e.Index)
		}
	case &bucketLife[0]:
		_, bad := readLife(owner{}, k, v)
		ok = bad == nil
	case &bucketMinute[0], &bucketObject[0]: // they have checksums of their own
		ok = true
	}
	if !ok || w.stale && w.a.has(bucket, k) {
		return ok, nil
	}
	return true, w.a.put(bucket, k, v)
}

// block puts a block whose head is good; ok says so.
func (w *wreck) block(k, v []byte) (ok bool, err error) {
	b, err := chunk.Parse(v)
	if err != nil {
		return false, nil
	}
	is := blockIdentity{b.Entries[0].Series, b.FirstIndex, b.LastIndex, b.First}
	if w.blocks[is] {
		return true, nil
	}
	if k = w.keyOf(k, b); k == nil {
		return false, nil
	}
	w.blocks[is] = true
	bucket, row := bucketOf(k), (*flushRow)(nil)
	if len(k) == 8 {
		row = rowOf(w.units, binary.BigEndian.Uint32(k))
	} else {
		row = rowOf(w.flush, binary.BigEndian.Uint64(k))
	}
	row.from, row.applied = min(row.from, b.FirstIndex), max(row.applied, b.LastIndex)
	w.about.totals.addBlock(b, len(v), bucket)
	for _, e := range b.Entries {
		w.ids[e.Series] = true
	}
	return true, w.a.put(bucket, k, v)
}

func bucketOf(k []byte) []byte {
	if len(k) == 8 {
		return bucketBlock
	}
	return bucketLate
}

// blockIdentity is what no two blocks of a file share.
type blockIdentity struct {
	series            journal.SeriesID
	firstIndex, index journal.Index
	first             journal.Millis
}

// keyOf is the key that a block was found under, or another one if that is damaged or taken: a key has no checksum, but says what its
// block says too. It is nil for a block of unknown series.
func (w *wreck) keyOf(k []byte, b *chunk.Block) []byte {
	e := w.s.catalog.get(b.Entries[0].Series)
	switch {
	case (len(k) == 8 || len(k) == 14) && w.a.has(bucketOf(k), k):
	case len(k) == 14 && (e == nil || e.group == binary.BigEndian.Uint32(k[8:])):
		return k
	case len(k) == 8 && (e == nil || e.group == binary.BigEndian.Uint32(k[4:])) &&
		unitHolds(binary.BigEndian.Uint32(k), b):
		return k
	}
	if e == nil {
		return nil
	}
	unit := unitOf(floorTo(b.First, w.s.window))
	for end := unitOf(floorTo(b.First, hourMillis) + hourMillis); unit < end; unit++ {
		if k = blockKey(unit, e.group); !w.a.has(bucketBlock, k) {
			return k
		}
	}
	return nil
}

func rowOf[K comparable](m map[K]*flushRow, k K) *flushRow {
	if m[k] == nil {
		m[k] = &flushRow{from: 1<<64 - 1}
	}
	return m[k]
}

// others looks for blocks on every page that was not reached, and goes down from those that look like a root. Blocks do not
// change, so an older version of a page is as good.
func (w *wreck) others() error {
	w.stale = true
	for id := range w.seen {
		if w.seen[id] {
			continue
		}
		buf := w.load(uint64(id))
		if buf == nil || binary.LittleEndian.Uint16(buf[8:]) != pageLeaf {
			continue
		}
		list, _ := elementsOf(buf)
		for _, e := range list {
			var err error
			switch {
			case e.bucket && len(e.value) >= 16:
				err = w.bucket(e, 0)
			case len(e.value) > 0 && e.value[0] == chunkMagic:
				_, err = w.block(e.key, e.value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// chunkMagic begins every block.
const chunkMagic = 0xEB

// series puts the rows of series that were not found, as far as the catalog has them.
func (w *wreck) series() error {
	for id := range w.ids {
		e := w.s.catalog.get(id)
		if e == nil || w.a.has(bucketSeries, big4(uint32(id))) {
			continue
		}
		if err := w.a.put(bucketSeries, big4(uint32(id)), appendSeries(nil, e)); err != nil {
			return err
		}
	}
	return nil
}

// flushes writes the account of flushes anew: one row for each unit that has blocks, behind those that late blocks name.
func (w *wreck) flushes() error {
	last := uint64(0)
	put := func(n uint64, r *flushRow) error {
		last = max(last, n)
		r.checkpoint = r.applied
		return w.a.put(bucketFlush, big8(n), r.bytes())
	}
	for _, n := range slices.Sorted(maps.Keys(w.flush)) {
		if err := put(n, w.flush[n]); err != nil {
			return err
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(w.units)) {
		r := w.units[unit]
		r.units = []uint32{unit}
		if err := put(last+1, r); err != nil {
			return err
		}
	}
	return w.a.sequence(last)
}

// miss notes that blocks between two keys may be lost.
func (w *wreck) miss(bucket, low, high []byte) {
	if w.stale {
		return // what is lost was known before
	}
	if bucket != nil && &bucket[0] != &bucketBlock[0] && &bucket[0] != &bucketLate[0] {
		return
	}
	g := Gap{From: dayStart(w.d.unit), To: dayStart(w.d.unit + 1), Cause: "the day's file was damaged"}
	if bucket != nil && &bucket[0] == &bucketBlock[0] {
		if len(low) == 8 {
			g.From = max(g.From, floorTo(journal.Millis(binary.BigEndian.Uint32(low))*unitMillis, w.s.window))
		}
		if len(high) == 8 {
			g.To = min(g.To, floorTo(journal.Millis(binary.BigEndian.Uint32(high))*unitMillis, w.s.window)+w.s.window)
		}
	}
	if g.From < g.To {
		w.lost = append(w.lost, g)
	}
}

// tell puts what may be lost into the log of events.
func (w *wreck) tell() {
	slices.SortFunc(w.lost, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	merged := w.lost[:0]
	for _, g := range w.lost {
		if n := len(merged); n > 0 && merged[n-1].To >= g.From {
			merged[n-1].To = max(merged[n-1].To, g.To)
			continue
		}
		merged = append(merged, g)
	}
	for _, g := range merged {
		w.s.event(journal.Event{Kind: journal.GapEvent, At: g.From, Until: g.To, Reason: g.Cause})
	}
	t := w.about.totals
	text := fmt.Sprintf("%s: %d samples are saved", w.d.path, t.samples)
	if w.had.samples > t.samples {
		text += fmt.Sprintf(" of %d", w.had.samples)
	}
	w.s.event(journal.Event{Kind: journal.SystemEvent, Reason: text + "; what the log still has is taken again"})
}
