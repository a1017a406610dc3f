package sparkplug

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// IsBirth tells whether a topic is that of an NBIRTH or DBIRTH. Of other topics it looks at one level.
func IsBirth(topic string) bool {
	if level := typeLevel(topic); level != "NBIRTH" && level != "DBIRTH" {
		return false
	}
	t, err := ParseTopic(topic)
	return err == nil && (t.Type == NBIRTH || t.Type == DBIRTH) // a host may be called NBIRTH
}

// IsNodeDeath tells whether a topic is that of an NDEATH.
func IsNodeDeath(topic string) bool {
	if typeLevel(topic) != "NDEATH" {
		return false
	}
	t, err := ParseTopic(topic)
	return err == nil && t.Type == NDEATH
}

// typeLevel returns the level of a topic in the namespace where the message type stands, "" of others.
func typeLevel(topic string) string {
	rest, ok := strings.CutPrefix(topic, Namespace+"/")
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "/")
	level, _, _ := strings.Cut(rest, "/")
	return level
}

// CertificateTopic returns where an aware server keeps the last copy of a birth, retained; ok is false for a topic
// that is no NBIRTH or DBIRTH. [tck-id-conformance-mqtt-aware-nbirth-mqtt-topic]
// [tck-id-conformance-mqtt-aware-dbirth-mqtt-topic]
func CertificateTopic(topic string) (certificate string, ok bool) {
	if !IsBirth(topic) {
		return "", false
	}
	return CertificatePrefix + topic, true
}

// CertifiedTopic is the inverse of CertificateTopic.
func CertifiedTopic(certificate string) (topic string, ok bool) {
	topic, ok = strings.CutPrefix(certificate, CertificatePrefix)
	if !ok {
		return "", false
	}
	if _, ok = CertificateTopic(topic); !ok {
		return "", false
	}
	return topic, true
}

// StampDeath returns an NDEATH payload with its timestamp set to now, every other byte as it was: each varint in
// field 1 goes, a new one stands in front. What is not a sequence of fields comes back unchanged, ok false.
// The result is a new slice. [tck-id-conformance-mqtt-aware-ndeath-timestamp]
func StampDeath(payload []byte, now time.Time) (stamped []byte, ok bool) {
	out := make([]byte, 0, len(payload)+8)
	out = appendVarint(out, 1, Millis(now))
	for rest := payload; len(rest) > 0; {
		num, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return payload, false
		}
		if num != 1 || typ != protowire.VarintType {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out, true
}
