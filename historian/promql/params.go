package promql

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Times outside these are taken as these: no sample lies there, and everything may be added to them without overflow.
var (
	earliest = time.UnixMilli(0).UTC()
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func wrong(name string, err error) error {
	return problem{badData, fmt.Errorf("invalid parameter %q: %w", name, err)}
}

// time reads a parameter that is RFC 3339 or seconds since 1970.
func (r *request) time(name string, def time.Time) (time.Time, error) {
	s := r.Form.Get(name)
	if s == "" && !def.IsZero() {
		return def, nil
	}
	t, err := parseTime(s)
	if err != nil {
		return t, wrong(name, err)
	}
	return t, nil
}

func parseTime(s string) (t time.Time, err error) {
	if seconds, notNumber := strconv.ParseFloat(s, 64); notNumber == nil {
		if math.IsNaN(seconds) {
			return t, fmt.Errorf("cannot parse %q to a valid timestamp", s)
		}
		seconds = min(max(seconds, float64(earliest.Unix())), float64(latest.Unix()))
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
	}
	if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
		return t, fmt.Errorf("cannot parse %q to a valid timestamp", s)
	}
	if t.Before(earliest) {
		return earliest, nil
	}
	if t.After(latest) {
		return latest, nil
	}
	return t, nil
}

// duration reads a parameter that is seconds or a duration like 1h30m; empty is 0.
func (r *request) duration(name string) (time.Duration, error) {
	s := r.Form.Get(name)
	if s == "" {
		return 0, nil
	}
	d, err := parseDuration(s)
	if err != nil {
		return 0, wrong(name, err)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if ns := seconds * float64(time.Second); math.Abs(ns) < math.MaxInt64 {
			return time.Duration(math.Round(ns)), nil // 2.078 s are 2078 ms, not one less
		}
		return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
	}
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
	}
	return time.Duration(d), nil
}

// limit reads how many results are wanted; 0: all.
func (r *request) limit() (int, error) {
	s := r.Form.Get("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, wrong("limit", err)
	}
	return n, nil
}

// expression reads the query.
func (r *request) expression() (string, error) {
	s := r.Form.Get("query")
	if err := bounded(s); err != nil {
		return "", wrong("query", err)
	}
	return s, nil
}

// bounded refuses what would take long to parse: that grows with the square of how deep an expression is.
func bounded(s string) error {
	if len(s) > maxQueryBytes {
		return fmt.Errorf("it has %d bytes, at most %d are taken", len(s), maxQueryBytes)
	}
	lexer := parser.Lex(s)
	var item parser.Item
	for n := 0; ; n++ {
		if lexer.NextItem(&item); item.Typ == parser.EOF || item.Typ == parser.ERROR {
			return nil // an error is the parser's to tell
		}
		if n == maxQueryWords {
			return fmt.Errorf("it has more than %d words and operators", maxQueryWords)
		}
	}
}

// selectors reads match[].
func (r *request) selectors() ([][]*labels.Matcher, error) {
	list := r.Form["match[]"]
	if len(list) > maxSelectors {
		return nil, wrong("match[]", fmt.Errorf("there are %d, at most %d are taken", len(list), maxSelectors))
	}
	for _, s := range list {
		if err := bounded(s); err != nil {
			return nil, wrong("match[]", err)
		}
	}
	sets, err := r.api.parser.ParseMetricSelectors(list)
	if err != nil {
		return nil, wrong("match[]", err)
	}
	for _, set := range sets {
		if matchesNothing(set) {
			return nil, wrong("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	return sets, nil
}

// matchesNothing says that a series without labels would match: such a selector names nothing.
func matchesNothing(set []*labels.Matcher) bool {
	for _, m := range set {
		if !m.Matches("") {
			return false
		}
	}
	return true
}
