package journal

import (
	"errors"
	"fmt"
)

// What Append, Wait, Flush and State.Put answer.
var (
	ErrFull      = errors.New("journal: commit buffer full")                    // the disk is slower than the data; try later or drop
	ErrTooLarge  = errors.New("journal: records larger than the commit buffer") // will never fit
	ErrStateFull = errors.New("journal: no room in the state")
	ErrClosed    = errors.New("journal: closed")
	ErrReadOnly  = errors.New("journal: opened to be read") // see OpenReadOnly
)

// ErrRecycled is what errors.Is finds in a *RecycledError.
var ErrRecycled = errors.New("journal: index recycled")

// ErrNewer is what errors.Is finds in a *VersionError.
var ErrNewer = errors.New("journal: written by a newer program")

// RecycledError tells a reader that what it wants has left the log; the historian has it.
type RecycledError struct {
	From   Index // what was asked for
	Oldest Index // the oldest index still in the log
}

func (e *RecycledError) Error() string {
	return fmt.Sprintf("journal: index %d is no longer in the log, which begins at %d", e.From, e.Oldest)
}

// Is makes errors.Is(err, ErrRecycled) true.
func (e *RecycledError) Is(target error) bool { return target == ErrRecycled }

// VersionError says that a file was written in a format that this program does not know. Nothing was changed.
type VersionError struct {
	File         string
	Found, Known uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: format version %d, this program knows up to %d; run the newer program", e.File, e.Found, e.Known)
}

// Is makes errors.Is(err, ErrNewer) true.
func (e *VersionError) Is(target error) bool { return target == ErrNewer }

// DiskError is what Append answers while the disk does not take writes. What was appended before waits in
// memory, is not durable, and is written when the disk is back; the journal tries once a second.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return "journal: disk does not take writes: " + e.Err.Error() }

// Unwrap gives the disk's own error, such as ENOSPC or EIO.
func (e *DiskError) Unwrap() error { return e.Err }
