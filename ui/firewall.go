package ui

import (
	"net/http"
	"time"

	"edge/sparkplug"
)

// Firewall is what the page reads of the Sparkplug firewall.
type Firewall interface {
	Mode() string // "observe" or "enforce"
	// Violations returns what is listed, newest first, and how many there were since the start, by rule.
	Violations() ([]Violation, map[string]uint64)
	Bindings() []sparkplug.Binding
	// Forget ends a binding by its name; ok is false if there is none.
	Forget(name, by string) (ok bool, err error)
}

// Violation is what a client tried, as often as Count says.
type Violation struct {
	First, Last                 time.Time
	Count                       uint64
	Rule                        string // a sparkplug.Breach
	What                        string // CONNECT, PUBLISH, SUBSCRIBE, or will
	Topic                       string // or the filter; of CONNECT the will's
	Detail                      string // of the last
	Client, User, Cert, Address string
	Group, Node, Device, Host   string // whom it would have spoken for
	Refused                     bool
}

type violationJSON struct {
	First       stamp  `json:"first"`
	Last        stamp  `json:"last"`
	Count       uint64 `json:"count"`
	Rule        string `json:"rule"`
	What        string `json:"what"`
	Topic       string `json:"topic"`
	Detail      string `json:"detail"`
	Refused     bool   `json:"refused"`
	Client      string `json:"client"`
	User        string `json:"user"`
	Certificate string `json:"certificate"`
	Address     string `json:"address"`
	Group       string `json:"group"`
	Node        string `json:"node"`
	Device      string `json:"device"`
	Host        string `json:"host"`
}

type violationsJSON struct {
	Mode       string            `json:"mode"`
	Total      map[string]uint64 `json:"total"`
	Violations []violationJSON   `json:"violations"`
}

// violations answers GET /api/v1/violations.
func (u *UI) violations(w http.ResponseWriter, _ *http.Request) {
	out := violationsJSON{Mode: "off", Total: map[string]uint64{}, Violations: []violationJSON{}}
	if f := u.opt.Firewall; f != nil {
		list, total := f.Violations()
		out.Mode, out.Total = f.Mode(), total
		for _, v := range list {
			out.Violations = append(out.Violations, violationJSON{
				First: stamp(v.First), Last: stamp(v.Last), Count: v.Count, Rule: v.Rule, What: v.What, Topic: v.Topic, Detail: v.Detail, Refused: v.Refused,
				Client: v.Client, User: v.User, Certificate: v.Cert, Address: v.Address, Group: v.Group, Node: v.Node, Device: v.Device, Host: v.Host,
			})
		}
	}
	answer(w, http.StatusOK, out)
}

type bindingJSON struct {
	Name     string `json:"name"`
	Group    string `json:"group"`
	Node     string `json:"node"`
	Host     string `json:"host"`
	Identity string `json:"identity"`
	Client   string `json:"client"`
	User     string `json:"user"`
	Address  string `json:"address"`
	Since    stamp  `json:"since"`
	Pinned   bool   `json:"pinned"`
}

// bindings answers GET /api/v1/bindings.
func (u *UI) bindings(w http.ResponseWriter, _ *http.Request) {
	out := []bindingJSON{}
	if u.opt.Firewall != nil {
		for _, b := range u.opt.Firewall.Bindings() {
			out = append(out, bindingJSON{Name: b.Name(), Group: b.Group, Node: b.Node, Host: b.Host, Identity: b.Key, Client: b.Client, User: b.User,
				Address: b.Address, Since: stamp(b.Since), Pinned: b.Pinned})
		}
	}
	answer(w, http.StatusOK, out)
}

// forget answers POST /api/v1/bindings/forget.
func (u *UI) forget(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"name"`
	}
	if !readJSON(w, r, &body) || !u.commandsAllowed(w) {
		return
	}
	if u.opt.Firewall == nil {
		failPart(w, "firewall")
		return
	}
	ok, err := u.opt.Firewall.Forget(body.Name, asker(r))
	switch {
	case err != nil:
		fail(w, http.StatusServiceUnavailable, "not_kept", "forgotten, but only until the next start: "+err.Error(), "see whether the disk is full")
	case !ok:
		fail(w, http.StatusNotFound, "unknown_binding", "nobody is bound to this name", "see /api/v1/bindings")
	default:
		answer(w, http.StatusAccepted, map[string]string{"status": "forgotten"})
	}
}
