package historian

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// keeping is what is to be kept of a day, or of its first part, when its samples or all of it go.
type keeping struct {
	s     *Store
	day   int64
	last  []journal.Sample
	life  []loggedEvent
	gone  bool // all of the day goes
	saved bool
}

// keep saves what must outlive the samples of a day from before a time; with life the day's births, deaths and gaps too.
func (s *Store) keep(day int64, before journal.Millis, life bool) *keeping {
	k := &keeping{s: s, day: day, gone: life}
	err := k.collect(before, life)
	if err == nil {
		err = k.save()
	}
	if err != nil {
		s.o.Log.Warn("what is to be kept of a day is not saved yet", "part", "historian", "file", s.days.path(day), "err", err)
	}
	return k
}

// done is called when the day is gone: then a disk that was full has room.
func (k *keeping) done() {
	if k.saved {
		return
	}
	if err := k.save(); err != nil {
		k.s.o.Log.Error("the last state that a removed day told is lost", "part", "historian", "file", k.s.days.path(k.day), "err", err)
		k.s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("the last values, births and deaths of %s are lost: %v",
			stampText(dayStart(k.day)), err)})
	}
}

func (k *keeping) collect(before journal.Millis, life bool) error {
	if life {
		byOwner, err := k.s.lifeOf(k.day)
		if err != nil {
			return err
		}
		for _, rows := range byOwner {
			k.life = append(k.life, rows...)
		}
	}
	var err error
	k.last, err = k.s.lastOf(k.day, before)
	return err
}

func (k *keeping) save() error {
	struck := make(map[string]fileEntry)
	if k.gone {
		struck = k.s.struck(dayKind, k.day)
	}
	err := k.s.file.update(func(tx *bolt.Tx) error {
		return errors.Join(putLast(tx, k.last, k.s.now()+2*farFuture), putLedger(tx.Bucket(bucketMeta), struck))
	})
	if err == nil {
		k.s.ledgerSaved(struck)
		err = k.s.putLife(k.life)
	}
	k.saved = err == nil
	return err
}

// lastOf are the samples of a day from before a time that are the newest of their series: none of them has a later one.
func (s *Store) lastOf(day int64, before journal.Millis) (out []journal.Sample, err error) {
	ctx := context.Background()
	all := s.catalog.all()
	if err := s.lookUp(ctx, all); err != nil {
		return nil, err
	}
	silent := make(map[uint32][]*series) // for more than a month
	s.mu.RLock()
	for _, e := range all {
		switch v := e.newest(); {
		case v.Series == 0:
			silent[e.group] = append(silent[e.group], e)
		case dayOf(v.At) == day && v.At < before:
			out = append(out, v)
		}
	}
	s.mu.RUnlock()
	for g, list := range silent {
		n, err := s.newestIn(ctx, g, list, nil, dayStart(day), before)
		if err != nil {
			return nil, err
		}
		for _, v := range n.found {
			out = append(out, v)
		}
	}
	return out, nil
}

// maxLast is how long a text or structure may be to be kept as a series' last sample.
const maxLast = 1024

// putLast keeps samples that count more than what is kept of their series: what is later than until, of a clock that was ahead, does not.
func putLast(tx *bolt.Tx, list []journal.Sample, until journal.Millis) error {
	b := tx.Bucket(bucketLast)
	for i := range list {
		v := &list[i]
		k := big4(uint32(v.Series))
		if old, err := readSample(k, b.Get(k)); len(v.Value.Bytes) > maxLast || err == nil && old.At <= until && !outdoes(v, &old) {
			continue
		}
		if err := put(b, bucketLast, k, appendSample(nil, v)); err != nil {
			return err
		}
	}
	return nil
}

// recall adds to what the files have of some series until a time what is kept of them.
func (s *Store) recall(list []*series, found map[journal.SeriesID]journal.Sample, until journal.Millis) error {
	err := s.file.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLast)
		if b == nil { // of version 1, opened to be read
			return nil
		}
		for _, e := range list {
			k := big4(uint32(e.id))
			w, err := readSample(k, b.Get(k))
			if v, ok := found[e.id]; err == nil && w.Value.Type == e.kind && (!ok || w.At <= until && outdoes(&w, &v)) {
				found[e.id] = w
			}
		}
		return nil
	})
	return s.survive(err)
}

const (
	lastNull = 1 << iota
	lastHistorical
	lastBirth
)

func appendSample(b []byte, v *journal.Sample) []byte {
	flags := byte(0)
	for bit, on := range map[byte]bool{lastNull: v.Value.Null, lastHistorical: v.Historical, lastBirth: v.Birth} {
		if on {
			flags |= bit
		}
	}
	b = append(b, flags, byte(v.Value.Type))
	b = binary.AppendVarint(binary.AppendVarint(b, int64(v.At)), int64(v.Received))
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(v.Index)), uint64(v.Quality))
	b = binary.AppendUvarint(b, v.Value.Num)
	return appendText(b, string(v.Value.Bytes))
}

func readSample(k, b []byte) (v journal.Sample, err error) {
	f := &journal.Fields{B: b}
	flags := f.Uvarint()
	v.Value.Null, v.Historical, v.Birth = flags&lastNull != 0, flags&lastHistorical != 0, flags&lastBirth != 0
	v.Value.Type = journal.DataType(f.Uvarint())
	v.At, v.Received = journal.Millis(f.Varint()), journal.Millis(f.Varint())
	v.Index, v.Quality = journal.Index(f.Uvarint()), journal.Quality(f.Uvarint())
	v.Value.Num = f.Uvarint()
	if text := f.Text(); text != "" {
		v.Value.Bytes = []byte(text)
	}
	if err = end(f); err == nil && len(k) == 4 {
		v.Series = journal.SeriesID(be4(k))
	}
	return v, err
}
