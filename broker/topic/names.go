package topic

import "strings"

// Names maps topic names to values and finds those that a filter selects: the other direction of Tree, for retained
// messages. The zero value is empty.
type Names[V any] struct {
	root nameNode[V]
	size int
}

type nameNode[V any] struct {
	parent   *nameNode[V]
	level    string
	children map[string]*nameNode[V]
	name     Name // the whole name that ends here
	value    V
	set      bool
}

// Len is the number of names.
func (t *Names[V]) Len() int { return t.size }

// Get returns the value of name.
func (t *Names[V]) Get(name Name) (value V, found bool) {
	if n := t.walk(name); n != nil && n.set {
		return n.value, true
	}
	return value, false
}

// Set gives name a value and returns the one it had.
func (t *Names[V]) Set(name Name, value V) (old V, replaced bool) {
	n := &t.root
	for rest, more := string(name), true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.child(level)
	}
	old, replaced = n.value, n.set
	n.name, n.value, n.set = name, value, true
	if !replaced {
		t.size++
	}
	return old, replaced
}

// Delete removes name and returns the value it had.
func (t *Names[V]) Delete(name Name) (old V, removed bool) {
	n := t.walk(name)
	if n == nil || !n.set {
		return old, false
	}
	old = n.value
	var none V
	n.name, n.value, n.set = "", none, false
	t.size--
	n.prune()
	return old, true
}

// Match calls fn for each name that f selects, in no particular order, until fn returns false. fn must not change the
// tree. Match does not allocate.
func (t *Names[V]) Match(f Filter, fn func(name Name, value V) bool) {
	t.root.match(string(f), true, startsWild(f), fn)
}

// match goes down the levels in rest; more is false when there is none left. With wild, in the root of a filter that
// begins with a wildcard, $ names are passed over [MQTT-4.7.2-1]. It returns false once fn has.
func (n *nameNode[V]) match(rest string, more, wild bool, fn func(Name, V) bool) bool {
	if !more {
		return !n.set || fn(n.name, n.value)
	}
	level, rest, more := strings.Cut(rest, "/")
	switch level {
	case "#":
		return n.all(wild, fn)
	case "+":
		for key, next := range n.children {
			if (!wild || !reserved(key)) && !next.match(rest, more, false, fn) {
				return false
			}
		}
		return true
	}
	next := n.children[level]
	return next == nil || next.match(rest, more, false, fn)
}

// all calls fn for n and everything below.
func (n *nameNode[V]) all(wild bool, fn func(Name, V) bool) bool {
	if n.set && !fn(n.name, n.value) {
		return false
	}
	for key, next := range n.children {
		if (!wild || !reserved(key)) && !next.all(false, fn) {
			return false
		}
	}
	return true
}

func reserved(level string) bool { return level != "" && level[0] == '$' }

func (t *Names[V]) walk(name Name) *nameNode[V] {
	n := &t.root
	for rest, more := string(name), true; more && n != nil; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.children[level]
	}
	return n
}

func (n *nameNode[V]) child(level string) *nameNode[V] {
	next := n.children[level]
	if next == nil {
		if n.children == nil {
			n.children = make(map[string]*nameNode[V], 1)
		}
		next = &nameNode[V]{parent: n, level: strings.Clone(level)}
		n.children[next.level] = next
	}
	return next
}

func (n *nameNode[V]) prune() {
	for n.parent != nil && !n.set && len(n.children) == 0 {
		delete(n.parent.children, n.level)
		if len(n.parent.children) == 0 {
			n.parent.children = nil
		}
		n = n.parent
	}
}
