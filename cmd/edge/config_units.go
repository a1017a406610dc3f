package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads what Go's durations allow, plus whole or decimal days as in "30d" or "1d12h".
func parseDuration(s string) (Duration, error) {
	text, days := strings.TrimSpace(s), time.Duration(0)
	if before, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseFloat(before, 64)
		if err != nil || math.IsNaN(n) || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration; write 250ms, 5s, 36h or 30d", s)
		}
		days, text = time.Duration(n*float64(day)), after
	}
	if text == "" {
		text = "0s"
		if days == 0 && !strings.Contains(s, "d") {
			return 0, fmt.Errorf("%q is not a duration; write 250ms, 5s, 36h or 30d", s)
		}
	}
	rest, err := time.ParseDuration(text)
	if err != nil || rest < 0 {
		return 0, fmt.Errorf("%q is not a duration; write 250ms, 5s, 36h or 30d", s)
	}
	return Duration(days + rest), nil
}

// String writes the duration so that parseDuration reads it back.
func (d Duration) String() string {
	if t := time.Duration(d); t >= day && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	return time.Duration(d).String()
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads an integer of bytes, or one with KiB, MiB or GiB.
func parseSize(s string) (Size, error) {
	text, unit := strings.TrimSpace(s), int64(1)
	for _, u := range sizeUnits {
		if before, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size; write a number of bytes, or 64KiB, 16MiB, 4GiB", s)
	}
	return Size(n * unit), nil
}

// String writes the size in the largest unit that holds it exactly.
func (z Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(z); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(z), 10)
}
