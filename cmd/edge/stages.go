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
// nobody gets a message after it was told to end. It returns the first failure, and every one while stopping. Parts
// that do not end within the deadline are named in the error and left behind; the process is about to exit.
func runStages(ctx context.Context, log *slog.Logger, deadline time.Duration, stages []stage) error {
	running := make([]runningStage, len(stages))
	ended := make(chan int, len(stages))
	for i := len(stages) - 1; i >= 0; i-- {
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := &running[i]
		r.stage, r.cancel, r.done = stages[i], cancel, make(chan struct{})
		go func() {
			defer close(r.done)
			r.err = r.run(stageCtx)
			ended <- i
		}()
	}
	var first error
	select {
	case <-ctx.Done():
	case i := <-ended:
		r := &running[i]
		<-r.done
		if first = r.err; first == nil {
			first = errors.New("ended by itself")
		}
		first, r.err = fmt.Errorf("%s: %w", r.name, first), nil
		log.Error("a part failed, stopping all", "part", r.name, "err", first)
	}
	return errors.Join(first, stopStages(log, time.Now().Add(deadline), running))
}

// runningStage is a stage with its goroutine; err is what run returned, once done is closed.
type runningStage struct {
	stage
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func stopStages(log *slog.Logger, deadline time.Time, running []runningStage) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var errs []error
	var slowest string
	var longest time.Duration
	for i := range running {
		r := &running[i]
		began := time.Now()
		r.cancel()
		select {
		case <-r.done:
			log.Debug("stopped", "part", r.name)
		case <-timer.C:
			for _, left := range running[i:] {
				left.cancel()
			}
			err := fmt.Errorf("%w: %s has not ended", errShutdown, r.name)
			if took := time.Since(began); took < longest {
				err = fmt.Errorf("%w %s after it was told to; %s took %s", err, took.Round(time.Millisecond), slowest, longest.Round(time.Millisecond))
			}
			return errors.Join(append(errs, err)...)
		}
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.err))
		}
		if r.drained != nil {
			if err := r.drained(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
			}
		}
		if took := time.Since(began); took > longest {
			slowest, longest = r.name, took
		}
	}
	return errors.Join(errs...)
}
