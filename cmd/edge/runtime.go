package main

import (
	"os"
	"runtime"
)

// makeRoom gives the Go scheduler one processor more for each event loop of the broker: a loop keeps the one it has while it waits
// for the next message, so that a device's message wakes nothing but the loop. GOMAXPROCS in the environment wins.
func makeRoom(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + loops)
	}
}
