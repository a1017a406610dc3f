package journal

import "sort"

// tail keeps the latest commits in memory, so that those who follow the log never read the disk. Guarded by Journal.mu.
type tail struct {
	frames []frame // oldest first, without a hole
	bytes  int
	max    int
}

func (t *tail) add(f frame) {
	t.frames = append(t.frames, f)
	t.bytes += len(f.payload)
	drop := 0
	for t.bytes > t.max && drop < len(t.frames) {
		t.bytes -= len(t.frames[drop].payload)
		t.frames[drop] = frame{}
		drop++
	}
	t.frames = t.frames[drop:]
}

// find returns the first frame that holds i or begins after it, if no frame before it can.
func (t *tail) find(i Index) (frame, bool) {
	if len(t.frames) == 0 || i < t.frames[0].first {
		return frame{}, false
	}
	n := sort.Search(len(t.frames), func(n int) bool { return t.frames[n].last >= i })
	if n == len(t.frames) {
		return frame{}, false
	}
	return t.frames[n], true
}
