package historian

import (
	"time"

	"edge/historian/journal"
)

// Range asks for one metric between From (inclusive) and To (exclusive), stitched over its type epochs.
type Range struct {
	Group, Node, Device, Metric string
	From, To                    journal.Millis
	Limit                       int // samples at most; 0: 10,000
}

// Samples is the answer to a Range without points, oldest first.
type Samples struct {
	Samples []journal.Sample
	Gaps    []Gap
	Next    journal.Millis // where to go on when there is more; 0 when complete
}

// Bucket is one column of a downsampled range [T, T+width).
type Bucket struct {
	T              journal.Millis
	Min, Max, Mean float64 // Mean is time-weighted and stepped; NaN when Count is 0 and nothing is carried in
	Last           float64
	Count          int
	Quality        journal.Quality // the worst in the bucket
}

// Gap is a stretch without truth: the node was dead, or samples are missing.
type Gap struct {
	From, To journal.Millis // To 0: it lasts
	Cause    string
}

// EventQuery asks for events, newest first.
type EventQuery struct {
	Kinds       []journal.EventKind // empty: all
	Group, Node string              // empty: all
	From, To    journal.Millis      // To 0: now
	Limit       int                 // 0: 100, at most 1,000
	After       journal.Index       // go on below this event's index; 0: from the newest
}

// Stats are the historian's counters and sizes.
type Stats struct {
	Series         int
	SamplesTotal   uint64 // samples at rest and in the head
	Bytes          int64  // all files of the historian, journal not counted
	BytesPerSample float64
	ClockOff       time.Duration // how far the clock is from the last known time, while it is not believed; 0: it is
	Space          Space         // how much room the disk has
	DiskFree       int64         // bytes of the disk that are free, and all
	DiskTotal      int64
	Limit          int64         // Options.MaxBytes; 0: none
	Ballast        int64         // bytes of a file that is removed when the disk is full; 0: it is not there
	Head           int           // samples held in memory, not yet in a block
	Duplicates     uint64        // repetitions of a sample with the same series, time, value and quality: dropped
	Late           uint64        // samples that came after their window was written, and too few for a block of their own
	Refused        uint64        // samples older than retention, over a day in the future, or too long: not kept
	Unknown        uint64        // samples of a series without a schema: not kept
	LostSamples    uint64        // samples that a day's file had no room for: told as gaps
	LostEvents     uint64        // events, likewise
	RollupCPU      time.Duration // that rollups took since Open; 0 without Options.CPU
	Scrubbed       uint64        // bytes that were read in the background to look for damage
	Unscrubbed     int           // files that are still to be read so, of this week's round
	Damaged        int           // files in which damage was found since the start
}
