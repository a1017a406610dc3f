package journal

import (
	"log/slog"
	"time"
)

// Options set a Journal up. The zero value works.
type Options struct {
	SegmentBytes int   // size of a segment file; default 16 MiB, at least 64 KiB, a multiple of 4 KiB
	MaxBuffered  int   // bytes that may wait for a commit; default 8 MiB, at most what one segment holds
	TailBytes    int   // recent commits kept in memory for readers; default 4 MiB
	MaxBytes     int64 // the log is kept up to this size for readers that lag, then recycled; default 128 MiB
	LimitBytes   int64 // beyond this, for want of a checkpoint, the journal takes no more; default 1 GiB, at least 2 MaxBytes
	Spares       int   // segments kept ready, which is also the reserve of a full disk; default 2, negative: none

	Quarantine string           // folder for damaged segments; default: "quarantine" beside the journal's folder
	Clock      func() time.Time // Record.At; default time.Now. Commits are timed by the monotonic clock
	Log        *slog.Logger     // default: none
	Files      Files            // default: the operating system
}
