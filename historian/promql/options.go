package promql

import (
	"context"
	"log/slog"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// Store is what the package reads of historian.Store.
type Store interface {
	SeriesCount() (n int, last journal.SeriesID)
	Metrics() []journal.Schema
	Active(ctx context.Context, from, to journal.Millis) (list map[historian.Metric]bool, all bool, err error)
	Cursor(group, node, device, metric string, from, to journal.Millis) (*historian.Cursor, error)
	Columns(ctx context.Context, metrics []historian.Metric, from, to journal.Millis, looks *historian.Looks, limit int) ([]historian.Column, error)
	LacksSamples(from, to journal.Millis) bool
	Left(ctx context.Context, metrics []historian.Metric, from, to journal.Millis, hours bool, f func(int, historian.Left) error) error
	Gaps(ctx context.Context, group, node, device string, from, to journal.Millis) ([]historian.Gap, error)
	Life(ctx context.Context, group, node, device string, from, to journal.Millis) ([]historian.Turn, error)
}

// Options bound what a query may cost. The zero value works.
type Options struct {
	Lookback   time.Duration // how long an instant vector looks back; default 5 m
	Timeout    time.Duration // of one query, waiting and writing not counted; default 20 s
	MaxSamples int           // samples in memory at once, 16 bytes each, of one query; half as many are read ahead; default 2,000,000
	MaxSeries  int           // series that one selector may match; default 50,000
	Queries    int           // that run at once; 32 more wait; default 4

	Clock func() time.Time // default time.Now
	Log   *slog.Logger     // default: none
}

// What a request may hold.
const (
	maxBodyBytes  = 1 << 20
	maxQueryBytes = 32 << 10
	maxQueryWords = 2000   // a long regular expression is one
	maxSelectors  = 64     // match[] of one request
	maxPoints     = 11_000 // steps of a range query, as Prometheus
	maxWaiting    = 32
)

func (o Options) defaults() Options {
	if o.Lookback < time.Second {
		o.Lookback = 5 * time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.MaxSamples <= 0 {
		o.MaxSamples = 2_000_000
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = 50_000
	}
	if o.Queries <= 0 {
		o.Queries = 4
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
