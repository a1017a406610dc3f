package sparkplug

import (
	"slices"
	"time"
)

// ownState is the host's own STATE, for all its ids.
type ownState struct {
	ids       []string
	last      int64 // newest timestamp used, ms
	session   int64 // timestamp of the present session's births
	prepared  bool  // StateWill fixed the session's timestamp
	defending bool
	answered  []time.Time // recent defences
}

// stateDefences is how many own STATE offline messages are answered in a minute, for all ids. More of them mean that
// another host uses the id, and the two would answer each other for ever.
const stateDefences = 4

func newOwnState(o Options) ownState {
	st := ownState{last: o.LastState}
	for _, id := range append([]string{o.HostID}, o.ExtraHostIDs...) {
		if ValidateID(id) == nil && !slices.Contains(st.ids, id) {
			st.ids = append(st.ids, id)
		}
	}
	return st
}

// next returns now in ms, but later than every timestamp used before: edge nodes that remember a newer one than a
// clock that was set back can give would ignore the host.
func (st *ownState) next(now time.Time) int64 {
	st.last = max(now.UnixMilli(), st.last+1)
	return st.last
}

func (st *ownState) messages(s HostState) []Publish {
	out := make([]Publish, len(st.ids))
	for i, id := range st.ids {
		out[i] = StateMessage(id, s)
	}
	return out
}

// StateWill fixes the timestamp of a session that is about to be opened and returns the offline STATE of every id;
// a client takes the first as its will. [tck-id-host-topic-phid-death-payload-timestamp-connect]
func (h *Host) StateWill(now time.Time) []Publish {
	st := &h.state
	st.session, st.prepared, st.defending = st.next(now), true, false
	return st.messages(HostState{Online: false, Timestamp: st.session})
}

// StateBirth returns the online STATE of every id, with the timestamp of StateWill if that came before. From then on
// Step answers an offline STATE for one of the ids with the same birth again.
// [tck-id-host-topic-phid-birth-payload-timestamp]
func (h *Host) StateBirth(now time.Time) []Publish {
	st := &h.state
	if !st.prepared {
		st.session = st.next(now)
	}
	st.prepared, st.defending = false, true
	return st.messages(HostState{Online: true, Timestamp: st.session})
}

// StateDeath returns the offline STATE of every id with the time now, and ends their defence: our own death comes
// back to us. [tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean]
func (h *Host) StateDeath(now time.Time) []Publish {
	st := &h.state
	st.prepared, st.defending = false, false
	return st.messages(HostState{Online: false, Timestamp: st.next(now)})
}

// StateTimestamp returns the newest STATE timestamp used, for Options.LastState after a restart.
func (h *Host) StateTimestamp() int64 { return h.state.last }

// stateSeen answers an offline STATE for an id of ours, which an old will or a stranger published, with the birth of
// the present session: the same timestamp, though edge nodes that took a newer offline will not heed it.
// [tck-id-message-flow-hid-sparkplug-state-message-delivered]
func (s *step) stateSeen(id string, payload []byte) {
	st := &s.h.state
	if !st.defending || !slices.Contains(st.ids, id) {
		return
	}
	seen, err := ParseState(payload)
	if err != nil || seen.Online {
		return
	}
	st.answered = slices.DeleteFunc(st.answered, func(t time.Time) bool { return s.now.Sub(t) >= time.Minute })
	if len(st.answered) >= stateDefences {
		s.h.stats.StateDuels++
		return
	}
	st.answered = append(st.answered, s.now)
	s.h.stats.StateDefences++
	s.out.Publish = append(s.out.Publish, StateMessage(id, HostState{Online: true, Timestamp: st.session}))
}
