package ui

import (
	"context"
	"net/http"
	"time"
)

const (
	maxLarge   = 4                // large answers that are made or written at once: of long texts one takes some hundred MB
	maxInLine  = 256              // that wait for their turn
	turnLimit  = 10 * time.Second // and how long
	turnsHint  = "ask again later, or for less at once"
	turnsAfter = "2" // seconds
)

// turns bounds the memory that all large answers take together, whoever asks.
type turns struct{ busy, line chan struct{} } // one for each answer under way; for each that waits

func newTurns() turns { return turns{make(chan struct{}, maxLarge), make(chan struct{}, maxInLine)} }

// inTurn serves when it is the request's turn, which it has until its reader took all, or answerTimeout is over.
func (u *UI) inTurn(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !u.turns.take(r.Context()) {
			w.Header().Set("Retry-After", turnsAfter)
			fail(w, http.StatusServiceUnavailable, "busy", "too many large answers are asked for at once", turnsHint)
			return
		}
		defer func() { <-u.turns.busy }()
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // waiting does not count; not all writers have deadlines
		serve(w, r)
	}
}

// take waits for a turn, first come, first served; false: there is none.
func (t turns) take(ctx context.Context) bool {
	select {
	case t.busy <- struct{}{}:
		return true
	default:
	}
	select {
	case t.line <- struct{}{}:
		defer func() { <-t.line }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	select {
	case t.busy <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
