package ui

import (
	"net/netip"
	"sync"

	"edge/historian/journal"
	"edge/sparkplug"
)

// stream is one open page: what it wants to see, and what changed of it since its last flush.
type stream struct {
	// Set before it joins the hub, never changed.
	addr    netip.Addr
	metrics map[sparkplug.MetricRef]struct{} // subscribed one by one
	nodes   map[sparkplug.NodeRef]struct{}   // subscribed with all their metrics
	all     bool                             // every node's metrics
	closing chan struct{}                    // closed by the hub's close

	mu      sync.Mutex
	pending map[sparkplug.MetricRef]struct{}
	states  map[sparkplug.NodeRef]struct{}
	events  []journal.Event
	lost    uint64 // events dropped since the last flush
	resync  bool   // pending grew beyond maxPending
}

func (s *stream) wants(r sparkplug.MetricRef) bool {
	if s.all {
		return true
	}
	if _, ok := s.metrics[r]; ok {
		return true
	}
	_, ok := s.nodes[sparkplug.NodeRef{Group: r.Group, Node: r.Node}]
	return ok
}

func (s *stream) markMetrics(refs []sparkplug.MetricRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		switch {
		case s.resync || !s.wants(r):
		case len(s.pending) >= maxPending:
			s.resync, s.pending = true, map[sparkplug.MetricRef]struct{}{}
		default:
			s.pending[r] = struct{}{}
		}
	}
}

func (s *stream) markNodes(refs []sparkplug.NodeRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		if len(s.states) < maxPending {
			s.states[r] = struct{}{}
		} else {
			s.resync = true
		}
	}
}

func (s *stream) addEvent(e journal.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) >= maxPendingEvents {
		s.events = append(s.events[:0], s.events[1:]...)
		s.lost++
	}
	s.events = append(s.events, e)
}

// take returns what has gathered and begins anew. Whoever takes it owns it; an empty set stays and nil is returned for it.
func (s *stream) take() (states map[sparkplug.NodeRef]struct{}, metrics map[sparkplug.MetricRef]struct{}, events []journal.Event, lost uint64, resync bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.states) > 0 {
		states, s.states = s.states, map[sparkplug.NodeRef]struct{}{}
	}
	if len(s.pending) > 0 {
		metrics, s.pending = s.pending, map[sparkplug.MetricRef]struct{}{}
	}
	events, lost, resync = s.events, s.lost, s.resync
	s.events, s.lost, s.resync = nil, 0, false
	return states, metrics, events, lost, resync
}
