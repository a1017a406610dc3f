package historian

import "edge/historian/journal"

// cellKey names a cell: the start of a window and a group.
type cellKey struct {
	window journal.Millis
	group  uint32
}

// loggedEvent is an event and when the journal took it.
type loggedEvent struct {
	journal.Event
	logged journal.Millis
}

// head holds what is not in a file yet. The store's mu guards it while it is written; once handed to a flush it does not change.
type head struct {
	window journal.Millis
	cells  map[cellKey]*cell
	events []loggedEvent
	count  int
	bytes  int64 // what cells and events take

	recent   cellKey // of the last sample: the next one's is mostly the same
	recentTo *cell
}

func newHead(window journal.Millis) *head {
	return &head{window: window, cells: make(map[cellKey]*cell)}
}

// add takes a sample of a series. It returns false for the repetition of one that is here and counts.
func (h *head) add(s *journal.Sample, e *series) bool {
	c := h.recentTo
	if since := s.At - h.recent.window; c == nil || e.group != h.recent.group || since < 0 || since >= h.window {
		c = h.cell(cellKey{floorTo(s.At, h.window), e.group})
	}
	added := !c.repeats(s, e)
	if added {
		c.append(s, e)
		h.count++
	}
	if n := c.bytes(); n != c.counted {
		h.bytes += n - c.counted
		c.counted = n
	}
	return added
}

func (h *head) cell(k cellKey) *cell {
	c := h.cells[k]
	if c == nil {
		c = &cell{}
		if last := h.cells[cellKey{k.window - h.window, k.group}]; last != nil { // it will come to as much
			c.expect(len(last.data), len(last.slots))
		}
		h.cells[k] = c
		c.counted = c.bytes()
		h.bytes += c.counted
	}
	h.recent, h.recentTo = k, c
	return c
}

// series appends the samples of one series with from <= At < to, in index order within a window.
func (h *head) series(dst []journal.Sample, e *series, from, to journal.Millis) []journal.Sample {
	for w := floorTo(from, h.window); w < to; w += h.window {
		if c := h.cells[cellKey{w, e.group}]; c != nil {
			dst = c.series(dst, e, from, to)
		}
	}
	return dst
}

// hold moves the cells of one window to a head of their own.
func (h *head) hold(window journal.Millis) *head {
	kept := newHead(h.window)
	for k, c := range h.cells {
		if k.window != window {
			continue
		}
		kept.cells[k] = c
		delete(h.cells, k)
		kept.count += c.count
		kept.bytes += c.counted
	}
	h.count -= kept.count
	h.bytes -= kept.bytes
	h.recentTo = nil
	return kept
}

// lowestIn is the lowest index in the cells of a window, 0 if there are none.
func (h *head) lowestIn(window journal.Millis) (lowest journal.Index) {
	for k, c := range h.cells {
		if first := c.slots[0].index; k.window == window && (lowest == 0 || first < lowest) {
			lowest = first
		}
	}
	return lowest
}

func (h *head) empty() bool { return h.count == 0 && len(h.events) == 0 }

// heads are what is in memory: what a flush is writing, if one is, and what came since. The store's mu is held.
func (s *Store) heads() []*head {
	if s.flushing == nil {
		return []*head{s.head}
	}
	return []*head{s.flushing, s.head}
}
