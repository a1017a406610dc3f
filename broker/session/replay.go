package session

import (
	"slices"

	"edge/broker/topic"
)

// Replay is the retained messages that a new subscription has still to get [MQTT-3.3.1-9].
type Replay struct {
	Filter topic.Filter // as subscribed
	After  topic.Name   // those above are to be sent; empty: all
}

// BeginReplay remembers that the retained messages for f are to be sent, all of them again if some were [MQTT-3.8.4-4].
func (s *Session) BeginReplay(f topic.Filter, o *Output) { s.setReplay(Replay{Filter: f}, o) }

// ReplayedTo remembers that those up to name were. It goes into the record of what was delivered: so a crash neither loses nor
// repeats one.
func (s *Session) ReplayedTo(f topic.Filter, name topic.Name, o *Output) {
	s.setReplay(Replay{Filter: f, After: name}, o)
}

func (s *Session) setReplay(r Replay, o *Output) {
	s.replays = putReplay(s.replays, r)
	s.saveState(o, Change{Kind: Replaying, Filter: r.Filter, Topic: r.After})
}

// EndReplay forgets it: all were sent.
func (s *Session) EndReplay(f topic.Filter, o *Output) {
	if had := len(s.replays); had > 0 {
		if s.replays = deleteReplay(s.replays, f); len(s.replays) < had {
			s.saveState(o, Change{Kind: Replayed, Filter: f})
		}
	}
}

// Replays returns what is to be sent still, in the order in which it began.
func (s *Session) Replays() []Replay { return slices.Clone(s.replays) }

func putReplay(list []Replay, r Replay) []Replay {
	if i := slices.IndexFunc(list, func(x Replay) bool { return x.Filter == r.Filter }); i >= 0 {
		list[i] = r
		return list
	}
	return append(list, r)
}

func deleteReplay(list []Replay, f topic.Filter) []Replay {
	return slices.DeleteFunc(list, func(x Replay) bool { return x.Filter == f })
}
