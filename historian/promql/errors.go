package promql

import (
	"bufio"
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/prometheus/promql"
)

// outcome is how a question ended, in Prometheus' words.
type outcome int

const (
	ok200 outcome = iota
	badData
	execution
	canceled
	timeout
	internal
	notFound
	unavailable
)

var outcomes = [...]struct {
	name   string
	status int
}{
	ok200:       {"success", http.StatusOK},
	badData:     {"bad_data", http.StatusBadRequest},
	execution:   {"execution", http.StatusUnprocessableEntity},
	canceled:    {"canceled", 499}, // the client has gone
	timeout:     {"timeout", http.StatusServiceUnavailable},
	internal:    {"internal", http.StatusInternalServerError},
	notFound:    {"not_found", http.StatusNotFound},
	unavailable: {"unavailable", http.StatusServiceUnavailable},
}

// problem is an error that knows how it is answered.
type problem struct {
	outcome outcome
	err     error
}

func (p problem) Error() string { return p.err.Error() }
func (p problem) Unwrap() error { return p.err }

// judge makes a problem of what the engine or the store said.
func judge(err error) problem {
	var p problem
	var gone promql.ErrQueryCanceled
	var late promql.ErrQueryTimeout
	var many promql.ErrTooManySamples
	var store promql.ErrStorage
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &gone), errors.Is(err, context.Canceled):
		return problem{canceled, err}
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return problem{timeout, hinted{err, "ask for a shorter range, a longer step or fewer series"}}
	case errors.As(err, &many):
		return problem{execution, hinted{err, "ask for a shorter range, a longer step or fewer series"}}
	case errors.As(err, &store):
		return problem{internal, err}
	}
	return problem{execution, err}
}

// hinted is an error that says what to do.
type hinted struct {
	error
	hint string
}

func (h hinted) Error() string { return h.error.Error() + ": " + h.hint }
func (h hinted) Unwrap() error { return h.error }

func (a *API) fail(w http.ResponseWriter, err error) {
	p := judge(err)
	a.failStatus(w, outcomes[p.outcome].status, p)
}

func (a *API) failStatus(w http.ResponseWriter, status int, p problem) {
	a.counts[p.outcome].Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := encoder{Writer: bufio.NewWriter(w)}
	e.raw(`{"status":"error","errorType":`).text(outcomes[p.outcome].name).raw(`,"error":`).text(p.Error()).raw(`}`)
	e.Flush() // an error means the reader has gone: nobody is left to tell
}

// Stats are the API's counters.
type Stats struct {
	Queries map[string]uint64 // answered, by how they ended: "success" or Prometheus' type of error
	Running int
	Waiting int
	Seconds float64 // spent on questions
	Samples uint64  // that the engine looked at
}

// Stats returns the present counters.
func (a *API) Stats() Stats {
	s := Stats{Queries: make(map[string]uint64, len(outcomes)), Running: len(a.slots), Waiting: int(a.waiting.Load()),
		Seconds: float64(a.nanos.Load()) / 1e9, Samples: uint64(a.samples.Load())}
	for i := range outcomes {
		s.Queries[outcomes[i].name] = a.counts[i].Load()
	}
	return s
}
