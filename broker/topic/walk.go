package topic

import "strings"

// Walk finds the subscriptions of a tree whose filter selects a name, in portions: filters can be chosen so that a name is selected by
// more nodes than should be looked at in one go. The zero value is a walk at its end; Begin uses the memory of the one before.
//
// The tree may change between two portions. A subscription that is there from Begin to the end is found, and found once; one that
// comes or goes meanwhile may be found or not.
type Walk[K comparable, V any] struct {
	branches []branch[K, V] // to be looked at, the next one last; not more than the tree has levels
	reserved bool           // the first of them is the root, and the name begins with $
}

// branch is a node that the first levels of the name lead to, and the others.
type branch[K comparable, V any] struct {
	node *node[K, V]
	rest string
	more bool // rest is a level, even if it is empty
}

// Begin begins at the root.
func (w *Walk[K, V]) Begin(t *Tree[K, V], name Name) {
	w.branches = append(w.branches[:0], branch[K, V]{&t.root, string(name), true})
	w.reserved = name.Reserved()
}

// Next calls fn for each subscription that it comes to, in no particular order, until it has looked at limit nodes and subscriptions or
// a little more. A key with several filters that select the name comes several times. It tells whether it has to be called again. fn must
// not change the tree. Once the memory is there Next does not allocate.
func (w *Walk[K, V]) Next(limit int, fn func(key K, value V)) (more bool) {
	for len(w.branches) > 0 {
		last := len(w.branches) - 1
		b := w.branches[last]
		w.branches = w.branches[:last]
		for b.node != nil {
			if limit <= 0 {
				w.branches = append(w.branches, b)
				return true
			}
			limit -= w.look(&b, fn)
		}
	}
	return false
}

// look returns what it has looked at, and moves b to the child that has the name of the next level, nil if there is none. What + selects is
// for later. In the root of a $ name, wildcards are passed over [MQTT-4.7.2-1].
func (w *Walk[K, V]) look(b *branch[K, V], fn func(K, V)) (looked int) {
	n, wild := b.node, !w.reserved
	b.node, w.reserved = nil, false
	looked = 1
	if n.hash != nil && wild {
		looked += n.hash.each(fn)
	}
	if !b.more {
		return looked + n.each(fn)
	}
	if n.children == nil && n.plus == nil {
		return looked
	}
	var level string
	level, b.rest, b.more = strings.Cut(b.rest, "/")
	if n.plus != nil && wild {
		w.branches = append(w.branches, branch[K, V]{n.plus, b.rest, b.more})
	}
	b.node = n.children[level]
	return looked
}

func (n *node[K, V]) each(fn func(K, V)) int {
	for i := range n.entries {
		fn(n.entries[i].key, n.entries[i].value)
	}
	return len(n.entries)
}
