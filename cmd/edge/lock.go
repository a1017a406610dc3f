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
		defer f.Close()
		if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
			return nil, fmt.Errorf("data folder %s is being read by edge export; wait until it has ended", dir)
		}
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("data folder %s is in use by process %s; stop it, or give this one a folder of its own with --data", dir, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	writePid(f)
	return f, nil
}

// unlockData gives the folder back at once: a process that is just being started has a copy of the file, which closing ours leaves open.
func unlockData(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// lockToRead keeps every process from writing to a data folder that nobody runs on, and changes nothing in it.
func lockToRead(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no data folder: it has no file lock", dir)
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		f.Close()
		return nil, fmt.Errorf("an appliance runs on %s, process %s; ask it with --url, or stop it", dir, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// writePid names this process for the message that another one will print. A full disk does not keep us from starting.
func writePid(f *os.File) {
	pid := fmt.Sprintf("%-10d\n", os.Getpid()) // as long as the one before, whose place it takes
	f.WriteAt([]byte(pid), 0)                  //nolint:errcheck // see above
}
