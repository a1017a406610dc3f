package auth

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// saslprep prepares a user name or password for SCRAM, so that it is the same bytes however it was typed (RFC 4013). The
// normal form is that of today's Unicode, not of 3.2: characters that came later are taken, as in a query of RFC 3454.
func saslprep(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	if isPlainASCII(s) {
		return s, nil
	}
	mapped := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case unicode.Is(otherSpaces, r):
			mapped = append(mapped, ' ')
		case !unicode.Is(mappedToNothing, r):
			mapped = append(mapped, r)
		}
	}
	s = norm.NFKC.String(string(mapped))
	for _, r := range s {
		if unicode.Is(prohibited, r) || r&0xFFFE == 0xFFFE {
			return "", errors.New("it holds a control character or one that is not for text")
		}
	}
	if s == "" {
		return "", errors.New("nothing is left of it")
	}
	if err := checkDirection(s); err != nil {
		return "", err
	}
	return s, nil
}

func isPlainASCII(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return s != ""
}

// checkDirection refuses text that mixes directions: with a character that is written from right to left it holds none
// that is written from left to right, and begins and ends with such a one (RFC 3454, section 6).
func checkDirection(s string) error {
	var left, right, first, last bool
	for i, r := range s {
		p, _ := bidi.LookupRune(r)
		last = p.Class() == bidi.R || p.Class() == bidi.AL
		left, right = left || p.Class() == bidi.L, right || last
		if i == 0 {
			first = last
		}
	}
	if right && (left || !first || !last) {
		return errors.New("it mixes text from left to right and from right to left")
	}
	return nil
}

// The tables of RFC 3454 that RFC 4013 names: C.1.2, B.1, and C.2.1 to C.9 without what B.1 has removed before. U+200B stands in two;
// here it is nothing.
var (
	otherSpaces = &unicode.RangeTable{R16: []unicode.Range16{{0xA0, 0xA0, 1}, {0x1680, 0x1680, 1}, {0x2000, 0x200A, 1},
		{0x202F, 0x202F, 1}, {0x205F, 0x205F, 1}, {0x3000, 0x3000, 1}}, LatinOffset: 1}
	mappedToNothing = &unicode.RangeTable{R16: []unicode.Range16{{0xAD, 0xAD, 1}, {0x34F, 0x34F, 1}, {0x1806, 0x1806, 1},
		{0x180B, 0x180D, 1}, {0x200B, 0x200D, 1}, {0x2060, 0x2060, 1}, {0xFE00, 0xFE0F, 1}, {0xFEFF, 0xFEFF, 1}}, LatinOffset: 1}
	prohibited = &unicode.RangeTable{
		R16: []unicode.Range16{{0x00, 0x1F, 1}, {0x7F, 0x9F, 1}, {0x340, 0x341, 1}, {0x6DD, 0x6DD, 1}, {0x70F, 0x70F, 1},
			{0x180E, 0x180E, 1}, {0x200E, 0x200F, 1}, {0x2028, 0x202E, 1}, {0x2061, 0x2063, 1}, {0x206A, 0x206F, 1}, {0x2FF0, 0x2FFB, 1},
			{0xD800, 0xF8FF, 1}, {0xFDD0, 0xFDEF, 1}, {0xFFF9, 0xFFFD, 1}},
		R32:         []unicode.Range32{{0x1D173, 0x1D17A, 1}, {0xE0001, 0xE0001, 1}, {0xE0020, 0xE007F, 1}, {0xF0000, 0x10FFFF, 1}},
		LatinOffset: 2,
	}
)
