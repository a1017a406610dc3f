package ui

import (
	"maps"
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"edge/sparkplug"
)

type demoJSON struct {
	Scada  scadaJSON `json:"scada"`
	Cut    bool      `json:"cut"`
	Killed []string  `json:"killed"`

	Offered []demoFault       `json:"offered"`
	Faults  map[string]string `json:"faults"`
}

type demoFault struct {
	Name  string `json:"name"`
	Shows string `json:"shows"`
}

type scadaJSON struct {
	Host      string     `json:"host"`
	Server    string     `json:"server"`
	Connected bool       `json:"connected"`
	Since     stamp      `json:"since"`
	Messages  uint64     `json:"messages"`
	Samples   uint64     `json:"samples"`
	Backfill  uint64     `json:"backfill"`
	Nodes     []nodeJSON `json:"nodes"`
}

// demo answers with SCADA's belief and the demo's switches.
func (u *UI) demo(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, u.demoView())
}

func (u *UI) demoView() demoJSON {
	s := u.opt.Demo.Scada()
	offered := make([]demoFault, len(s.Offered))
	for i, f := range s.Offered {
		offered[i] = demoFault(f)
	}
	return demoJSON{
		Offered: offered, Faults: maps.Collect(maps.All(s.Faults)), // never nil
		Scada: scadaJSON{s.Host, s.Server, s.Connected, stamp(s.Since), s.Messages, s.Samples, s.Backfill, nodesJSON(s.Nodes)},
		Cut:   s.Cut, Killed: append([]string{}, s.Killed...),
	}
}

// demoHistory is /api/v1/history as SCADA would answer it, always in buckets.
func (u *UI) demoHistory(w http.ResponseWriter, r *http.Request) {
	q, ok := u.historyQuery(w, r.URL.Query())
	if !ok {
		return
	}
	if q.points == 0 {
		q.points = 500
	}
	bs, gaps := u.opt.Demo.Trend(sparkplug.MetricRef{Group: q.Group, Node: q.Node, Device: q.Device, Name: q.Metric}, timeOf(q.From), timeOf(q.To), q.points)
	answer(w, http.StatusOK, bucketsJSON{q.id, instant(q.From), instant(q.To), toBuckets(bs), toGaps(gaps), ""})
}

// demoDo works a switch of the demo: kill or revive a node, give it a fault or mend it, cut or restore the uplink.
func (u *UI) demoDo(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Node  string `json:"node"`  // "Group/Node" for kill, revive and fault
		Fault string `json:"fault"` // for fault; empty: none any more
	}
	if !readJSON(w, r, &body) {
		return
	}
	action := mux.Vars(r)["action"]
	needsNode := slices.Contains([]string{"kill", "revive", "fault"}, action)
	if !needsNode && !slices.Contains([]string{"cut", "restore"}, action) {
		fail(w, http.StatusNotFound, "no_route", "the demo has no switch "+action, "kill, revive, fault, cut or restore")
		return
	}
	if needsNode == (body.Node == "") {
		fail(w, http.StatusBadRequest, "bad_body", "kill, revive and fault take a node, cut and restore do not", `{"node":"plant/press"}`)
		return
	}
	if err := u.opt.Demo.Do(r.Context(), action, body.Node, body.Fault); err != nil {
		failCommand(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"status": "asked"})
}
