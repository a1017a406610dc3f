package sparkplug

import (
	"time"
)

func unborn(now time.Time) []Reason {
	return []Reason{{Kind: CauseUnborn, At: now, Text: "heard without a birth", Lasts: true}}
}

func notHeard(started time.Time) []Reason {
	return []Reason{{Kind: CauseNotHeard, At: started, Text: "not heard of since the appliance started"}}
}

func notReborn(at time.Time) []Reason {
	return []Reason{{Kind: CauseNotReborn, At: at, Text: "its node was born again, without a DBIRTH of it since"}}
}

// notBorn is for a node that is heard of again after a start, and for its devices.
func notBorn(started time.Time) []Reason {
	return []Reason{{Kind: CauseUnborn, At: started, Text: "not born since the appliance started"}}
}

func serverLost(server string, now time.Time) []Reason {
	text := "connection to the MQTT server lost"
	if server != "" {
		text = "connection to the MQTT server " + shown(server) + " lost"
	}
	return []Reason{{Kind: CauseServerLost, At: now, Text: text}}
}

// deathWhy says why an NDEATH came, as far as the sessions tell: a broker publishes a client's will after it told the end of
// the connection, so one of a connected client is its own word. It is taken from whoever sent it, as the text demands, and said.
func (s *step) deathWhy(n *node, publisher string) []Reason {
	switch {
	case publisher == "":
		return []Reason{{Kind: CauseSomeDeath, At: s.now, Text: "NDEATH received", whose: true}}
	case publisher == n.client.ID && n.ended.ID != "":
		return []Reason{{Kind: CauseWill, At: s.now, Text: "will fired", whose: true}, n.ended.ending()}
	case n.client.ID == "" && s.h.absent(publisher):
		before := Reason{Kind: CauseEnded, Text: clientName(publisher, "") + " was last connected before the appliance started"}
		return []Reason{{Kind: CauseWill, At: s.now, Text: "will fired", whose: true}, before}
	case publisher == n.client.ID || n.client.ID == "":
		c := n.client
		if c.ID == "" {
			c = s.h.clientNamed(publisher)
		}
		return []Reason{{Kind: CauseDeath, At: s.now, Text: "NDEATH was published by its " + c.name(), whose: true}}
	}
	return s.foreignDeath(n, publisher)
}

// foreignDeath is the death of a node by a client that is not the node's: an NDEATH, or a will.
// [tck-id-topic-structure-namespace-unique-edge-node-descriptor]
func (s *step) foreignDeath(n *node, publisher string) []Reason {
	s.warn(n, "its NDEATH was published by another client than its own")
	foreign := s.h.clientNamed(publisher)
	if other := n.other(publisher); other != nil {
		foreign = *other
	}
	r := Reason{Kind: CauseForeignDeath, At: s.now, whose: true}
	if foreign.Connected || foreign.End == "" {
		r.Text = "NDEATH was published by " + foreign.name() + ", which is not its " + n.client.name()
		return []Reason{r}
	}
	r.Text = "NDEATH is the will of " + foreign.name() + ", which is not its " + n.client.name()
	return []Reason{r, foreign.ending()}
}

// clientNamed returns a connected client, or one of which only the name is known.
func (h *Host) clientNamed(id string) ClientView {
	if c, ok := h.clients[id]; ok {
		return c
	}
	return ClientView{ID: id}
}

// noWillWhy is for a node whose client is gone for so long that its will does not come any more.
func (s *step) noWillWhy(n *node) []Reason {
	return []Reason{{Kind: CauseNoWill, At: s.now, Text: "client is gone and no will came", whose: true}, n.ended.ending()}
}

// newSessionWhy is for a session that ended by the birth of the next one.
func (s *step) newSessionWhy(n *node) []Reason {
	why := []Reason{{Kind: CauseNewSession, At: s.now, Text: "new session began, no death of the old one was seen", whose: true}}
	if n.ended.ID != "" {
		why = append(why, n.ended.ending())
	}
	return why
}

func (s *step) deviceDeathWhy(n *node) []Reason {
	text := "DDEATH received"
	if by := s.stranger(n); by != "" {
		c := s.h.clientNamed(by)
		text = "DDEATH was published by " + c.name() + ", which is not its " + n.client.name()
	} else if n.client.ID != "" {
		text = "DDEATH was published by " + n.client.name()
	}
	return []Reason{{Kind: CauseDeviceDeath, At: s.now, Text: text, whose: true}}
}
