package topic

import "strings"

// Validate returns nil if f is a topic filter of at most maxLevels levels (0: no limit), else one of the errors in
// name.go. $share is no special level here: ParseShare comes first and the filter inside is validated.
func (f Filter) Validate(maxLevels int) error {
	if err := validate(string(f), maxLevels); err != nil {
		return err
	}
	for rest, more := string(f), true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if len(level) > 1 || more {
			if strings.IndexByte(level, '#') >= 0 {
				return ErrHash
			}
		}
		if len(level) > 1 && strings.IndexByte(level, '+') >= 0 {
			return ErrPlus
		}
	}
	return nil
}

// HasWildcard reports whether f holds + or #.
func (f Filter) HasWildcard() bool { return strings.ContainsAny(string(f), "+#") }

// Match reports whether f selects n; both are valid. It does not allocate.
func Match(f Filter, n Name) bool {
	if n.Reserved() && startsWild(f) { // [MQTT-4.7.2-1] [v3 MQTT-4.7.2-1]
		return false
	}
	filter, name := string(f), string(n)
	moreNames := true
	for moreFilters := true; moreFilters; {
		var want, level string
		want, filter, moreFilters = strings.Cut(filter, "/")
		if want == "#" {
			return true // also the parent: "a/#" selects "a"
		}
		if !moreNames {
			return false
		}
		level, name, moreNames = strings.Cut(name, "/")
		if want != "+" && want != level {
			return false
		}
	}
	return !moreNames
}

func startsWild(f Filter) bool { return f != "" && (f[0] == '+' || f[0] == '#') }

// Covers reports whether every name that g selects is selected by f too; both are valid. A rule that allows
// the filter f allows a subscription to g then. It never says yes wrongly, and no wrongly for one pair only: that "+/#"
// selects all that "#" does.
func Covers(f, g Filter) bool {
	if startsWild(f) && g != "" && g[0] == '$' {
		return false
	}
	wide, narrow := string(f), string(g)
	moreNarrow := true
	for moreWide := true; moreWide; {
		var want, level string
		want, wide, moreWide = strings.Cut(wide, "/")
		if want == "#" {
			return true
		}
		if !moreNarrow {
			return false
		}
		level, narrow, moreNarrow = strings.Cut(narrow, "/")
		if level == "#" || want != "+" && want != level {
			return false
		}
	}
	return !moreNarrow
}

// Prefix is what every name that the filter selects begins with.
func (f Filter) Prefix() string {
	s := string(f)
	if i := strings.IndexAny(s, "+#"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, "/") // a/# selects a, too
}
