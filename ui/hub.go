package ui

import (
	"errors"
	"net/netip"
	"sync"

	"edge/historian/journal"
	"edge/sparkplug"
)

// Bounds of the live side.
const (
	maxStreams        = 64     // in total
	maxStreamsAddress = 16     // per client address
	maxPending        = 20_000 // metrics waiting for one stream's flush; beyond it the stream starts again with a snapshot
	maxPendingEvents  = 256    // events waiting for one stream's flush; older ones are dropped, the log has them
)

var (
	errStreams        = errors.New("too many open pages")
	errStreamsAddress = errors.New("too many open pages from this address")
)

// hub spreads what changed over the open streams. The zero value works.
type hub struct {
	mu         sync.Mutex
	streams    map[*stream]struct{}
	perAddress map[netip.Addr]int
	generation uint64
	closed     bool
}

// join adds a stream, or says why there is no room for it.
func (h *hub) join(s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errors.New("shutting down")
	case len(h.streams) >= maxStreams:
		return errStreams
	case h.perAddress[s.addr] >= maxStreamsAddress:
		return errStreamsAddress
	}
	if h.streams == nil {
		h.streams, h.perAddress = map[*stream]struct{}{}, map[netip.Addr]int{}
	}
	h.streams[s] = struct{}{}
	h.perAddress[s.addr]++
	return nil
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	if h.perAddress[s.addr]--; h.perAddress[s.addr] == 0 {
		delete(h.perAddress, s.addr)
	}
}

// nextGeneration numbers snapshots.
func (h *hub) nextGeneration() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.generation++
	return h.generation
}

func (h *hub) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	for s := range h.streams {
		close(s.closing)
	}
}

func (h *hub) changed(refs []sparkplug.MetricRef) {
	h.each(func(s *stream) { s.markMetrics(refs) })
}

func (h *hub) nodeChanged(refs []sparkplug.NodeRef) {
	h.each(func(s *stream) { s.markNodes(refs) })
}

func (h *hub) event(e journal.Event) {
	e.Payload = nil // a birth may be large, and the event log does not show it
	h.each(func(s *stream) { s.addEvent(e) })
}

func (h *hub) each(f func(*stream)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		f(s)
	}
}
