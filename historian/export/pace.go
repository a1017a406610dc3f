package export

import (
	"context"
	"runtime"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

const (
	easyRate  = 10_000                // samples a second at which an export works half of the time
	firstRate = 100_000               // is assumed before anything was counted
	writing   = 100                   // a pause's length in stretches of work while a window is written
	lookFor   = 50 * time.Millisecond // how long what comes in is counted
	longest   = 2 * time.Second       // of a pause
)

// pace makes an export give way to what comes in. After each stretch of work it pauses for that time, times what came in a second
// lately, divided by easyRate: a plant of a thousand metrics costs it nothing, one that fills both cores leaves it a hundredth of one,
// and so does the short time in which a window is written.
type pace struct {
	load  func() (taken journal.Index, writing bool)
	begun time.Time // of the stretch

	// The rate, and what it was counted from.
	rate  float64
	index journal.Index
	at    time.Time
	timer *time.Timer
}

func newPace(rows *historian.Rows) *pace {
	now := time.Now()
	index, _ := rows.Load()
	return &pace{load: rows.Load, rate: firstRate, index: index, begun: now, at: now}
}

// rest ends a stretch of work.
func (p *pace) rest(ctx context.Context) {
	now := time.Now()
	pause := p.pause(now)
	if pause < time.Microsecond {
		runtime.Gosched()
		p.begun = now
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(pause)
	} else {
		p.timer.Reset(pause)
	}
	select {
	case <-p.timer.C:
	case <-ctx.Done():
	}
	p.begun = time.Now()
}

// pause is how long to rest after a stretch that ends now.
func (p *pace) pause(now time.Time) time.Duration {
	index, busy := p.load()
	if since := now.Sub(p.at); since >= lookFor {
		p.rate = float64(index-p.index) / since.Seconds()
		p.index, p.at = index, now
	}
	stretches := p.rate / easyRate
	if busy {
		stretches = max(stretches, writing)
	}
	return min(longest, time.Duration(float64(now.Sub(p.begun))*stretches))
}
