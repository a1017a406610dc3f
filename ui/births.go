package ui

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/gorilla/mux"
)

// birthJSON is what a node or device said at its birth.
type birthJSON struct {
	Event     eventJSON         `json:"event"`
	Timestamp stamp             `json:"timestamp"` // the payload's
	Seq       *uint64           `json:"seq"`
	Bytes     int               `json:"bytes"`
	Problems  []string          `json:"problems"` // what the sender did wrong
	Error     string            `json:"error"`    // why it cannot be read; the bytes are there all the same
	Metrics   []birthMetricJSON `json:"metrics"`
}

type birthMetricJSON struct {
	Name       string                     `json:"name"`
	Alias      *uint64                    `json:"alias"`
	Datatype   string                     `json:"datatype"`
	Value      sparkplug.Value            `json:"value"`
	Timestamp  stamp                      `json:"timestamp"`
	Properties map[string]sparkplug.Value `json:"properties"`
}

// birth answers GET /api/v1/events/{id}/birth: the payload of a birth, decoded; with Accept: application/x-protobuf as it came.
func (u *UI) birth(w http.ResponseWriter, r *http.Request) {
	if u.opt.History == nil {
		failPart(w, "historian")
		return
	}
	id, err := strconv.ParseUint(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		failParam(w, "id", errors.New("not the id of an event"))
		return
	}
	e, payload, err := u.opt.History.Birth(r.Context(), journal.Index(id))
	switch {
	case errors.Is(err, historian.ErrNoBirth):
		fail(w, http.StatusNotFound, "unknown_birth", "no birth has this id, or its day left historian.retention.minute", "see /api/v1/events?kind=node_birth,device_birth")
	case errors.Is(err, historian.ErrNotKept):
		fail(w, http.StatusNotFound, "not_kept", err.Error(), "what it brought is in the samples of that time")
	case err != nil:
		failStore(w, err)
	case strings.Contains(r.Header.Get("Accept"), "application/x-protobuf"):
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(payload) // its error means that the reader has gone
	default:
		answer(w, http.StatusOK, birthToJSON(e, payload))
	}
}

func birthToJSON(e journal.Event, payload []byte) birthJSON {
	out := birthJSON{Event: eventToJSON(e), Bytes: len(payload), Problems: []string{}, Metrics: []birthMetricJSON{}}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Problems = append(out.Problems, p.Problems...)
	if p.HasTimestamp {
		out.Timestamp = millis(journal.Millis(p.Timestamp))
	}
	if p.HasSeq {
		out.Seq = &p.Seq
	}
	for i := range p.Metrics {
		out.Metrics = append(out.Metrics, birthMetric(&p.Metrics[i]))
	}
	return out
}

func birthMetric(m *sparkplug.Metric) birthMetricJSON {
	out := birthMetricJSON{Name: m.Name, Datatype: m.Type.String(), Value: m.Value, Properties: map[string]sparkplug.Value{}}
	if m.HasAlias {
		out.Alias = &m.Alias
	}
	if m.HasTimestamp {
		out.Timestamp = millis(journal.Millis(m.Timestamp))
	}
	for _, p := range m.Properties {
		out.Properties[p.Key] = p.Value
	}
	return out
}
