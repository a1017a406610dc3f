package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// tuneRuntime fits the Go runtime to an appliance. What the environment says wins (GOMAXPROCS, GOGC).
//
// The scheduler gets one processor more for each event loop of the broker: a loop keeps the one it has while it waits for the next
// message, so that a device's message wakes nothing but the loop. And the garbage of two live heaps is let gather instead of one's:
// the live heap is small, a few MB for a cell, and what messages leave behind much.
//
// It returns whether the loops may keep their processors.
func tuneRuntime(loops int) (keep bool) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMAXPROCS") != "" {
		return false
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + loops)
	return true
}
