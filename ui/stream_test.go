package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"edge/historian/journal"
	"edge/sparkplug"
	"edge/sparkplug/uplink"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func contextWithLocal(r *http.Request, a net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, a)
}

// event is one Server-Sent Event.
type event struct {
	name string
	data string
	at   time.Time
}

// screen is a browser that reads one stream: a ResponseWriter that parses what it is given.
type screen struct {
	mu     sync.Mutex
	header http.Header
	status int
	buf    []byte
	events []event
}

func (s *screen) Header() http.Header { return s.header }

func (s *screen) WriteHeader(status int) { s.status = status }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = append(s.buf, b...)
	for {
		head, rest, ok := bytes.Cut(s.buf, []byte("\n\n"))
		if !ok {
			return len(b), nil
		}
		s.buf = rest
		name, data, _ := strings.Cut(string(head), "\n")
		s.events = append(s.events, event{strings.TrimPrefix(name, "event: "), strings.TrimPrefix(data, "data: "), time.Now()})
	}
}

func (s *screen) Flush() {}

func (s *screen) take() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.events
	s.events = nil
	return out
}

func named(events []event, name string) (out []event) {
	for _, e := range events {
		if e.name == name {
			out = append(out, e)
		}
	}
	return out
}

// watch opens a stream; its end is waited for when the test ends.
func watch(t *testing.T, u *UI, query string) *screen {
	t.Helper()
	s := &screen{header: http.Header{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		u.Handler().ServeHTTP(s, httptest.NewRequest("GET", "/api/v1/stream?"+query, nil).WithContext(ctx))
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return s
}

func decode[T any](t *testing.T, e event) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStreamBeginsWithASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := readDocument(t)
		p := newParts(time.Now, nil)
		s := watch(t, p.ui, "nodes=plant/press&ids="+setpointID+","+pressureID)
		first := s.take()
		if len(first) != 3 || first[0].name != "snapshot" || first[1].name != "demo" || first[2].name != "heartbeat" {
			t.Fatalf("events %v", first)
		}
		snap := decode[snapshotSeen](t, first[0])
		if snap.Generation == 0 || len(snap.Nodes) != 4 || len(snap.Metrics) != 9 { // the press has 8 with its pressure, and the setpoint
			t.Errorf("generation %d, %d nodes, %d metrics", snap.Generation, len(snap.Nodes), len(snap.Metrics))
		}
		for i, name := range []string{"Snapshot", "Demo", "Heartbeat"} {
			for _, wrong := range d.check(d.at("components", "schemas", name), decode[any](t, first[i]), name) {
				t.Error(wrong)
			}
		}
		again := watch(t, p.ui, "")
		if next := decode[snapshotSeen](t, again.take()[0]); next.Generation <= snap.Generation || len(next.Metrics) != 0 {
			t.Errorf("second generation %d after %d, %d metrics", next.Generation, snap.Generation, len(next.Metrics))
		}
	})
}

// snapshotSeen is what a browser reads of a snapshot.
type snapshotSeen struct {
	Generation uint64
	Nodes      []struct{ Node, State string }
	Metrics    []struct{ ID string }
}

func TestStreamGathersChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := readDocument(t)
		p := newParts(time.Now, nil)
		s := watch(t, p.ui, "ids="+pressureID)
		s.take()
		for range 1000 { // ten seconds of 100 changes in a second, of every metric of two nodes
			p.plant.data("press", time.Now())
			p.plant.data("oven", time.Now())
			<-time.After(10 * time.Millisecond)
		}
		synctest.Wait()
		all := s.take()
		changes := named(all, "change")
		if len(changes) != 40 {
			t.Errorf("%d changes in 10 s, want 4 a second", len(changes))
		}
		for _, c := range changes {
			body := decode[struct{ Metrics []struct{ ID string } }](t, c)
			if len(body.Metrics) != 1 || body.Metrics[0].ID != pressureID {
				t.Fatalf("change %s, want only %s", c.data, pressureID)
			}
			for _, wrong := range d.check(d.at("components", "schemas", "Change"), decode[any](t, c), "change") {
				t.Error(wrong)
			}
		}
		if beats := named(all, "heartbeat"); len(beats) != 10 {
			t.Errorf("%d heartbeats in 10 s", len(beats))
		}
	})
}

func TestStreamTellsDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := readDocument(t)
		p := newParts(time.Now, nil)
		s := watch(t, p.ui, "nodes=*")
		s.take()
		died := time.Now()
		p.plant.kill("press", died)
		<-time.After(300 * time.Millisecond)
		synctest.Wait()
		all := s.take()
		states, events := named(all, "state"), named(all, "event")
		if len(states) != 1 || states[0].at.Sub(died) > 250*time.Millisecond {
			t.Fatalf("states %v, killed at %v", states, died)
		}
		n := decode[struct {
			Node, State string
			LastDeath   struct{ Reason string } `json:"last_death"`
		}](t, states[0])
		if n.Node != "press" || n.State != "offline" || n.LastDeath.Reason != "will fired: lost connection of client client-press at 127.0.0.1" {
			t.Errorf("state %+v", n)
		}
		if !slices.ContainsFunc(events, func(e event) bool { return decode[struct{ Kind string }](t, e).Kind == "node_death" }) {
			t.Errorf("events %v", events)
		}
		stale := decode[struct{ Metrics []struct{ Quality string } }](t, named(all, "change")[0])
		if len(stale.Metrics) != 8 || stale.Metrics[0].Quality != "stale" {
			t.Errorf("changes %+v", stale)
		}
		if slices.IndexFunc(all, func(e event) bool { return e.name == "change" }) < slices.IndexFunc(all, func(e event) bool { return e.name == "state" }) {
			t.Error("values before the state that explains them")
		}
		for _, e := range all {
			if name := map[string]string{"state": "Node", "event": "Event"}[e.name]; name != "" {
				for _, wrong := range d.check(d.at("components", "schemas", name), decode[any](t, e), e.name) {
					t.Error(wrong)
				}
			}
		}
	})
}

func TestStreamTellsUplinksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		s := watch(t, p.ui, "")
		s.take()
		for i := range 50 {
			p.uplinks.set(func(st *uplink.Status) { st.Owed = uint64(i) })
			<-time.After(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := named(s.take(), "uplinks"); len(got) != 5 {
			t.Errorf("%d uplinks events in 5 s", len(got))
		}
		<-time.After(time.Second)
		synctest.Wait()
		s.take()
		for range 30 { // the same nodes in another order are no change
			p.uplinks.set(func(st *uplink.Status) { slices.Reverse(st.Nodes) })
			<-time.After(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := named(s.take(), "uplinks"); len(got) > 0 {
			t.Errorf("%d uplinks events while nothing changed", len(got))
		}
	})
}

// TestStreamIsBounded pushes more than a stream may hold between two flushes.
func TestStreamIsBounded(t *testing.T) {
	s := &stream{all: true, pending: map[sparkplug.MetricRef]struct{}{}, states: map[sparkplug.NodeRef]struct{}{}}
	for i := range maxPending + 10 {
		s.markMetrics([]sparkplug.MetricRef{{Group: "g", Node: "n", Name: fmt.Sprint(i)}})
		s.markNodes([]sparkplug.NodeRef{{Group: "g", Node: fmt.Sprint(i)}})
		s.addEvent(journal.Event{Index: journal.Index(i + 1)})
	}
	if !s.resync || len(s.pending) != 0 || len(s.states) > maxPending {
		t.Errorf("resync %v with %d metrics and %d states", s.resync, len(s.pending), len(s.states))
	}
	if len(s.events) != maxPendingEvents || s.lost != maxPending+10-maxPendingEvents || s.events[len(s.events)-1].Index != maxPending+10 {
		t.Errorf("%d events, %d lost", len(s.events), s.lost)
	}
}

// TestStreamUnderLoad pushes from several goroutines while streams are read; -race watches.
func TestStreamUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		screens := []*screen{watch(t, p.ui, "nodes=*"), watch(t, p.ui, "ids="+pressureID), watch(t, p.ui, "")}
		var pushers sync.WaitGroup
		for node := range testNodes {
			pushers.Go(func() {
				for i := range 200 {
					if i%20 == 10 {
						p.plant.kill(node, time.Now())
						p.plant.birth(node, time.Now())
					}
					p.plant.data(node, time.Now())
					<-time.After(17 * time.Millisecond)
				}
			})
		}
		pushers.Wait()
		<-time.After(time.Second)
		synctest.Wait()
		for i, s := range screens {
			all := s.take()
			if states := named(all, "state"); len(states) == 0 || !strings.Contains(states[len(states)-1].data, `"state":"online"`) {
				t.Errorf("stream %d: %d states, the last is not online", i, len(states))
			}
		}
	})
}

func TestStreamStartsAgainWhenTooMuchChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		s := watch(t, p.ui, "nodes=*")
		before := decode[snapshotSeen](t, s.take()[0])
		refs := make([]sparkplug.MetricRef, maxPending+1)
		for i := range refs {
			refs[i] = sparkplug.MetricRef{Group: "g", Node: "n", Name: fmt.Sprint(i)}
		}
		p.ui.Changed(refs)
		<-time.After(flushEvery)
		synctest.Wait()
		snaps := named(s.take(), "snapshot")
		if len(snaps) != 1 || decode[snapshotSeen](t, snaps[0]).Generation <= before.Generation {
			t.Errorf("snapshots %v", snaps)
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	h := &hub{}
	open := func(i int) error {
		return h.join(&stream{addr: remoteAddr(&http.Request{RemoteAddr: fmt.Sprintf("10.0.0.%d:5", i)}), closing: make(chan struct{})})
	}
	for range maxStreamsAddress {
		if err := open(1); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(1); err != errStreamsAddress {
		t.Errorf("one more from the address: %v", err)
	}
	for i := range maxStreams - maxStreamsAddress {
		if err := open(2 + i); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(200); err != errStreams {
		t.Errorf("one more: %v", err)
	}
	for s := range h.streams {
		h.leave(s)
		break
	}
	if h.len() != maxStreams-1 {
		t.Errorf("%d streams", h.len())
	}
}

// stalled is a reader that takes the first flush and then none.
type stalled struct {
	screen
	deadline time.Time
	flushes  int
}

func (s *stalled) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *stalled) Write(b []byte) (int, error) {
	if s.flushes++; s.flushes == 1 {
		return len(b), nil
	}
	<-time.After(time.Until(s.deadline)) // as a socket whose buffer is full
	return 0, os.ErrDeadlineExceeded
}

func TestStreamEndsWithAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		s := &stalled{screen: screen{header: http.Header{}}}
		start := time.Now()
		p.ui.Handler().ServeHTTP(s, httptest.NewRequest("GET", "/api/v1/stream", nil))
		if took := time.Since(start); took > stallLimit+heartbeatEvery {
			t.Errorf("ended after %v", took)
		}
		if p.ui.hub.len() != 0 {
			t.Error("the stream is still in the hub")
		}
	})
}

func TestCloseEndsStreams(t *testing.T) {
	p := newParts(time.Now, nil)
	origin := servePage(t, p)
	r, err := http.Get(origin + "/api/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.Header.Get("Content-Type") != "text/event-stream" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", r.Header)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || lines.Text() != "event: snapshot" {
		t.Fatalf("first line %q", lines.Text())
	}
	p.ui.Close()
	p.ui.Close()
	for lines.Scan() { // ends because the stream does
	}
	again, err := http.Get(origin + "/api/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	if again.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d after Close", again.StatusCode)
	}
}

// A stream says of a long value how long it is.
func TestStreamedValues(t *testing.T) {
	for n, want := range map[int]string{0: `""`, 3: `"xxx"`, maxStreamed: `"` + strings.Repeat("x", maxStreamed) + `"`, maxStreamed + 1: `"16385 bytes, see /api/v1/metrics"`} {
		got, err := json.Marshal(streamed(sparkplug.StringValue(strings.Repeat("x", n))))
		if err != nil || string(got) != want {
			t.Errorf("%d bytes: %.60s, %v", n, got, err)
		}
	}
}
