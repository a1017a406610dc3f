package ui

import (
	"net/http"

	"github.com/gorilla/mux"

	"edge/historian"
	"edge/sparkplug"
)

type nodeJSON struct {
	Group       string       `json:"group"`
	Node        string       `json:"node"`
	State       string       `json:"state"`
	Reason      string       `json:"reason"`
	Since       stamp        `json:"since"`
	BdSeq       *int         `json:"bd_seq"`
	Seq         *int         `json:"seq"`
	LastBirth   stamp        `json:"last_birth"`
	LastDeath   *deathJSON   `json:"last_death"`
	Metrics     int          `json:"metrics"` // of the node itself; its devices count their own
	Devices     []deviceJSON `json:"devices"`
	Rebirths    rebirthsJSON `json:"rebirths"`
	Gaps        int          `json:"gaps"`
	Client      *clientRef   `json:"client"`
	Warnings    []string     `json:"warnings"`
	ClockSkewMs int64        `json:"clock_skew_ms"`
}

type deathJSON struct {
	Time   stamp  `json:"time"`
	Reason string `json:"reason"`
}

type deviceJSON struct {
	Device  string `json:"device"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Since   stamp  `json:"since"`
	Metrics int    `json:"metrics"`
}

type rebirthsJSON struct {
	Asked    int            `json:"asked"`
	Answered int            `json:"answered"`
	Causes   map[string]int `json:"causes"` // of asked
}

type clientRef struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
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
		Events []eventJSON `json:"events"`
	}{nodeToJSON(n), []eventJSON{}}
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
		Group: n.Group, Node: n.Node, State: string(n.State), Reason: n.Reason, Since: stamp(n.Since),
		BdSeq: notNegative(n.BdSeq), Seq: notNegative(n.Seq), LastBirth: stamp(n.LastBirth), Metrics: n.Metrics,
		Devices:  make([]deviceJSON, 0, len(n.Devices)),
		Rebirths: rebirthsJSON{n.RebirthsAsked, n.RebirthsDone, map[string]int{}}, Gaps: n.Gaps,
		Warnings: append([]string{}, n.Warnings...), ClockSkewMs: n.ClockSkew.Milliseconds(),
	}
	if !n.LastDeath.IsZero() {
		out.LastDeath = &deathJSON{stamp(n.LastDeath), n.DeathReason}
	}
	if n.Client.ID != "" {
		out.Client = &clientRef{n.Client.ID, n.Client.Address, n.Client.TLS}
	}
	for cause, asked := range n.RebirthCauses {
		if asked > 0 {
			out.Rebirths.Causes[sparkplug.RebirthCause(cause).String()] = asked
		}
	}
	for _, d := range n.Devices {
		out.Devices = append(out.Devices, deviceJSON{d.Device, string(d.State), d.Reason, stamp(d.Since), d.Metrics})
	}
	return out
}

func notNegative(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
