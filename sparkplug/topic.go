package sparkplug

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Namespace is the first level of every Sparkplug topic. [tck-id-topic-structure-namespace-a]
const Namespace = "spBv1.0"

// CertificatePrefix stands before a birth's topic where an aware server keeps its last copy.
const CertificatePrefix = "$sparkplug/certificates/"

// ErrForeign says that a topic is not in the Sparkplug namespace.
var ErrForeign = errors.New("not a Sparkplug topic")

// MessageType is the third level of a topic (the second for STATE).
type MessageType uint8

// The message types of Sparkplug 3.0.
const (
	NBIRTH MessageType = iota + 1
	NDEATH
	NDATA
	NCMD
	DBIRTH
	DDEATH
	DDATA
	DCMD
	STATE
)

var messageTypeNames = [...]string{"", "NBIRTH", "NDEATH", "NDATA", "NCMD", "DBIRTH", "DDEATH", "DDATA", "DCMD", "STATE"}

// String returns the topic level.
func (t MessageType) String() string {
	if int(t) >= len(messageTypeNames) {
		return ""
	}
	return messageTypeNames[t]
}

// OfDevice tells whether topics of this type have a device level.
func (t MessageType) OfDevice() bool { return t >= DBIRTH && t <= DCMD }

// Topic is a Sparkplug topic in its parts. Host is set for STATE only, Device for the four device types only.
type Topic struct {
	Type                      MessageType
	Group, Node, Device, Host string
}

// String returns spBv1.0/group/TYPE/node[/device], or spBv1.0/STATE/host. [tck-id-topic-structure]
func (t Topic) String() string {
	switch {
	case t.Type == STATE:
		return Namespace + "/STATE/" + t.Host
	case t.Type.OfDevice():
		return Namespace + "/" + t.Group + "/" + t.Type.String() + "/" + t.Node + "/" + t.Device
	}
	return Namespace + "/" + t.Group + "/" + t.Type.String() + "/" + t.Node
}

// NodeRef returns the edge node the topic belongs to.
func (t Topic) NodeRef() NodeRef { return NodeRef{t.Group, t.Node} }

// ParseTopic takes a topic name apart. A topic of another namespace gives ErrForeign; one that begins
// with spBv1.0/ but is not of Sparkplug's form gives an error that says why. It does not allocate.
func ParseTopic(name string) (Topic, error) {
	rest, ok := strings.CutPrefix(name, Namespace+"/")
	if !ok {
		return Topic{}, ErrForeign
	}
	var levels [4]string
	n := 0
	for more := true; more; n++ {
		if n == len(levels) {
			return Topic{}, topicError(name, "too many levels")
		}
		levels[n], rest, more = strings.Cut(rest, "/")
	}
	if levels[0] == "STATE" {
		return parseState(name, levels, n)
	}
	if n < 3 {
		return Topic{}, topicError(name, "too few levels")
	}
	t := Topic{Type: messageType(levels[1]), Group: levels[0], Node: levels[2], Device: levels[3]}
	if t.Type == 0 {
		return Topic{}, topicError(name, "unknown message type")
	}
	if t.Type.OfDevice() != (n == 4) { // [tck-id-topic-structure-namespace-device-id-associated-message-types]
		return Topic{}, topicError(name, "device level missing or misplaced")
	}
	for _, id := range levels[:n] {
		if err := ValidateID(id); err != nil {
			return Topic{}, topicError(name, err.Error())
		}
	}
	return t, nil
}

func parseState(name string, levels [4]string, n int) (Topic, error) {
	if n != 2 {
		return Topic{}, topicError(name, "STATE takes one host id")
	}
	if err := ValidateID(levels[1]); err != nil {
		return Topic{}, topicError(name, err.Error())
	}
	return Topic{Type: STATE, Host: levels[1]}, nil
}

func messageType(level string) MessageType {
	for t := NBIRTH; t < STATE; t++ {
		if messageTypeNames[t] == level {
			return t
		}
	}
	return 0
}

func topicError(name, why string) error {
	return fmt.Errorf("sparkplug topic %.100q: %s", name, why)
}

// The three ways in which an identifier can be wrong.
var (
	errEmptyID   = errors.New("an empty identifier")
	errNotUTF8ID = errors.New("an identifier that is not UTF-8 or holds U+0000")
	errReserved  = errors.New("an identifier that holds +, # or /")
)

// ValidateID checks a group, edge node, device or host identifier: UTF-8, not empty, none of + # / and
// no U+0000. [tck-id-topic-structure-namespace-valid-group-id] [tck-id-intro-group-id-chars] and their
// siblings for edge node and device.
func ValidateID(id string) error {
	switch {
	case id == "":
		return errEmptyID
	case strings.ContainsAny(id, "+#/"):
		return errReserved
	case strings.IndexByte(id, 0) >= 0 || !utf8.ValidString(id):
		return errNotUTF8ID
	}
	return nil
}
