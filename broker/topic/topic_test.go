package topic

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateName(t *testing.T) {
	tests := []struct {
		name   string
		n      Name
		levels int
		want   error
	}{
		{"plain", "plant/oven/temperature", 3, nil},
		{"one space", " ", 0, nil},
		{"only slashes", "//", 3, nil},
		{"$ names are names", "$SYS/x", 0, nil},
		{"U+FEFF is a character [MQTT-1.5.4-3]", "\uFEFFa", 0, nil},
		{"empty [MQTT-4.7.3-1] [v3 MQTT-4.7.3-1]", "", 0, ErrEmpty},
		{"NUL [MQTT-4.7.3-2] [v3 MQTT-4.7.3-2]", "a\x00b", 0, ErrNUL},
		{"65,535 bytes", Name(strings.Repeat("a", 65535)), 0, nil},
		{"65,536 bytes [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3]", Name(strings.Repeat("a", 65536)), 0, ErrTooLong},
		{"+ [MQTT-4.7.0-1] [v3 MQTT-4.7.1-1]", "a/+", 0, ErrWildcard},
		{"# [MQTT-4.7.0-1]", "a#", 0, ErrWildcard},
		{"not UTF-8 [MQTT-1.5.4-1]", "a\xFF", 0, ErrEncoding},
		{"surrogate [MQTT-1.5.4-1]", "\xED\xA0\x80", 0, ErrEncoding},
		{"at the limit of levels", "a/b/c", 3, nil},
		{"above the limit of levels", "a/b/c/", 3, ErrLevels},
		{"65,535 slashes (CVE-2019-11779)", Name(strings.Repeat("/", 65535)), 16, ErrLevels},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if err := c.n.Validate(c.levels); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestValidateFilter(t *testing.T) {
	tests := []struct {
		f    Filter
		want error
	}{
		{"a/b", nil}, {"#", nil}, {"+", nil}, {"a/#", nil}, {"a/+/b", nil}, {"+/+", nil}, {"/", nil}, {"+/#", nil}, {"//#", nil},
		{"$share/g/a", nil},
		{"", ErrEmpty}, // [MQTT-4.7.3-1]
		{"a\x00", ErrNUL},
		{"\xC0\x80", ErrEncoding},
		{"a#", ErrHash}, {"#a", ErrHash}, {"a/#/b", ErrHash}, {"#/", ErrHash}, {"##", ErrHash}, {"a/b#", ErrHash}, // [MQTT-4.7.1-1] [v3 MQTT-4.7.1-2]
		{"a+", ErrPlus}, {"+a/b", ErrPlus}, {"a/++", ErrPlus}, {"a/b+/c", ErrPlus}, // [MQTT-4.7.1-2] [v3 MQTT-4.7.1-3]
		{"1/2/3/4/5", ErrLevels},
	}
	for _, c := range tests {
		if err := c.f.Validate(4); !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, want %v", c.f, err, c.want)
		}
	}
}

// matchTests are pairs that the specification names, and some around them; shared by Match and the trees.
var matchTests = []struct {
	f    Filter
	n    Name
	want bool
}{
	{"a/b", "a/b", true},
	{"a/b", "a/B", false}, // case matters [MQTT-4.7.3-4]
	{"a", "/a", false},    // a leading / is a level
	{"a", "a/", false},    // and so is a trailing one
	{"sport/tennis/player1/#", "sport/tennis/player1", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
	{"sport/#", "sport", true},
	{"sport/#", "sports", false},
	{"#", "a/b/c", true},
	{"sport/tennis/+", "sport/tennis/player1", true},
	{"sport/tennis/+", "sport/tennis/player1/ranking", false},
	{"sport/+", "sport", false},
	{"sport/+", "sport/", true},
	{"+/+", "/finance", true},
	{"/+", "/finance", true},
	{"+", "/finance", false},
	{"+", "a", true},
	{"+/b/#", "a/b", true},
	{"#", "$SYS/x", false}, // [MQTT-4.7.2-1] [v3 MQTT-4.7.2-1]
	{"+/x", "$SYS/x", false},
	{"+/#", "$SYS", false},
	{"$SYS/#", "$SYS/x", true},
	{"$SYS/+", "$SYS/x", true},
	{"$sparkplug/certificates/#", "$sparkplug/certificates/spBv1.0/G/NBIRTH/E", true},
	{"a/+", "a/$b", true},        // $ counts in front only
	{"e\u0301", "\u00E9", false}, // no normalisation [MQTT-4.7.3-4] [v3 MQTT-4.7.3-4]
	{"\uFEFFa", "a", false},      // [MQTT-1.5.4-3]
	{"a/b/c", "a/b", false},
	{"a/b", "a/b/c", false},
	{"//", "//", true},
	{"+//+", "a//b", true},
}

func TestMatch(t *testing.T) {
	for _, c := range matchTests {
		if got := Match(c.f, c.n); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.f, c.n, got)
		}
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		wide, narrow Filter
		want         bool
	}{
		{"a/#", "a/b", true}, {"a/#", "a/#", true}, {"a/#", "a/+", true}, {"a/#", "a", true}, {"#", "a/+/c", true}, {"#", "#", true},
		{"a/+", "a/b", true}, {"a/+", "a/+", true}, {"+/b", "a/b", true}, {"a/b", "a/b", true}, {"+/#", "a", true},
		{"a/b", "a/+", false}, {"a/+", "a/#", false}, {"a/+", "a/b/c", false}, {"a/#", "#", false}, {"a/#", "+/b", false},
		{"a/#", "ab/c", false}, {"a/b", "a", false}, {"a", "a/b", false}, {"+", "#", false},
		{"#", "$SYS/#", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/#", "#", false},
		{"+/+", "+/#", false},
	}
	for _, c := range tests {
		if got := Covers(c.wide, c.narrow); got != c.want {
			t.Errorf("Covers(%q, %q) = %v", c.wide, c.narrow, got)
		}
	}
}

// TestParseShare [MQTT-4.8.2-1] [MQTT-4.8.2-2].
func TestParseShare(t *testing.T) {
	tests := []struct {
		f     Filter
		share string
		inner Filter
		err   error
	}{
		{"$share/group/a/+", "group", "a/+", nil},
		{"$share/g/#", "g", "#", nil},
		{"$share/g//", "g", "/", nil},
		{"a/b", "", "a/b", nil},
		{"$shared/g/a", "", "$shared/g/a", nil},
		{"$share", "", "", ErrShare},
		{"$share/", "", "", ErrShare},
		{"$share/g", "", "", ErrShare},
		{"$share/g/", "", "", ErrShare},
		{"$share//a", "", "", ErrShare},
		{"$share/g+/a", "", "", ErrShare},
		{"$share/#/a", "", "", ErrShare},
	}
	for _, c := range tests {
		share, inner, err := ParseShare(c.f)
		if share != c.share || inner != c.inner || !errors.Is(err, c.err) {
			t.Errorf("ParseShare(%q) = %q, %q, %v", c.f, share, inner, err)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	var tree Tree[int, int]
	var names Names[int]
	for i, f := range []Filter{"a/+/c", "a/#", "#", "a/b/c"} {
		tree.Add(f, i, i)
	}
	names.Set("a/b/c", 1)
	sum := 0
	var w Walk[int, int]
	for what, f := range map[string]func(){
		"Match":       func() { Match("a/+/#", "a/b/c") },
		"Walk":        func() { w.Begin(&tree, "a/b/c"); w.Next(1<<20, func(_, v int) { sum += v }) },
		"Names.Match": func() { names.Match("a/+/#", func(_ Name, v int) bool { sum += v; return true }) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
