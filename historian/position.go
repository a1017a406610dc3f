package historian

import (
	"encoding/binary"
	"time"

	"edge/historian/journal"
)

// position says what a file has of the journal. It is committed together with what it speaks of, so that after a crash
// every sample is replayed that is not there, and none that is.
//
//	index  1 ........... checkpoint ................. applied ......
//	       all stored   │ stored, except the samples │ not stored
//	                    │ of the held window         │
//
// At the end of a window the next has begun: its samples stay in memory, to become one block later.
type position struct {
	checkpoint, applied journal.Index
	held                journal.Millis // start of the held window
	length              journal.Millis // of the held window; 0: none is held
}

func (p position) holds(at journal.Millis) bool {
	return at >= p.held && at-p.held < p.length
}

// sampleStored and eventStored say whether the file has it. Events are never held.
func (p position) sampleStored(i journal.Index, at journal.Millis) bool {
	return i <= p.checkpoint || i <= p.applied && !p.holds(at)
}

func (p position) eventStored(i journal.Index) bool { return i <= p.applied }

func (p position) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(p.checkpoint))
	b = binary.AppendUvarint(b, uint64(p.applied))
	b = binary.AppendVarint(b, int64(p.held))
	return binary.AppendVarint(b, int64(p.length))
}

func readPosition(b []byte) (p position, err error) {
	f := &journal.Fields{B: b}
	p.checkpoint, p.applied = journal.Index(f.Uvarint()), journal.Index(f.Uvarint())
	p.held, p.length = journal.Millis(f.Varint()), journal.Millis(f.Varint())
	return p, end(f)
}

const (
	dayMillis  = journal.Millis(24 * time.Hour / time.Millisecond)
	hourMillis = journal.Millis(time.Hour / time.Millisecond)
	unitMillis = 10_000 // keys of blocks count time in steps of 10 s
)

// dayOf numbers the UTC day of a time; floorTo cuts a time down to a multiple of step. Times are not negative here.
func dayOf(at journal.Millis) int64                  { return int64(at / dayMillis) }
func floorTo(at, step journal.Millis) journal.Millis { return at - at%step }
func unitOf(at journal.Millis) uint32                { return uint32(at / unitMillis) }
func dayStart(day int64) journal.Millis              { return journal.Millis(day) * dayMillis }
func millis(t time.Time) journal.Millis              { return journal.Millis(t.UnixMilli()) }
func toMillis(d time.Duration) journal.Millis        { return journal.Millis(d / time.Millisecond) }
