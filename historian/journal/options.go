package journal

import (
	"log/slog"
	"path/filepath"
	"time"
)

// Options set a Journal up. The zero value works.
type Options struct {
	SegmentBytes int   // size of a segment file; default 16 MiB, at least 64 KiB, a multiple of 4 KiB
	MaxBuffered  int   // bytes that may wait for a commit; default 8 MiB, at most half a segment
	TailBytes    int   // recent commits kept in memory for readers; default 4 MiB
	MaxBytes     int64 // the log is kept up to this size for readers that lag, then recycled; default 128 MiB
	LimitBytes   int64 // beyond this, for want of a checkpoint, the journal takes no more; default 1 GiB, at least 2 MaxBytes
	Spares       int   // segments kept ready, which is also the reserve of a full disk; default 2, negative: none

	Quarantine string           // folder for damaged segments; default: "quarantine" beside the journal's folder
	Clock      func() time.Time // Record.At; default time.Now. Commits are timed by the monotonic clock
	Log        *slog.Logger     // default: none
	Files      Files            // default: OS
}

const (
	defaultSegmentBytes = 16 << 20
	minSegmentBytes     = 64 << 10
	defaultMaxBuffered  = 8 << 20
	defaultTailBytes    = 4 << 20
	defaultMaxBytes     = 128 << 20
	defaultLimitBytes   = 1 << 30
	defaultSpares       = 2
)

func (o Options) withDefaults(dir string) Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = max(pages(o.SegmentBytes), minSegmentBytes)
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = defaultMaxBuffered
	}
	o.MaxBuffered = min(o.MaxBuffered, o.SegmentBytes/2)
	if o.TailBytes <= 0 {
		o.TailBytes = defaultTailBytes
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.LimitBytes <= 0 {
		o.LimitBytes = defaultLimitBytes
	}
	o.LimitBytes = max(o.LimitBytes, 2*o.MaxBytes, 2*int64(o.SegmentBytes))
	if o.Spares == 0 {
		o.Spares = defaultSpares
	}
	o.Spares = max(o.Spares, 0)
	if o.Quarantine == "" {
		o.Quarantine = filepath.Join(filepath.Dir(filepath.Clean(dir)), "quarantine")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = OS{}
	}
	return o
}
