package session

import "sync/atomic"

// Budget bounds the bytes of all sessions that share it. A nil Budget has no bound, nor has one with MaxBytes 0.
type Budget struct {
	MaxBytes int64
	used     atomic.Int64
}

// Used returns the bytes held now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Room tells whether n more bytes fit. Who asks and then adds may, with others at the same moment, pass the bound by so much.
func (b *Budget) Room(n int64) bool {
	return b == nil || b.MaxBytes <= 0 || b.used.Load()+n <= b.MaxBytes
}

// take counts n bytes if they fit.
func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.MaxBytes && b.MaxBytes > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

// add counts n bytes whether they fit or not.
func (b *Budget) add(n int64) {
	if b != nil {
		b.used.Add(n)
	}
}

func (b *Budget) give(n int64) { b.add(-n) }
