package topic

import "strings"

// Tree maps filters to subscribers; Walk finds those whose filter selects a name. K names a subscriber, which has at
// most one subscription per filter; V is what is known of the subscription. The zero value is an empty tree.
//
// A node is one level of a filter. The cost of a Walk grows with the nodes that match, at most two per level and
// branch, not with the size of the tree.
type Tree[K comparable, V any] struct {
	root node[K, V]
	size int
}

type node[K comparable, V any] struct {
	parent   *node[K, V]
	level    string                 // the key in parent.children
	children map[string]*node[K, V] // by literal level; nil when empty
	plus     *node[K, V]            // the child for "+"
	hash     *node[K, V]            // the child for "#"
	entries  []entry[K, V]          // the filter that ends here
	index    map[K]int              // position in entries, once there are more than indexFrom
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// indexFrom is the number of entries of a node above which looking for a key uses a map.
const indexFrom = 16

// Len is the number of subscriptions.
func (t *Tree[K, V]) Len() int { return t.size }

// Add sets the value of key under f. If key was subscribed to f already, its old value is returned and replaced is true.
func (t *Tree[K, V]) Add(f Filter, key K, value V) (old V, replaced bool) {
	n := &t.root
	for rest, more := string(f), true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.child(level)
	}
	if i := n.find(key); i >= 0 {
		old, n.entries[i].value = n.entries[i].value, value
		return old, true
	}
	n.add(key, value)
	t.size++
	return old, false
}

// Get returns the value of key under exactly f.
func (t *Tree[K, V]) Get(f Filter, key K) (value V, found bool) {
	if n := t.walk(f); n != nil {
		if i := n.find(key); i >= 0 {
			return n.entries[i].value, true
		}
	}
	return value, false
}

// Remove takes key off f; the filter must be the same byte by byte [MQTT-3.10.4-1] [v3 MQTT-3.10.4-1].
// It returns the value that was there.
func (t *Tree[K, V]) Remove(f Filter, key K) (old V, removed bool) {
	n := t.walk(f)
	if n == nil {
		return old, false
	}
	i := n.find(key)
	if i < 0 {
		return old, false
	}
	old = n.entries[i].value
	n.remove(i)
	t.size--
	n.prune()
	return old, true
}

// walk returns the node where f ends, or nil.
func (t *Tree[K, V]) walk(f Filter) *node[K, V] {
	n := &t.root
	for rest, more := string(f), true; more && n != nil; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = *n.place(level)
	}
	return n
}

// place is where the child for level stands, or would.
func (n *node[K, V]) place(level string) **node[K, V] {
	switch level {
	case "+":
		return &n.plus
	case "#":
		return &n.hash
	}
	next := n.children[level]
	return &next
}

// child returns the child for level, making it if there is none. Its key is a copy: a filter is often a part of a
// larger string that must not be kept.
func (n *node[K, V]) child(level string) *node[K, V] {
	place := n.place(level)
	if *place == nil {
		*place = &node[K, V]{parent: n, level: strings.Clone(level)}
		n.keep(*place)
	}
	return *place
}

// keep makes a child for a literal level stand in its place.
func (n *node[K, V]) keep(next *node[K, V]) {
	if next.level == "+" || next.level == "#" {
		return
	}
	if n.children == nil {
		n.children = make(map[string]*node[K, V], 1)
	}
	n.children[next.level] = next
}

// prune removes n and its parents as far as they hold nothing.
func (n *node[K, V]) prune() {
	for n.parent != nil && len(n.entries) == 0 && len(n.children) == 0 && n.plus == nil && n.hash == nil {
		n.parent.drop(n)
		n = n.parent
	}
}

func (n *node[K, V]) drop(child *node[K, V]) {
	switch child {
	case n.plus:
		n.plus = nil
	case n.hash:
		n.hash = nil
	default:
		delete(n.children, child.level)
		if len(n.children) == 0 {
			n.children = nil
		}
	}
}

func (n *node[K, V]) find(key K) int {
	if n.index != nil {
		if i, found := n.index[key]; found {
			return i
		}
		return -1
	}
	for i := range n.entries {
		if n.entries[i].key == key {
			return i
		}
	}
	return -1
}

func (n *node[K, V]) add(key K, value V) {
	n.entries = append(n.entries, entry[K, V]{key, value})
	if n.index != nil {
		n.index[key] = len(n.entries) - 1
	} else if len(n.entries) > indexFrom {
		n.index = make(map[K]int, len(n.entries))
		for i := range n.entries {
			n.index[n.entries[i].key] = i
		}
	}
}

// remove moves the last entry into place i.
func (n *node[K, V]) remove(i int) {
	last := len(n.entries) - 1
	if n.index != nil {
		delete(n.index, n.entries[i].key)
		if i != last {
			n.index[n.entries[last].key] = i
		}
	}
	n.entries[i] = n.entries[last]
	n.entries[last] = entry[K, V]{}
	n.entries = n.entries[:last]
	if last == 0 {
		n.entries, n.index = nil, nil
	}
}
