package historian

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

const (
	lateShare   = 50          // a day is written anew when more than one sample in so many came late
	rewriteRest = time.Hour   // after its end, for what comes late
	rewriteStep = time.Second // of work at a time: a flush waits for no more
)

// rewriter writes a day anew that has many late samples: each goes where it belongs, into the block of its group and window.
//
//	flushLoop, when it has nothing else to do ─► step: one window after the other ─► finish
//
// Indices stay with their samples; what a flush wrote is then told for each window instead (see flushRow). A day that
// changes meanwhile is left, and begun again.
type rewriter struct {
	d      *storeFile
	was    about // of the file when it began
	a      *anew
	groups []uint32
	at     journal.Millis // the next window
	t      totals
	flush  uint64 // the last row
}

// rewriteLate goes on with the day that is being written anew, or finds one; flushLoop calls it when it is idle.
func (s *Store) rewriteLate(ctx context.Context) {
	if s.pending != nil || Space(s.space.Load()) >= SpaceLow {
		s.leaveRewriting()
		return
	}
	if s.copying.Load() { // it would wait for the copy of its day, and flushes for it
		return
	}
	if s.rewriting == nil && !s.findLate() {
		return
	}
	r := s.rewriting
	if s.days.about(r.d.unit) != r.was {
		s.leaveRewriting()
		return
	}
	for began := time.Now(); r.at < dayStart(r.d.unit+1); {
		if err := r.window(s); err != nil {
			s.leaveRewriting()
			s.unfit[r.d.unit] = true
			s.o.Log.Warn("day with late samples is not written anew", "part", "historian", "file", r.d.path, "err", err)
			return
		}
		if time.Since(began) > rewriteStep || ctx.Err() != nil {
			return
		}
	}
	s.rewriting = nil
	if err := r.finish(s); err != nil {
		s.unfit[r.d.unit] = true
		s.o.Log.Warn("day with late samples is not written anew", "part", "historian", "file", r.d.path, "err", err)
	}
}

func (s *Store) leaveRewriting() {
	if s.rewriting != nil {
		s.rewriting.a.abandon()
		s.rewriting = nil
	}
}

// findLate begins with a day that is over and has many late samples. Each time twice as many are asked for.
func (s *Store) findLate() bool {
	now := s.clock.early() - toMillis(rewriteRest)
	for _, day := range s.days.existing(0, dayOf(max(0, now))-1) {
		a := s.days.about(day)
		if a.thin || s.unfit[day] || a.totals.lateSamples*lateShare <= a.totals.samples<<min(a.rewritten, 32) {
			continue
		}
		if !s.hasRoom(bytesOf(s.days.path(day))) { // asks the file system: not for each day that is kept, every few seconds
			continue
		}
		r, err := s.beginRewriting(s.days.get(day), a)
		if err == nil {
			s.rewriting = r
			return true
		}
		s.unfit[day] = true
		s.o.Log.Warn("day with late samples is not written anew", "part", "historian", "file", s.days.path(day), "err", err)
	}
	return false
}

func (s *Store) beginRewriting(d *storeFile, was about) (*rewriter, error) {
	a, err := beginAnew(d)
	if err != nil {
		return nil, err
	}
	r := &rewriter{d: d, was: was, a: a, at: dayStart(d.unit), t: totals{firstEvent: was.totals.firstEvent, lastEvent: was.totals.lastEvent}}
	groups := make(map[uint32]bool)
	err = d.view(func(tx *bolt.Tx) error {
		for name, at := range map[string]int{string(bucketBlock): 4, string(bucketLate): 8} {
			err := tx.Bucket([]byte(name)).ForEach(func(k, _ []byte) error {
				groups[binary.BigEndian.Uint32(k[at:])] = true
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, bucketBlock, bucketLate)
	if err != nil {
		a.abandon()
		return nil, err
	}
	r.groups = slices.Sorted(maps.Keys(groups))
	return r, nil
}

// window writes the blocks of one window, and the row that tells of them.
func (r *rewriter) window(s *Store) error {
	from, to := r.at, min(r.at+s.window, dayStart(r.d.unit+1))
	r.at = to
	blocks := make(map[[2]uint32][]byte) // by unit and group
	row := &flushRow{from: 1<<64 - 1}
	err := r.d.view(func(tx *bolt.Tx) error {
		for _, g := range r.groups {
			list, err := samplesOf(tx, g, from, to)
			if err == nil {
				err = r.encode(s, blocks, row, list, unitOf(from), g)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(blocks) == 0 {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(blocks), func(a, b [2]uint32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, k := range keys {
		if n := len(row.units); n == 0 || row.units[n-1] != k[0] {
			row.units = append(row.units, k[0])
		}
		if err := r.a.put(bucketBlock, blockKey(k[0], k[1]), blocks[k]); err != nil {
			return err
		}
	}
	row.checkpoint = row.applied
	r.flush++
	return r.a.put(bucketFlush, big8(r.flush), row.bytes())
}

// samplesOf reads a group's samples with from <= At < to, in order of arrival.
func samplesOf(tx *bolt.Tx, group uint32, from, to journal.Millis) (list []journal.Sample, err error) {
	var buf []journal.Sample
	var damage error
	err = eachBlock(tx.Bucket(bucketBlock), tx.Bucket(bucketLate), group, from, to, func(b *chunk.Block) error {
		var err error
		if buf, err = b.All(buf[:0]); err != nil {
			return err
		}
		for _, v := range buf {
			if v.At >= from && v.At < to {
				list = append(list, v)
			}
		}
		return nil
	}, func(_ []byte, err error) { damage = err })
	slices.SortFunc(list, func(a, b journal.Sample) int { return cmp.Compare(a.Index, b.Index) })
	return list, errors.Join(err, damage)
}

func (r *rewriter) encode(s *Store, blocks map[[2]uint32][]byte, row *flushRow, list []journal.Sample, unit, group uint32) error {
	for end := unit + unitOf(s.window); len(list) > 0; unit++ {
		if unit == end {
			return errors.New("more samples in a window than it has units")
		}
		n := min(len(list), chunk.MaxSamples)
		for i := range list[:n] { // their values are in the file already
			if ref := chunk.Ref(list[i].Value.Bytes); ref != nil {
				list[i].Value.Bytes = ref
			}
		}
		data, err := s.encoder.Encode(list[:n])
		if err != nil {
			return err
		}
		blocks[[2]uint32{unit, group}] = data
		row.from, row.applied = min(row.from, list[0].Index), max(row.applied, list[n-1].Index)
		r.t.samples += uint64(n)
		r.t.blockBytes += uint64(len(data))
		r.t.addIndex(list[0].Index, list[n-1].Index)
		list = list[n:]
	}
	return nil
}

func (r *rewriter) finish(s *Store) error {
	if r.t.samples != r.was.totals.samples {
		r.a.abandon()
		return fmt.Errorf("%d samples of %d", r.t.samples, r.was.totals.samples)
	}
	err := r.a.from(func(tx *bolt.Tx) error {
		for _, name := range [...][]byte{bucketSeries, bucketMinute, bucketObject, bucketEvent, bucketLife, bucketBirth, bucketSaid} {
			if err := r.a.copy(tx, name); err != nil {
				return err
			}
		}
		return r.a.meta(tx, r.t)
	})
	if err == nil {
		err = r.a.put(bucketMeta, metaRewritten, binary.AppendUvarint(nil, r.was.rewritten+1))
	}
	if err != nil {
		r.a.abandon()
		return err
	}
	s.atPeak()
	if err := r.a.finish(); err != nil {
		return err
	}
	a, err := r.d.readMeta()
	if err != nil {
		return err
	}
	s.days.setInfo(r.d, a)
	s.measure()
	s.o.Log.Info("day with late samples is written anew", "part", "historian", "file", r.d.path, "late", r.was.totals.lateSamples)
	return nil
}
