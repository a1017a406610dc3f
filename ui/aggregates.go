package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// aggregateJSON is one interval. A number that does not exist is null.
type aggregateJSON struct {
	From         stamp       `json:"from"`
	To           stamp       `json:"to"`
	Count        int         `json:"count"`
	Average      *number     `json:"average"`
	TimeAverage  *number     `json:"time_average"`
	Minimum      *number     `json:"minimum"`
	MinimumAt    stamp       `json:"minimum_at"`
	Maximum      *number     `json:"maximum"`
	MaximumAt    stamp       `json:"maximum_at"`
	Range        *number     `json:"range"`
	Delta        *number     `json:"delta"`
	Start        readingJSON `json:"start"`
	End          readingJSON `json:"end"`
	Interpolated readingJSON `json:"interpolated"`
	DurationGood float64     `json:"duration_good_seconds"`
	PercentGood  float64     `json:"percent_good"`
	Quality      string      `json:"quality"`
	Worst        string      `json:"worst_quality"`
	Partial      bool        `json:"partial"`
}

type readingJSON struct {
	T stamp   `json:"t"` // null: there is none
	V *number `json:"v"`
	Q string  `json:"q"`
}

type aggregatesJSON struct {
	ID        string           `json:"id"`
	Intervals []aggregateJSON  `json:"intervals"`
	Gaps      []gapJSON        `json:"gaps"`
	Source    historian.Source `json:"source,omitempty"` // what they were computed from
}

// aggregates answers with the aggregates of OPC UA Part 13, of one metric or several.
func (u *UI) aggregates(w http.ResponseWriter, r *http.Request) {
	if u.opt.History == nil {
		failPart(w, "historian")
		return
	}
	q, ok := u.severalQuery(w, r.URL.Query())
	if !ok {
		return
	}
	width, err := parseInterval(r.URL.Query().Get("interval"), q.to-q.from)
	if n := int64((q.to - q.from) / max(width, 1)); err == nil && (n > maxPoints || n*int64(len(q.ids)) > maxCells) {
		err = fmt.Errorf("too short: %d intervals of %d metrics, and an answer holds %d of one metric and %d in all; ask for longer ones, or a shorter time",
			n, len(q.ids), maxPoints, maxCells)
	}
	if err != nil {
		failParam(w, "interval", err)
		return
	}
	list, err := u.opt.History.Aggregates(r.Context(), historian.AggregateQuery{Metrics: q.metrics, From: q.from, To: q.to, Interval: width})
	if !u.served(w, historian.Metric{}, err) {
		return
	}
	series := []aggregatesJSON{}
	for i, a := range list {
		if !u.served(w, q.metrics[i], a.Err) {
			return
		}
		series = append(series, aggregatesJSON{q.ids[i], toAggregates(a.Intervals), toGaps(a.Gaps), a.Source})
	}
	answer(w, http.StatusOK, map[string]any{"from": instant(q.from), "to": instant(q.to), "series": series})
}

// parseInterval reads a duration: Go's (90s, 1h30m), days as 1d, or milliseconds. Empty is def.
func parseInterval(s string, def journal.Millis) (journal.Millis, error) {
	if s == "" {
		return def, nil
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		var d time.Duration
		if days, found := strings.CutSuffix(s, "d"); found {
			ms, err = strconv.ParseInt(days, 10, 16)
			ms *= 24 * 3600_000
		} else if d, err = time.ParseDuration(s); err == nil {
			ms = d.Milliseconds()
		}
	}
	if err != nil || ms < 1 || ms > 1<<53 {
		return 0, errors.New("not a duration such as 90s, 1h or 1d")
	}
	return journal.Millis(ms), nil
}

func toAggregates(list []historian.Aggregate) []aggregateJSON {
	out := make([]aggregateJSON, 0, len(list))
	for i := range list {
		a := &list[i]
		out = append(out, aggregateJSON{From: instant(a.From), To: instant(a.To), Count: a.Count, Average: some(a.Average),
			TimeAverage: some(a.TimeAverage), Minimum: some(a.Minimum), MinimumAt: millis(a.MinimumAt), Maximum: some(a.Maximum),
			MaximumAt: millis(a.MaximumAt), Range: some(a.Range), Delta: some(a.Delta), Start: toReading(a.Start), End: toReading(a.End),
			Interpolated: toReading(a.Interpolated), DurationGood: float64(a.DurationGood) / 1000, PercentGood: a.PercentGood,
			Quality: qualityWord(a.Quality), Worst: qualityWord(a.Worst), Partial: a.Partial})
	}
	return out
}

func toReading(r historian.Reading) readingJSON {
	return readingJSON{millis(r.At), some(r.Value), qualityWord(r.Quality)}
}

// some is nil for NaN.
func some(f float64) *number {
	if f != f {
		return nil
	}
	return num(f)
}
