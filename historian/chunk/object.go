package chunk

import (
	"crypto/sha256"

	"edge/historian/journal"
)

// ObjectBytes is how long a text, bytes or structure may be to stand in its block; of a longer one a reference does.
const ObjectBytes = 1 << 10

// A reference is a byte that no UTF-8 text begins with, and the first half of the value's SHA-256. A value that looks like one
// is replaced with its own reference, so that nothing else in a block does.
const (
	refMark  = 0xFE
	refBytes = 17
)

// Ref is the reference that a block keeps in a value's stead; nil for a value that it keeps itself.
func Ref(value []byte) []byte {
	if len(value) <= ObjectBytes && !isRef(value) {
		return nil
	}
	h := sha256.Sum256(value)
	return append([]byte{refMark}, h[:refBytes-1]...)
}

func isRef(b []byte) bool { return len(b) == refBytes && b[0] == refMark }

// resolve puts the values in the place of their references. One that is not to be had becomes null and Bad.
func (c *Columns) resolve(object func(ref []byte) ([]byte, error)) {
	found := make(map[string][]byte) // of several with one value, one is read
	for n, b := range c.Bytes {
		if !isRef(b) {
			continue
		}
		value, seen := found[string(b)]
		if !seen {
			var err error
			if value, err = object(b); err != nil {
				value = nil // no reference stands for nothing
			}
			found[string(b)] = value
		}
		if c.Bytes[n] = value; value == nil {
			c.lose(n)
		}
	}
}

// lose makes sample n null and Bad.
func (c *Columns) lose(n int) {
	c.Bytes[n] = nil
	for len(c.Null) < (len(c.At)+7)/8 {
		c.Null = append(c.Null, 0)
	}
	c.Null[n/8] |= 1 << (n % 8)
	old := c.Quality
	if len(old) == 0 {
		old = []QualityRun{{journal.Good, len(c.At)}}
	}
	runs := make([]QualityRun, 0, len(old)+2)
	at := 0
	for _, run := range old {
		before := min(run.Count, max(0, n-at))
		in := 0
		if n >= at && n < at+run.Count {
			in = 1
		}
		for _, part := range [...]QualityRun{{run.Quality, before}, {journal.Bad, in}, {run.Quality, run.Count - before - in}} {
			if part.Count > 0 {
				runs = append(runs, part)
			}
		}
		at += run.Count
	}
	c.Quality = runs
}
