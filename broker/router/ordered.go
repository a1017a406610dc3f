package router

import (
	"maps"
	"slices"

	"edge/broker/topic"
)

// ordered is a set of topics that is asked for in order. What it hands out is not changed any more; names that come and go meanwhile are
// kept beside it, so that a list is a copy of the last and not sorted anew. The zero value is empty.
type ordered struct {
	list []topic.Name            // in order; handed out
	came map[topic.Name]struct{} // and are not in list
	gone map[topic.Name]struct{} // and still in list
}

func (o *ordered) add(name topic.Name) {
	if _, had := o.gone[name]; had {
		delete(o.gone, name)
		return
	}
	if o.came == nil {
		o.came, o.gone = make(map[topic.Name]struct{}), make(map[topic.Name]struct{})
	}
	o.came[name] = struct{}{}
}

func (o *ordered) remove(name topic.Name) {
	if _, had := o.came[name]; had {
		delete(o.came, name)
		return
	}
	o.gone[name] = struct{}{}
}

// ready tells whether list is good: it has all names, and few others.
func (o *ordered) ready() bool { return len(o.came) == 0 && len(o.gone) <= fewGone+len(o.list)/4 }

// fewGone is how many names that are gone may be in a list of any length.
const fewGone = 64

// renew makes list good: by the time it takes to copy it and to sort what came.
func (o *ordered) renew() {
	next, rest := make([]topic.Name, 0, len(o.list)+len(o.came)), o.list
	if len(o.gone) > 0 {
		rest = slices.DeleteFunc(slices.Clone(rest), func(n topic.Name) bool { _, gone := o.gone[n]; return gone })
	}
	for _, n := range slices.Sorted(maps.Keys(o.came)) {
		at, _ := slices.BinarySearch(rest, n)
		next = append(append(next, rest[:at]...), n)
		rest = rest[at:]
	}
	o.list = append(next, rest...)
	clear(o.came)
	clear(o.gone)
}
