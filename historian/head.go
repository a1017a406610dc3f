package historian

import (
	"bytes"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// row is one sample in memory: 48 bytes, and the text if it has one.
type row struct {
	index    journal.Index
	at       journal.Millis
	received journal.Millis
	num      uint64 // Value.Num, or the place of Value.Bytes in cell.texts
	series   journal.SeriesID
	quality  journal.Quality
	flags    uint8
}

const (
	rowNull = 1 << iota
	rowText
	rowHistorical
	rowBirth
)

// rowBytes is what a row is taken to cost: growing a slice holds up to twice its length.
const rowBytes = 64

// cellKey names a cell: the start of a window and a group.
type cellKey struct {
	window journal.Millis
	group  uint32
}

// cell holds the samples of one group and window, in index order: what a block is made of.
type cell struct {
	rows   []row
	texts  [][]byte
	newest map[journal.SeriesID]journal.Millis // of each series, to know quickly that a sample is no repetition
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
	bytes  int64
}

func newHead(window journal.Millis) *head {
	return &head{window: window, cells: make(map[cellKey]*cell)}
}

// add takes a sample. It returns false for the repetition of one that is here and counts.
func (h *head) add(s *journal.Sample, group uint32, kind journal.DataType) bool {
	k := cellKey{floorTo(s.At, h.window), group}
	c := h.cells[k]
	if c == nil {
		c = &cell{newest: make(map[journal.SeriesID]journal.Millis)}
		h.cells[k] = c
		h.bytes += 256
	}
	if newest, ok := c.newest[s.Series]; ok && s.At <= newest {
		if w := c.winner(s.Series, s.At); w != nil && c.repeats(w, s, kind) {
			return false
		}
	} else {
		c.newest[s.Series] = s.At
	}
	h.bytes += c.append(s)
	h.count++
	return true
}

// winner is the row that counts among those with one series and time: the last to arrive.
func (c *cell) winner(id journal.SeriesID, at journal.Millis) *row {
	for i := len(c.rows) - 1; i >= 0; i-- {
		if r := &c.rows[i]; r.series == id && r.at == at {
			return r
		}
	}
	return nil
}

func (c *cell) repeats(r *row, s *journal.Sample, kind journal.DataType) bool {
	return r.quality == s.Quality && chunk.EqualValue(c.value(r, kind), s.Value)
}

func (c *cell) append(s *journal.Sample) (bytes int64) {
	r := row{index: s.Index, at: s.At, received: s.Received, num: s.Value.Num, series: s.Series, quality: s.Quality}
	set := func(on bool, flag uint8) {
		if on {
			r.flags |= flag
		}
	}
	set(s.Value.Null, rowNull)
	set(s.Historical, rowHistorical)
	set(s.Birth, rowBirth)
	if s.Value.Bytes != nil && !s.Value.Null {
		r.flags |= rowText
		r.num = uint64(len(c.texts))
		c.texts = append(c.texts, s.Value.Bytes)
		bytes = int64(len(s.Value.Bytes)) + 48
	}
	c.rows = append(c.rows, r)
	return bytes + rowBytes
}

func (c *cell) value(r *row, kind journal.DataType) journal.Value {
	switch {
	case r.flags&rowNull != 0:
		return journal.Value{Type: kind, Null: true}
	case r.flags&rowText != 0:
		return journal.Value{Type: kind, Bytes: c.texts[r.num]}
	}
	return journal.Value{Type: kind, Num: r.num}
}

func (c *cell) sample(r *row, kind journal.DataType) journal.Sample {
	s := journal.Sample{Index: r.index, Series: r.series, At: r.at, Received: r.received, Value: c.value(r, kind), Quality: r.quality,
		Historical: r.flags&rowHistorical != 0, Birth: r.flags&rowBirth != 0}
	s.Value.Bytes = bytes.Clone(s.Value.Bytes)
	return s
}

// series appends the samples of one series with from <= At < to, in index order within a window.
func (h *head) series(dst []journal.Sample, e *series, from, to journal.Millis) []journal.Sample {
	for w := floorTo(from, h.window); w < to; w += h.window {
		c := h.cells[cellKey{w, e.group}]
		if c == nil {
			continue
		}
		for i := range c.rows {
			if r := &c.rows[i]; r.series == e.id && r.at >= from && r.at < to {
				dst = append(dst, c.sample(r, e.key.Type))
			}
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
		kept.count += len(c.rows)
		kept.bytes += c.bytes()
	}
	h.count -= kept.count
	h.bytes -= kept.bytes
	return kept
}

func (c *cell) bytes() int64 {
	n := 256 + int64(len(c.rows))*rowBytes
	for _, t := range c.texts {
		n += int64(len(t)) + 48
	}
	return n
}

// lowestIn is the lowest index in the cells of a window, 0 if there are none.
func (h *head) lowestIn(window journal.Millis) (lowest journal.Index) {
	for k, c := range h.cells {
		if first := c.rows[0].index; k.window == window && (lowest == 0 || first < lowest) {
			lowest = first
		}
	}
	return lowest
}

func (h *head) empty() bool { return h.count == 0 && len(h.events) == 0 }
