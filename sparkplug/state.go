package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ownState is the host's own STATE, for all its ids.
type ownState struct {
	ids      []string
	legacy   bool
	last     int64 // newest timestamp used on any server, ms
	sessions map[string]*stateSession
	others   []HostView // as they were seen, at most maxHosts
}

// stateSession is the host's session on one server. [tck-id-operational-behavior-host-application-multi-server-timestamp]
type stateSession struct {
	timestamp int64 // of its births, ms
	prepared  bool  // StateWill fixed the timestamp
	defending bool
	answered  []time.Time // recent defences
	owed      time.Time   // when the birth is said once more, because it could not be answered; zero: never
}

const (
	// stateDefences is how many messages that deny our own STATE are answered in stateWindow on one server, for all ids. More
	// of them mean that another host uses the id, and the two would answer each other for ever.
	stateDefences = 4
	stateWindow   = time.Minute

	maxHosts = 64 // other hosts that are remembered
)

// LegacyState is what the STATE topics of Sparkplug 2.2 begin with; its payloads are the words ONLINE and OFFLINE.
const (
	LegacyState = "STATE/"

	legacyOnline  = "ONLINE"
	legacyOffline = "OFFLINE"
)

func newOwnState(o Options) ownState {
	st := ownState{last: o.LastState, legacy: o.LegacyState, sessions: map[string]*stateSession{}}
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

// on returns the session on a server.
func (st *ownState) on(server string) *stateSession {
	x := st.sessions[server]
	if x == nil {
		x = &stateSession{}
		st.sessions[server] = x
	}
	return x
}

// messages returns the STATE of every id, in 2.2's form too if that is wanted.
func (st *ownState) messages(server string, s HostState) []Publish {
	var out []Publish
	for _, id := range st.ids {
		out = append(out, st.message(server, id, s)...)
	}
	return out
}

func (st *ownState) message(server, id string, s HostState) []Publish {
	m := StateMessage(id, s)
	m.Server = server
	if !st.legacy {
		return []Publish{m}
	}
	word := legacyOffline
	if s.Online {
		word = legacyOnline
	}
	return []Publish{m, {Server: server, Topic: LegacyState + id, Payload: []byte(word), QoS: 1, Retain: true}}
}

// StateWill fixes the timestamp of a session that is about to be opened on a server and returns the offline STATE of
// every id; a client takes the first as its will. [tck-id-host-topic-phid-death-payload-timestamp-connect]
func (h *Host) StateWill(server string, now time.Time) []Publish {
	x := h.state.on(server)
	*x = stateSession{timestamp: h.state.next(now), prepared: true, answered: x.answered}
	return h.state.messages(server, HostState{Online: false, Timestamp: x.timestamp})
}

// StateBirth returns the online STATE of every id, with the timestamp of StateWill if that came before. From then on
// Step answers who denies it with the same birth again. [tck-id-host-topic-phid-birth-payload-timestamp]
func (h *Host) StateBirth(server string, now time.Time) []Publish {
	x := h.state.on(server)
	if !x.prepared {
		x.timestamp = h.state.next(now)
	}
	x.prepared, x.defending, x.owed = false, true, time.Time{}
	return h.state.messages(server, HostState{Online: true, Timestamp: x.timestamp})
}

// StateDeath returns the offline STATE of every id with the time now, and ends their defence: our own death comes
// back to us. [tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean]
func (h *Host) StateDeath(server string, now time.Time) []Publish {
	x := h.state.on(server)
	x.prepared, x.defending, x.owed = false, false, time.Time{}
	return h.state.messages(server, HostState{Online: false, Timestamp: h.state.next(now)})
}

// StateTimestamp returns the newest STATE timestamp used on any server, for Options.LastState after a restart.
func (h *Host) StateTimestamp() int64 { return h.state.last }

// StateTopics returns the topics on a server where our birth is retained, as long as we are online there.
func (h *Host) StateTopics(server string) []string {
	x := h.state.sessions[server]
	if x == nil || !x.defending {
		return nil
	}
	var topics []string
	for _, m := range h.state.messages(server, HostState{}) {
		topics = append(topics, m.Topic)
	}
	return topics
}

// online tells whether the host says that it is online anywhere.
func (st *ownState) online() bool {
	for _, x := range st.sessions {
		if x.defending {
			return true
		}
	}
	return false
}

// stateSeen takes a STATE message of any host. One for an id of ours that is not our present birth, which an old will, a
// stranger or another host with our id published, is answered with the birth of the present session: the same timestamp,
// though edge nodes that took a newer offline will not heed it. Another's online is left: to the nodes the host is online.
// [tck-id-message-flow-hid-sparkplug-state-message-delivered]
func (s *step) stateSeen(id string, m *Message, legacy bool) {
	st := &s.h.state
	seen, err := parseAnyState(m.Payload, legacy)
	if !slices.Contains(st.ids, id) {
		if err == nil || len(m.Payload) == 0 {
			s.hostSeen(id, m, seen, legacy)
		}
		return
	}
	x := st.on(m.Server)
	if !x.defending || err == nil && seen.Online {
		return
	}
	x.answered = slices.DeleteFunc(x.answered, func(t time.Time) bool { return s.now.Sub(t) >= stateWindow })
	if len(x.answered) < stateDefences {
		s.tellDuel(id, m, "answered")
		s.defend(x, st.message(m.Server, id, HostState{Online: true, Timestamp: x.timestamp}))
		return
	}
	s.h.stats.StateDuels++
	if x.owed.IsZero() {
		x.owed = x.answered[0].Add(stateWindow)
		s.h.due = earliest(s.h.due, x.owed)
		s.tellDuel(id, m, fmt.Sprintf("again and again; another host may use the id; the next answer is in %s", x.owed.Sub(s.now).Round(time.Second)))
	}
}

func parseAnyState(payload []byte, legacy bool) (HostState, error) {
	switch {
	case !legacy:
		return ParseState(payload)
	case string(payload) == legacyOnline, string(payload) == legacyOffline:
		return HostState{Online: string(payload) == legacyOnline}, nil
	}
	return HostState{}, errState
}

func (s *step) tellDuel(id string, m *Message, outcome string) {
	who := "someone"
	if m.ClientID != "" {
		c := s.h.clientNamed(m.ClientID)
		who = c.name()
	}
	s.event(Event{Kind: StateDuel, At: s.now, Reason: who + " says that this host, " + shown(id) + ", is not online: " + outcome, BdSeq: -1})
}

func (s *step) defend(x *stateSession, with []Publish) {
	x.answered = append(x.answered, s.now)
	s.h.stats.StateDefences++
	s.out.Publish = append(s.out.Publish, with...)
}

// expireStates says the births once more that could not be answered with when they were denied.
func (s *step) expireStates() {
	st := &s.h.state
	for server, x := range st.sessions {
		if !x.owed.IsZero() && !x.owed.After(s.now) {
			x.owed = time.Time{}
			x.answered = slices.DeleteFunc(x.answered, func(t time.Time) bool { return s.now.Sub(t) >= stateWindow })
			s.defend(x, st.messages(server, HostState{Online: true, Timestamp: x.timestamp}))
		}
	}
}

// stateDeadline is the earliest time at which expireStates has something to do.
func (st *ownState) deadline() (next time.Time) {
	for _, x := range st.sessions {
		next = earliest(next, x.owed)
	}
	return next
}

// HostView is what another host application, or another program with the id of one, said of itself last.
type HostView struct {
	Server, ID string
	ClientID   string // who published it; empty when not known
	Online     bool
	Timestamp  time.Time // of its STATE; zero in the form of Sparkplug 2.2, which has none
	Legacy     bool      // STATE/<id> with the word ONLINE or OFFLINE, as 2.2 had it
	Received   time.Time
}

// hostSeen remembers the STATE of another host; an empty payload takes a retained one away. The one heard of longest ago
// makes room.
func (s *step) hostSeen(id string, m *Message, seen HostState, legacy bool) {
	st := &s.h.state
	st.others = slices.DeleteFunc(st.others, func(o HostView) bool { return o.ID == id && o.Server == m.Server && o.Legacy == legacy })
	if len(m.Payload) == 0 || len(id) > 256 {
		return
	}
	if len(st.others) == maxHosts {
		st.others = slices.Delete(st.others, 0, 1)
	}
	o := HostView{Server: m.Server, ID: strings.Clone(id), ClientID: strings.Clone(m.ClientID), Online: seen.Online, Legacy: legacy, Received: s.now}
	if !legacy && seen.Timestamp <= maxDate {
		o.Timestamp = time.UnixMilli(seen.Timestamp)
	}
	st.others = append(st.others, o)
}

// Hosts returns what other host applications said of themselves, at most 64, the newest last.
func (h *Host) Hosts() []HostView { return slices.Clone(h.state.others) }
