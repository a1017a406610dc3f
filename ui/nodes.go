package ui

import (
	"net/http"

	"github.com/gorilla/mux"

	"edge/historian"
	"edge/sparkplug"
)

type nodeJSON struct {
	Group         string       `json:"group"`
	Node          string       `json:"node"`
	State         string       `json:"state"`
	Reason        string       `json:"reason"`
	Since         stamp        `json:"since"`
	SinceReceived stamp        `json:"since_received"` // by the appliance's clock
	BdSeq         *int         `json:"bd_seq"`
	Seq           *int         `json:"seq"`
	LastBirth     stamp        `json:"last_birth"`
	BirthReceived stamp        `json:"last_birth_received"`
	LastDeath     *deathJSON   `json:"last_death"`
	Metrics       int          `json:"metrics"` // of the node itself; its devices count their own
	Devices       []deviceJSON `json:"devices"`
	Rebirths      rebirthsJSON `json:"rebirths"`
	Gaps          int          `json:"gaps"`
	Client        *clientRef   `json:"client"`
	Why           []whyJSON    `json:"why"`
	Warnings      []string     `json:"warnings"`
	ClockSkewMs   int64        `json:"clock_skew_ms"`
}

type deathJSON struct {
	Time   stamp  `json:"time"`
	Reason string `json:"reason"`
}

type deviceJSON struct {
	Device        string    `json:"device"`
	State         string    `json:"state"`
	Reason        string    `json:"reason"`
	Since         stamp     `json:"since"`
	SinceReceived stamp     `json:"since_received"`
	Metrics       int       `json:"metrics"`
	Why           []whyJSON `json:"why"`
}

// whyJSON is a line of a chain of reasons; the one behind it explains it.
type whyJSON struct {
	Kind string `json:"kind"`
	At   stamp  `json:"at"`
	Text string `json:"text"` // with the time
}

type rebirthsJSON struct {
	Asked    int            `json:"asked"`
	Answered int            `json:"answered"`
	Causes   map[string]int `json:"causes"` // of asked
}

// clientRef is the MQTT client that speaks for a node, connected or as it was last.
type clientRef struct {
	ID          string  `json:"id"`
	Address     string  `json:"address"`
	TLS         bool    `json:"tls"`
	User        string  `json:"user"`
	Certificate string  `json:"certificate"`
	Protocol    string  `json:"protocol"`   // empty: not known
	KeepAlive   float64 `json:"keep_alive"` // seconds; 0: none
	WillTopic   string  `json:"will_topic"`
	Connected   bool    `json:"connected"`
	Since       stamp   `json:"since"` // of the connection
	Ended       stamp   `json:"ended"`
	EndReason   string  `json:"end_reason"`
}

// sessionJSON is a connection that began or ended, or was refused.
type sessionJSON struct {
	Kind    string `json:"kind"`
	Time    stamp  `json:"time"`
	Last    stamp  `json:"last"`
	Client  string `json:"client"`
	Address string `json:"address"`
	User    string `json:"user"`
	Detail  string `json:"detail"`
	Count   int    `json:"count"`
}

func (u *UI) nodes(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, u.nodeList())
}

func (u *UI) nodeList() []nodeJSON {
	if u.opt.Plant == nil {
		return []nodeJSON{}
	}
	return nodesJSON(u.opt.Plant.Nodes())
}

// node is one node with its newest events.
func (u *UI) node(w http.ResponseWriter, r *http.Request) {
	v := mux.Vars(r)
	if u.opt.Plant == nil {
		failPart(w, "Sparkplug host")
		return
	}
	n, ok := u.opt.Plant.Node(v["group"], v["node"])
	if !ok {
		failNode(w, v["group"], v["node"])
		return
	}
	out := struct {
		nodeJSON
		Sessions []sessionJSON `json:"sessions"`
		Events   []eventJSON   `json:"events"`
	}{nodeToJSON(n), sessionsJSON(n.Sessions), []eventJSON{}}
	if u.opt.History != nil {
		es, err := u.opt.History.Events(r.Context(), historian.EventQuery{Group: n.Group, Node: n.Node, Limit: 50})
		if err != nil {
			failStore(w, err)
			return
		}
		out.Events = eventsJSON(es)
	}
	answer(w, http.StatusOK, out)
}

func failNode(w http.ResponseWriter, group, node string) {
	fail(w, http.StatusNotFound, "unknown_node", "no node "+group+"/"+node+" was heard of", "see /api/v1/nodes")
}

func nodesJSON(ns []sparkplug.NodeView) []nodeJSON {
	out := make([]nodeJSON, 0, len(ns))
	for _, n := range ns {
		out = append(out, nodeToJSON(n))
	}
	return out
}

func nodeToJSON(n sparkplug.NodeView) nodeJSON {
	out := nodeJSON{
		Group: n.Group, Node: n.Node, State: string(n.State), Reason: n.Reason, Since: stamp(n.Since), SinceReceived: stamp(n.Heard),
		BdSeq: notNegative(n.BdSeq), Seq: notNegative(n.Seq), LastBirth: stamp(n.LastBirth), BirthReceived: stamp(n.BirthHeard), Metrics: n.Metrics,
		Devices:  make([]deviceJSON, 0, len(n.Devices)),
		Rebirths: rebirthsJSON{n.RebirthsAsked, n.RebirthsDone, map[string]int{}}, Gaps: n.Gaps,
		Why: whyToJSON(n.Why), Warnings: append([]string{}, n.Warnings...), ClockSkewMs: n.ClockSkew.Milliseconds(),
	}
	if !n.LastDeath.IsZero() {
		out.LastDeath = &deathJSON{stamp(n.LastDeath), n.DeathReason}
	}
	if n.Client.ID != "" {
		out.Client = clientToRef(&n.Client)
	}
	for cause, asked := range n.RebirthCauses {
		if asked > 0 {
			out.Rebirths.Causes[sparkplug.RebirthCause(cause).String()] = asked
		}
	}
	for _, d := range n.Devices {
		out.Devices = append(out.Devices, deviceJSON{d.Device, string(d.State), d.Reason, stamp(d.Since), stamp(d.Heard), d.Metrics, whyToJSON(d.Why)})
	}
	return out
}

func clientToRef(c *sparkplug.ClientView) *clientRef {
	out := &clientRef{ID: c.ID, Address: c.Address, TLS: c.TLS, User: c.User, Certificate: c.Cert, KeepAlive: seconds(c.KeepAlive),
		WillTopic: c.WillTopic, Connected: c.Connected, Since: stamp(c.Since), Ended: stamp(c.Ended), EndReason: c.EndReason}
	if c.Protocol != 0 {
		out.Protocol = protocolName(c.Protocol)
	}
	return out
}

func whyToJSON(chain []sparkplug.Reason) []whyJSON {
	out := make([]whyJSON, 0, len(chain))
	for _, r := range chain {
		out = append(out, whyJSON{string(r.Kind), stamp(r.At), r.Line()})
	}
	return out
}

func sessionsJSON(notes []sparkplug.SessionNote) []sessionJSON {
	out := make([]sessionJSON, 0, len(notes))
	for _, x := range notes {
		out = append(out, sessionJSON{string(x.Kind), stamp(x.At), stamp(x.Last), x.ClientID, x.Address, x.User, x.Detail, x.Count})
	}
	return out
}

func notNegative(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
