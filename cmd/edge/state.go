package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"edge/broker"
	"edge/broker/topic"
	"edge/historian/journal"
	"edge/sparkplug"
)

// isState tells whether a topic is that of a host's STATE: a flood of births, whose certificates are retained, must not keep it out.
func isState(name topic.Name) bool {
	return strings.HasPrefix(string(name), sparkplug.LegacyState) || strings.HasPrefix(string(name), sparkplug.Namespace+"/"+sparkplug.LegacyState)
}

// What is kept of this host's STATE: the newest timestamp, which must never go back, and the ids that were said to be online.
const (
	stateKey    = "state_timestamp"
	stateIDsKey = "state_ids" // with slashes between, which no id holds
)

// stateTry is how long the journal may take for the timestamp before clients are let in without STATE online.
const stateTry = 5 * time.Second

// announce publishes this host's STATE for every id it answers for. The timestamp is on disk before it is published; on a
// disk that takes nothing, only the end is said: to whoever listens now, and not retained.
func (p *plant) announce(ctx context.Context, kept *journal.State, to broker.Publisher, online bool) error {
	p.mu.Lock()
	say := p.host.StateDeath
	if online {
		say = p.host.StateBirth
	}
	out := say("", p.now())
	stamp := p.host.StateTimestamp()
	p.mu.Unlock()
	if err := kept.PutSync(ctx, stateKey, strconv.AppendInt(nil, stamp, 10)); err != nil {
		if online {
			p.mu.Lock()
			p.host.StateDeath("", p.now()) // it was not said, so nothing is defended
			p.mu.Unlock()
			return fmt.Errorf("keep the STATE timestamp: %w", err)
		}
		p.log.Warn("STATE offline is not kept", "err", err)
		for i := range out {
			out[i].QoS, out[i].Retain = 0, false
		}
	}
	for _, m := range out {
		p.publish(to, m)
	}
	return nil
}

// lookAtState shows the host what is retained in the place of its birth, if it is not that: a message is shown to the host before
// it is retained, so that the host's answer may be retained before what it answers.
func (p *plant) lookAtState(to retainer) {
	p.mu.Lock()
	topics := p.host.StateTopics("")
	p.mu.Unlock()
	for _, name := range topics {
		seen := sparkplug.Message{Topic: name}
		if m := to.Retained(topic.Name(name), p.now()); m != nil {
			if m.From == hostName {
				continue
			}
			seen.Payload, seen.Retain, seen.ClientID = m.Payload, true, clientOf(m)
		}
		p.step(sparkplug.Input{Message: &seen}, p.sampleDue) //nolint:errcheck // a loss is recorded as a gap
	}
}

// retire says that the ids are offline which this host answered for before its configuration was changed, and keeps those
// that it answers for now.
func (p *plant) retire(kept *journal.State, to broker.Publisher, ids []string) {
	stamp := sparkplug.HostState{Timestamp: lastState(kept)}
	before := stateIDs(kept)
	for _, id := range before {
		if !slices.Contains(ids, id) {
			p.publish(to, sparkplug.StateMessage(id, stamp))
		}
	}
	if slices.Equal(before, ids) {
		return
	}
	if _, err := kept.Put(stateIDsKey, []byte(strings.Join(ids, "/"))); err != nil {
		p.log.Warn("host ids are not kept; should one be removed from the configuration, its STATE stays online", "err", err)
	}
}

// lastState reads what announce kept; 0 before the first.
func lastState(kept *journal.State) int64 {
	text, _ := kept.Get(stateKey)
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// stateIDs reads what retire kept.
func stateIDs(kept *journal.State) []string {
	text, _ := kept.Get(stateIDsKey)
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '/' })
}

// hostIDs are the ids that the configuration lets this host answer for.
func hostIDs(cfg *Config) []string {
	if cfg.Sparkplug.HostID == "" {
		return slices.Clone(cfg.Sparkplug.ExtraHostIDs)
	}
	return append([]string{cfg.Sparkplug.HostID}, cfg.Sparkplug.ExtraHostIDs...)
}

// asleep returns the retained messages as they are until this host is born: its own STATE, which was online when the program
// died, is offline, with the timestamp that its will would have had. It holds in memory, and so on a full disk too.
func asleep(retained []*broker.Message, ids []string, kept *journal.State) []*broker.Message {
	last := lastState(kept)
	if last == 0 {
		return retained // nothing was ever said
	}
	ids = append(stateIDs(kept), ids...)
	own := func(m *broker.Message) bool {
		name := string(m.Topic)
		return slices.ContainsFunc(ids, func(id string) bool { return name == sparkplug.StateTopic(id) || name == sparkplug.LegacyState+id })
	}
	says := func(name string, payload []byte) *broker.Message {
		return &broker.Message{Topic: topic.Name(name), Payload: payload, QoS: 1, Retain: true, From: hostName, Received: time.Now()}
	}
	out := slices.DeleteFunc(slices.Clone(retained), own)
	for _, m := range retained {
		if own(m) && strings.HasPrefix(string(m.Topic), sparkplug.LegacyState) {
			out = append(out, says(string(m.Topic), []byte("OFFLINE")))
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		m := sparkplug.StateMessage(id, sparkplug.HostState{Timestamp: last})
		out = append(out, says(m.Topic, m.Payload))
	}
	return out
}
