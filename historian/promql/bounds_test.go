package promql

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
)

// slow is a store whose list of series takes as long as the test wants.
type slow struct {
	nothing
	asked, answer chan struct{}
}

func (s slow) SeriesCount() (int, journal.SeriesID) {
	s.asked <- struct{}{}
	<-s.answer
	return 0, 0
}

// TestQueriesWaitForAPlace: so many run, so many more wait, the rest is told to come later; who goes away waits no longer.
func TestQueriesWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow{asked: make(chan struct{}, 100), answer: make(chan struct{})}
		a := New(s, Options{Queries: 2, Timeout: time.Minute})
		done := make(chan int, 100)
		ask := func(ctx context.Context) {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/v1/labels", nil))
			done <- w.Code
		}
		gone, leave := context.WithCancel(t.Context())
		go ask(t.Context())
		go ask(t.Context())
		synctest.Wait()
		go ask(gone)
		for range maxWaiting - 1 {
			go ask(t.Context())
		}
		synctest.Wait()
		if st := a.Stats(); st.Running != 2 || st.Waiting != maxWaiting || len(s.asked) != 2 {
			t.Fatalf("%+v, %d asked", st, len(s.asked))
		}
		if ask(t.Context()); <-done != 503 {
			t.Error("one more was not refused")
		}
		leave()
		synctest.Wait()
		if code := <-done; code != 499 {
			t.Errorf("who left was answered %d", code)
		}
		for range maxWaiting - 1 {
			if code := <-done; code != 503 {
				t.Errorf("who waited too long was answered %d", code)
			}
		}
		close(s.answer)
		if a, b := <-done, <-done; a != 200 || b != 200 {
			t.Errorf("answered %d and %d", a, b)
		}
		if st := a.Stats(); st.Running+st.Waiting != 0 || st.Queries["unavailable"] != maxWaiting || st.Queries["canceled"] != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestLife: sparkplug_up goes with births and deaths, holds between them, and is nothing before the first.
func TestLife(t *testing.T) {
	l := &log{}
	l.sample(of("m"), ago(100), 1)
	l.event(journal.NodeBirth, "", ago(26*60))
	l.event(journal.DeviceBirth, "d", ago(55))
	l.event(journal.NodeBirth, "", ago(52)) // again: it lives already
	l.event(journal.DeviceDeath, "d", ago(45))
	l.event(journal.DeviceBirth, "d", ago(35))
	l.event(journal.NodeDeath, "", ago(25))
	l.event(journal.NodeBirth, "", ago(15))
	l.event(journal.DeviceBirth, "d", ago(5))
	for _, inFiles := range []bool{false, true} {
		r := l.serve(t, inFiles, Options{})
		for expr, want := range map[string]string{
			`sparkplug_up{device="d"}`:                       "- 1 0 1 0 0 1",
			`sparkplug_up{device=""}`:                        "1 1 1 1 0 1 1",
			`min_over_time(sparkplug_up{device="d"}[6m])`:    "- 1 0 0 0 0 0",
			`changes(sparkplug_up{device=""}[1h]) > 0`:       "- - - - 1 2 2",
			`sparkplug_up{device="d"} and sparkplug_up == 1`: "- 1 - 1 - - 1",
		} {
			if got := r.line(expr, ago(60), noon, 10*time.Minute); got != want {
				t.Errorf("in files %v, %s: got  %s, want %s", inFiles, expr, got, want)
			}
			var instants []string
			for i := range 7 {
				instants = append(instants, r.at(expr, ago(60-10*float64(i))))
			}
			if got := strings.Join(instants, " "); got != want {
				t.Errorf("in files %v, instants of %s: got  %s, want %s", inFiles, expr, got, want)
			}
		}
	}
}
