package historian

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// What is found in a damaged file goes into the new one, if it can be what it says.

// take puts a row into the new file, if it can be one of its bucket; ok says so. An error is about the new file.
func (w *wreck) take(bucket, k, v []byte) (ok bool, err error) {
	switch &bucket[0] {
	case &bucketMeta[0]:
		w.noteMeta(k, v)
		if bytes.Equal(k, metaRolled) || bytes.HasPrefix(k, metaUnrolled) {
			w.rolled = append(w.rolled, element{key: k, value: v})
		}
		if ok = bytes.Equal(k, metaThin); ok {
			w.about.thin = true
		}
		ok = ok || bytes.Equal(k, metaAgain)
	case &bucketSeries[0]:
		row, bad := readSeries(k, v)
		if ok = bad == nil; ok {
			if e := w.s.catalog.get(row.id); e != nil {
				v = appendSeries(nil, e)
			}
		}
	case &bucketBlock[0], &bucketLate[0]:
		return w.block(k, v)
	case &bucketEvent[0]:
		e, bad := readEvent(k, v)
		if ok = bad == nil && len(k) == 8; ok {
			w.about.totals.addEvent(e.Index)
			if err := w.lifeOf(e); err != nil {
				return false, err
			}
		}
	case &bucketLife[0]:
		_, bad := readLife(owner{}, k, v)
		ok = bad == nil
	case &bucketHour[0]:
		k = w.rollupKey(k, v)
		_, bad := chunk.ParseRollups(v)
		ok = len(k) == 8 && (be4(k[4:]) == 0 || bad == nil)
	case &bucketMinute[0]: // it has checksums of its own
		k, ok = w.rollupKey(k, v), true
	case &bucketSaid[0]:
		w.said += uint64(len(v))
		ok = true
	case &bucketObject[0], &bucketBirth[0]: // their values are told by a hash
		ok = true
	}
	if !ok || w.stale && w.a.has(bucket, k) {
		return ok, nil
	}
	return true, w.a.put(bucket, k, v)
}

// noteMeta takes what the wreck said of itself.
func (w *wreck) noteMeta(k, v []byte) {
	if w.stale {
		return
	}
	w.metaSum += rowSum(bucketMeta, k, v)
	switch {
	case bytes.Equal(k, metaTotals):
		w.had, _ = readTotals(v)
	case bytes.Equal(k, metaVersion) && len(v) == 8:
		w.version = be4(v)
	case bytes.Equal(k, metaWhose):
		if id, period, ok := readWhose(v); ok {
			w.stray = w.d.isWhose(id, period)
		}
	}
}

// metaIsSound says that what the wreck said of itself is what was written.
func (w *wreck) metaIsSound() bool {
	return w.version < fileVersion || w.sums[string(bucketMeta)] == w.metaSum
}

// rollupKey is the key of a block of rollups, which says what its block says too.
func (w *wreck) rollupKey(k, v []byte) []byte {
	b, err := chunk.ParseRollups(v)
	var first chunk.Rollups
	if err != nil || b.Read(0, &first) != nil {
		return k
	}
	if e := w.s.catalog.get(first.Series); e != nil {
		return hourKey(b.Start, e.group)
	}
	return k
}

// compare looks what is still not what the wreck's sums say.
func (w *wreck) compare() error {
	if w.version < fileVersion {
		return nil
	}
	if err := w.a.begin(); err != nil {
		return err
	}
	differs := func(name []byte) bool {
		b := w.a.tx.Bucket(name)
		sum, ok := w.sums[string(name)]
		return b != nil && (!ok || sum != b.Sequence())
	}
	w.lacksEvents = w.lacksEvents || differs(bucketEvent)
	w.wrongLife = differs(bucketLife)
	w.lacksLife = w.lacksLife || w.wrongLife
	if len(w.lost) > 0 {
		return nil
	}
	allFound := w.had.samples > 0 && w.about.totals.samples >= w.had.samples && w.metaIsSound()
	switch {
	case w.d.kind == trendKind && differs(bucketHour):
		w.miss(bucketHour, nil, nil)
	case w.d.kind == dayKind && !allFound && (differs(bucketBlock) || differs(bucketLate)):
		w.miss(nil, nil, nil)
	case w.d.kind == dayKind && w.about.thin && differs(bucketMinute): // else they are rolled up again
		w.miss(nil, nil, nil)
	}
	return nil
}

// lifeOf puts an event's row of life, which may be lost; the journal's time of it is not known.
func (w *wreck) lifeOf(e journal.Event) error {
	row := loggedEvent{e, e.At}
	if k := lifeKey(row); isLife(e.Kind) && dayOf(e.At) == w.d.unit && !w.a.has(bucketLife, k) {
		return w.a.put(bucketLife, k, appendLife(row))
	}
	return nil
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
	case w.d.kind.unit(time.UnixMilli(int64(b.First)).UTC()) != w.d.unit:
		return nil // of a file that was another day's
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
	last := uint64(0) // number
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
	return nil
}
