package promql

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// API serves Prometheus' query API. It is an http.Handler for paths that begin with /api/v1/ or /-/.
type API struct {
	o       Options
	catalog *catalog
	parser  parser.Parser
	engine  *promql.Engine
	slots   chan struct{} // one for each query that runs
	waiting atomic.Int64
	counts  [len(outcomes)]atomic.Uint64
	nanos   atomic.Int64
	samples atomic.Int64
}

// New returns the API over a store.
func New(store Store, o Options) *API {
	o = o.defaults()
	p := parser.NewParser(parser.Options{})
	return &API{o: o, catalog: &catalog{store: store}, parser: p, slots: make(chan struct{}, o.Queries),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: o.Log, MaxSamples: o.MaxSamples, Timeout: o.Timeout, LookbackDelta: o.Lookback, Parser: p,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
			EnableAtModifier:         true, EnableNegativeOffset: true,
		})}
}

// call is one of the API's questions.
type call struct {
	serve func(*request) (answer, error)
	post  bool // a form is taken as well
}

// answer is what a question is answered with. After it is written, close is called if it is set.
type answer struct {
	data     any
	warnings annotations.Annotations
	close    func()
}

// request is one question being answered.
type request struct {
	*http.Request
	api   *API
	label string // of label/{label}/values
}

func (a *API) find(path string) (c call, label string, ok bool) {
	if rest, is := strings.CutPrefix(path, "/api/v1/label/"); is {
		label, ok = strings.CutSuffix(rest, "/values")
		return call{serve: (*request).labelValues}, label, ok
	}
	c, ok = calls[path]
	return c, "", ok
}

var calls = map[string]call{
	"/api/v1/query":            {(*request).query, true},
	"/api/v1/query_range":      {(*request).queryRange, true},
	"/api/v1/query_exemplars":  {(*request).exemplars, true},
	"/api/v1/format_query":     {(*request).formatQuery, true},
	"/api/v1/series":           {(*request).series, true},
	"/api/v1/labels":           {(*request).labelNames, true},
	"/api/v1/metadata":         {(*request).metadata, false},
	"/api/v1/rules":            {(*request).rules, false},
	"/api/v1/alerts":           {(*request).alerts, false},
	"/api/v1/status/buildinfo": {(*request).buildInfo, false},
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/-/healthy" || r.URL.Path == "/-/ready" {
		fmt.Fprintln(w, "edge answers as a Prometheus Server.")
		return
	}
	c, label, ok := a.find(r.URL.Path)
	if !ok {
		a.fail(w, problem{notFound, fmt.Errorf("%s is not part of this API: it has query, query_range, series, labels and label values", r.URL.Path)})
		return
	}
	if r.Method != http.MethodGet && (r.Method != http.MethodPost || !c.post) {
		w.Header().Set("Allow", map[bool]string{false: "GET", true: "GET, POST"}[c.post])
		a.failStatus(w, http.StatusMethodNotAllowed, problem{badData, fmt.Errorf("%s is not asked with %s", r.URL.Path, r.Method)})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if err := r.ParseForm(); err != nil {
		a.fail(w, problem{badData, fmt.Errorf("error parsing form values: %w", err)})
		return
	}
	leave, err := a.enter(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	defer leave()
	started := time.Now()
	got, err := c.serve(&request{Request: r, api: a, label: label})
	a.nanos.Add(int64(time.Since(started)))
	if got.close != nil {
		defer got.close()
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	a.counts[ok200].Add(1)
	// From now on only the reader can be slow.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second)) // not all writers have deadlines
	writeAnswer(w, got, r.Form.Get("query"))
}

// enter waits for a place; who has one keeps it until the answer is written, which bounds the memory of all answers.
func (a *API) enter(ctx context.Context) (leave func(), err error) {
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	default:
	}
	defer a.waiting.Add(-1)
	if a.waiting.Add(1) > maxWaiting {
		return nil, problem{unavailable, fmt.Errorf("%d queries run and %d wait: ask again later, or for fewer panels at once", cap(a.slots), maxWaiting)}
	}
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, problem{canceled, errors.New("the client has gone")}
		}
		return nil, problem{unavailable, fmt.Errorf("no place within %v: %d queries run; ask again later", a.o.Timeout, cap(a.slots))}
	}
}
