package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"
)

const (
	maxPoints  = 4096    // buckets in one answer
	maxSamples = 20_000  // samples in one answer
	maxIDs     = 100     // metrics in one answer
	maxCells   = 200_000 // buckets or intervals of all of them
)

var (
	errCursor = errors.New("not a cursor of this address")
	errOrder  = errors.New("must be after from")
	errFuture = errors.New("must be before now, which is to when that is not given")
)

type bucketJSON struct {
	T       stamp   `json:"t"`
	Min     *number `json:"min"` // null where nothing arrived
	Max     *number `json:"max"`
	Mean    *number `json:"mean"` // carried in from before where nothing arrived; null when there is nothing to carry
	Last    *number `json:"last"`
	Count   int     `json:"count"`
	Quality string  `json:"quality"`
}

type gapJSON struct {
	From  stamp  `json:"from"`
	To    stamp  `json:"to"` // null: it lasts
	Cause string `json:"cause"`
}

type sampleJSON struct {
	T stamp           `json:"t"`
	V sparkplug.Value `json:"v"`
	Q string          `json:"q"`
}

type bucketsJSON struct {
	ID      string           `json:"id"`
	From    stamp            `json:"from"`
	To      stamp            `json:"to"`
	Buckets []bucketJSON     `json:"buckets"`
	Gaps    []gapJSON        `json:"gaps"`
	Source  historian.Source `json:"source,omitempty"` // what the buckets were computed from
}

// chartsJSON answers for several metrics.
type chartsJSON struct {
	From   stamp         `json:"from"`
	To     stamp         `json:"to"`
	Series []bucketsJSON `json:"series"` // in the order of ids
}

type samplesJSON struct {
	ID      string       `json:"id"`
	From    stamp        `json:"from"`
	To      stamp        `json:"to"`
	Samples []sampleJSON `json:"samples"`
	Gaps    []gapJSON    `json:"gaps"`
	Next    stamp        `json:"next"` // ask again with from=next; null: complete
}

// history answers with buckets when points is given, else with samples of one metric.
func (u *UI) history(w http.ResponseWriter, r *http.Request) {
	if u.opt.History == nil {
		failPart(w, "historian")
		return
	}
	if r.URL.Query().Has("ids") {
		u.charts(w, r)
		return
	}
	q, ok := u.historyQuery(w, r.URL.Query())
	if !ok {
		return
	}
	if q.points > 0 {
		list, err := u.opt.History.Charts(r.Context(), historian.ChartQuery{Metrics: []historian.Metric{q.metric()}, From: q.From, To: q.To, Points: q.points})
		if err == nil {
			err = list[0].Err
		}
		if !u.served(w, q.metric(), err) {
			return
		}
		c := append(list, historian.Chart{})[0]
		answer(w, http.StatusOK, bucketsJSON{q.id, instant(q.From), instant(q.To), toBuckets(c.Buckets), toGaps(c.Gaps), c.Source})
		return
	}
	s, err := u.opt.History.Read(r.Context(), q.Range)
	if !u.served(w, q.metric(), err) {
		return
	}
	answer(w, http.StatusOK, samplesJSON{q.id, instant(q.From), instant(q.To), toSamples(s.Samples), toGaps(s.Gaps), millis(s.Next)})
}

// charts answers with buckets of several metrics, all from one look at the store.
func (u *UI) charts(w http.ResponseWriter, r *http.Request) {
	q, ok := u.severalQuery(w, r.URL.Query())
	if !ok {
		return
	}
	if q.points == 0 {
		failParam(w, "points", errors.New("needed with ids"))
		return
	}
	list, err := u.opt.History.Charts(r.Context(), historian.ChartQuery{Metrics: q.metrics, From: q.from, To: q.to, Points: q.points})
	if !u.served(w, historian.Metric{}, err) {
		return
	}
	out := chartsJSON{From: instant(q.from), To: instant(q.to)}
	for i, c := range list {
		if !u.served(w, q.metrics[i], c.Err) {
			return
		}
		out.Series = append(out.Series, bucketsJSON{q.ids[i], out.From, out.To, toBuckets(c.Buckets), toGaps(c.Gaps), c.Source})
	}
	answer(w, http.StatusOK, out)
}

// served answers for an error of the historian. A metric that is live and has no sample yet is no error.
func (u *UI) served(w http.ResponseWriter, m historian.Metric, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, historian.ErrTooMuch):
		fail(w, http.StatusBadRequest, "too_much", err.Error(), "ask for a shorter time, fewer points or fewer metrics")
		return false
	case !errors.Is(err, historian.ErrNoSeries):
		failStore(w, err)
		return false
	}
	if u.opt.Plant != nil {
		if _, live := u.opt.Plant.Metric(sparkplug.MetricRef(m)); live {
			return true
		}
	}
	fail(w, http.StatusNotFound, "unknown_metric", "no such metric was ever recorded", "see /api/v1/metrics")
	return false
}

type historyQuery struct {
	historian.Range
	id     string
	points int
}

func (q *historyQuery) metric() historian.Metric {
	return historian.Metric{Group: q.Group, Node: q.Node, Device: q.Device, Name: q.Metric}
}

// severalQuery asks for several metrics.
type severalQuery struct {
	ids      []string
	metrics  []historian.Metric
	from, to journal.Millis
	points   int
}

// severalQuery reads ids, or one metric as historyQuery does; from and to; points.
func (u *UI) severalQuery(w http.ResponseWriter, q url.Values) (out severalQuery, ok bool) {
	if !q.Has("ids") {
		one, ok := u.historyQuery(w, q)
		return severalQuery{[]string{one.id}, []historian.Metric{one.metric()}, one.From, one.To, one.points}, ok
	}
	out.ids = strings.Split(strings.Join(q["ids"], ","), ",")
	if len(out.ids) > maxIDs {
		failParam(w, "ids", fmt.Errorf("at most %d", maxIDs))
		return out, false
	}
	for _, id := range out.ids {
		ref, ok := u.findMetric(id)
		if !ok {
			fail(w, http.StatusNotFound, "unknown_metric", "no metric has this id: "+id, "see /api/v1/metrics")
			return out, false
		}
		out.metrics = append(out.metrics, historian.Metric(ref))
	}
	from, to, ok := u.period(w, q, time.Hour)
	if !ok {
		return out, false
	}
	points, err := parseCount(q.Get("points"), 0, min(maxPoints, maxCells/len(out.ids)))
	if err != nil {
		failParam(w, "points", err)
		return out, false
	}
	out.from, out.to, out.points = from, to, points
	return out, true
}

// historyQuery reads id or group, node, device and metric; from and to (default: the last hour); points; limit.
func (u *UI) historyQuery(w http.ResponseWriter, q url.Values) (out historyQuery, ok bool) {
	ref := sparkplug.MetricRef{Group: q.Get("group"), Node: q.Get("node"), Device: q.Get("device"), Name: q.Get("metric")}
	if n := len(q["id"]); n > 1 {
		failParam(w, "id", fmt.Errorf("given %d times; ids takes several", n))
		return out, false
	}
	if id := q.Get("id"); id != "" {
		if ref, ok = u.findMetric(id); !ok {
			fail(w, http.StatusNotFound, "unknown_metric", "no metric has this id", "see /api/v1/metrics")
			return out, false
		}
	} else if ref.Group == "" || ref.Node == "" || ref.Name == "" {
		fail(w, http.StatusBadRequest, "bad_parameter", "no metric named", "give id, or group, node, device and metric")
		return out, false
	}
	from, to, ok := u.period(w, q, time.Hour)
	if !ok {
		return out, false
	}
	limit, err := parseCount(q.Get("limit"), 10_000, maxSamples)
	if err != nil {
		failParam(w, "limit", err)
		return out, false
	}
	points, err := parseCount(q.Get("points"), 0, maxPoints)
	if err != nil {
		failParam(w, "points", err)
		return out, false
	}
	out.Range = historian.Range{Group: ref.Group, Node: ref.Node, Device: ref.Device, Metric: ref.Name,
		From: from, To: to, Limit: limit}
	out.id, out.points = metricID(ref), points
	return out, true
}

// The times that can be asked for: those that RFC 3339 and Sparkplug both can say. What lies outside is taken as these.
const earliest, latest journal.Millis = 0, 253402300799999

// period reads from and to; by default the last so long until now.
func (u *UI) period(w http.ResponseWriter, q url.Values, last time.Duration) (from, to journal.Millis, ok bool) {
	end, err := parseTime(q.Get("to"), u.opt.Now())
	if err != nil {
		failParam(w, "to", err)
		return from, to, false
	}
	start, err := parseTime(q.Get("from"), end.Add(-last))
	if err != nil {
		failParam(w, "from", err)
		return from, to, false
	}
	switch {
	case start.Before(end):
		from = within(start, earliest, latest-1)
		return from, within(end, from+1, latest), true
	case q.Get("to") == "":
		failParam(w, "from", errFuture)
	default:
		failParam(w, "to", errOrder)
	}
	return from, to, false
}

// within is t, or the end of the span that it lies beyond.
func within(t time.Time, first, last journal.Millis) journal.Millis {
	switch {
	case t.Before(timeOf(first)):
		return first
	case t.After(timeOf(last)):
		return last
	}
	return journal.Millis(t.UnixMilli())
}

func toBuckets(bs []historian.Bucket) []bucketJSON {
	out := make([]bucketJSON, 0, len(bs))
	for _, b := range bs {
		j := bucketJSON{T: instant(b.T), Count: b.Count, Quality: qualityWord(b.Quality)}
		if b.Count > 0 {
			j.Min, j.Max, j.Mean, j.Last = num(b.Min), num(b.Max), num(b.Mean), num(b.Last)
		} else if b.Mean == b.Mean { // not NaN: carried in
			j.Mean = num(b.Mean)
		}
		out = append(out, j)
	}
	return out
}

func num(f float64) *number { return (*number)(&f) }

func toGaps(gs []historian.Gap) []gapJSON {
	out := make([]gapJSON, 0, len(gs))
	for _, g := range gs {
		out = append(out, gapJSON{instant(g.From), millis(g.To), g.Cause})
	}
	return out
}

func toSamples(ss []journal.Sample) []sampleJSON {
	out := make([]sampleJSON, 0, len(ss))
	for _, s := range ss {
		j := sampleJSON{instant(s.At), journalValue(s.Value), qualityWord(s.Quality)}
		if s.Value.Null {
			j.Q = string(sparkplug.QualityNull)
		}
		out = append(out, j)
	}
	return out
}

// qualityWord is a recorded quality code as a word of the interface; a code of a device's own counts as uncertain.
func qualityWord(q journal.Quality) string {
	switch q {
	case journal.Good:
		return string(sparkplug.QualityGood)
	case journal.Bad:
		return string(sparkplug.QualityBad)
	case journal.Stale:
		return string(sparkplug.QualityStale)
	}
	return string(sparkplug.QualityUncertain)
}

// failStore answers for an error of the historian.
func failStore(w http.ResponseWriter, err error) {
	fail(w, http.StatusInternalServerError, "store", err.Error(), "see the log; edge check and edge support help")
}
