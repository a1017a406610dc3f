package router

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// The reasons for which a message is not retained.
const (
	DropRetainedFull    = "retained messages full" // it is delivered, but not kept for later subscribers
	DropRetainedExpired = "retained message expired"
)

// retain stores m, or removes what its topic had if the payload is empty [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7].
func (r *Router) retain(m *broker.Message) (needs broker.Index, kept bool, err error) {
	if r.retainedFor(m.Topic) == &r.system {
		r.retainSystem(m)
		return 0, true, nil
	}
	old, had := r.retained.Get(m.Topic)
	if len(m.Payload) == 0 && !had {
		return 0, true, nil
	}
	if kept = len(m.Payload) == 0 || r.fits(m, old); !kept {
		r.retainedFull.Add(1)
		if !had {
			return 0, false, nil
		}
		empty := *m // an old value must not stand where a newer one was published
		empty.Payload = nil
		m = &empty
	}
	if r.opt.Store != nil {
		if needs, err = r.opt.Store.SaveRetained(m); err != nil {
			return 0, false, err
		}
	}
	r.setRetained(m)
	return needs, kept, nil
}

// What reserved topics find when the limits are reached: others cannot keep out what all depend on.
const (
	reservedMessages = 256
	reservedBytes    = 256 << 10
)

// fits tells whether m may be retained in the place of old, which may be nil.
func (r *Router) fits(m, old *broker.Message) bool {
	messages, bytes := r.retained.Len()+1, r.retainedBytes+size(m)
	if old != nil {
		messages, bytes = messages-1, bytes-size(old)
	}
	return r.within(messages, bytes) || r.opt.Reserved != nil && r.opt.Reserved(m.Topic) && r.within(messages-reservedMessages, bytes-reservedBytes)
}

func (r *Router) within(messages int, bytes int64) bool {
	return (r.opt.RetainedMessages <= 0 || messages <= r.opt.RetainedMessages) &&
		(r.opt.RetainedBytes <= 0 || bytes <= r.opt.RetainedBytes)
}

func (r *Router) setRetained(m *broker.Message) {
	var old *broker.Message
	if len(m.Payload) == 0 {
		old, _ = r.retained.Delete(m.Topic)
	} else {
		old, _ = r.retained.Set(m.Topic, m)
		r.retainedBytes += size(m)
	}
	if old != nil {
		r.retainedBytes -= size(old)
	}
	switch {
	case old == nil && len(m.Payload) > 0:
		r.ordered.add(m.Topic)
	case old != nil && len(m.Payload) == 0:
		r.ordered.remove(m.Topic)
	}
}

func size(m *broker.Message) int64 { return m.Size() }

// Retained returns the message retained on a topic, nil if there is none that is still alive at now.
func (r *Router) Retained(name topic.Name, now time.Time) *broker.Message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.retainedFor(name).Get(name)
	if m == nil || expired(m, now) {
		return nil
	}
	return m
}

// retainedRoots select every name there can be in retained: # passes over names that begin with $, which only our own
// publishers use [MQTT-4.7.2-1].
var retainedRoots = [...]topic.Filter{"#", "$sparkplug/#"}

// RetainedNames returns topics that have, or had, a retained message, in order. Those that f selects are among them; which they are is for the
// caller to see as it goes on (topic.Match), in portions if it likes. The list is shared, and not to be written to.
func (r *Router) RetainedNames(f topic.Filter) []topic.Name {
	all := r.namesFor(f)
	prefix := f.Prefix()
	from, _ := slices.BinarySearch(all, topic.Name(prefix))
	all = all[from:]
	return all[:sort.Search(len(all), func(i int) bool { return !strings.HasPrefix(string(all[i]), prefix) })]
}

// namesFor returns all topics of the part that f selects from.
func (r *Router) namesFor(f topic.Filter) []topic.Name {
	r.mu.RLock()
	if r.retainedBy(f) == &r.system {
		defer r.mu.RUnlock()
		return namesOf(&r.system, "$SYS/#")
	}
	list, ready := r.ordered.list, r.ordered.ready()
	r.mu.RUnlock()
	if ready {
		return list
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ordered.ready() {
		r.ordered.renew()
	}
	return r.ordered.list
}

func namesOf(in *topic.Names[*broker.Message], roots ...topic.Filter) []topic.Name {
	names := make([]topic.Name, 0, in.Len())
	for _, root := range roots {
		in.Match(root, func(n topic.Name, _ *broker.Message) bool {
			names = append(names, n)
			return true
		})
	}
	slices.Sort(names)
	return names
}

// HasRetained tells whether a topic selected by f has a retained message. It does not look far: it may say yes where none has.
func (r *Router) HasRetained(f topic.Filter) bool {
	names := r.RetainedNames(f)
	near := names[:min(len(names), lookNear)]
	return len(names) > len(near) || slices.ContainsFunc(near, func(n topic.Name) bool { return topic.Match(f, n) && r.isRetained(n) })
}

func (r *Router) isRetained(n topic.Name) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, found := r.retainedFor(n).Get(n)
	return found
}

const lookNear = 16

// RetainedAll returns all retained messages in order of topic, for a checkpoint.
func (r *Router) RetainedAll() []*broker.Message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*broker.Message, 0, r.retained.Len())
	for _, root := range retainedRoots {
		r.retained.Match(root, func(_ topic.Name, m *broker.Message) bool {
			all = append(all, m)
			return true
		})
	}
	slices.SortFunc(all, byTopic)
	return all
}

func byTopic(a, b *broker.Message) int { return cmp.Compare(a.Topic, b.Topic) }

// Expire removes the retained messages whose expiry interval has passed at now [MQTT-3.3.2-5]. Until then
// they are merely not sent.
func (r *Router) Expire(now time.Time) {
	var dead []*broker.Message
	for _, m := range r.RetainedAll() {
		if expired(m, now) {
			dead = append(dead, m)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range dead {
		if now, _ := r.retained.Get(m.Topic); now != m {
			continue // a newer one came
		}
		empty := *m
		empty.Payload = nil
		if r.opt.Store != nil {
			if _, err := r.opt.Store.SaveRetained(&empty); err != nil {
				return // tried again at the next Expire
			}
		}
		r.setRetained(&empty)
		r.retainedExpired.Add(1)
	}
}
