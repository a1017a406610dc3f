package sparkplug

import (
	"fmt"
	"strings"
)

// ReasonClean is the Reason of a session event for a DISCONNECT after which the broker publishes no will;
// ReasonWithWill is the one for MQTT 5's DISCONNECT 0x04.
const (
	ReasonClean    = "clean disconnect"
	ReasonWithWill = "disconnect with will"
)

// session takes note of an MQTT client's coming and going. A node whose client is gone without an NDEATH does not
// stay online: at once after a clean disconnect, which suppresses the will, otherwise when WillWait ends.
func (s *step) session(e *Session) {
	if e.Connected {
		if len(s.h.clients) < s.h.o.MaxClients {
			s.h.clients[e.ClientID] = ClientView{ID: e.ClientID, Address: e.Address, TLS: e.TLS}
		}
		return
	}
	delete(s.h.clients, e.ClientID)
	for _, n := range s.h.sorted {
		if n.client.ID == e.ClientID && e.ClientID != "" {
			s.clientGone(n, e.Reason)
		}
	}
}

func (s *step) clientGone(n *node, reason string) {
	if reason == "" {
		reason = "connection ended"
	}
	n.connected, n.ended = false, reason
	switch {
	case n.state == StateOnline && reason == ReasonClean:
		s.endSession(n, "clean disconnect without NDEATH")
		s.warn(n, "disconnects without publishing NDEATH [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]")
	case n.state == StateOnline:
		n.gone = s.now.Add(s.h.o.WillWait)
		s.schedule(n)
	case n.state == StateOffline && n.goodbye && reason != ReasonClean && reason != ReasonWithWill:
		n.reason, n.died = reason+", will published", reason+", will published"
		s.touch(n)
	}
	n.goodbye = false
}

// bind ties a node to the client that published its birth. [tck-id-intro-edge-node-id-uniqueness]
func (s *step) bind(n *node, clientID string) {
	if clientID == "" {
		return
	}
	if n.client.ID != "" && n.client.ID != clientID && n.connected {
		s.warn(n, fmt.Sprintf("two clients publish this edge node, %.64q and %.64q [tck-id-topic-structure-namespace-unique-edge-node-descriptor]",
			n.client.ID, clientID))
	}
	view, known := s.h.clients[clientID]
	if !known {
		view = ClientView{ID: strings.Clone(clientID)}
	}
	n.client, n.connected = view, known
}
