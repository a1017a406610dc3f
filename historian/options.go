package historian

import (
	"log/slog"
	"time"
)

// Options set a Store up. The zero value works.
type Options struct {
	Quarantine string // folder for damaged files; default: "quarantine" in the store's folder

	Window    time.Duration // length of a block, 1 m to 1 h, divides an hour; default 10 m
	HeadBytes int64         // memory of samples not yet in a block; a flush is cut early at this; default 64 MiB, 1 MiB to 256 MiB

	Raw      time.Duration // the samples of days older than this are removed; 0: never
	Minute   time.Duration // 1-minute rollups and events, with their day; 0: never; not before Raw
	Hour     time.Duration // 1-hour rollups, by the month; 0: never
	MaxBytes int64         // all files of the store, one more while it is written anew; the oldest samples go first, then minutes, then hours; 0: no limit
	DayBytes int64         // one day file cannot grow beyond this; default 8 GiB

	Ballast bool // keep a file of 1 % of the disk, at least 64 MiB and at most 2 %, which is removed when the disk is full

	MaxSeries     int // series in the catalog; Resolve refuses more; default 200,000
	MaxValueBytes int // a longer text, bytes or structure is dropped, counted and told of; default 64 KiB, at most 16 MiB

	Clock  func() time.Time                      // default time.Now
	Passed func() time.Duration                  // monotonic time since any fixed moment; default the process's
	Space  func() (free, total int64, err error) // bytes of the disk that the store is on; default the system's
	CPU    func() time.Duration                  // what the calling thread took of the processor: for benchmarks, see Stats.RollupCPU; default: it is not asked
	Log    *slog.Logger                          // default: none
}

// defaults fills what is zero and pulls the rest into its limits.
func (o Options) defaults() Options {
	set := func(p *int64, def, low int64) {
		if *p == 0 {
			*p = def
		}
		*p = max(*p, low)
	}
	set(&o.HeadBytes, 64<<20, 1<<20)
	o.HeadBytes = min(o.HeadBytes, 256<<20) // a cell counts its bytes with 32 bits
	set(&o.DayBytes, 8<<30, 256<<10)
	if o.Window < time.Minute || o.Window > time.Hour || time.Hour%o.Window != 0 {
		o.Window = 10 * time.Minute
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = 200_000
	}
	if o.MaxValueBytes <= 0 {
		o.MaxValueBytes = 64 << 10
	}
	o.MaxValueBytes = min(o.MaxValueBytes, maxObject)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Passed == nil {
		started := time.Now()
		o.Passed = func() time.Duration { return time.Since(started) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
