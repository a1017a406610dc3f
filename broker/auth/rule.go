package auth

import (
	"strings"

	"edge/broker/topic"
)

// everyone is the user of a rule for all who have logged in; it does not mean anonymous clients.
const everyone = "*"

// rule is one entry of acl.yaml; roles are expanded to patterns when it is read.
type rule struct {
	user               string // or everyone
	publish, subscribe []pattern
	will               topic.Name // of a sparkplug-node: the only will topic it may have; else empty
}

// pattern is a topic filter in which %u stands for the user name and %c for the client identifier.
type pattern struct {
	filter   topic.Filter
	hasNames bool   // holds %u or %c
	prefix   string // of every name that it selects: a message is compared with many patterns, and mostly differs here
}

func newPattern(f topic.Filter) pattern {
	s := string(f)
	p := pattern{filter: f, hasNames: strings.Contains(s, "%u") || strings.Contains(s, "%c"), prefix: s}
	if i := strings.IndexAny(s, "+#%"); i >= 0 {
		p.prefix = s[:i]
		if s[i] == '#' {
			p.prefix = strings.TrimSuffix(p.prefix, "/") // "a/#" selects "a"
		}
	}
	return p
}

// selects tells whether the pattern, with the names of id in it, selects name.
func (p *pattern) selects(id Identity, name topic.Name) bool {
	if !strings.HasPrefix(string(name), p.prefix) {
		return false
	}
	f, ok := p.expand(id)
	return ok && topic.Match(f, name)
}

// expand puts the names of id in. Names that are empty or hold a character with a meaning in topics select nothing: they would
// widen the pattern. A pattern without names costs nothing here, one with names an allocation.
func (p pattern) expand(id Identity) (f topic.Filter, ok bool) {
	if !p.hasNames {
		return p.filter, true
	}
	s := string(p.filter)
	if strings.Contains(s, "%u") && !plainName(id.User) || strings.Contains(s, "%c") && !plainName(id.ClientID) {
		return "", false
	}
	return topic.Filter(strings.NewReplacer("%u", id.User, "%c", id.ClientID).Replace(s)), true
}

// plainName reports whether s can be one level of a topic, or part of it, and mean nothing else.
func plainName(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7F || strings.ContainsRune("+#/$%", r) {
			return false
		}
	}
	return s != ""
}

// sparkplugNode is the rule for edge node n of group g: it publishes its own births, data and deaths, reads its own
// commands and the hosts' STATE, and its will is its own NDEATH. Nothing else.
func sparkplugNode(g, n string) rule {
	base := "spBv1.0/" + g
	return rule{
		publish: literal(base+"/NBIRTH/"+n, base+"/NDATA/"+n, base+"/NDEATH/"+n,
			base+"/DBIRTH/"+n+"/+", base+"/DDATA/"+n+"/+", base+"/DDEATH/"+n+"/+"),
		subscribe: literal(base+"/NCMD/"+n, base+"/DCMD/"+n+"/#", "spBv1.0/STATE/+"),
		will:      topic.Name(base + "/NDEATH/" + n),
	}
}

// sparkplugHost is the rule for a host application: it reads its groups (all, if there are none), says its own STATE, and
// sends commands to its groups if it may.
func sparkplugHost(hostID string, groups []string, commands bool) rule {
	r := rule{publish: literal("spBv1.0/STATE/" + hostID), subscribe: literal("spBv1.0/STATE/+")}
	if len(groups) == 0 {
		groups = []string{"+"}
		r.subscribe = append(r.subscribe, literal("spBv1.0/#")...)
	}
	for _, g := range groups {
		if g != "+" {
			r.subscribe = append(r.subscribe, literal("spBv1.0/"+g+"/#")...)
		}
		if commands {
			r.publish = append(r.publish, literal("spBv1.0/"+g+"/NCMD/+", "spBv1.0/"+g+"/DCMD/+/+")...)
		}
	}
	return r
}

func literal(filters ...string) []pattern {
	list := make([]pattern, len(filters))
	for i, f := range filters {
		list[i] = newPattern(topic.Filter(f))
	}
	return list
}
