package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// births keeps the last birth of every node and device for the time after a restart. The certificates of an aware server are another
// thing: they are every birth that passed, not only those that the host took.
//
// When there is no room for a new one, those that were received longest ago go: a node with its devices.
type births struct {
	kept *journal.State // topic -> time received and payload

	mu    sync.Mutex
	known map[string]keptBirth
}

type keptBirth struct {
	at    int64 // Unix ms, received
	bytes int   // with its topic
}

// remember keeps the births among records.
func (b *births) remember(records []sparkplug.Record, now time.Time, log *slog.Logger) {
	for _, r := range records {
		e := r.Event
		if e == nil || e.Kind != sparkplug.NodeBorn && e.Kind != sparkplug.DeviceBorn || len(e.Payload) == 0 {
			continue
		}
		t := sparkplug.Topic{Type: sparkplug.NBIRTH, Group: e.Group, Node: e.Node, Device: e.Device}
		if e.Device != "" {
			t.Type = sparkplug.DBIRTH
		}
		row := append(binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), e.Payload...)
		if err := b.put(t.String(), row, now.UnixMilli()); err != nil {
			log.Warn("birth not kept for the next start", "group", e.Group, "node", e.Node, "device", e.Device, "err", err)
		}
	}
}

func (b *births) put(topic string, row []byte, at int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.kept.Put(topic, row)
	for errors.Is(err, journal.ErrStateFull) && b.evictLocked(topic, len(topic)+len(row)) {
		_, err = b.kept.Put(topic, row)
	}
	if err == nil {
		b.noteLocked(topic, at, len(row))
	}
	return err
}

func (b *births) noteLocked(topic string, at int64, bytes int) {
	if b.known == nil {
		b.known = map[string]keptBirth{}
	}
	b.known[topic] = keptBirth{at, len(topic) + bytes}
}

// evictedAtOnce is how many bytes are made free at the least: a flood of small births does not look for the oldest for each of them.
const evictedAtOnce = 1 << 20

// evictLocked forgets births that were received longest ago, but for those of the same node, until so many bytes are free; with a node's
// those of its devices. It tells whether any is gone.
func (b *births) evictLocked(but string, bytes int) bool {
	ofNode := map[sparkplug.NodeRef][]string{}
	for topic := range b.known {
		n := nodeOf(topic)
		ofNode[n] = append(ofNode[n], topic)
	}
	delete(ofNode, nodeOf(but))
	oldest := slices.SortedFunc(maps.Keys(b.known), func(x, y string) int {
		return cmp.Or(cmp.Compare(b.known[x].at, b.known[y].at), strings.Compare(x, y))
	})
	freed := 0
	for _, topic := range oldest {
		t, err := sparkplug.ParseTopic(topic)
		switch others := ofNode[t.NodeRef()]; {
		case freed >= max(bytes, evictedAtOnce):
			return true
		case len(others) > 0 && err == nil && t.Type == sparkplug.NBIRTH:
			freed += b.deleteLocked(others)
		case len(others) > 0:
			freed += b.deleteLocked([]string{topic})
		}
	}
	return freed > 0
}

// deleteLocked returns how many bytes it made free.
func (b *births) deleteLocked(topics []string) (freed int) {
	for _, topic := range topics {
		if _, err := b.kept.Delete(topic); err == nil {
			freed += b.known[topic].bytes // 0: gone before, with its node
			delete(b.known, topic)
		}
	}
	return freed
}

func nodeOf(topic string) sparkplug.NodeRef {
	t, _ := sparkplug.ParseTopic(topic) //nolint:errcheck // of what is none, no node
	return t.NodeRef()
}

// forget keeps nothing for the next start of what made room for others.
func (b *births) forget(list []sparkplug.Topic, log *slog.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range list {
		if _, err := b.kept.Delete(t.String()); err != nil {
			log.Warn("birth of what is forgotten stays kept", "topic", t.String(), "err", err)
			continue
		}
		delete(b.known, t.String())
	}
}

// seed gives the host the births kept before the last stop: nodes before their devices.
func (p *plant) seed() {
	b := &p.births
	topics := b.kept.Keys(sparkplug.Namespace + "/")
	slices.SortStableFunc(topics, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		row, _ := b.kept.Get(t)
		if len(row) < 8 {
			continue
		}
		at := int64(binary.BigEndian.Uint64(row))
		b.noteLocked(t, at, len(row))
		if err := p.host.Seed(t, row[8:], time.UnixMilli(at)); err != nil {
			p.log.Warn("kept birth left out", "topic", t, "err", err)
		}
	}
}
