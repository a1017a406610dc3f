package ui

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Large answers come one after the other; who cannot be served in time is told so, and nobody waits for those who have gone.
func TestLargeAnswersComeInTurn(t *testing.T) {
	for _, path := range []string{"/api/v1/metrics", "/api/v1/history", "/api/v1/aggregates", "/api/v1/events/1/birth"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { largeAnswersComeInTurn(t, path) })
		})
	}
}

func largeAnswersComeInTurn(t *testing.T, path string) {
	u := New(Options{Plant: newTestPlant()})
	free := request(u, "GET", path, "")
	for range maxLarge {
		u.turns.busy <- struct{}{}
	}
	ask := func(ctx context.Context) chan *httptest.ResponseRecorder {
		answered := make(chan *httptest.ResponseRecorder, 1)
		go func() {
			w := httptest.NewRecorder()
			u.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil).WithContext(ctx))
			answered <- w
		}()
		synctest.Wait()
		return answered
	}
	refused := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"busy"`) || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", what, w.Code, w.Header(), w.Body)
		}
	}

	served := ask(t.Context())
	if len(served) != 0 || len(u.turns.line) != 1 {
		t.Fatal("it does not wait while all turns are taken")
	}
	<-u.turns.busy
	if w := <-served; w.Code != free.Code || w.Body.String() != free.Body.String() {
		t.Errorf("in its turn: %d %s", w.Code, w.Body)
	}
	if len(u.turns.busy) != maxLarge-1 {
		t.Fatalf("%d turns are taken", len(u.turns.busy))
	}
	u.turns.busy <- struct{}{}

	began := time.Now()
	refused("none in time", <-ask(t.Context()))
	if waited := time.Since(began); waited != turnLimit {
		t.Errorf("it waited %v", waited)
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := ask(ctx)
	leave()
	<-gone
	if len(u.turns.line) != 0 {
		t.Error("who has gone waits on")
	}
	for range maxInLine {
		u.turns.line <- struct{}{}
	}
	began = time.Now()
	refused("the line is full", <-ask(t.Context()))
	if waited := time.Since(began); waited != 0 {
		t.Errorf("it waited %v", waited)
	}
}
