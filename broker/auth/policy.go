package auth

import (
	"errors"
	"io/fs"
	"strings"

	"edge/broker/topic"
)

// Policy is who may do what. The zero value knows no user and lets nobody in but on anonymous listeners.
type Policy struct {
	usersFile, aclFile string

	byName map[string]*user
	byCert map[string]*user  // by certificate subject
	bound  []*user           // those with a client binding
	rules  map[string][]rule // by user, those for everyone who has logged in included
	others []rule            // of a user without rules of its own: those for everyone

	scramForm *verifier // what a user that does not exist seems to have

	// Shared by all policies that Reload made of one.
	hashing *limiter
	secret  []byte // makes the salts of users that do not exist
}

// Load reads users.yaml and acl.yaml. A missing file, or an empty path, holds nothing. The error joins every problem
// found, each as "file:line: what is wrong"; then there is no policy.
func Load(usersFile, aclFile string) (*Policy, error) {
	return load(usersFile, aclFile, newLimiter(), nil)
}

// Reload reads the same files again. On error p stays good.
func (p *Policy) Reload() (*Policy, error) { return load(p.usersFile, p.aclFile, p.hashing, p.secret) }

func load(usersFile, aclFile string, hashing *limiter, secret []byte) (*Policy, error) {
	if hashing == nil {
		hashing = newLimiter()
	}
	p := &Policy{usersFile: usersFile, aclFile: aclFile, hashing: hashing, secret: secret,
		byName: make(map[string]*user), byCert: make(map[string]*user)}
	users, usersErr := readUsers(usersFile)
	rules, rulesErr := readRules(aclFile)
	if err := errors.Join(ifThere(usersErr), ifThere(rulesErr)); err != nil {
		return nil, err
	}
	for _, u := range users {
		p.byName[u.Name] = u
		if u.Cert != "" {
			p.byCert[u.Cert] = u
		}
		if u.Client != "" {
			p.bound = append(p.bound, u)
		}
	}
	p.scramForm = commonForm(users)
	if p.secret == nil {
		p.secret = saltSecret(users)
	}
	p.index(rules)
	return p, nil
}

// index sorts the rules by user, so that a publish does not look at those of a thousand others.
func (p *Policy) index(all []rule) {
	p.rules = make(map[string][]rule)
	for _, r := range all {
		if r.user == everyone {
			p.others = append(p.others, r)
		} else {
			p.rules[r.user] = append(p.rules[r.user], r)
		}
	}
	for name := range p.rules {
		p.rules[name] = append(p.rules[name], p.others...)
	}
}

// ifThere is err unless it says that the file does not exist.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Identity is who a connection is, as Connect found out.
type Identity struct {
	User      string // empty if Anonymous
	ClientID  string
	Anonymous bool
}

// aware is where a Sparkplug Aware server publishes; certificates, with a birth's topic behind it, is all there is below it.
// [tck-id-conformance-mqtt-aware-nbirth-mqtt-topic]
const (
	aware        = "$sparkplug"
	certificates = aware + "/certificates/"
	namespace    = "spBv1.0"
)

// system is where the broker tells of itself.
const system topic.Filter = "$SYS/#"

// MayPublish reports whether id may publish to name. Nobody may publish to a name that begins with $, and an anonymous
// client to all others.
func (p *Policy) MayPublish(id Identity, name topic.Name) bool {
	if name.Reserved() {
		return false
	}
	if id.Anonymous {
		return true
	}
	rules := p.rulesOf(id)
	for i := range rules {
		allowed := rules[i].publish
		for j := range allowed {
			if allowed[j].selects(id, name) {
				return true
			}
		}
	}
	return false
}

// MaySubscribe reports whether id may subscribe to f, which is the inner filter if the subscription is shared: whether
// one rule allows every name that f selects. An anonymous client may subscribe to all but $ names, of which it
// gets $SYS; who has logged in gets that by a rule, like all else. Who may read births may read their certificates, and nobody else may: no
// rule speaks of them. A client is told what it may not see by a refused SUBSCRIBE, not by silence.
func (p *Policy) MaySubscribe(id Identity, f topic.Filter) bool {
	if level, _, _ := strings.Cut(string(f), "/"); level == aware {
		births, ok := certified(f)
		return ok && p.MaySubscribe(id, births)
	}
	if id.Anonymous {
		return !strings.HasPrefix(string(f), "$") || topic.Covers(system, f)
	}
	for _, r := range p.rulesOf(id) {
		for _, allowed := range r.subscribe {
			if wide, ok := allowed.expand(id); ok && topic.Covers(wide, f) {
				return true
			}
		}
	}
	return false
}

// certified returns the filter of the births whose certificates f selects. All births begin with the namespace.
func certified(f topic.Filter) (births topic.Filter, ok bool) {
	s, ok := strings.CutPrefix(string(f), certificates)
	if !ok {
		return "", false
	}
	if s == "#" {
		s = "+/#"
	}
	if below, any := strings.CutPrefix(s, "+/"); any {
		s = namespace + "/" + below
	}
	return topic.Filter(s), true
}

// rulesOf returns the rules that concern id; none for an identity that is nobody.
func (p *Policy) rulesOf(id Identity) []rule {
	if id.User == "" {
		return nil
	}
	if own, found := p.rules[id.User]; found {
		return own
	}
	return p.others
}
