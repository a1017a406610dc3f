package sparkplug

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Breach names the rule of the firewall that a client broke. The values are few and stand in figures as labels.
type Breach string

// The rules.
const (
	BreachForeign  Breach = "another node"     // speaks for a node that it is not bound to
	BreachTaken    Breach = "name taken"       // would be a node or host that another identity is
	BreachUnknown  Breach = "unknown identity" // has no rule where one is needed
	BreachFull     Breach = "no room"          // names, or rates, are as many as are kept
	BreachWill     Breach = "will"             // the will is not the NDEATH of its node, or the STATE offline of its host
	BreachState    Breach = "state"            // STATE of a host that it is not
	BreachCommand  Breach = "command"          // commands without the role, or that are none
	BreachRead     Breach = "read"             // a node that reads others' messages
	BreachReserved Breach = "$sparkplug"       // writes where the aware server does
	BreachACL      Breach = "acl"              // refused by acl.yaml
	BreachTopic    Breach = "topic"            // a topic that looks like Sparkplug and is not
	BreachPayload  Breach = "payload"          // no payload of its message type
	BreachSeq      Breach = "seq"              // seq where none belongs, none where it does, or above 255
	BreachBdSeq    Breach = "bdSeq"            // of another session
	BreachRetain   Breach = "retain"           // retained what must not be
	BreachQoS      Breach = "qos"              // QoS 2
	BreachSize     Breach = "birth size"       // a birth that is too large
	BreachAliases  Breach = "aliases"          // too many metrics or aliases, or one alias twice
	BreachDevices  Breach = "devices"          // too many devices
	BreachBirths   Breach = "birth rate"       // births too often
	BreachRebirths Breach = "rebirth rate"     // rebirths asked too often
)

// Breaches are all rules, for figures that are 0 too.
var Breaches = []Breach{BreachForeign, BreachTaken, BreachUnknown, BreachFull, BreachWill, BreachState, BreachCommand, BreachRead, BreachReserved,
	BreachACL, BreachTopic, BreachPayload, BreachSeq, BreachBdSeq, BreachRetain, BreachQoS, BreachSize, BreachAliases, BreachDevices, BreachBirths, BreachRebirths}

// Violation says what a client tried.
type Violation struct {
	Breach              Breach
	Detail              string // for an operator, one line
	Group, Node, Device string // whom it would have spoken for, or commanded; empty where they do not apply
	Host                string
}

func (v *Violation) Error() string { return string(v.Breach) + ": " + v.Detail }

func breach(b Breach, t Topic, format string, args ...any) *Violation {
	return &Violation{Breach: b, Detail: fmt.Sprintf(format, args...), Group: t.Group, Node: t.Node, Device: t.Device, Host: t.Host}
}

// topicKind is what the firewall takes a topic for.
type topicKind uint8

const (
	kindForeign     topicKind = iota // not of Sparkplug: nothing of the firewall's
	kindNode                         // births, data and deaths
	kindCommand                      // NCMD, DCMD
	kindState                        // spBv1.0/STATE/<host>
	kindLegacyState                  // STATE/<host>, of Sparkplug 2.2
	kindReserved                     // $sparkplug
	kindBad                          // it looks like Sparkplug and is not
)

// Guarded tells whether the firewall has a say in a topic. Of nearly all others it looks at one character.
func Guarded(topic string) bool {
	if strings.HasPrefix(topic, Namespace+"/") {
		return true
	}
	if topic == "" || topic[0] != 's' && topic[0] != 'S' && topic[0] != '/' && topic[0] != '$' {
		return false
	}
	_, kind, _ := classify(topic)
	return kind != kindForeign
}

// classify takes a topic apart; why says what is bad of it. Host is set for both kinds of STATE.
func classify(topic string) (t Topic, kind topicKind, why string) {
	first, rest, more := strings.Cut(topic, "/")
	switch {
	case first == Namespace:
		t, err := ParseTopic(topic)
		switch {
		case !more || err == ErrForeign:
			return Topic{}, kindBad, "too few levels"
		case err != nil:
			text := err.Error() // sparkplug topic "...": why
			return Topic{}, kindBad, text[strings.LastIndex(text, "\": ")+3:]
		case t.Type == STATE:
			return t, kindState, ""
		case t.Type == NCMD || t.Type == DCMD:
			return t, kindCommand, ""
		}
		return t, kindNode, ""
	case first == "STATE" && more && rest != "" && !strings.Contains(rest, "/"):
		return Topic{Type: STATE, Host: rest}, kindLegacyState, ""
	case first == "$sparkplug":
		return Topic{}, kindReserved, ""
	case len(first) > 4 && strings.EqualFold(first[:4], Namespace[:4]):
		return Topic{}, kindBad, "the namespace is written " + Namespace
	case first == "" && strings.HasPrefix(rest, Namespace+"/"):
		return Topic{}, kindBad, "an empty level before " + Namespace
	}
	return Topic{}, kindForeign, ""
}

// short keeps a name that is made into a key from growing: one that is longer than maxShort is its beginning and its digest.
func short(s string) string {
	if len(s) <= maxShort && !strings.Contains(s, "…") { // or one could be chosen that looks like the beginning and digest of another
		return strings.ToValidUTF8(s, "?")
	}
	sum := sha256.Sum256([]byte(s))
	return strings.ToValidUTF8(s[:min(len(s), maxShort/2)], "?") + "…" + hex.EncodeToString(sum[:8])
}

const maxShort = 256
