package historian

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// lateRows is how few samples of a group, come after their window was written, are put with others that came late:
// a block of their own would cost more than they do.
const lateRows = 64

// dayWriter writes one flush into one day file, in one transaction.
type dayWriter struct {
	s                   *Store
	job                 *dayJob
	series, block, late *bolt.Bucket
	object              *bolt.Bucket
	row                 flushRow
	totals              totals
	duplicates, lateN   uint64
	mended              bool                        // the file has samples beyond its position: a sample that comes may be one of them
	buf, old            []journal.Sample            // of one cell
	marks               map[hourMark]bool           // hours that are to be rolled up again
	lates               map[uint32][]journal.Sample // that come late, by group
	lateHere            map[uint32][]journal.Sample // that are late in the file already, of groups that were asked for
}

func (s *Store) writeDay(d *storeFile, job *dayJob, pos position) error {
	was, before := s.days.info(job.day)
	again := s.comesAgain(d)
	var w *dayWriter
	err := d.update(func(tx *bolt.Tx) error {
		w = &dayWriter{s: s, job: job, totals: before, series: tx.Bucket(bucketSeries), block: tx.Bucket(bucketBlock),
			late: tx.Bucket(bucketLate), object: tx.Bucket(bucketObject), mended: before.lastIndex > was.applied, row: flushRow{from: pos.applied + 1, checkpoint: pos.checkpoint, applied: pos.applied}}
		w.lates, w.lateHere = make(map[uint32][]journal.Sample), make(map[uint32][]journal.Sample)
		w.block.FillPercent, w.late.FillPercent, w.series.FillPercent = 1, 1, 1 // keys come in ascending order
		w.row.number = nextFlush(tx.Bucket(bucketFlush))
		if err := w.cells(); err != nil {
			return err
		}
		if err := w.putLate(); err != nil {
			return err
		}
		if err := w.events(tx); err != nil {
			return err
		}
		if err := w.unroll(tx); err != nil {
			return err
		}
		if again {
			if err := put(tx.Bucket(bucketMeta), bucketMeta, metaAgain, nil); err != nil {
				return err
			}
		}
		return w.account(tx, pos)
	})
	if err != nil {
		return err
	}
	d.wrote = wrote{before: was.applied, applied: pos.applied}
	d.wrote.from, d.wrote.to = job.span(s.window)
	s.setTrended(job.day, false)
	s.rests(w.marks)
	if s.rolling != nil {
		s.rolling[job.day] = true
	}
	now := s.days.about(job.day)
	now.pos, now.totals, now.there, now.again = pos, w.totals, true, now.again || again
	s.days.setInfo(d, now)
	s.duplicates.Add(w.duplicates)
	s.lateSamples.Add(w.lateN)
	return nil
}

// comesAgain says that a file of a day is to begin, and that there was one before: the month has its hours. Of a day that is over
// there may have been one of which a month that was damaged knows nothing any more.
func (s *Store) comesAgain(d *storeFile) bool {
	return !s.days.about(d.unit).there && (d.unit < dayOf(max(0, s.clock.early())) || s.dropped[d.unit] || s.hasTrend(d.unit))
}

// nextFlush is the number behind the last one.
func nextFlush(flush *bolt.Bucket) uint64 {
	if k, _ := flush.Cursor().Last(); len(k) == 8 {
		return binary.BigEndian.Uint64(k) + 1
	}
	return 1
}

// cells writes the samples, window by window.
func (w *dayWriter) cells() error {
	var window journal.Millis = -1
	var unit uint32
	var again, room bool
	for _, k := range w.job.cells {
		if k.window != window {
			window = k.window
			unit, again, room = w.freeUnit(window)
		}
		if err := w.cell(k, unit, again, room); err != nil {
			return err
		}
	}
	return nil
}

// freeUnit finds the unit for a window's blocks of this flush: the window's start, or when it was written before (again)
// the one behind the last. room is false when all units of the window are taken.
func (w *dayWriter) freeUnit(window journal.Millis) (unit uint32, again, room bool) {
	start, end := unitOf(window), unitOf(window+w.s.window)
	k, _ := lastBelow(w.block.Cursor(), blockKey(end, 0))
	if k == nil || binary.BigEndian.Uint32(k) < start {
		return start, false, true
	}
	last := binary.BigEndian.Uint32(k)
	return last + 1, true, last+1 < end
}

// cell writes one group's samples of one window.
func (w *dayWriter) cell(k cellKey, unit uint32, again, room bool) error {
	c := w.job.head.cells[k]
	if err := w.noteMembers(c); err != nil {
		return err
	}
	if !again && !w.mended && c.count <= chunk.MaxSamples {
		w.noteUnit(unit)
		if err := w.wholeCell(c, blockKey(unit, k.group)); err != nil {
			return fmt.Errorf("group %d at %d: %w", k.group, k.window, err)
		}
		return nil
	}
	samples, err := w.samples(k, again)
	if err != nil || len(samples) == 0 {
		return err
	}
	end := unitOf(k.window + w.s.window)
	if again && (len(samples) < lateRows || !room) {
		w.lates[k.group] = append(w.lates[k.group], samples...)
		return nil
	}
	for ; len(samples) > 0; unit++ {
		n := min(len(samples), chunk.MaxSamples)
		if unit >= end {
			w.lates[k.group] = append(w.lates[k.group], samples...)
			return nil
		}
		data, err := w.encode(samples[:n])
		if err != nil {
			return fmt.Errorf("group %d at %d: %w", k.group, k.window, err)
		}
		w.noteUnit(unit)
		if err := put(w.block, bucketBlock, blockKey(unit, k.group), data); err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}

// encode makes a block of samples and counts them.
func (w *dayWriter) encode(samples []journal.Sample) ([]byte, error) {
	if err := putObjects(w.object, samples); err != nil {
		return nil, err
	}
	data, err := w.s.encoder.Encode(samples)
	if err != nil {
		return nil, err
	}
	n := len(samples)
	w.count(n, data, samples[0].Index, samples[n-1].Index)
	return data, nil
}

// count notes a block of n samples.
func (w *dayWriter) count(n int, block []byte, first, last journal.Index) {
	w.totals.samples += uint64(n)
	w.totals.blockBytes += uint64(len(block))
	w.totals.addIndex(first, last)
	w.row.from = min(w.row.from, first)
}

// putLate writes what is late of each group, of whatever windows, behind one another.
func (w *dayWriter) putLate() error {
	for _, group := range slices.Sorted(maps.Keys(w.lates)) {
		list := w.lates[group]
		slices.SortFunc(list, func(a, b journal.Sample) int { return cmp.Compare(a.Index, b.Index) })
		w.lateN += uint64(len(list))
		w.totals.lateSamples += uint64(len(list))
		for part := uint16(0); len(list) > 0; part++ {
			n := min(len(list), chunk.MaxSamples)
			data, err := w.encode(list[:n])
			if err == nil {
				err = put(w.late, bucketLate, binary.BigEndian.AppendUint16(lateKey(w.row.number, group), part), data)
			}
			if err != nil {
				return fmt.Errorf("late samples of group %d: %w", group, err)
			}
			list = list[n:]
		}
	}
	return nil
}

func (w *dayWriter) noteUnit(unit uint32) {
	if n := len(w.row.units); n == 0 || w.row.units[n-1] != unit {
		w.row.units = append(w.row.units, unit)
	}
}

// samples turns a cell into samples, without repetitions of what the file has. They are good until the next call.
func (w *dayWriter) samples(k cellKey, again bool) ([]journal.Sample, error) {
	c := w.job.head.cells[k]
	have, indices, err := w.have(k, again)
	if err != nil {
		return nil, err
	}
	w.buf = c.all(slices.Grow(w.buf[:0], c.count))
	if have == nil {
		return w.buf, nil
	}
	out := w.buf[:0]
	for _, v := range w.buf {
		if indices[v.Index] {
			continue
		}
		at := stamp{v.Series, v.At}
		if old, ok := have[at]; ok && old.Quality == v.Quality && chunk.EqualValue(old.Value, v.Value) {
			w.duplicates++
			continue
		}
		have[at] = v
		out = append(out, v)
	}
	return out, nil
}

// have reads what the file holds of a group in a window that was written before, by the stamps of the cell: of several the last
// to arrive. Of a mended file it reads all, and the indices as well.
func (w *dayWriter) have(k cellKey, again bool) (have map[stamp]journal.Sample, indices map[journal.Index]bool, err error) {
	if !again && !w.mended {
		return nil, nil, nil
	}
	c := w.job.head.cells[k]
	stamps, series := c.stamps()
	have, indices = make(map[stamp]journal.Sample), make(map[journal.Index]bool)
	take := func(list []journal.Sample) {
		for i := range list {
			v := &list[i]
			at := stamp{v.Series, v.At}
			if !w.mended && !stamps[at] {
				continue
			}
			if old, ok := have[at]; !ok || old.Index < v.Index {
				have[at] = *v
			}
			if w.mended {
				indices[v.Index] = true
			}
		}
	}
	end := k.window + w.s.window
	first, last := unitsOf(k.window, end)
	err = eachUnit(w.block.Cursor(), k.group, first, last, func(_, v []byte) error {
		if b, err := chunk.Parse(v); err == nil && b.First < end && b.Last >= k.window {
			b.Objects = w.objects()
			for i := range b.Entries {
				if !w.mended && !series[b.Entries[i].Series] {
					continue
				}
				if w.old, err = b.Decode(w.old[:0], i); err == nil { // what is damaged has no say in what is a repetition
					take(w.old)
				}
			}
		}
		return nil
	})
	clear(w.old) // of texts
	if err != nil {
		return nil, nil, err
	}
	late, err := w.lateOf(k.group)
	for _, v := range late {
		if v.At >= k.window && v.At < end {
			take([]journal.Sample{v})
		}
	}
	return have, indices, err
}

func (w *dayWriter) objects() func(ref []byte) ([]byte, error) {
	return objectsOf(w.block.Tx(), func(error) {})
}

// lateOf reads the late samples that the file has of a group.
func (w *dayWriter) lateOf(group uint32) ([]journal.Sample, error) {
	if list, ok := w.lateHere[group]; ok {
		return list, nil
	}
	list := []journal.Sample{}
	err := eachLate(w.late.Cursor(), group, func(_, v []byte) error {
		if b, err := chunk.Parse(v); err == nil {
			b.Objects = w.objects()
			if more, err := b.All(nil); err == nil {
				list = append(list, more...)
			}
		}
		return nil
	})
	w.lateHere[group] = list
	return list, err
}

func (w *dayWriter) noteMembers(c *cell) error {
	for i := range c.members {
		if e := c.members[i].series; e != nil {
			if err := w.noteSeries(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteSeries puts the series' row into the day file, once.
func (w *dayWriter) noteSeries(e *series) error {
	if known(w.series, e) {
		return nil
	}
	return put(w.series, bucketSeries, big4(uint32(e.id)), appendSeries(nil, e))
}

// account says what this flush wrote, and how far the file is now.
func (w *dayWriter) account(tx *bolt.Tx, pos position) error {
	meta := tx.Bucket(bucketMeta)
	if err := put(tx.Bucket(bucketFlush), bucketFlush, big8(w.row.number), w.row.bytes()); err != nil {
		return err
	}
	if err := put(meta, bucketMeta, metaTotals, w.totals.bytes()); err != nil {
		return err
	}
	if err := put(meta, bucketMeta, metaCatalog, binary.AppendUvarint(nil, w.s.file.turn.Load())); err != nil {
		return err
	}
	return put(meta, bucketMeta, metaPosition, pos.bytes())
}

func (w *dayWriter) events(tx *bolt.Tx) error {
	events, life := tx.Bucket(bucketEvent), tx.Bucket(bucketLife)
	events.FillPercent = 1
	for _, e := range w.job.events {
		if err := put(events, bucketEvent, big8(uint64(e.Index)), appendEvent(nil, e.Event)); err != nil {
			return err
		}
		w.totals.addEvent(e.Index)
	}
	for _, e := range w.job.life {
		if err := put(life, bucketLife, lifeKey(e), appendLife(e)); err != nil {
			return err
		}
	}
	return w.births(tx)
}
