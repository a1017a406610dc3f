package historian

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// matching lists the metrics of a selection by group, node, device and name.
func (c *catalog) matching(sel *Selection) []metric {
	c.mu.RLock()
	out := slices.Collect(maps.Keys(c.byMetric))
	c.mu.RUnlock()
	out = slices.DeleteFunc(out, func(m metric) bool { return !sel.wants(m) }) // which may take its time
	slices.SortFunc(out, func(a, b metric) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.node, b.node), cmp.Compare(a.device, b.device), cmp.Compare(a.name, b.name))
	})
	return out
}

func (sel *Selection) wants(m metric) bool {
	any := func(pattern, name string) bool { return pattern == "" || matches(pattern, name) }
	if !any(sel.Group, m.group) || !any(sel.Node, m.node) || !any(sel.Device, m.device) {
		return false
	}
	return len(sel.Metrics) == 0 || slices.ContainsFunc(sel.Metrics, func(p string) bool {
		return matches(p, m.name) || strings.Contains(p, "/") && matches(p, m.path())
	})
}

// path is the metric's name behind those of its owner. Groups, nodes and devices have no slash in theirs.
func (m metric) path() string {
	if m.device == "" {
		return m.group + "/" + m.node + "/" + m.name
	}
	return m.group + "/" + m.node + "/" + m.device + "/" + m.name
}

// matches says whether name is what the pattern says, * being any run of characters. Its work is at most the product of
// both lengths.
func matches(pattern, name string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0: // the last star takes one more
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
