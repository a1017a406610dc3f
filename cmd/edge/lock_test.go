package main

import (
	"syscall"
	"testing"
)

// A child that is just being started has copies of all files, for a moment.
func TestUnlockedDespiteACopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	fork, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fork)
	if err := unlockData(f); err != nil {
		t.Fatal(err)
	}
	if f, err = lockData(dir); err != nil {
		t.Fatal(err)
	}
	if err := unlockData(f); err != nil {
		t.Fatal(err)
	}
}
