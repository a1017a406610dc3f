package ui

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"edge/historian"
	"edge/historian/journal"
)

type eventJSON struct {
	ID       string `json:"id"` // its place in the journal, decimal
	Kind     string `json:"kind"`
	Time     stamp  `json:"time"`
	Received stamp  `json:"received"` // by the appliance's clock
	Until    stamp  `json:"until"`
	Group    string `json:"group"`
	Node     string `json:"node"`
	Device   string `json:"device"`
	Reason   string `json:"reason"`
	User     string `json:"user"`
	BdSeq    *int   `json:"bd_seq"`
	Count    uint64 `json:"count"`
}

// events answers GET /api/v1/events, newest first. kind may be given often or as a list with commas;
// node is a node's name, or group/node.
func (u *UI) events(w http.ResponseWriter, r *http.Request) {
	if u.opt.History == nil {
		failPart(w, "historian")
		return
	}
	q := r.URL.Query()
	query := historian.EventQuery{Group: q.Get("group"), Node: q.Get("node")}
	if g, n, ok := strings.Cut(query.Node, "/"); ok {
		query.Group, query.Node = g, n
	}
	var err error
	if query.Kinds, err = parseKinds(q["kind"]); err != nil {
		failParam(w, "kind", err)
		return
	}
	if query.Limit, err = parseCount(q.Get("limit"), 100, 1000); err != nil {
		failParam(w, "limit", err)
		return
	}
	if s := q.Get("after"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			failParam(w, "after", errCursor)
			return
		}
		query.After = journal.Index(n)
	}
	if q.Has("from") || q.Has("to") {
		from, to, ok := u.period(w, q, 10*365*24*3600e9)
		if !ok {
			return
		}
		query.From, query.To = from, to
	}
	es, err := u.opt.History.Events(r.Context(), query)
	if err != nil {
		failStore(w, err)
		return
	}
	out := struct {
		Events []eventJSON `json:"events"`
		Next   *string     `json:"next"`
	}{eventsJSON(es), nil}
	if len(es) == query.Limit {
		out.Next = &out.Events[len(es)-1].ID
	}
	answer(w, http.StatusOK, out)
}

// parseKinds reads names of event kinds.
func parseKinds(values []string) (kinds []journal.EventKind, err error) {
	for _, v := range values {
		for _, name := range strings.Split(v, ",") {
			k := journal.NodeBirth
			for k.String() != name {
				if k++; k.String() == "unknown" {
					return nil, errors.New("no such kind of event: " + name)
				}
			}
			kinds = append(kinds, k)
		}
	}
	return kinds, nil
}

func eventsJSON(es []journal.Event) []eventJSON {
	out := make([]eventJSON, 0, len(es))
	for _, e := range es {
		out = append(out, eventToJSON(e))
	}
	return out
}

func eventToJSON(e journal.Event) eventJSON {
	out := eventJSON{ID: strconv.FormatUint(uint64(e.Index), 10), Kind: e.Kind.String(), Time: millis(e.At), Received: millis(e.Received), Until: millis(e.Until),
		Group: e.Group, Node: e.Node, Device: e.Device, Reason: e.Reason, User: e.User, Count: e.Count}
	if e.Kind == journal.NodeBirth || e.Kind == journal.NodeDeath {
		out.BdSeq = notNegative(int(e.BdSeq))
	}
	return out
}
