package ui

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"edge/sparkplug/uplink"
)

type uplinkJSON struct {
	Name       string            `json:"name"`
	State      string            `json:"state"`
	Reason     string            `json:"reason"`
	Since      stamp             `json:"since"`
	Server     string            `json:"server"`
	Owed       uint64            `json:"owed"`
	Oldest     stamp             `json:"oldest"`
	Rate       float64           `json:"rate"` // samples a second
	Eta        *float64          `json:"eta"`  // seconds until nothing is owed; null: growing, or not known
	Drops      map[string]uint64 `json:"drops"`
	Delivered  uint64            `json:"delivered"`
	Duplicated uint64            `json:"duplicated"`
	Nodes      []uplinkNodeJSON  `json:"nodes"`
}

type uplinkNodeJSON struct {
	Group  string `json:"group"`
	Node   string `json:"node"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	Since  stamp  `json:"since"`
	BdSeq  *int   `json:"bd_seq"`
	Cursor uint64 `json:"cursor"`
	Owed   uint64 `json:"owed"`
}

type outageJSON struct {
	ID         uint64           `json:"id"`
	From       stamp            `json:"from"`
	To         stamp            `json:"to"`
	Restored   stamp            `json:"restored"`
	Cause      string           `json:"cause"`
	Server     string           `json:"server"`
	Owed       uint64           `json:"owed"`
	Delivered  uint64           `json:"delivered"`
	Duplicated uint64           `json:"duplicated"`
	Waived     uint64           `json:"waived"`
	Gaps       []outageGapJSON  `json:"gaps"`
	Nodes      []outageNodeJSON `json:"nodes"`
}

type outageGapJSON struct {
	Group  string `json:"group"`
	Node   string `json:"node"`
	From   stamp  `json:"from"`
	To     stamp  `json:"to"`
	Count  uint64 `json:"count"`
	Reason string `json:"reason"`
}

type outageNodeJSON struct {
	Group     string     `json:"group"`
	Node      string     `json:"node"`
	Owed      uint64     `json:"owed"`
	Delivered uint64     `json:"delivered"`
	Deaths    []spanJSON `json:"deaths"`
}

type spanJSON struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

func (u *UI) uplinks(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, u.uplinkList())
}

func (u *UI) uplinkList() []uplinkJSON {
	out := []uplinkJSON{}
	if u.opt.Uplinks == nil {
		return out
	}
	for _, s := range u.opt.Uplinks.Status() {
		out = append(out, uplinkToJSON(s))
	}
	return out
}

func uplinkToJSON(s uplink.Status) uplinkJSON {
	out := uplinkJSON{
		Name: s.Name, State: string(s.State), Reason: s.Reason, Since: stamp(s.Since), Server: s.Server,
		Owed: s.Owed, Oldest: stamp(s.Oldest), Rate: finite(s.Rate), Drops: orEmpty(s.Drops),
		Delivered: s.Delivered, Duplicated: s.Duplicated, Nodes: make([]uplinkNodeJSON, 0, len(s.Nodes)),
	}
	if s.Eta >= 0 {
		eta := seconds(s.Eta)
		out.Eta = &eta
	}
	for _, n := range s.Nodes {
		out.Nodes = append(out.Nodes, uplinkNodeJSON{n.Group, n.Node, string(n.State), n.Reason, stamp(n.Since), notNegative(n.BdSeq), n.Cursor, n.Owed})
	}
	// Rows keep their place on the page, whatever order the uplink counts its nodes in.
	slices.SortFunc(out.Nodes, func(a, b uplinkNodeJSON) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Node, b.Node))
	})
	return out
}

// outages answers with the reports of one uplink, newest first.
func (u *UI) outages(w http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["name"]
	out, found := []outageJSON{}, false
	if u.opt.Uplinks != nil {
		var reports []uplink.Outage
		reports, found = u.opt.Uplinks.Outages(name)
		for _, o := range reports {
			out = append(out, outageToJSON(o))
		}
	}
	if !found {
		fail(w, http.StatusNotFound, "unknown_uplink", "no uplink is named "+name, "see /api/v1/uplinks")
		return
	}
	answer(w, http.StatusOK, out)
}

func outageToJSON(o uplink.Outage) outageJSON {
	out := outageJSON{
		ID: o.ID, From: stamp(o.From), To: stamp(o.To), Restored: stamp(o.Restored), Cause: o.Cause, Server: o.Server,
		Owed: o.Owed, Delivered: o.Delivered, Duplicated: o.Duplicated, Waived: o.Waived,
		Gaps: []outageGapJSON{}, Nodes: []outageNodeJSON{},
	}
	for _, g := range o.Gaps {
		out.Gaps = append(out.Gaps, outageGapJSON{g.Group, g.Node, stamp(g.From), stamp(g.To), g.Count, g.Reason})
	}
	for _, n := range o.Nodes {
		j := outageNodeJSON{n.Group, n.Node, n.Owed, n.Delivered, []spanJSON{}}
		for _, d := range n.Deaths {
			j.Deaths = append(j.Deaths, spanJSON{stamp(d.From), stamp(d.To)})
		}
		out.Nodes = append(out.Nodes, j)
	}
	return out
}
