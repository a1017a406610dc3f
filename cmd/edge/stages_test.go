package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// diary notes what happened in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (r *diary) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *diary) stage(name string) stage {
	return stage{name: name,
		run:     func(ctx context.Context) error { <-ctx.Done(); r.add("end " + name); return nil },
		drained: func() error { r.add("drain " + name); return nil },
	}
}

func TestStagesStopFromTheLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r diary
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := runStages(ctx, slog.New(slog.DiscardHandler), 10*time.Second, []stage{r.stage("left"), r.stage("middle"), r.stage("right")})
		want := []string{"end left", "drain left", "end middle", "drain middle", "end right", "drain right"}
		if err != nil || !slices.Equal(r.lines, want) {
			t.Errorf("%v, %q, want %q", err, r.lines, want)
		}
	})
}

func TestFirstFailureStopsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r diary
		broken := errors.New("broken")
		failing := stage{name: "bad", run: func(context.Context) error { <-time.After(time.Second); return broken }}
		err := runStages(t.Context(), slog.New(slog.DiscardHandler), 10*time.Second, []stage{r.stage("left"), failing, r.stage("right")})
		if !errors.Is(err, broken) || !slices.Contains(r.lines, "end right") || !slices.Contains(r.lines, "end left") {
			t.Errorf("%v, %q", err, r.lines)
		}
	})
}

// TestFailuresWhileStoppingAreTold: a part that cannot flush what it holds says so, and the others are stopped all the same.
func TestFailuresWhileStoppingAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r diary
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		notWritten := errors.New("not written")
		failing := stage{name: "middle", run: func(ctx context.Context) error { <-ctx.Done(); return notWritten }}
		err := runStages(ctx, slog.New(slog.DiscardHandler), 10*time.Second, []stage{r.stage("left"), failing, r.stage("right")})
		if !errors.Is(err, notWritten) || !strings.Contains(err.Error(), "middle") || !slices.Contains(r.lines, "drain right") {
			t.Errorf("%v, %q", err, r.lines)
		}
	})
}

// A part that is stopped when the time is nearly over is not the one to look at.
func TestShutdownDeadlineNamesTheSlowPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		flushing := stage{name: "history", run: func(ctx context.Context) error { <-ctx.Done(); return nil },
			drained: func() error { <-time.After(9900 * time.Millisecond); return nil }}
		release := make(chan struct{})
		next := stage{name: "sessions", run: func(context.Context) error { <-release; return nil }}
		err := runStages(ctx, slog.New(slog.DiscardHandler), 10*time.Second, []stage{flushing, next})
		if want := "sessions has not ended 100ms after it was told to; history took 9.9s"; !errors.Is(err, errShutdown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		close(release)
	})
}

func TestShutdownDeadlineNamesTheStuckPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		stuck := stage{name: "stuck", run: func(context.Context) error { <-release; return nil }}
		start := time.Now()
		err := runStages(ctx, slog.New(slog.DiscardHandler), 10*time.Second, []stage{stuck})
		if !errors.Is(err, errShutdown) || !strings.Contains(err.Error(), "stuck") || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		close(release)
		synctest.Wait()
	})
}
