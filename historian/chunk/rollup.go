package chunk

import (
	"math"

	"edge/historian/journal"
)

// Rollup is what a metric comes to over one minute or one hour: [At, Until). Usable samples are those whose value may be
// believed and is a number; a value holds until the next sample or until a gap or a death begins or ends.
type Rollup struct {
	At, Until             journal.Millis
	First, Last, Min, Max float64         // of usable samples; NaN if there is none, but Last without any sample: the value carried in
	Sum                   float64         // of usable samples: the mean by count is Sum / Good
	Integral              float64         // of the stepped value over time, value * ms: the mean by time is Integral / GoodMs
	GoodMs                journal.Millis  // for which a usable value held
	Count, Good           int             // samples; usable ones
	Quality               journal.Quality // the worst of the samples and of what held
}

// Empty says that there is nothing to tell: no sample came, and nothing held.
func (r *Rollup) Empty() bool { return r.Count == 0 && r.GoodMs == 0 && r.Quality == journal.Good }

// NoRollup is the row of a stretch in which nothing came and nothing held.
func NoRollup(at, until journal.Millis) Rollup {
	nan := math.NaN()
	return Rollup{At: at, Until: until, First: nan, Last: nan, Min: nan, Max: nan, Quality: journal.Good}
}
