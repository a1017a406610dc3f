package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Name is a topic name: UTF-8, at least one character, no wildcard, no NUL.
type Name string

// Filter is a topic filter, which may hold the wildcards + and #.
type Filter string

// MaxBytes is the longest topic name or filter there is [MQTT-4.7.3-3] [v3 MQTT-4.7.3-3].
const MaxBytes = 65535

// Why a name or a filter is refused.
var (
	ErrEmpty    = errors.New("topic is empty")                                  // [MQTT-4.7.3-1] [v3 MQTT-4.7.3-1]
	ErrTooLong  = errors.New("topic is longer than 65,535 bytes")               // [MQTT-4.7.3-3]
	ErrEncoding = errors.New("topic is not UTF-8")                              // [MQTT-1.5.4-1]
	ErrNUL      = errors.New("topic contains NUL")                              // [MQTT-4.7.3-2] [v3 MQTT-4.7.3-2]
	ErrLevels   = errors.New("topic has more levels than allowed")              // a limit of ours
	ErrWildcard = errors.New("wildcard in a topic name")                        // [MQTT-4.7.0-1] [v3 MQTT-4.7.1-1]
	ErrHash     = errors.New("# is not alone in the last level of the filter")  // [MQTT-4.7.1-1] [v3 MQTT-4.7.1-2]
	ErrPlus     = errors.New("+ is not alone in its level of the filter")       // [MQTT-4.7.1-2] [v3 MQTT-4.7.1-3]
	ErrShare    = errors.New("shared subscription is not $share/<name>/filter") // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
)

// Validate returns nil if n is a topic name of at most maxLevels levels (0: no limit), else one of the errors above.
func (n Name) Validate(maxLevels int) error {
	if err := validate(string(n), maxLevels); err != nil {
		return err
	}
	if strings.ContainsAny(string(n), "+#") {
		return ErrWildcard
	}
	return nil
}

// Reserved reports whether n begins with $: no filter that begins with a wildcard matches it, and clients do not
// publish to it [MQTT-4.7.2-1].
func (n Name) Reserved() bool { return n != "" && n[0] == '$' }

// validate checks what names and filters have in common.
func validate(s string, maxLevels int) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxBytes:
		return ErrTooLong
	case strings.IndexByte(s, 0) >= 0:
		return ErrNUL
	case maxLevels > 0 && strings.Count(s, "/") >= maxLevels:
		return ErrLevels
	case !utf8.ValidString(s):
		return ErrEncoding
	}
	return nil
}
