package sparkplug

import (
	"fmt"
	"slices"
)

// Definitions are an edge node's template definitions: the bytes of each by the name of its metric.
type Definitions map[string][]byte

// Born completes an instance of a template as a birth sends it: from its definition it gets the datatypes that its members
// lack and the parameters it leaves at their defaults. problems says what the sender did wrong. An instance to which
// nothing is to be added comes back as it came.
func (defs Definitions) Born(instance Value, l Limits) (whole Value, problems []string, err error) {
	return newCompletion(defs, l).born(instance)
}

// Merged completes an instance as DATA sends it, with some of its members: these take the place of theirs in base, the last
// whole one, by name first, by alias second, and so do members of members. Without a base (a null, as a birth may send) the
// definition alone says what is known.
//
// A member that neither base nor the definition has is left out, so that an instance cannot grow without end.
func (defs Definitions) Merged(base, instance Value, l Limits) (whole Value, problems []string, err error) {
	return newCompletion(defs, l).merged(base, instance)
}

// completion is the work of one Born or Merged, or of all of one step of a host. A short message may stand for much: what is
// added to instances, and what is read of definitions and of earlier values for it, is bounded by room.
type completion struct {
	defs     Definitions
	l        Limits
	birth    bool
	problems []string
	room     int                         // bytes
	read     map[string]*knownDefinition // nil for what is none
}

// knownDefinition is a definition that was read.
type knownDefinition struct {
	TemplateValue
	members memberIndex
	known   map[string]int // parameters
}

func newCompletion(defs Definitions, l Limits) *completion {
	l = l.withDefaults()
	return &completion{defs: defs, l: l, room: 4 * l.Bytes}
}

func (c *completion) born(instance Value) (whole Value, problems []string, err error) {
	c.birth, c.problems = true, nil
	t, err := ParseTemplate(instance, c.l)
	if err != nil {
		return instance, nil, err
	}
	if c.resolve(&t, 1) {
		instance = t.Value()
	}
	return instance, c.problems, nil
}

func (c *completion) merged(base, instance Value) (whole Value, problems []string, err error) {
	c.birth, c.problems = false, nil
	part, err := ParseTemplate(instance, c.l)
	if err != nil {
		return instance, nil, err
	}
	if !c.take(len(base.Bytes)) {
		return instance, c.problems, nil
	}
	if last, err := ParseTemplate(base, c.l); err == nil && !last.IsDefinition && !part.IsDefinition {
		if !c.take(64 * len(last.Metrics)) { // the work that they are
			return instance, c.problems, nil
		}
		merged := c.merge(last, part, 1)
		return merged.Value(), c.problems, nil
	}
	if c.resolve(&part, 1) {
		instance = part.Value()
	}
	return instance, c.problems, nil
}

// take takes bytes from the room, if they are left.
func (c *completion) take(bytes int) bool {
	if bytes > c.room {
		c.room = 0
		c.problem("templates that stand for more than %d MiB in one message: instances are shown as they come", 4*c.l.Bytes>>20)
		return false
	}
	c.room -= bytes
	return true
}

// size is about what a metric adds to an instance.
func (m *Metric) size() int {
	n := len(m.Name) + len(m.Value.Bytes) + len(m.Metadata) + len(m.Unknown) + len(m.PropertiesUnknown) + 32
	for i := range m.Properties {
		n += len(m.Properties[i].Key) + len(m.Properties[i].Value.Bytes) + len(m.Properties[i].Unknown) + 32
	}
	return n
}

// definition returns a definition; nil if there is none by that name, or it does not decode, or there is no room to read it.
func (c *completion) definition(name string) *knownDefinition {
	if d, ok := c.read[name]; ok {
		return d
	}
	b, ok := c.defs[name]
	if !ok || !c.take(len(b)) {
		return nil
	}
	var d *knownDefinition
	const cost = 256 // of a member or parameter in memory, about
	if t, err := ParseTemplate(Value{Type: Template, Bytes: b}, c.l); err == nil && t.IsDefinition && c.take(cost*(len(t.Metrics)+len(t.Parameters))) {
		d = &knownDefinition{t, indexMembers(t.Metrics), indexParameters(t.Parameters)}
	}
	if c.read == nil {
		c.read = map[string]*knownDefinition{}
	}
	c.read[name] = d
	return d
}

// problem notes what is wrong, each text once and at most eight.
func (c *completion) problem(format string, args ...any) {
	if len(c.problems) < 8 {
		if text := fmt.Sprintf(format, args...); !slices.Contains(c.problems, text) {
			c.problems = append(c.problems, text)
		}
	}
}

// resolve completes an instance by its definition alone; changed tells whether it needed that.
// [tck-id-payloads-template-definition-nbirth] [tck-id-payloads-template-instance-members] [tck-id-payloads-template-instance-members-birth]
func (c *completion) resolve(t *TemplateValue, depth int) (changed bool) {
	if t.IsDefinition || t.Ref == "" {
		return false
	}
	def, found := c.definition(t.Ref), 0
	if def == nil {
		if c.room > 0 {
			c.problem("an instance of template %.80q, which no NBIRTH defines [tck-id-payloads-template-definition-nbirth]", t.Ref)
		}
		return false
	}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		if k := def.members.find(m); k < 0 {
			c.problem("member %.80q of an instance is not in its definition [tck-id-payloads-template-instance-members]", m.Name)
		} else if found++; c.typed(m, &def.Metrics[k]) {
			changed = true
		}
		changed = c.resolveMember(m, depth) || changed
	}
	if c.birth && found < len(def.Metrics) {
		c.problem("an instance of template %.80q lacks members in its birth [tck-id-payloads-template-instance-members-birth]", t.Ref)
	}
	return c.defaults(t, def) || changed
}

// resolveMember resolves a member that is itself an instance.
func (c *completion) resolveMember(m *Metric, depth int) (changed bool) {
	if depth >= c.l.Depth {
		return false
	}
	inner, err := ParseTemplate(m.Value, c.l)
	if err != nil || !c.resolve(&inner, depth+1) {
		return false
	}
	m.Value = inner.Value()
	return true
}

// typed gives a member the name and the datatype that it leaves to its definition.
func (c *completion) typed(m, like *Metric) (changed bool) {
	if m.Name == "" && like.Name != "" && c.take(len(like.Name)) {
		m.Name, changed = like.Name, true
	}
	if m.Type != Unknown || like.Type == Unknown {
		return changed
	}
	v, ok := m.as(like.Type)
	if !ok {
		c.problem("member %.80q of an instance does not fit its datatype %s", m.Name, like.Type)
		v = Value{Null: true}
	}
	v.Type = like.Type
	m.Type, m.Value = like.Type, v
	return true
}

// defaults adds the parameters of the definition that the instance leaves out, and types those it has.
// [tck-id-payloads-template-definition-parameters]
func (c *completion) defaults(t *TemplateValue, def *knownDefinition) (changed bool) {
	given := indexParameters(t.Parameters)
	for i := range t.Parameters {
		p := &t.Parameters[i]
		if c.birth && p.Type == Unknown {
			c.problem("a template's parameter has no datatype in its birth [tck-id-payloads-template-parameter-type-req]")
		}
		if k, ok := def.known[p.Name]; !ok {
			c.problem("parameter %.80q of an instance is not in its definition [tck-id-payloads-template-definition-parameters]", p.Name)
		} else if p.Type == Unknown {
			p.as(def.Parameters[k].Type)
			changed = true
		}
	}
	for _, p := range def.Parameters {
		if _, ok := given[p.Name]; !ok && c.take(len(p.Name)+len(p.Value.Bytes)+len(p.Unknown)+32) {
			t.Parameters, changed = append(t.Parameters, p), true
		}
	}
	return changed
}

// merge puts the members of part in the place of theirs in base. [tck-id-payloads-template-instance-members-data]
func (c *completion) merge(base, part TemplateValue, depth int) TemplateValue {
	if part.Ref != base.Ref {
		c.problem("an instance of template %.80q, born as one of %.80q", part.Ref, base.Ref)
	}
	if part.Version != "" {
		base.Version = part.Version
	}
	if part.Unknown != nil {
		base.Unknown = part.Unknown
	}
	members := indexMembers(base.Metrics)
	for i := range part.Metrics {
		m := &part.Metrics[i]
		k := members.find(m)
		if k < 0 { // its birth lacked it, or called it by its name only
			member := c.member(base.Ref, m)
			if member == nil {
				c.problem("member %.80q of an instance is neither in its birth nor in its definition [tck-id-payloads-template-instance-members]", m.Name)
				continue
			}
			if k = members.find(member); k < 0 {
				if !c.take(member.size()) {
					continue
				}
				k, base.Metrics = len(base.Metrics), append(base.Metrics, *member)
				members.add(member, k)
			}
		}
		c.replace(&base.Metrics[k], m, depth)
	}
	given := indexParameters(base.Parameters)
	for _, p := range part.Parameters {
		if i, ok := given[p.Name]; ok {
			p.as(base.Parameters[i].Type)
			base.Parameters[i] = p
		} else {
			c.problem("parameter %.80q of an instance is not in its birth [tck-id-payloads-template-definition-parameters]", p.Name)
		}
	}
	return base
}

// member returns the definition of a member; nil if there is none.
func (c *completion) member(template string, m *Metric) *Metric {
	if def := c.definition(template); def != nil {
		if i := def.members.find(m); i >= 0 {
			return &def.Metrics[i]
		}
	}
	return nil
}

// replace makes m the member old: what a birth says of it and DATA does not stays.
func (c *completion) replace(old, m *Metric, depth int) {
	c.typed(m, old)
	m.Name = old.Name
	if !m.HasAlias {
		m.Alias, m.HasAlias = old.Alias, old.HasAlias
	}
	if len(m.Properties)+len(m.PropertiesUnknown) == 0 {
		m.Properties, m.PropertiesUnknown = old.Properties, old.PropertiesUnknown
	}
	if m.Metadata == nil {
		m.Metadata = old.Metadata
	}
	if depth < c.l.Depth {
		inner, err := ParseTemplate(m.Value, c.l)
		last, lastErr := ParseTemplate(old.Value, c.l)
		if err == nil && lastErr == nil {
			merged := c.merge(last, inner, depth+1)
			m.Value = merged.Value()
		}
	}
	*old = *m
}

// memberIndex finds the members of a template: an instance may have thousands.
type memberIndex struct {
	names   map[string]int
	aliases map[uint64]int
}

func indexMembers(list []Metric) memberIndex {
	x := memberIndex{make(map[string]int, len(list)), map[uint64]int{}}
	for i := range list {
		x.add(&list[i], i)
	}
	return x
}

func (x memberIndex) add(m *Metric, i int) {
	if m.Name != "" {
		x.names[m.Name] = i
	}
	if m.HasAlias {
		x.aliases[m.Alias] = i
	}
}

// find returns the place of the member that m means: by its name, else by its alias; -1 if there is none.
func (x memberIndex) find(m *Metric) int {
	if i, ok := x.names[m.Name]; ok && m.Name != "" {
		return i
	}
	if i, ok := x.aliases[m.Alias]; ok && m.HasAlias {
		return i
	}
	return -1
}

func indexParameters(list []Parameter) map[string]int {
	x := make(map[string]int, len(list))
	for i := range list {
		x[list[i].Name] = i
	}
	return x
}
