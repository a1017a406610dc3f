package auth

import (
	"testing"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// TestSASLprep: the examples of RFC 4013, section 3, and one of each table of RFC 3454.
func TestSASLprep(t *testing.T) {
	tests := []struct{ name, in, want string }{ // want empty: refused
		{"soft hyphen is nothing", "I\u00adX", "IX"},
		{"no transformation", "user", "user"},
		{"case is kept", "USER", "USER"},
		{"feminine ordinal", "\u00aa", "a"},
		{"roman nine", "\u2168", "IX"},
		{"control character", "\u0007", ""},
		{"bidirectional check", "\u06271", ""},
		{"other space", "a\u00a0b\u2003c\u3000d", "a b c d"},
		{"joiners and variation selectors are nothing", "a\u200c\u200d\ufe0f\ufeffb", "ab"},
		{"decomposed", "A\u0308", "Ä"},
		{"right to left", "\u0627\u0628", "\u0627\u0628"},
		{"right to left with a digit within", "\u06271\u0628", "\u06271\u0628"},
		{"right to left with a letter", "\u0627a\u0628", ""},
		{"NUL", "a\x00", ""},
		{"delete", "a\x7f", ""},
		{"C1 control", "a\u0085", ""},
		{"line separator", "a\u2028", ""},
		{"musical control", "\U0001d173", ""},
		{"private use", "\ue000", ""},
		{"private use, plane 16", "\U0010fffd", ""},
		{"no character", "\ufdd0", ""},
		{"no character, plane 1", "\U0001fffe", ""},
		{"surrogate", "\xed\xa0\x80", ""},
		{"not UTF-8", "\xff", ""},
		{"replacement character", "\ufffd", ""},
		{"ideographic description", "\u2ff0", ""},
		{"changes display", "\u202e", ""},
		{"tag", "\U000e0041", ""},
		{"empty", "", ""},
		{"nothing is left", "\u00ad", ""},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if got, err := saslprep(c.in); got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestSASLprepLikeOthers holds it against a SASLprep written by others: what that one takes, ours takes the same.
func TestSASLprepLikeOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("aZ1 \u00ad\u00aa\u2168\u0627\u0628\u05d0\u0308A\u3000\u200c\ue000\u0007\U0001d173é")), 1, 6, -1)).Draw(t, "text")
		theirs, err := stringprep.SASLprep.Prepare(s)
		if err != nil || theirs == "" {
			return
		}
		ours, err := saslprep(s)
		if err != nil || ours != theirs && ours != norm.NFKC.String(theirs) {
			t.Errorf("%+q: %+q, %v; theirs %+q", s, ours, err, theirs)
		}
	})
}
