package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"edge/historian"
	"edge/historian/export"
)

const (
	maxExports   = 2        // at once; more answer 429
	maxNames     = 1000     // and patterns in one query
	exportChunk  = 64 << 10 // bytes that a reader must take within stallLimit, or it is cut off
	exportSample = "Edge-Samples"
	exportGap    = "Edge-Gaps"
)

// Exporter is what an export reads of historian.Store.
type Exporter interface {
	Rows(sel historian.Selection) (*historian.Rows, error)
}

// export answers GET /api/v1/export?from=&to=&metric=&group=&node=&device=&format= with a file, as it is read. An answer that
// is not whole ends without its last chunk, so that the reader knows; the trailers tell how many rows a whole one has.
func (u *UI) export(w http.ResponseWriter, r *http.Request) {
	if u.opt.Export == nil {
		failPart(w, "historian")
		return
	}
	q, ok := u.exportQuery(w, r.URL.Query())
	if !ok {
		return
	}
	select {
	case u.exports <- struct{}{}:
		defer func() { <-u.exports }()
	default:
		w.Header().Set("Retry-After", "10")
		fail(w, http.StatusTooManyRequests, "exports", fmt.Sprintf("%d exports are under way", maxExports), "wait until one has ended")
		return
	}
	rows, err := u.opt.Export.Rows(q.Selection)
	if errors.Is(err, historian.ErrNoSeries) {
		fail(w, http.StatusNotFound, "unknown_metric", "no metric with such a name was ever recorded", "see /api/v1/metrics")
		return
	}
	if err != nil {
		failStore(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(u.closing, cancel)()
	n, err := u.copy(ctx, w, q, rows)
	if err != nil {
		u.opt.Log.Info("export ended early", "remote", r.RemoteAddr, "samples", n.Samples, "err", err)
		panic(http.ErrAbortHandler) // the reader is told by the missing end
	}
	w.Header().Set(exportSample, strconv.FormatUint(n.Samples, 10))
	w.Header().Set(exportGap, strconv.FormatUint(n.Gaps, 10))
}

func (u *UI) copy(ctx context.Context, w http.ResponseWriter, q exportQuery, rows *historian.Rows) (export.Count, error) {
	out := &steady{w: w, control: http.NewResponseController(w)}
	out.control.SetReadDeadline(time.Time{}) // the request's own must not end the answer
	h := w.Header()
	h.Set("Content-Type", q.media)
	h.Set("Content-Disposition", `attachment; filename="`+q.name+`"`)
	h.Set("Trailer", exportSample+", "+exportGap)
	to, err := export.New(q.format, out)
	if err != nil {
		return export.Count{}, err
	}
	n, err := export.Copy(ctx, to, rows)
	out.control.SetWriteDeadline(time.Now().Add(stallLimit)) // for what the server itself has yet to write
	return n, err
}

// steady gives the reader stallLimit for each chunk.
type steady struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *steady) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var k int
		s.control.SetWriteDeadline(time.Now().Add(stallLimit)) // not all writers have deadlines
		k, err = s.w.Write(b[:min(len(b), exportChunk)])
		n, b = n+k, b[k:]
	}
	return n, err
}

type exportQuery struct {
	historian.Selection
	format, media, name string
}

// exportQuery reads the names, which may hold *; metric may come more than once.
func (u *UI) exportQuery(w http.ResponseWriter, q url.Values) (out exportQuery, ok bool) {
	out.format = q.Get("format")
	if out.format == "" {
		out.format = export.CSV
	}
	if out.media, ok = export.ContentType(out.format); !ok {
		failParam(w, "format", errors.New("want csv or parquet"))
		return out, false
	}
	from, to, ok := u.period(w, q, time.Hour)
	if !ok {
		return out, false
	}
	out.Selection = historian.Selection{Group: q.Get("group"), Node: q.Get("node"), Device: q.Get("device"), Metrics: q["metric"],
		From: from, To: to}
	if n := len(out.Metrics); n > maxNames {
		failParam(w, "metric", fmt.Errorf("%d names, at most %d", n, maxNames))
		return out, false
	}
	out.name = "edge-" + timeOf(from).UTC().Format("20060102T150405Z") + "." + out.format
	return out, true
}
