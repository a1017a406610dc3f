package historian

import (
	"time"

	"edge/historian/journal"
)

var bucketHour = []byte("r1h") // day start, group: 1-hour rollups

// trendKind is trend/YYYY-MM.db: the 1-hour rollups of one UTC month.
var trendKind = &fileKind{
	version: fileVersion,
	buckets: [][]byte{bucketMeta, bucketSeries, bucketHour, bucketEvent, bucketLife},
	layout:  monthLayout,
	unit:    monthAt,
	start:   monthStart,
}

const monthLayout = "2006-01"

// monthOf numbers the UTC months; monthStart is when one begins.
func monthOf(at journal.Millis) int64 { return monthAt(time.UnixMilli(int64(at))) }

func monthAt(t time.Time) int64 { return int64(t.UTC().Year())*12 + int64(t.UTC().Month()) - 1 }

func monthStart(month int64) journal.Millis {
	return millis(time.Date(int(month/12), time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC))
}
