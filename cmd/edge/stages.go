package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stage is one part that runs. Stages are listed from the left of the picture to the right.
type stage struct {
	name string
	run  func(ctx context.Context) error // returns nil when ctx ends
	// drained is called after run returned, before the stage to its right is told to end: what it holds is handed on.
	drained func() error
}

// errShutdown is reported when parts did not end within the deadline.
var errShutdown = errors.New("shutdown deadline passed")

// runStages starts the stages from the right and, when ctx ends or one of them fails, stops them from the left:
// nobody gets a message after it was told to end. It returns the first failure. Parts that do not end
// within the deadline are named in the error and left behind; the process is about to exit.
func runStages(ctx context.Context, log *slog.Logger, deadline time.Duration, stages []stage) error {
	type result struct {
		name string
		err  error
	}
	ended := make(chan result, len(stages))
	cancels := make([]context.CancelFunc, len(stages))
	waits := make([]chan struct{}, len(stages))
	for i := len(stages) - 1; i >= 0; i-- {
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancels[i], waits[i] = cancel, make(chan struct{})
		go func() {
			defer close(waits[i])
			ended <- result{stages[i].name, stages[i].run(stageCtx)}
		}()
	}
	var first error
	select {
	case <-ctx.Done():
	case r := <-ended:
		if first = r.err; first == nil {
			first = errors.New("ended by itself")
		}
		first = fmt.Errorf("%s: %w", r.name, first)
		log.Error("a part failed, stopping all", "part", r.name, "err", first)
	}
	return errors.Join(first, stopStages(log, time.Now().Add(deadline), stages, cancels, waits))
}

func stopStages(log *slog.Logger, deadline time.Time, stages []stage, cancels []context.CancelFunc, waits []chan struct{}) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var errs []error
	for i := range stages {
		cancels[i]()
		select {
		case <-waits[i]:
			log.Debug("stopped", "part", stages[i].name)
		case <-timer.C:
			for _, cancel := range cancels[i:] {
				cancel()
			}
			return errors.Join(append(errs, fmt.Errorf("%w: %s has not ended", errShutdown, stages[i].name))...)
		}
		if stages[i].drained != nil {
			if err := stages[i].drained(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", stages[i].name, err))
			}
		}
	}
	return errors.Join(errs...)
}
