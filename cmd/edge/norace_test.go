//go:build !race

package main

// raceMemory is 1 without the race detector: the caps are what they say.
const raceMemory = 1
