//go:build race

package main

// raceMemory is how much more memory the race detector makes a program take: its record of every access.
const raceMemory = 4
