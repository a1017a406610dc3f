package historian

import (
	"errors"
	"fmt"
)

// When opening: the store was written by a later program. Nothing was changed.
var ErrNewer = errors.New("historian: written by a newer program")

// When asking.
var (
	ErrNoSeries = errors.New("historian: no such metric")
	ErrClosed   = errors.New("historian: closed")
	ErrTooMuch  = errors.New("historian: too large a question")
)

// VersionError says which file has a format that this program does not know. errors.Is finds ErrNewer in it.
type VersionError struct {
	File         string
	Found, Known uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: format version %d, this program knows up to %d; run the newer program", e.File, e.Found, e.Known)
}

// Is makes errors.Is(err, ErrNewer) true.
func (e *VersionError) Is(target error) bool { return target == ErrNewer }

// CorruptError says which file cannot be read, and what to do.
type CorruptError struct {
	File string
	Err  error
	Hint string
}

func (e *CorruptError) Error() string {
	if isStray(e.Err) {
		return fmt.Sprintf("%s is not what its name says: %v; %s", e.File, e.Err, e.Hint)
	}
	return fmt.Sprintf("%s is damaged: %v; %s", e.File, e.Err, e.Hint)
}

// Unwrap gives what was found.
func (e *CorruptError) Unwrap() error { return e.Err }
