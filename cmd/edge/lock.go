package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockData takes the data folder for this process. The lock ends with the process, however it ends.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w; create it, or name another with data: or --data", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w; make it writable for this user, or name another with data: or --data", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		f.Close()
		return nil, fmt.Errorf("data folder %s is in use by process %s; stop it, or give this one a folder of its own with --data", dir, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	writePid(f)
	return f, nil
}

// writePid names this process for the message that another one will print. A full disk does not keep us from starting.
func writePid(f *os.File) {
	pid := fmt.Sprintf("%-10d\n", os.Getpid()) // as long as the one before, whose place it takes
	f.WriteAt([]byte(pid), 0)                  //nolint:errcheck // see above
}
