package historian

import (
	"context"

	"edge/historian/journal"
)

// Store is the historian. All methods may be called from any goroutine.
type Store struct{}

// Open opens or creates the store in dir and registers it as the journal's owner "historian" (before j.Run). It reads the
// catalog and the journal above its checkpoint, so that it serves what was committed. Damaged files are moved to
// Options.Quarantine; it fails only when the folder cannot be used, or with a *VersionError.
func Open(dir string, j *journal.Journal, o Options) (*Store, error) { return &Store{}, nil }

// Run follows the journal until ctx ends: durable records to the head, windows to files, retention.
func (s *Store) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Close writes the head to its files and closes them. Call it after Run returned and before the journal is closed.
func (s *Store) Close() error { return nil }

// Resolve returns the id of a series and gives it one when it is fresh: then the caller appends a journal.KindSchema
// record before the series' first sample. id is 0 when Options.MaxSeries are taken; the sample cannot be recorded.
func (s *Store) Resolve(k journal.SeriesKey) (id journal.SeriesID, fresh bool) { return 0, false }

// Key is what an id stands for.
func (s *Store) Key(id journal.SeriesID) (k journal.SeriesKey, ok bool) { return k, false }

// FindMetric finds the metric of a journal.SeriesKey.MetricID.
func (s *Store) FindMetric(id string) (group, node, device, metric string, ok bool) { return }

// Metrics lists every series, in the order they were first seen.
func (s *Store) Metrics() []journal.Schema { return nil }

// Read returns the samples of one metric, oldest first. Of several samples with one time stamp the last to arrive counts.
// It returns ErrNoSeries for an unknown metric. What a damaged block held is a Gap.
func (s *Store) Read(ctx context.Context, r Range) (Samples, error) { return Samples{}, nil }

// Buckets divides the range into points columns (1 to 10,000) of equal width; every column is returned.
func (s *Store) Buckets(ctx context.Context, r Range, points int) ([]Bucket, []Gap, error) {
	return nil, nil, nil
}

// Last is the newest sample of a metric; Quality is Stale when its node or device died since.
func (s *Store) Last(group, node, device, metric string) (journal.Sample, bool) {
	return journal.Sample{}, false
}

// Events returns events, newest first.
func (s *Store) Events(ctx context.Context, q EventQuery) ([]journal.Event, error) { return nil, nil }

// Backlog returns the samples of one node with from <= Index < to in index order, at most limit. next is where to go on:
// every sample of the node below next was returned or is no longer kept; it is to when nothing is left.
func (s *Store) Backlog(ctx context.Context, group, node string, from, to journal.Index, limit int) (samples []journal.Sample, next journal.Index, err error) {
	return nil, to, nil
}

// SetOwed sets the function that tells the lowest index that an uplink still owes (0: nothing is owed). Retention by age
// spares days that hold samples at or above it; retention by bytes takes them last, with a GapEvent. Set it before Run.
func (s *Store) SetOwed(f func() journal.Index) {}

// Flush writes the head to its files now, for a backup. It waits for Run, which does it.
func (s *Store) Flush(ctx context.Context) error { return nil }

// Stats returns the present counters and sizes.
func (s *Store) Stats() Stats { return Stats{} }
