package sparkplug

import (
	"net/netip"
	"strings"
)

// FirewallRule binds the identities that fit all of User, Cert and Client; an empty one fits every identity, and in each * stands for any
// text. What they may be: the nodes of Group and Node, which are patterns too (%u stands for the user, %c for the client identifier),
// the host Host, and one that sends commands, to Groups or, without any, to all.
type FirewallRule struct {
	User, Cert, Client string
	Group, Node        string
	Host               string
	Commands           bool
	Groups             []string
}

// ruleOf returns the first rule that fits, nil without one.
func (f *Firewall) ruleOf(c Caller) *FirewallRule {
	for i := range f.o.Rules {
		r := &f.o.Rules[i]
		if r.User == "" && r.Cert == "" && r.Client == "" {
			continue
		}
		if fits(r.User, c.User) && fits(r.Cert, c.Cert) && fits(r.Client, c.ClientID) {
			return r
		}
	}
	return nil
}

// fits is glob, where an empty pattern fits all; others fit no empty text: * is a user, not the lack of one.
func fits(pattern, text string) bool { return pattern == "" || text != "" && glob(pattern, text) }

// glob tells whether pattern, in which * stands for any text, is text.
func glob(pattern, text string) bool {
	first, rest, stars := strings.Cut(pattern, "*")
	if !stars {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], more
	}
}

// expand puts the names of the caller into a pattern of its rule. A name with a star in it would widen the pattern: it fits nothing.
func (r *FirewallRule) expand(pattern string, c Caller) string {
	if !strings.Contains(pattern, "%") {
		return pattern
	}
	if strings.Contains(c.User+c.ClientID, "*") {
		return ""
	}
	return strings.NewReplacer("%u", c.User, "%c", c.ClientID).Replace(pattern)
}

// keyOf names an identity. Whom a rule knows is known by its user; many devices may share a user, so else its client identifier counts too.
func keyOf(c Caller, rule *FirewallRule) string {
	switch {
	case c.Cert != "":
		return "certificate " + short(c.Cert)
	case c.User != "" && rule != nil:
		return "user " + short(c.User)
	case c.User != "":
		return "user " + short(c.User) + ", client " + short(c.ClientID)
	}
	return "client " + short(c.ClientID) + " at " + network(c.Address)
}

// network is what stays the same of an address when a device comes back: loopback, its /24 or /64, or that it is a socket of this machine.
func network(address string) string {
	at, err := netip.ParseAddrPort(address)
	ip := at.Addr().Unmap()
	switch {
	case err != nil:
		return "local socket"
	case ip.IsLoopback():
		return "loopback"
	case ip.Is4():
		p, _ := ip.Prefix(24)
		return p.String()
	}
	p, _ := ip.WithZone("").Prefix(64)
	return p.String()
}
