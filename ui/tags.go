package ui

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

type metricJSON struct {
	ID       string  `json:"id"`
	Group    string  `json:"group"`
	Node     string  `json:"node"`
	Device   string  `json:"device"` // empty: the node's own
	Name     string  `json:"name"`
	Alias    *uint64 `json:"alias"`
	Datatype string  `json:"datatype"`
	Unit     string  `json:"unit"`
	Low      *number `json:"low"`
	High     *number `json:"high"`
	Value    any     `json:"value"` // value.go says how
	Quality  string  `json:"quality"`
	Time     stamp   `json:"time"`
	Received stamp   `json:"received"`
	Cause    string  `json:"cause"`
}

// tags answers GET /api/v1/metrics: the metrics and their current values, in order of group, node, device and name.
func (u *UI) tags(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := parseCount(q.Get("limit"), 1000, 10_000)
	if err != nil {
		failParam(w, "limit", err)
		return
	}
	after, err := parseCursor(q.Get("after"))
	if err != nil {
		failParam(w, "after", err)
		return
	}
	quality := sparkplug.Quality(q.Get("q"))
	switch quality {
	case "", sparkplug.QualityGood, sparkplug.QualityUncertain, sparkplug.QualityStale, sparkplug.QualityBad, sparkplug.QualityNull, sparkplug.QualityNever:
	default:
		fail(w, http.StatusBadRequest, "bad_parameter", "q: no such quality", "one of good, uncertain, stale, bad, null, never")
		return
	}
	out := struct {
		Metrics []metricJSON `json:"metrics"`
		Next    *string      `json:"next"`
	}{[]metricJSON{}, nil}
	if u.opt.Plant != nil {
		// One more than asked for tells whether there is a next page.
		ms := u.opt.Plant.Metrics(MetricFilter{q.Get("group"), q.Get("node"), q.Get("device"), quality, after, limit + 1})
		if limit = min(limit, fitting(ms)); len(ms) > limit {
			ms = ms[:limit]
			next := cursor(refOf(ms[limit-1]))
			out.Next = &next
		}
		out.Metrics = metricsJSON(ms)
	}
	answer(w, http.StatusOK, out)
}

// maxValuesBytes bounds the values of one answer: arrays and texts may have as much as a message.
const maxValuesBytes = 8 << 20

// fitting is how many of the metrics are one answer by their size, at least one: the others are on the next page.
func fitting(ms []sparkplug.MetricView) int {
	size := 0
	for n := range ms {
		if size += len(ms[n].Value.Bytes); size > maxValuesBytes {
			return max(1, n)
		}
	}
	return max(1, len(ms))
}

func metricsJSON(ms []sparkplug.MetricView) []metricJSON {
	out := make([]metricJSON, 0, len(ms))
	for _, m := range ms {
		out = append(out, metricToJSON(m))
	}
	return out
}

func metricToJSON(m sparkplug.MetricView) metricJSON {
	out := metricJSON{
		ID: metricID(refOf(m)), Group: m.Group, Node: m.Node, Device: m.Device, Name: m.Name,
		Datatype: m.Type.String(), Unit: m.Unit, Low: (*number)(m.Low), High: (*number)(m.High), Value: m.Value,
		Quality: string(m.Quality), Time: stamp(m.At), Received: stamp(m.Received), Cause: m.Cause,
	}
	if m.HasAlias {
		out.Alias = &m.Alias
	}
	return out
}

func refOf(m sparkplug.MetricView) sparkplug.MetricRef {
	return sparkplug.MetricRef{Group: m.Group, Node: m.Node, Device: m.Device, Name: m.Name}
}

// cursor is a place in the order of metrics, as text that means nothing outside. NUL is in no Sparkplug name.
func cursor(r sparkplug.MetricRef) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join([]string{r.Group, r.Node, r.Device, r.Name}, "\x00")))
}

func parseCursor(s string) (sparkplug.MetricRef, error) {
	if s == "" {
		return sparkplug.MetricRef{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	p := strings.Split(string(b), "\x00")
	if err != nil || len(p) != 4 {
		return sparkplug.MetricRef{}, errCursor
	}
	return sparkplug.MetricRef{Group: p[0], Node: p[1], Device: p[2], Name: p[3]}, nil
}

func metricID(r sparkplug.MetricRef) string {
	return journal.SeriesKey{Group: r.Group, Node: r.Node, Device: r.Device, Metric: r.Name}.MetricID()
}

// metricIDs finds the metric behind an id. It is built from Plant when an id is missing, at most once a second,
// so that asking for unknown ids costs nothing. It holds as many ids as the plant has metrics.
type metricIDs struct {
	mu    sync.Mutex
	refs  map[string]sparkplug.MetricRef
	built time.Time
}

// findMetric asks the live metrics first, then the historian, which also knows those that no birth holds any more.
func (u *UI) findMetric(id string) (sparkplug.MetricRef, bool) {
	if r, ok := u.findLive(id); ok {
		return r, true
	}
	if u.opt.History != nil {
		if g, n, d, m, ok := u.opt.History.FindMetric(id); ok {
			return sparkplug.MetricRef{Group: g, Node: n, Device: d, Name: m}, true
		}
	}
	return sparkplug.MetricRef{}, false
}

func (u *UI) findLive(id string) (sparkplug.MetricRef, bool) {
	if u.opt.Plant == nil {
		return sparkplug.MetricRef{}, false
	}
	u.ids.mu.Lock()
	defer u.ids.mu.Unlock()
	if r, ok := u.ids.refs[id]; ok {
		return r, true
	}
	now := u.opt.Now()
	if since := now.Sub(u.ids.built); u.ids.refs != nil && since >= 0 && since < time.Second {
		return sparkplug.MetricRef{}, false
	}
	u.ids.refs, u.ids.built = map[string]sparkplug.MetricRef{}, now
	for _, m := range u.opt.Plant.Metrics(MetricFilter{}) {
		ref := refOf(m)
		u.ids.refs[metricID(ref)] = ref
	}
	r, ok := u.ids.refs[id]
	return r, ok
}
