package historian

import (
	"bytes"
	"time"

	"edge/historian/chunk"

	bolt "go.etcd.io/bbolt"
)

// The scrub reads all days and months again and again, slowly, so that damage is told of, and what can be saved is saved, before somebody asks for it.
// Of a file it checks the sums of its buckets, for which no block is read, and then the checksums in them. The catalog, which is some MB at
// most, is read at once, at the beginning of each round.
//
//	every clockEvery: a turn of scrubBytes ─► file after file, bucket after bucket, from key on ─► all are read ─► rest until scrubEvery
const (
	scrubBytes = 2 << 20 // in a turn: 17 GB a day, of a disk that reads 100 MB/s a five-hundredth
	scrubEvery = 7 * 24 * time.Hour
	scrubKey   = 128 // bytes that a row counts for at least
)

// scrub is how far it is. It belongs to flushLoop.
type scrub struct {
	begun  bool
	began  time.Duration // Options.Passed, of the round
	days   []int64       // to be read
	months []int64
	summed int // of the file at hand: buckets that were added up
	sums   summing
	bucket int    // the place in scrubbed
	key    []byte // nothing before it is read again
}

// scrubbed are the buckets whose rows have checksums of their own, or a hash for a key.
var scrubbed = [][]byte{bucketBlock, bucketLate, bucketMinute, bucketHour, bucketObject, bucketSaid}

// scrubOn has one turn.
func (s *Store) scrubOn() {
	c := &s.scrub
	now := s.o.Passed()
	if !c.begun || len(c.days)+len(c.months) == 0 && now-c.began >= scrubEvery {
		c.begun, c.began, c.days, c.months = true, now, s.days.existing(0, 1<<40), s.trends.existing(0, 1<<40)
		c.next()
		s.scrubCatalog()
	}
	for budget := scrubBytes; budget > 0; {
		switch {
		case len(c.months) > 0: // they are few, and of the longest time
			if s.scrubFile(s.trends, c.months[0], &budget) {
				c.months = c.months[1:]
				c.next()
			}
		case len(c.days) > 0:
			if s.scrubFile(s.days, c.days[len(c.days)-1], &budget) { // the newest first
				c.days = c.days[:len(c.days)-1]
				c.next()
			}
		default:
			budget = 0
		}
	}
	s.unscrubbed.Store(int64(len(c.days) + len(c.months)))
}

// scrubCatalog reads the catalog.
func (s *Store) scrubCatalog() {
	s.scrubbedBytes.Add(uint64(bytesOf(s.file.path)))
	err := s.file.check()
	if isDamage(err) {
		err = s.mendCatalog(err)
	}
	if err != nil {
		s.o.Log.Error("damaged catalog", "part", "historian", "file", s.file.path, "err", err)
	}
}

// next turns to another file.
func (c *scrub) next() { c.summed, c.sums, c.bucket, c.key = 0, summing{}, 0, nil }

// scrubFile reads on in a file as far as the budget goes; done says that nothing of it is left.
func (s *Store) scrubFile(set *fileSet, unit int64, budget *int) (done bool) {
	c, d := &s.scrub, set.get(unit)
	had := *budget
	*budget -= scrubKey
	err := c.addUp(d, budget)
	if err == nil && *budget > 0 {
		err = s.scrubRows(d, budget)
	}
	s.scrubbedBytes.Add(uint64(had - *budget))
	if err != nil { // it is mended, or told of
		_ = s.survive(err)
		return true
	}
	return c.bucket == len(scrubbed) || *budget > 0 // the latter of a file that is gone
}

// addUp goes on adding up the file's buckets: what was right when it was first read need not be now. Of a row it reads a page.
func (c *scrub) addUp(d *storeFile, budget *int) error {
	for all := d.kind.all(); c.summed < len(all) && *budget > 0; {
		done, err := d.addSome(&c.sums, all[c.summed])
		if err != nil {
			return err
		}
		*budget -= scrubKey
		if done {
			c.summed, c.sums = c.summed+1, summing{}
		} else {
			*budget -= sumAtOnce * pageBytes
		}
	}
	return nil
}

// scrubRows checks rows' own checksums.
func (s *Store) scrubRows(d *storeFile, budget *int) error {
	c := &s.scrub
	return d.view(func(tx *bolt.Tx) error {
		for ; c.bucket < len(scrubbed); c.bucket, c.key = c.bucket+1, nil {
			b := tx.Bucket(scrubbed[c.bucket])
			if b == nil {
				continue
			}
			cur := b.Cursor()
			for k, v := cur.Seek(c.key); k != nil; k, v = cur.Next() {
				if *budget <= 0 {
					c.key = bytes.Clone(k)
					return nil
				}
				*budget -= max(len(v), scrubKey)
				bytes, err := checkRow(scrubbed[c.bucket], k, v)
				if err != nil {
					s.reportDamage(d.path, err)
				}
				*budget -= bytes
			}
		}
		return nil
	})
}

// checkRow checks a row's own checksums, or that a large value is what its key says: then it tells how many bytes that has.
func checkRow(bucket, k, v []byte) (bytes int, err error) {
	is := func(b []byte) bool { return &bucket[0] == &b[0] }
	switch {
	case is(bucketObject), is(bucketSaid):
		value, err := unpack(k, v)
		return len(value), err
	case is(bucketBlock), is(bucketLate):
		b, err := chunk.Parse(v)
		if err == nil {
			err = b.Check()
		}
		return 0, err
	case is(bucketHour) && len(v) < 8: // the row of group 0, which says that the day is there
		return 0, nil
	}
	b, err := chunk.ParseRollups(v)
	if err == nil {
		err = b.Check()
	}
	return 0, err
}
