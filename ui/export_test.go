package ui

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian"
	"edge/historian/export"
	"edge/historian/journal"
)

var exportKey = journal.SeriesKey{Group: testGroup, Node: "oven", Device: "furnace", Metric: "Zone 1/Temperature", Type: 10}

// recorded is a store with so many samples of exportKey, one a second up to now, and a gap.
func recorded(t *testing.T, n int) (s *historian.Store, from time.Time) {
	t.Helper()
	j, s := openStore(t)
	id, _ := s.Resolve(exportKey)
	from = time.Now().Add(-time.Duration(n) * time.Second).Truncate(time.Second)
	at := func(i int) journal.Millis { return journal.Millis(from.UnixMilli() + int64(i)*1000) }
	recs := []journal.Record{{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: exportKey}},
		{Kind: journal.KindEvent, Event: &journal.Event{Kind: journal.GapEvent, At: at(1), Until: at(2), Reason: "lost, on the way"}}}
	for i := 0; i < n; {
		var list []journal.Sample
		for ; i < n && len(list) < 2000; i++ {
			list = append(list, journal.Sample{Series: id, At: at(i), Received: at(i) + 7, Value: journal.Value{Type: 10, Num: math.Float64bits(float64(i) * 1.25)}, Quality: journal.Good})
		}
		recs = append(recs, journal.Record{Kind: journal.KindSamples, Samples: list})
	}
	last, err := j.Append(0, recs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	awaitCount(t, s, n)
	return s, from
}

// awaitCount waits until the store has read so many samples from its journal; the test's own deadline ends it.
func awaitCount(t *testing.T, s *historian.Store, n int) {
	t.Helper()
	for s.Stats().SamplesTotal < uint64(n) {
		runtime.Gosched()
	}
}

func exportPath(from time.Time, more string) string {
	return "/api/v1/export?from=" + from.UTC().Format(stampLayout) + "&metric=" + url.QueryEscape("Zone 1/*") + more
}

func TestExportIsWhatTheStoreHas(t *testing.T) {
	s, from := recorded(t, 5000)
	u := New(Options{Export: s})
	srv := httptest.NewServer(u.Handler())
	defer srv.Close()
	for _, format := range []string{export.CSV, export.Parquet} {
		r, err := http.Get(srv.URL + exportPath(from, "&format="+format))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(historian.Selection{From: journal.Millis(from.UnixMilli()), Metrics: []string{exportKey.Metric}})
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		to, err := export.New(format, &want)
		if err != nil {
			t.Fatal(err)
		}
		n, err := export.Copy(t.Context(), to, rows)
		if err != nil || n != (export.Count{Samples: 5000, Gaps: 1}) {
			t.Fatalf("%+v, %v", n, err)
		}
		media, _ := export.ContentType(format)
		if !bytes.Equal(got, want.Bytes()) || r.Header.Get("Content-Type") != media ||
			!strings.HasSuffix(r.Header.Get("Content-Disposition"), format+`"`) || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d bytes, want %d; headers %v", format, len(got), want.Len(), r.Header)
		}
		if r.Trailer.Get(exportSample) != "5000" || r.Trailer.Get(exportGap) != "1" {
			t.Errorf("%s: trailers %v", format, r.Trailer)
		}
	}
}

func TestExportRefusals(t *testing.T) {
	s, _ := recorded(t, 1)
	u := New(Options{Export: s})
	for path, status := range map[string]int{"?format=xlsx": 400, "?from=yesterday": 400, "?from=2000&to=1000": 400, "?metric=none": 404, "?node=none": 404, "": 200,
		"?metric=none" + strings.Repeat("&metric=x", maxNames): 400, "?metric=none" + strings.Repeat("&metric=x", 10_000): 400, "?metric=%zz": 400} {
		if w := request(u, "GET", "/api/v1/export"+path, ""); w.Code != status {
			t.Errorf("%.30s: status %d, want %d: %s", path, w.Code, status, w.Body)
		}
	}
	if w := request(New(Options{}), "GET", "/api/v1/export", ""); w.Code != 503 {
		t.Errorf("without a historian: %d", w.Code)
	}
	for range maxExports {
		u.exports <- struct{}{}
	}
	w := request(u, "GET", "/api/v1/export", "")
	if _, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || w.Code != 429 {
		t.Errorf("one export too many: %d %v", w.Code, w.Header())
	}
}

// A reader that takes a chunk and then none is cut off after stallLimit, and another one has its place.
func TestExportEndsWithAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, from := recorded(t, 5000)
		u := New(Options{Export: s})
		w := &stalled{screen: screen{header: http.Header{}}}
		start := time.Now()
		func() {
			defer func() {
				if r := recover(); r != http.ErrAbortHandler {
					t.Errorf("the answer ended with %v, as if it were whole", r)
				}
			}()
			u.Handler().ServeHTTP(w, httptest.NewRequest("GET", exportPath(from, ""), nil))
		}()
		if took := time.Since(start); took != stallLimit || w.flushes != 2 {
			t.Errorf("ended after %v and %d writes", took, w.flushes)
		}
		if len(u.exports) != 0 {
			t.Error("its place is still taken")
		}
	})
}

func TestCloseEndsExports(t *testing.T) {
	s, from := recorded(t, 100_000)
	u := New(Options{Export: s})
	srv := httptest.NewServer(u.Handler())
	defer srv.Close()
	r, err := http.Get(srv.URL + exportPath(from, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.ReadFull(r.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	u.Close()
	n, err := io.Copy(io.Discard, r.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes more, then %v: the end looks like an end", n, err)
	}
	if whole(u, exportPath(from, "")) {
		t.Error("an export begins after Close")
	}
}

// whole says whether an export goes through.
func whole(u *UI, path string) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			ok = false
		}
	}()
	return request(u, "GET", path, "").Code == 200
}
