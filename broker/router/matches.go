package router

import (
	"slices"

	"edge/broker/topic"
)

// match is one subscription that selects a topic.
type match struct {
	who *member
	o   options
}

// matches remembers which subscriptions selected a topic, until one changes: devices publish to the same topics again and
// again. It belongs to one routing.
type matches struct {
	changes uint64 // of the tree, when they were found
	byTopic map[topic.Name][]match
	size    int // of all lists together
	list    []match
	add     func(*member, options) // appends to list; made once: Match does not allocate
}

// The bounds of what is remembered. Beyond them all is forgotten.
const (
	maxTopics  = 4096
	maxMatches = 16384
	maxList    = 1024 // a longer list is not remembered

	maxTopicBytes = 256 // nor is that of a longer topic
)

func (f *matches) init() {
	f.byTopic = make(map[topic.Name][]match)
	f.add = func(who *member, o options) { f.list = append(f.list, match{who, o}) }
}

// of returns the subscriptions of tree that select name. The list is good until the next call.
func (f *matches) of(name topic.Name, tree *topic.Tree[*member, options], changes uint64) []match {
	if f.changes != changes {
		f.forget()
		f.changes = changes
	}
	if list, known := f.byTopic[name]; known {
		return list
	}
	clear(f.list)
	f.list = f.list[:0]
	tree.Match(name, f.add)
	if len(f.list) <= maxList && len(name) <= maxTopicBytes {
		if len(f.byTopic) >= maxTopics || f.size+len(f.list) > maxMatches {
			f.forget()
		}
		f.byTopic[name] = slices.Clone(f.list)
		f.size += len(f.list)
	}
	return f.list
}

func (f *matches) forget() {
	clear(f.byTopic)
	f.size = 0
}
