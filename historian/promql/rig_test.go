package promql

import (
	"context"
	"errors"
	"flag"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "12", "rapid.shrinktime": "5s"} { // the twin syncs to disk; -rapid.checks asks for more
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// noon is now in every test.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// ago is so many minutes before noon.
func ago(minutes float64) time.Time { return noon.Add(-time.Duration(minutes * float64(time.Minute))) }

// log is what a journal takes before the store is opened.
type log struct {
	records []journal.Record
	ids     map[journal.SeriesKey]journal.SeriesID
}

func ms(t time.Time) journal.Millis { return journal.Millis(t.UnixMilli()) }

// of returns the key of a metric of device d of node n, a Double.
func of(metric string) journal.SeriesKey {
	return journal.SeriesKey{Group: "g", Node: "n", Device: "d", Metric: metric, Type: 10}
}

// sample adds a sample; its value is v, converted to the key's type.
func (l *log) sample(k journal.SeriesKey, at time.Time, v float64, change ...func(*journal.Sample)) {
	if l.ids == nil {
		l.ids = make(map[journal.SeriesKey]journal.SeriesID)
	}
	id := l.ids[k]
	if id == 0 {
		id = journal.SeriesID(len(l.ids) + 1)
		l.ids[k] = id
		l.records = append(l.records, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: k}})
	}
	s := journal.Sample{Series: id, At: ms(at), Received: ms(at), Quality: journal.Good, Value: journal.Value{Type: k.Type}}
	switch k.Type {
	case 9:
		s.Value.Num = uint64(math.Float32bits(float32(v)))
	case 10:
		s.Value.Num = math.Float64bits(v)
	case 12:
		s.Value.Bytes = []byte("text")
	default:
		s.Value.Num = uint64(int64(v))
	}
	for _, f := range change {
		f(&s)
	}
	l.records = append(l.records, journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{s}})
}

// together makes one message of the last n samples.
func (l *log) together(n int) {
	var all []journal.Sample
	var rest []journal.Record
	for _, r := range l.records[max(0, len(l.records)-2*n):] { // a schema may stand before each
		if r.Kind == journal.KindSamples && len(r.Samples) == 1 {
			all = append(all, r.Samples...)
		} else {
			rest = append(rest, r)
		}
	}
	l.records = append(append(l.records[:max(0, len(l.records)-2*n)], rest...), journal.Record{Kind: journal.KindSamples, Samples: all})
}

func bad(s *journal.Sample)   { s.Quality = journal.Bad }
func stale(s *journal.Sample) { s.Quality = journal.Stale }
func null(s *journal.Sample)  { s.Value = journal.Value{Type: s.Value.Type, Null: true} }

// event adds a birth or death of node n, or with a device of that.
func (l *log) event(kind journal.EventKind, device string, at time.Time) {
	l.records = append(l.records, journal.Record{Kind: journal.KindEvent, At: ms(at),
		Event: &journal.Event{Kind: kind, At: ms(at), Group: "g", Node: "n", Device: device, BdSeq: -1}})
}

// gap adds a stretch of which samples of node n are missing.
func (l *log) gap(from, to time.Time) {
	l.records = append(l.records, journal.Record{Kind: journal.KindEvent, At: ms(to),
		Event: &journal.Event{Kind: journal.GapEvent, At: ms(from), Until: ms(to), Group: "g", Node: "n", BdSeq: -1, Reason: "lost"}})
}

// open opens a store that replays the log; stop closes it. With inFiles it is closed and opened once more, so that nothing is
// in memory.
func (l *log) open(t testing.TB, inFiles bool) (s *historian.Store, stop func()) {
	t.Helper()
	return l.openWith(t, inFiles, historian.Options{Clock: func() time.Time { return noon }})
}

func (l *log) openWith(t testing.TB, inFiles bool, o historian.Options) (s *historian.Store, stop func()) {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentBytes: 1 << 20, Spares: -1, Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	o.Space = func() (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	open := func(o historian.Options) {
		s, err = historian.Open(filepath.Join(dir, "history"), j, o)
		if err != nil {
			t.Fatal(err)
		}
	}
	kept := o
	kept.Raw, kept.Minute = 0, 0
	if o.Raw > 0 { // retention believes a clock that was seen before
		if open(kept); s.Close() != nil {
			t.Fatal("close")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	for part := range slices.Chunk(l.records, 1000) {
		var last journal.Index
		if last, err = j.Append(0, part...); err == nil {
			err = j.Wait(ctx, last)
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if open(kept); inFiles {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		open(o)
	}
	return s, func() {
		cancel()
		if err := errors.Join(<-ended, s.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	}
}

// rig is the API over a store, behind a real server, and a real client of Prometheus.
type rig struct {
	t      testing.TB
	url    string
	api    *API
	client v1.API
}

func (l *log) serve(t testing.TB, inFiles bool, o Options) *rig {
	t.Helper()
	s, stop := l.open(t, inFiles)
	if o.Clock == nil {
		o.Clock = func() time.Time { return noon }
	}
	r := directly(t, New(s, o))
	server := httptest.NewServer(r.api)
	transport := &http.Transport{}
	r.connect(server.URL, transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		stop()
	})
	return r
}

// directly is a rig without a network in between.
func directly(t testing.TB, a *API) *rig {
	r := &rig{t: t, api: a}
	r.connect("http://api", inProcess{a})
	return r
}

func (r *rig) connect(address string, by http.RoundTripper) {
	r.t.Helper()
	client, err := api.NewClient(api.Config{Address: address, RoundTripper: by})
	if err != nil {
		r.t.Fatal(err)
	}
	r.url, r.client = address, v1.NewAPI(client)
}

// inProcess hands a client's requests to the API.
type inProcess struct{ api *API }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// get asks with GET, and returns status and body.
func (r *rig) get(path string, params ...string) (int, string) {
	r.t.Helper()
	form := url.Values{}
	for i := 0; i < len(params); i += 2 {
		form.Add(params[i], params[i+1])
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, httptest.NewRequest("GET", path+"?"+form.Encode(), nil))
	return w.Code, w.Body.String()
}

// post asks with a form.
func (r *rig) post(path string, form url.Values) (int, string) {
	r.t.Helper()
	answer, err := http.Post(r.url+path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return answer.StatusCode, string(b)
}
