package main

import (
	linked "container/list"
	"maps"
	"strings"
	"sync"
	"time"

	"edge/sparkplug"
	"edge/ui"
)

// violations is the list of what clients tried, newest first. What one client does again and again on one topic is one entry with its count;
// when there are as many entries as allowed, the one that was quiet longest goes. Counts by rule never go.
type violations struct {
	most int

	mu     sync.Mutex
	byWhat map[violationKey]*linked.Element // of *violationEntry
	order  *linked.List                     // the newest at the front
	total  map[string]uint64
	minute time.Time // in which told were told
	told   int
}

type violationKey struct {
	rule                sparkplug.Breach
	what, client, topic string
	refused             bool
}

type violationEntry struct {
	ui.Violation
	key    violationKey
	toldAt time.Time
}

const (
	// toldPerMinute bounds the events and lines of all violations together.
	toldPerMinute = 30
	// maxShown is how much of a name from outside is kept, in bytes.
	maxShown = 256
)

func newViolations(most int) *violations {
	v := &violations{most: most, byWhat: map[violationKey]*linked.Element{}, order: linked.New(), total: map[string]uint64{}}
	for _, b := range sparkplug.Breaches {
		v.total[string(b)] = 0
	}
	return v
}

// add lists one and tells whether it is to be told.
func (l *violations) add(who sparkplug.Caller, what, name string, v *sparkplug.Violation, refused bool, now time.Time) (ui.Violation, bool) {
	key := violationKey{v.Breach, what, upTo(who.ClientID, maxShown), upTo(name, maxShown), refused}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total[string(v.Breach)]++
	at := l.byWhat[key]
	if at == nil {
		at = l.order.PushFront(&violationEntry{key: key, Violation: ui.Violation{First: now, Rule: string(v.Breach), What: what, Topic: key.topic, Client: key.client,
			Refused: refused, Group: upTo(v.Group, maxShown), Node: upTo(v.Node, maxShown), Device: upTo(v.Device, maxShown), Host: upTo(v.Host, maxShown)}})
		l.byWhat[key] = at
		l.trimLocked()
	}
	l.order.MoveToFront(at)
	e := at.Value.(*violationEntry)
	e.Count++
	e.Last, e.Detail, e.User, e.Cert, e.Address = now, v.Detail, upTo(who.User, maxShown), upTo(who.Cert, maxShown), upTo(who.Address, maxShown)
	return e.Violation, l.mayTell(e, now)
}

// bound changes how many are listed.
func (l *violations) bound(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = most
	l.trimLocked()
}

// trimLocked lets those go that were quiet longest, until no more are listed than may be.
func (l *violations) trimLocked() {
	for l.order.Len() > l.most {
		quiet := l.order.Back()
		delete(l.byWhat, quiet.Value.(*violationEntry).key)
		l.order.Remove(quiet)
	}
}

func (l *violations) mayTell(e *violationEntry, now time.Time) bool {
	if now.Sub(e.toldAt) < time.Minute {
		return false
	}
	if now.Sub(l.minute) >= time.Minute {
		l.minute, l.told = now, 0
	}
	if l.told >= toldPerMinute {
		return false
	}
	l.told++
	e.toldAt = now
	return true
}

// all returns the list, newest first, and how many there were by rule.
func (l *violations) all() ([]ui.Violation, map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]ui.Violation, 0, l.order.Len())
	for at := l.order.Front(); at != nil; at = at.Next() {
		out = append(out, at.Value.(*violationEntry).Violation)
	}
	return out, maps.Clone(l.total)
}

// upTo returns a copy of s of at most n bytes.
func upTo(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.Clone(s)
}
