package powercut

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
)

const (
	sector = 512
	// maxWaiting is how much the cache holds; the oldest goes to the disk then, as in any disk.
	maxWaiting = 64 << 20
)

// A cache is a disk with a write cache that forgets when the power is cut.
type cache struct {
	mu        sync.Mutex // guards the rest
	now, safe *os.File   // what the machine sees, what is left without power
	waiting   []write    // since the last flush, in order
	bytes     int        // of waiting
	off       bool
	random    *rand.Rand
}

// A write is what was given to the disk and is not safe yet.
type write struct {
	at   int64
	data []byte
}

func newCache(now, safe *os.File, random *rand.Rand) *cache {
	return &cache{now: now, safe: safe, random: random}
}

func (c *cache) read(p []byte, at int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.ReadAt(p, at)
}

// errOff is the answer of a disk without power, so that nobody takes for safe what comes later.
var errOff = errors.New("the power is off")

// write takes data, which it keeps.
func (c *cache) write(data []byte, at int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errOff
	}
	if _, err := c.now.WriteAt(data, at); err != nil {
		return err
	}
	c.waiting = append(c.waiting, write{at, data})
	for c.bytes += len(data); c.bytes > maxWaiting; c.waiting = c.waiting[1:] {
		if err := c.keep(c.waiting[0]); err != nil {
			return err
		}
		c.bytes -= len(c.waiting[0].data)
	}
	return nil
}

// flush makes safe what was written.
func (c *cache) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errOff
	}
	for _, w := range c.waiting {
		if err := c.keep(w); err != nil {
			return err
		}
	}
	c.waiting, c.bytes = nil, 0
	return nil
}

func (c *cache) keep(w write) error {
	_, err := c.safe.WriteAt(w.data, w.at)
	return err
}

// cut ends the power. Of each write that waits all, nothing or some sectors reached the disk.
func (c *cache) cut() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errOff
	}
	c.off = true
	for _, w := range c.waiting {
		how := c.random.IntN(3)
		for at := 0; at < len(w.data); at += sector {
			if how == 0 || how == 1 && c.random.IntN(2) == 0 {
				continue
			}
			if err := c.keep(write{w.at + int64(at), w.data[at:min(at+sector, len(w.data))]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// on brings the power back: the machine sees what is left.
func (c *cache) on() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiting { // elsewhere both are the same
		if _, err := c.safe.ReadAt(w.data, w.at); err != nil {
			return err
		}
		if _, err := c.now.WriteAt(w.data, w.at); err != nil {
			return err
		}
	}
	c.waiting, c.bytes, c.off = nil, 0, false
	return nil
}
