package history

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// span is from one time to another, in nanoseconds since 1970.
type span struct{ From, To int64 }

func (s span) length() time.Duration { return time.Duration(s.To - s.From) }

// overlap is how much of s lies in spans, which do not overlap one another.
func (s span) overlap(spans []span) (d time.Duration) {
	for _, o := range spans {
		d += max(0, span{max(s.From, o.From), min(s.To, o.To)}.length())
	}
	return d
}

// longCall is from how long on a call is looked at by itself.
const longCall = time.Millisecond

// lateFor is how often each processor is asked for.
const lateFor = 2 * time.Millisecond

// watch asks for each processor by turns, and returns for each when it had to wait: a thread that only sleeps, and wakes too late, waited
// for a processor, as every other thread had to then. It runs in a process of its own beside those that are measured.
func watch(ctx context.Context) (wait func() [][]span) {
	out := make([][]span, runtime.NumCPU())
	var wg sync.WaitGroup
	for cpu := range out {
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			var set unix.CPUSet
			set.Set(cpu)
			if unix.SchedSetaffinity(0, &set) != nil {
				return
			}
			pause := unix.NsecToTimespec(lateFor.Nanoseconds())
			for ctx.Err() == nil {
				due := time.Now().Add(lateFor).UnixNano()
				_ = unix.Nanosleep(&pause, nil)
				if s := (span{due, time.Now().UnixNano()}); s.length() > longCall/4 {
					out[cpu] = append(out[cpu], s)
				}
			}
		})
	}
	return func() [][]span {
		wg.Wait()
		return out
	}
}

// beyond is the longest of a run's calls, less what of it a processor had to be waited for: of all processors the one that was busy
// for longest.
func (r *pacedResult) beyond(late [][]span) time.Duration {
	longest := min(r.Max, longCall)
	for _, c := range r.Long {
		waited := time.Duration(0)
		for _, spans := range late {
			waited = max(waited, c.overlap(spans))
		}
		longest = max(longest, c.length()-waited)
	}
	return longest
}

// noteLong keeps the calls that took long.
func (r *pacedResult) noteLong(began, ended time.Time) {
	if ended.Sub(began) > longCall {
		r.Long = append(r.Long, span{began.UnixNano(), ended.UnixNano()})
	}
}

// worst is the longest lateness of any processor.
func worst(late [][]span) (d time.Duration) {
	for _, s := range slices.Concat(late...) {
		d = max(d, s.length())
	}
	return d
}
