package packets

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// reader walks over a packet's body. The first failure sticks and empties it, so that decoders read straight on and
// loops over what is left end; Decode looks at err once.
type reader struct {
	v       Version
	b       []byte // what is not read yet
	section string // of the specification, for errors
	err     *Error
}

// newReader checks the fixed header of frame and returns a reader of the rest.
func newReader(v Version, frame []byte) (reader, error) {
	n, complete, err := FrameLength(frame, 0)
	if err != nil {
		return reader{}, err
	}
	if !complete || n != len(frame) {
		return reader{}, &Error{MalformedPacket, "2.1.4", "Remaining Length is not the length of the packet"}
	}
	if Type(frame[0]>>4) == TypeAuth && v != V5 {
		return reader{}, &Error{MalformedPacket, "2.1.2", "AUTH does not exist in 3.1.1"}
	}
	if Type(frame[0]>>4) != TypePublish && frame[0]&flagDup != 0 && v != V31 {
		return reader{}, &Error{MalformedPacket, "2.1.3", "DUP in a packet that has none"}
	}
	_, used := varint(frame[1:])
	return reader{v: v, b: frame[1+used:], section: "2.1.4"}, nil
}

func (r *reader) fail(code ReasonCode, detail string) {
	if r.err == nil {
		r.err = &Error{code, r.section, detail}
	}
	r.b = nil
}

func (r *reader) malformed(detail string) { r.fail(MalformedPacket, detail) }

// more reports whether anything is left to read.
func (r *reader) more() bool { return len(r.b) > 0 }

// end refuses bytes behind the last field.
func (r *reader) end() {
	if len(r.b) > 0 {
		r.malformed("bytes behind the last field")
	}
}

// take returns the next n bytes, or nil and a failure.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.malformed("packet ends within a field")
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) varint() int {
	n, used := varint(r.b)
	if used <= 0 {
		r.malformed("bad Variable Byte Integer")
		return 0
	}
	r.b = r.b[used:]
	return n
}

// binary returns a copy of a length-prefixed field, never nil unless it fails.
func (r *reader) binary() []byte {
	b := r.take(int(r.uint16()))
	if r.err != nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// string returns a UTF-8 string. Ill-formed UTF-8, surrogates and NUL are refused; U+FEFF is a character like any
// other [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] [v3 MQTT-1.5.3-1] [v3 MQTT-1.5.3-2] [v3 MQTT-1.5.3-3].
func (r *reader) string() string { return r.text(r.take(int(r.uint16()))) }

// text is string for bytes that were taken.
func (r *reader) text(b []byte) string {
	if !r.check(b) {
		return ""
	}
	return string(b)
}

// check tells whether b may be a string.
func (r *reader) check(b []byte) bool {
	switch {
	case !utf8.Valid(b):
		r.malformed("string is not UTF-8")
	case bytes.IndexByte(b, 0) >= 0:
		r.malformed("NUL in a string")
	default:
		return true
	}
	return false
}

// skipString returns what follows the length-prefixed field at the start of b, nothing if b ends within it.
func skipString(b []byte) []byte {
	if len(b) < 2 {
		return nil
	}
	return b[min(len(b), 2+int(binary.BigEndian.Uint16(b))):]
}

// count returns how many entries of a string and extra bytes fill the rest, to make room for them at once. It does not count far beyond
// what is taken.
func (r *reader) count(extra int) (n int) {
	for b := r.b; len(b) > 0 && n <= MaxEntries; n++ {
		b = skipString(b)
		b = b[min(len(b), extra):]
	}
	return n
}

// MaxEntries is how many filters, or user properties, one packet may have: each is some work, and a megabyte of nothing but
// the smallest would keep all other connections waiting. The specification lets a server have such limits (section 4.13.2).
const MaxEntries = 16384

// entries is count, within MaxEntries.
func (r *reader) entries(extra int) int {
	n := r.count(extra)
	if n > MaxEntries {
		r.fail(QuotaExceeded, "more filters than a packet may have")
		return 0
	}
	return n
}

// topicName returns a string that is a topic name: at least one character, no wildcard
// [MQTT-3.3.2-2] [MQTT-4.7.3-1] [v3 MQTT-3.3.2-2] [v3 MQTT-4.7.3-1].
func (r *reader) topicName() string {
	s := r.string()
	if r.err != nil {
		return ""
	}
	if s == "" {
		r.fail(ProtocolError, "empty topic name")
	}
	r.refuseWildcards(s)
	return s
}

func (r *reader) refuseWildcards(topic string) {
	if strings.IndexByte(topic, '+') >= 0 || strings.IndexByte(topic, '#') >= 0 {
		r.fail(TopicNameInvalid, "wildcard in a topic name")
	}
}

// packetID returns a packet identifier, which is never 0 [MQTT-2.2.1-3] [v3 MQTT-2.3.1-1].
func (r *reader) packetID() uint16 {
	id := r.uint16()
	if id == 0 && r.err == nil {
		r.fail(ProtocolError, "packet identifier 0")
	}
	return id
}

// reason returns a reason code that is listed for packets of type t.
func (r *reader) reason(t Type) ReasonCode {
	c := ReasonCode(r.byte())
	if r.err == nil && !c.Listed(t) {
		r.fail(ProtocolError, "reason code is not listed for "+t.String())
	}
	return c
}
