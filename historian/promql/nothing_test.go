package promql

import (
	"context"

	"edge/historian"
	"edge/historian/journal"
)

// nothing is a store without series.
type nothing struct{}

func (nothing) SeriesCount() (int, journal.SeriesID) { return 0, 0 }
func (nothing) Metrics() []journal.Schema            { return nil }
func (nothing) Cursor(_, _, _, _ string, _, _ journal.Millis) (*historian.Cursor, error) {
	return nil, historian.ErrNoSeries
}
func (nothing) Columns(context.Context, []historian.Metric, journal.Millis, journal.Millis, *historian.Looks, int) ([]historian.Column, error) {
	return nil, historian.ErrNoSeries
}
func (nothing) Active(context.Context, journal.Millis, journal.Millis) (map[historian.Metric]bool, bool, error) {
	return nil, false, nil
}
func (nothing) LacksSamples(journal.Millis, journal.Millis) bool { return false }
func (nothing) Left(context.Context, []historian.Metric, journal.Millis, journal.Millis, bool, func(int, historian.Left) error) error {
	return historian.ErrNoSeries
}
func (nothing) Gaps(context.Context, string, string, string, journal.Millis, journal.Millis) ([]historian.Gap, error) {
	return nil, nil
}
func (nothing) Life(context.Context, string, string, string, journal.Millis, journal.Millis) ([]historian.Turn, error) {
	return nil, nil
}
