package sparkplug

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The reasons of a session event that decide what follows: ReasonClean is a DISCONNECT after which the broker publishes no
// will, ReasonWithWill is MQTT 5's DISCONNECT 0x04.
const (
	ReasonClean    = "clean disconnect"
	ReasonWithWill = "disconnect with will"
)

// endings maps a session event's reason to its kind and to what is said of the client; %s is the client.
var endings = map[string]struct {
	kind Cause
	text string
}{
	ReasonClean:                     {CauseClean, "clean disconnect of %s"},
	ReasonWithWill:                  {CauseWithWill, "%s disconnected and asked for its will"},
	"keep alive timeout":            {CauseKeepAlive, "keep-alive timeout of %s"},
	"session taken over":            {CauseTakenOver, "take-over of %s by another connection"},
	"connection lost":               {CauseLost, "lost connection of %s"},
	"protocol error":                {CauseProtocol, "protocol error of %s"},
	"slow consumer":                 {CauseSlow, "%s did not read what it was sent"},
	"disconnected by administrator": {CauseAdmin, "an administrator disconnected %s"},
	"broker shutting down":          {CauseShutdown, "shutdown of the appliance, which disconnected %s"},
	"re-authentication failed":      {CauseAuth, "failed re-authentication of %s"},
	"took more than it may":         {CauseQuota, "%s took more memory than it may"},
	"store failed":                  {CauseStore, "the session of %s could not be stored"},
}

// EndCause is the kind of a session event's reason.
func EndCause(reason string) Cause {
	if e, ok := endings[reason]; ok {
		return e.kind
	}
	return CauseEnded
}

// session takes note of an MQTT client's coming and going. A node whose client is gone without an NDEATH does not
// stay online: at once after a clean disconnect, which suppresses the will, otherwise when WillWait ends.
func (s *step) session(e *Session) {
	s.h.told = true
	if e.Connected {
		s.clientCame(e)
		return
	}
	delete(s.h.clients, e.ClientID)
	for _, n := range s.h.sorted {
		if e.ClientID == "" {
			continue
		}
		if n.client.ID == e.ClientID {
			n.client.end(e, s.now)
			n.noteEnd(&n.client)
			s.clientGone(n)
		} else if other := n.other(e.ClientID); other != nil {
			other.end(e, s.now)
			n.noteEnd(other)
			s.touch(n)
		}
	}
}

// clientCame ties the client to the node whose death is its will, before any birth, and to those it spoke for before.
func (s *step) clientCame(e *Session) {
	c := clientView(e, s.now)
	if len(s.h.clients) < s.h.o.MaxClients {
		s.h.clients[c.ID] = c
	} else {
		s.h.missed = true
	}
	var own *node
	if ref, ok := willOf(e.WillTopic); ok {
		own = s.node(ref)
	}
	for _, n := range s.h.sorted {
		if n == own || n.client.ID == c.ID || n.other(c.ID) != nil {
			s.arrives(n, c)
		}
	}
}

// willOf returns the node whose NDEATH a will is.
func willOf(topic string) (NodeRef, bool) {
	t, err := ParseTopic(topic)
	return t.NodeRef(), err == nil && t.Type == NDEATH
}

// arrives takes a connected client as one that speaks for a node. It is the node's client unless another is.
func (s *step) arrives(n *node, c ClientView) {
	n.note(SessionNote{Kind: CauseConnected, At: s.now, Last: s.now, ClientID: c.ID, Address: c.Address, User: c.User, Count: 1})
	switch {
	case n.client.ID == c.ID, n.client.ID == "", !n.client.Connected && n.state != StateOnline:
		n.dropOther(c.ID)
		n.client = c
	default:
		s.addOther(n, c)
	}
	s.touch(n)
}

// addOther remembers a client besides the node's own. One that is connected makes room for none.
func (s *step) addOther(n *node, c ClientView) {
	if n.client.Connected && c.Connected {
		s.warn(n, fmt.Sprintf("two clients publish this edge node, %.64q and %.64q [tck-id-topic-structure-namespace-unique-edge-node-descriptor]",
			min(n.client.ID, c.ID), max(n.client.ID, c.ID))) // once, whoever of them is born
	}
	n.dropOther(c.ID)
	if len(n.others) == maxOthers {
		i := max(0, slices.IndexFunc(n.others, func(o ClientView) bool { return !o.Connected }))
		n.others = slices.Delete(n.others, i, i+1)
	}
	n.others = append(n.others, c)
}

// maxOthers bounds the clients that are remembered as speaking for a node besides its own.
const maxOthers = 4

func (n *node) other(id string) *ClientView {
	for i := range n.others {
		if n.others[i].ID == id {
			return &n.others[i]
		}
	}
	return nil
}

func (n *node) dropOther(id string) {
	n.others = slices.DeleteFunc(n.others, func(o ClientView) bool { return o.ID == id })
}

// clientGone decides what becomes of a node whose client's connection ended.
func (s *step) clientGone(n *node) {
	n.ended = n.client
	if n.state == StateOnline {
		switch n.client.End {
		case CauseClean:
			s.endSession(n, []Reason{{Kind: CauseNoDeath, At: s.now, Text: "client left without NDEATH", whose: true}, n.ended.ending()})
			s.warn(n, "disconnects without publishing NDEATH [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]")
		default:
			n.gone = s.now.Add(s.h.o.WillWait)
			s.schedule(n)
		}
	}
	s.touch(n)
}

// bind ties a node to the client that published its birth. [tck-id-intro-edge-node-id-uniqueness]
func (s *step) bind(n *node, clientID string) {
	n.ended, n.refusal, n.gone = ClientView{}, refusal{}, time.Time{}
	if clientID == "" {
		return
	}
	c, known := s.h.clients[clientID]
	if !known {
		c = ClientView{ID: strings.Clone(clientID), Since: s.now}
	}
	if !known && s.h.told && s.h.absent(clientID) { // a birth that is a will: nobody is there who could live
		n.ended = c
		n.ended.end(&Session{Reason: "it was gone before its NBIRTH came"}, s.now)
		n.gone = s.now.Add(s.h.o.WillWait)
	}
	before := n.client
	n.client = c
	n.dropOther(clientID)
	if before.ID != "" && before.ID != clientID {
		s.addOther(n, before)
	}
}

// speaks notes a client that publishes for a node that is another's.
func (s *step) speaks(n *node, clientID string) {
	if clientID == "" || clientID == n.client.ID || n.client.ID == "" || n.other(clientID) != nil {
		return
	}
	c, known := s.h.clients[clientID]
	if !known {
		c = ClientView{ID: strings.Clone(clientID), Since: s.now}
	}
	c.Since = s.now // as one that speaks for the node
	s.addOther(n, c)
	s.touch(n)
}

// absent tells whether a client is certainly not connected.
func (h *Host) absent(clientID string) bool {
	_, there := h.clients[clientID]
	return !there && !h.missed
}

// stranger returns the publisher of the message that is applied, if it is another than the client that gave the node's births: its
// aliases and its values are not those of the session.
func (s *step) stranger(n *node) string {
	if n.client.ID == "" || s.from == n.client.ID {
		return ""
	}
	return s.from
}

// heard tells of a node from before the start that it is heard again: what is missing is its birth.
func (s *step) heard(n *node) {
	if n.state != StateUnknown || n.why[0].Kind != CauseNotHeard {
		return
	}
	n.why = notBorn(s.h.o.Started)
	for _, d := range n.sorted {
		if d.state == StateUnknown && d.why[0].Kind == CauseNotHeard {
			d.why = n.why
			for _, m := range d.sorted {
				s.changed(m)
			}
		}
	}
	s.touch(n)
}

// clientView copies what a session event tells of a client.
func clientView(e *Session, now time.Time) ClientView {
	return ClientView{ID: strings.Clone(e.ClientID), Address: e.Address, TLS: e.TLS, User: e.User, Cert: e.Cert, Protocol: e.Protocol,
		KeepAlive: e.KeepAlive, WillTopic: e.WillTopic, Connected: true, Since: now}
}

func (c *ClientView) end(e *Session, now time.Time) {
	c.Connected, c.Ended, c.EndReason, c.EndDetail = false, now, e.Reason, e.Detail
	if c.EndReason == "" {
		c.EndReason = "connection ended"
	}
	c.End = EndCause(c.EndReason)
}

// ending is the line that says how the client's connection ended.
func (c *ClientView) ending() Reason {
	text := "connection of " + c.name() + " ended: " + shown(c.EndReason)
	if e, ok := endings[c.EndReason]; ok {
		text = fmt.Sprintf(e.text, c.name())
	}
	if c.EndDetail != "" {
		text += ": " + shown(c.EndDetail)
	}
	return Reason{Kind: c.End, At: c.Ended, Text: text}
}

// name is how a client is called in a line: "client C at 10.0.0.7".
func (c *ClientView) name() string { return clientName(c.ID, c.Address) }

func clientName(id, address string) string {
	text := "client " + shown(id)
	if id == "" {
		text = "a client that gave no name"
	}
	if address != "" {
		text += " at " + hostOf(address)
	}
	return text
}

// hostOf is an address without its port, which is another one each time.
func hostOf(address string) string {
	if i := strings.LastIndexByte(address, ':'); i > 0 && strings.IndexByte(address, ']') < i && (address[0] == '[' || strings.IndexByte(address, ':') == i) {
		return strings.Trim(address[:i], "[]")
	}
	return address
}

// shown makes a name from outside fit for a line: one with anything in it that could mislead is quoted, a long one is cut.
func shown(s string) string {
	const most = 160
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
