package sparkplug

// alias enters a metric into the node's alias map. Aliases are unique over a node and its devices; peers that count
// them per device are understood all the same, for a topic tells the device. It tells whether another has the alias. Of two of
// one device the newer has it from then on.
func (n *node) alias(m *metric, alias uint64) (shared bool) {
	m.alias, m.hasAlias, m.sibling = alias, true, n.aliases[alias]
	n.aliases[alias] = m
	shared = m.sibling != nil
	for at := m; at.sibling != nil; at = at.sibling {
		if other := at.sibling; other.device == m.device {
			m.shared, other.shared = true, true
			at.sibling, other.sibling = other.sibling, nil
			break
		}
	}
	return shared
}

// unalias takes a metric out of the alias map.
func (n *node) unalias(m *metric) {
	if !m.hasAlias {
		return
	}
	for at := n.aliases[m.alias]; at != nil; at = at.sibling {
		if at.sibling == m {
			at.sibling = m.sibling
		}
	}
	if n.aliases[m.alias] == m {
		if n.aliases[m.alias] = m.sibling; m.sibling == nil {
			delete(n.aliases, m.alias)
		}
	}
	m.hasAlias, m.sibling = false, nil
}

// aliased returns the metric of a device that an alias stands for; nil if it stands for none.
func (d *device) aliased(alias uint64) *metric {
	m := d.node.aliases[alias]
	for m != nil && m.device != d {
		m = m.sibling
	}
	return m
}
