package historian

import (
	"fmt"
	"syscall"

	"edge/historian/journal"
)

// Space is how much room the disk has left, by the share that is free.
type Space int

// The levels of Space.
const (
	SpaceOK   Space = iota
	SpaceWarn       // below 20 %: an event
	SpaceDrop       // below 10 %: the oldest samples go, one file a minute
	SpaceLow        // below 5 %: no rollups and no rewriting; the oldest files that no uplink is owed go at once
	SpaceFull       // below 1 %: the ballast is freed
)

func (l Space) String() string { return [...]string{"ok", "warn", "drop", "low", "full"}[l] }

// spaceWhole is the size from which on a disk counts as no larger: on a large one a few percent are room enough.
const spaceWhole = 64 << 30

// spaceOf is the level of a disk. One that is left is left by two percent more, so that it does not come and go.
func spaceOf(free, total int64, was Space) Space {
	total = min(total, spaceWhole)
	if total <= 0 {
		return SpaceOK
	}
	level := SpaceOK
	for l, percent := range [...]int64{SpaceWarn: 20, SpaceDrop: 10, SpaceLow: 5, SpaceFull: 1} {
		if Space(l) <= was {
			percent += 2
		}
		if l > 0 && free < total/100*percent {
			level = Space(l)
		}
	}
	return level
}

// diskSpace is the default of Options.Space.
func diskSpace(dir string) func() (free, total int64, err error) {
	return func() (free, total int64, err error) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			return 0, 0, err
		}
		return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
	}
}

// lookAtSpace is called by Open, then by flushLoop, again and again, and after a file went.
func (s *Store) lookAtSpace() Space {
	free, total, err := s.o.Space()
	was := Space(s.space.Load())
	if err != nil {
		return was
	}
	s.free.Store(free)
	s.total.Store(total)
	level := spaceOf(free, total, was)
	switch level {
	case SpaceFull:
		s.dropBallast()
	case SpaceOK:
		s.keepBallast(total)
	}
	if level == was {
		return level
	}
	s.space.Store(int64(level))
	text := map[Space]string{
		SpaceOK:   "the disk has room again",
		SpaceWarn: "the disk is filling up: free space, or lower historian.retention",
		SpaceDrop: "the disk is nearly full: the oldest samples are removed; free space",
		SpaceLow:  "the disk is full but for a reserve: the oldest history is removed, rollups wait; free space",
		SpaceFull: "the disk is full: what cannot be written is lost; free space",
	}[level]
	s.o.Log.Warn(text, "part", "historian", "free", free, "total", total)
	s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%s (%d of %d MiB are free)", text, free>>20, total>>20)})
	return level
}
