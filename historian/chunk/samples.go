package chunk

import (
	"bytes"
	"sort"

	"edge/historian/journal"
)

// Decode appends the samples of Entries[i] to dst, in index order.
func (b *Block) Decode(dst []journal.Sample, i int) ([]journal.Sample, error) {
	if err := b.complete(i); err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, make([]journal.Sample, b.Entries[i].Count)...)
	b.columns.samples(func(n int) *journal.Sample { return &dst[at+n] })
	return dst, nil
}

// All appends every sample to dst, in index order.
func (b *Block) All(dst []journal.Sample) ([]journal.Sample, error) {
	at := len(dst)
	dst = append(dst, make([]journal.Sample, b.count)...)
	for i := range b.Entries {
		if err := b.complete(i); err != nil {
			return dst[:at], err
		}
		place := b.line.place[i]
		b.columns.samples(func(n int) *journal.Sample { return &dst[at+int(place[n])] })
	}
	return dst, nil
}

// Range appends the first limit samples with from <= Index < to, in index order.
func (b *Block) Range(dst []journal.Sample, from, to journal.Index, limit int) ([]journal.Sample, error) {
	if err := b.read(); err != nil {
		return dst, err
	}
	lo, hi := b.line.position(from), b.line.position(to)
	hi = min(hi, lo+limit)
	if lo >= hi {
		return dst, nil
	}
	at := len(dst)
	dst = append(dst, make([]journal.Sample, hi-lo)...)
	var skip journal.Sample
	for i := range b.Entries {
		place := b.line.place[i]
		if first := sort.Search(len(place), func(n int) bool { return int(place[n]) >= lo }); first == len(place) || int(place[first]) >= hi {
			continue
		}
		if err := b.complete(i); err != nil {
			return dst[:at], err
		}
		b.columns.samples(func(n int) *journal.Sample {
			if p := int(place[n]); p >= lo && p < hi {
				return &dst[at+p-lo]
			}
			return &skip
		})
	}
	return dst, nil
}

// read decodes the block's own time line, once.
func (b *Block) read() error {
	if b.line == nil {
		t := &Timeline{}
		if err := b.Timeline(t); err != nil {
			return err
		}
		if err := t.number(); err != nil {
			return err
		}
		b.line, b.columns = t, &Columns{}
	}
	return nil
}

func (b *Block) complete(i int) error {
	if err := b.read(); err != nil {
		return err
	}
	return b.Complete(i, b.line, b.columns)
}

// copied returns a copy of a text that lies in the block: of a word of a dictionary always the same, so that a word of a
// few bytes in the block does not become as many as it is used.
func (c *Columns) copied(text []byte) []byte {
	if len(text) == 0 {
		return text
	}
	word, seen := c.copies[&text[0]]
	if !seen || len(word) != len(text) {
		word = bytes.Clone(text)
		c.copies[&text[0]] = word
	}
	return word
}

// samples writes the samples where put says.
func (c *Columns) samples(put func(n int) *journal.Sample) {
	c.each(func(n int, q journal.Quality) { c.sample(put(n), n, q) })
}

// Samples appends those with from <= At < to, in index order. Arrived or Complete was read before; without the latter Index is 0.
func (c *Columns) Samples(dst []journal.Sample, from, to journal.Millis) []journal.Sample {
	c.each(func(n int, q journal.Quality) {
		if at := c.At[n]; at >= from && at < to {
			dst = append(dst, journal.Sample{})
			c.sample(&dst[len(dst)-1], n, q)
		}
	})
	return dst
}

// Sample is the n-th alone.
func (c *Columns) Sample(n int) (v journal.Sample) {
	q, end := journal.Good, 0
	for _, run := range c.Quality {
		if q, end = run.Quality, end+run.Count; n < end {
			break
		}
	}
	c.copies = make(map[*byte][]byte, 1)
	defer func() { c.copies = nil }()
	c.sample(&v, n, q)
	return v
}

// each calls f with every sample's place and quality.
func (c *Columns) each(f func(n int, q journal.Quality)) {
	if len(c.Bytes) > 0 {
		c.copies = make(map[*byte][]byte)
		defer func() { c.copies = nil }()
	}
	quality, left := c.Quality, 0
	q := journal.Good
	for n := range c.At {
		if left == 0 && len(quality) > 0 {
			q, left, quality = quality[0].Quality, quality[0].Count, quality[1:]
		}
		left--
		f(n, q)
	}
}

// sample writes the n-th sample, whose quality is q.
func (c *Columns) sample(s *journal.Sample, n int, q journal.Quality) {
	*s = journal.Sample{Series: c.Series, At: c.At[n], Received: c.Received[n], Quality: q,
		Value: journal.Value{Type: c.Type, Null: c.IsNull(n)}, Historical: c.Flags[n]&Historical != 0, Birth: c.Flags[n]&Birth != 0}
	if len(c.Index) > 0 {
		s.Index = c.Index[n]
	}
	if len(c.Bytes) > 0 {
		s.Value.Bytes = c.copied(c.Bytes[n])
	} else {
		s.Value.Num = c.Num[n]
	}
}
