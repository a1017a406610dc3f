package ui

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"
)

// promPrefix is where the query API of Prometheus is; its own documents describe what lies below.
const promPrefix = "/prometheus"

// route is one line of the HTTP interface; web/openapi.yaml describes the same lines, and a test compares them.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

func (u *UI) routes() []route {
	rs := []route{
		{"GET", "/healthz", u.healthz},
		{"GET", "/readyz", u.readyz},
		{"GET", "/metrics", u.prometheus().ServeHTTP},
		{"GET", "/api/v1/openapi.yaml", serveOpenAPI},
		{"GET", "/api/v1/status", u.status},
		{"GET", "/api/v1/nodes", u.nodes},
		{"GET", "/api/v1/nodes/{group}/{node}", u.node},
		{"POST", "/api/v1/nodes/{group}/{node}/rebirth", u.rebirth},
		{"GET", "/api/v1/metrics", u.inTurn(u.tags)},
		{"GET", "/api/v1/history", u.inTurn(u.history)},
		{"GET", "/api/v1/aggregates", u.inTurn(u.aggregates)},
		{"GET", "/api/v1/export", u.export},
		{"GET", "/api/v1/events", u.events},
		{"GET", "/api/v1/events/{id}/birth", u.inTurn(u.birth)},
		{"GET", "/api/v1/clients", u.clients},
		{"GET", "/api/v1/clients/{id}/trace", u.trace},
		{"POST", "/api/v1/clients/{id}/trace", u.startTrace},
		{"DELETE", "/api/v1/clients/{id}/trace", u.stopTrace},
		{"POST", "/api/v1/clients/{id}/disconnect", u.disconnect},
		{"GET", "/api/v1/clients/{id}", u.client}, // behind those: an identifier may hold slashes
		{"GET", "/api/v1/violations", u.violations},
		{"GET", "/api/v1/bindings", u.bindings},
		{"POST", "/api/v1/bindings/forget", u.forget},
		{"GET", "/api/v1/uplinks", u.uplinks},
		{"GET", "/api/v1/uplinks/{name}/outages", u.outages},
		{"POST", "/api/v1/write", u.prepareWrite},
		{"POST", "/api/v1/write/{token}", u.confirmWrite},
		{"GET", "/api/v1/stream", u.stream},
	}
	if u.opt.Demo != nil {
		rs = append(rs,
			route{"GET", "/api/v1/demo", u.demo},
			route{"GET", "/api/v1/demo/history", u.demoHistory},
			route{"POST", "/api/v1/demo/{action}", u.demoDo})
	}
	return rs
}

func (u *UI) router() http.Handler {
	m := mux.NewRouter()
	for _, r := range u.routes() {
		methods := []string{r.method}
		if r.method == "GET" && r.path != "/api/v1/stream" && r.path != "/api/v1/export" { // whose answers have no end, or a far one
			methods = append(methods, "HEAD")
		}
		m.HandleFunc(strings.ReplaceAll(r.path, "{id}", "{id:.+}"), r.serve).Methods(methods...)
	}
	if u.opt.PromQL != nil {
		m.PathPrefix(promPrefix + "/").Handler(http.StripPrefix(promPrefix, u.opt.PromQL))
	}
	// Asked before the path: a later matcher that matches would make mux forget that only the method was wrong.
	notAPI := func(r *http.Request, _ *mux.RouteMatch) bool { return !strings.HasPrefix(r.URL.Path, "/api/") }
	m.MatcherFunc(notAPI).PathPrefix("/").Handler(pageFiles()).Methods("GET", "HEAD")
	m.NotFoundHandler = http.HandlerFunc(noRoute)
	m.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed(m, r), ", "))
		fail(w, http.StatusMethodNotAllowed, "method", "this address does not take "+r.Method, "see /api/v1/openapi.yaml")
	})
	return m
}

// allowed are the methods that an address takes (RFC 9110, section 15.5.6).
func allowed(m *mux.Router, r *http.Request) (list []string) {
	other := *r
	for _, other.Method = range [...]string{"GET", "HEAD", "POST", "DELETE"} {
		if found := (mux.RouteMatch{}); m.Match(&other, &found) && found.MatchErr == nil {
			list = append(list, other.Method)
		}
	}
	return list
}

func noRoute(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, "no_route", "there is nothing at this address", "see /api/v1/openapi.yaml")
}
