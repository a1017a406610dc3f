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

// matches finds the subscriptions that select a topic and remembers them, until one changes: devices publish to the same topics again and
// again. It belongs to one routing.
type matches struct {
	changes uint64 // of the tree, when what is remembered was found
	byTopic map[topic.Name][]match
	size    int // of all lists together
	list    []match
	walk    topic.Walk[*member, options]
	began   uint64                 // changes when the walk began
	add     func(*member, options) // appends to list; made once: Next does not allocate
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

// begin returns the subscriptions of tree that select name, if they are remembered. Else next finds them. The list is good until the next
// begin.
func (f *matches) begin(name topic.Name, tree *topic.Tree[*member, options], changes uint64) (list []match, known bool) {
	if f.changes != changes {
		f.forget()
		f.changes = changes
	}
	if list, known = f.byTopic[name]; known {
		return list, true
	}
	clear(f.list)
	f.list, f.began = f.list[:0], changes
	if cap(f.list) > maxMatches {
		f.list = nil
	}
	f.walk.Begin(tree, name)
	return nil, false
}

// next goes on with the walk and returns what was found, which is all if whole.
func (f *matches) next(name topic.Name, changes uint64, limit int) (list []match, whole bool) {
	if f.walk.Next(limit, f.add) {
		return nil, false
	}
	if len(f.list) <= maxList && len(name) <= maxTopicBytes && changes == f.began {
		if len(f.byTopic) >= maxTopics || f.size+len(f.list) > maxMatches {
			f.forget()
		}
		f.byTopic[name] = slices.Clone(f.list)
		f.size += len(f.list)
	}
	return f.list, true
}

func (f *matches) forget() {
	clear(f.byTopic)
	f.size = 0
}
