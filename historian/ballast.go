package historian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"edge/historian/journal"
)

// ballastName is a file of nothing in the store's folder. When the disk is full it is removed: then there is room to write what is in
// memory, to remove old days and to end in order. It is there again when the disk has had room for a while.
const ballastName = "ballast"

// ballastBytes is how large it is: a hundredth of the disk and at least 64 MiB, but not more than a fiftieth.
func ballastBytes(total int64) int64 {
	return min(max(64<<20, min(total, spaceWhole)/100), total/50)
}

func (s *Store) ballastPath() string { return filepath.Join(s.dir, ballastName) }

// keepBallast makes the ballast on a disk that has room.
func (s *Store) keepBallast(total int64) {
	size := ballastBytes(total)
	if !s.o.Ballast || s.ballast.Load() > 0 || size <= 0 {
		return
	}
	f, err := os.OpenFile(s.ballastPath(), os.O_WRONLY|os.O_CREATE, 0o640)
	if err == nil {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		_ = os.Remove(s.ballastPath())
		s.o.Ballast = false // not on this file system
		s.o.Log.Warn("no ballast", "part", "historian", "file", s.ballastPath(), "bytes", size, "err", err)
		return
	}
	s.ballast.Store(bytesOf(s.ballastPath()))
}

// dropBallast gives its room to the disk.
func (s *Store) dropBallast() {
	n := s.ballast.Load()
	if n == 0 {
		return
	}
	if err := os.Remove(s.ballastPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Error("ballast is not freed", "part", "historian", "file", s.ballastPath(), "err", err)
		return
	}
	s.ballast.Store(0)
	s.o.Log.Warn("the disk is full, the ballast is freed", "part", "historian", "bytes", n)
	s.event(journal.Event{Kind: journal.SystemEvent,
		Reason: fmt.Sprintf("the disk is full: %d MiB that were kept for this are freed, to write what is in memory and to remove old days; free space", n>>20)})
}
