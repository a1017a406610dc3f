package sparkplug

import (
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Publish judges a message of a client, nil if nothing is against it. A client that is not connected is one whose will it is.
func (f *Firewall) Publish(clientID, user string, m Packet, now time.Time) *Violation {
	g := f.here[clientID]
	if g != nil && g.isNode && g.isData(m.Topic) && m.QoS < 2 && !m.Retain { // nearly all messages: nothing is looked at twice
		if seq, has, ok := scanSeq(m.Payload); ok && has && seq <= 255 {
			return nil
		}
	}
	t, kind, why := classify(m.Topic)
	switch {
	case kind == kindForeign:
		return nil
	case kind == kindReserved:
		return breach(BreachReserved, t, "a message on %.200q, where only the server writes", m.Topic)
	case kind == kindBad:
		return breach(BreachTopic, t, "a message on %.200q: %s", m.Topic, why)
	case g == nil:
		return f.will(clientID, user, t, m)
	case kind == kindState || kind == kindLegacyState:
		return f.state(g, t, kind, m)
	case kind == kindCommand:
		return f.command(g, t, m, now)
	case g.isNode && t.NodeRef() == g.node:
		return f.own(g, t, m, now)
	}
	return f.foreign(g, t)
}

// isData tells whether a topic is that of the node's own NDATA, or the DDATA of a device of it.
func (g *guest) isData(topic string) bool {
	if topic == g.ndata {
		return true
	}
	device, ok := strings.CutPrefix(topic, g.ddata)
	return ok && device != "" && strings.IndexByte(device, '/') < 0
}

// Who returns who has a client identifier, and whether it is connected; of who left long ago only that is known. Its will is left out.
func (f *Firewall) Who(clientID string) (c Caller, here bool) {
	if g := f.here[clientID]; g != nil {
		return g.caller, true
	}
	if c, known := f.gone[clientID]; known {
		return c, false
	}
	return Caller{ClientID: clientID}, false
}

// RefusedBefore says what was tried on a topic that others than the firewall refused, nil if it is none of Sparkplug's.
func RefusedBefore(topic, what string) *Violation {
	t, kind, _ := classify(topic)
	switch kind {
	case kindForeign:
		return nil
	case kindReserved:
		return breach(BreachReserved, t, "%s on %.200q, where only the server writes", what, topic)
	}
	return breach(BreachACL, t, "%s on %.200q, which acl.yaml does not allow", what, topic)
}

// will judges what comes of who has left: its will, of which Connect may have been asked when the rules were others, or only observed.
func (f *Firewall) will(clientID, user string, t Topic, m Packet) *Violation {
	if x := f.claimOf(&m); x.against != nil {
		return x.against
	}
	b := Binding{Group: t.Group, Node: t.Node, Host: t.Host}
	is, bound := f.bound[b.Name()]
	if !bound { // and nobody else's since: that it died is true
		is, bound = f.left[b.Name()]
	}
	if !bound || is.Client != clientID || is.User != user {
		return breach(BreachWill, t, "the will of who has left, for %s, which it does not speak for", speaker(t))
	}
	return nil
}

// foreign says why a session is not the node that it speaks for.
func (f *Firewall) foreign(g *guest, t Topic) *Violation {
	owner, owned := f.bound[nodeName(t.NodeRef())]
	switch {
	case g.isNode:
		return breach(BreachForeign, t, "%s of %.80q/%.80q by the edge node %.80q/%.80q", article(t.Type), t.Group, t.Node, g.node.Group, g.node.Node)
	case owned && owner.Key != g.key:
		return breach(BreachForeign, t, "%s of %.80q/%.80q, which is %s, client %.80q", article(t.Type), t.Group, t.Node, owner.Key, owner.Client)
	case g.rule != nil && g.rule.Node == "":
		return breach(BreachForeign, t, "%s of %.80q/%.80q by who is no edge node", article(t.Type), t.Group, t.Node)
	case g.host != "":
		return breach(BreachForeign, t, "%s of %.80q/%.80q by the host %.80q", article(t.Type), t.Group, t.Node, g.host)
	}
	return breach(BreachWill, t, "%s of %.80q/%.80q by a session whose will is not the NDEATH of that node", article(t.Type), t.Group, t.Node)
}

// own judges a message of a node's own: that it is well-formed, belongs to its session, and does not come too often.
func (f *Firewall) own(g *guest, t Topic, m Packet, now time.Time) *Violation {
	switch {
	case m.Retain: // [tck-id-topics-nbirth-mqtt] [tck-id-topics-ndata-mqtt] and their siblings
		return breach(BreachRetain, t, "%s is published retained", article(t.Type))
	case m.QoS > 1:
		return breach(BreachQoS, t, "%s is published at QoS 2", article(t.Type))
	}
	switch t.Type {
	case NBIRTH, DBIRTH:
		return f.birth(g, t, m.Payload, now)
	case NDEATH:
		return f.death(g, t, m.Payload)
	}
	seq, has, ok := scanSeq(m.Payload)
	switch {
	case !ok:
		return breach(BreachPayload, t, "%s that is no Sparkplug payload", article(t.Type))
	case !has || seq > 255: // [tck-id-payloads-sequence-num-always-included]
		return badSeq(t, seq, has)
	}
	return nil
}

func badSeq(t Topic, seq uint64, has bool) *Violation {
	if !has {
		return breach(BreachSeq, t, "%s without seq", article(t.Type))
	}
	return breach(BreachSeq, t, "%s with seq %d, above 255", article(t.Type), seq)
}

func (f *Firewall) birth(g *guest, t Topic, payload []byte, now time.Time) *Violation {
	if len(payload) > f.o.BirthBytes {
		return breach(BreachSize, t, "%s of %d bytes, more than %d", article(t.Type), len(payload), f.o.BirthBytes)
	}
	if v := f.tooOften(g, t, now); v != nil {
		return v
	}
	p := &f.p
	defer p.release(len(payload))
	err := p.Decode(payload, Limits{Metrics: f.o.Metrics})
	switch {
	case errors.Is(err, ErrLimit):
		return breach(BreachAliases, t, "%s with more than %d metrics, or deeper than allowed", article(t.Type), f.o.Metrics)
	case err != nil:
		return breach(BreachPayload, t, "%s that is no Sparkplug payload", article(t.Type))
	case !p.HasSeq || p.Seq > 255:
		return badSeq(t, p.Seq, p.HasSeq)
	}
	if n := BdSeqOf(p); t.Type == NBIRTH && n >= 0 && n != g.bdSeq { // [tck-id-topics-nbirth-bdseq-matching]
		return breach(BreachBdSeq, t, "an NBIRTH with bdSeq %d in a session whose will has %d", n, g.bdSeq)
	}
	if alias, twice := f.twice(p); twice { // [tck-id-payloads-alias-uniqueness]
		return breach(BreachAliases, t, "%s that gives the alias %d to two metrics", article(t.Type), alias)
	}
	return nil
}

// tooOften counts births and devices. A node may be born so often, and for each of its devices so often a device.
func (f *Firewall) tooOften(g *guest, t Topic, now time.Time) *Violation {
	key, most := rateKey{what: NBIRTH, name: nodeName(g.node)}, f.o.BirthsPerMinute
	if t.Type == DBIRTH {
		key.what, most = DBIRTH, most*(len(g.devices)+1)
		device := short(t.Device)
		if _, known := g.devices[device]; !known && len(g.devices) >= f.o.Devices {
			return breach(BreachDevices, t, "more than %d devices in one session", f.o.Devices)
		}
		if g.devices == nil {
			g.devices = map[string]struct{}{}
		}
		g.devices[strings.Clone(device)] = struct{}{}
	}
	switch ok, room := f.allow(key, most, now); {
	case !room:
		return breach(BreachFull, t, "more rates than are kept")
	case !ok:
		return breach(BreachBirths, t, "%s, the %d. in a minute", article(t.Type), most+1)
	}
	return nil
}

// twice finds an alias that two metrics of a birth have.
func (f *Firewall) twice(p *Payload) (alias uint64, ok bool) {
	var aliases []uint64
	for i := range p.Metrics {
		if p.Metrics[i].HasAlias {
			aliases = append(aliases, p.Metrics[i].Alias)
		}
	}
	slices.Sort(aliases)
	for i := 1; i < len(aliases); i++ {
		if aliases[i] == aliases[i-1] {
			return aliases[i], true
		}
	}
	return 0, false
}

// death judges an NDEATH that a node says itself: it ends its own session.
func (f *Firewall) death(g *guest, t Topic, payload []byte) *Violation {
	p := &f.p
	defer p.release(len(payload))
	switch err := p.Decode(payload, Limits{}); {
	case err != nil:
		return breach(BreachPayload, t, "an NDEATH that is no Sparkplug payload")
	case p.HasSeq: // [tck-id-topics-ndeath-seq]
		return breach(BreachSeq, t, "an NDEATH with a seq")
	}
	if n := BdSeqOf(p); n != g.bdSeq { // [tck-id-topics-ndeath-payload]
		return breach(BreachBdSeq, t, "an NDEATH with bdSeq %d in a session whose will has %d", n, g.bdSeq)
	}
	return nil
}

// command judges an NCMD or DCMD: that the identity has the role for the group, and that it is a command.
func (f *Firewall) command(g *guest, t Topic, m Packet, now time.Time) *Violation {
	switch {
	case g.rule == nil || !g.rule.Commands:
		return breach(BreachCommand, t, "%s to %.80q/%.80q without the command role", article(t.Type), t.Group, t.Node)
	case len(g.rule.Groups) > 0 && !slices.ContainsFunc(g.rule.Groups, func(p string) bool { return glob(p, t.Group) }):
		return breach(BreachCommand, t, "%s to the group %.80q, which its role does not name", article(t.Type), t.Group)
	case m.Retain: // [tck-id-topics-ncmd-mqtt] [tck-id-topics-dcmd-mqtt]
		return breach(BreachRetain, t, "%s is published retained", article(t.Type))
	case m.QoS > 1:
		return breach(BreachQoS, t, "%s is published at QoS 2", article(t.Type))
	}
	p := &f.p
	defer p.release(len(m.Payload))
	switch err := p.Decode(m.Payload, Limits{Metrics: f.o.Metrics}); {
	case err != nil:
		return breach(BreachPayload, t, "%s that is no Sparkplug payload", article(t.Type))
	case p.HasSeq: // [tck-id-payloads-ncmd-seq] [tck-id-payloads-dcmd-seq]
		return breach(BreachSeq, t, "%s with a seq", article(t.Type))
	case len(p.Metrics) == 0:
		return breach(BreachCommand, t, "%s without metrics", article(t.Type))
	case slices.ContainsFunc(p.Metrics, func(m Metric) bool { return m.Historical }):
		return breach(BreachCommand, t, "%s that is historical", article(t.Type))
	}
	if t.Type != NCMD || !IsRebirthRequest(p) {
		return nil
	}
	switch ok, room := f.allow(rateKey{NCMD, short(nodeName(t.NodeRef())), g.key}, f.o.RebirthsPerMinute, now); {
	case !room:
		return breach(BreachFull, t, "more rates than are kept")
	case !ok:
		return breach(BreachRebirths, t, "a rebirth of %.80q/%.80q, the %d. in a minute", t.Group, t.Node, f.o.RebirthsPerMinute+1)
	}
	return nil
}

// state judges a STATE, also one of Sparkplug 2.2: only its host says it.
func (f *Firewall) state(g *guest, t Topic, kind topicKind, m Packet) *Violation {
	switch {
	case slices.Contains(f.o.OwnHosts, t.Host):
		return breach(BreachState, t, "STATE of the host %.80q, which this appliance is", t.Host)
	case g.host != t.Host:
		return breach(BreachState, t, "STATE of the host %.80q by a session whose will is not that host's", t.Host)
	case kind == kindLegacyState:
		return nil
	}
	if _, err := ParseState(m.Payload); err != nil {
		return breach(BreachPayload, t, "STATE of the host %.80q that says neither online nor offline", t.Host)
	}
	return nil
}

// Subscribe judges a subscription; filter is the inner one of a shared subscription. What may be read is the business of acl.yaml, but for edge
// nodes: of Sparkplug's messages they read STATE and what goes to or comes from themselves, and no other's.
func (f *Firewall) Subscribe(clientID, filter string) *Violation {
	g := f.here[clientID]
	if g == nil || !g.isNode || g.rule != nil && (g.rule.Commands || g.rule.Host != "") {
		return nil
	}
	first, rest, _ := strings.Cut(filter, "/")
	switch {
	case first == "#" || first == "+" || first == "$sparkplug":
	case first != Namespace, strings.HasPrefix(rest, "STATE/"):
		return nil
	case g.owns(rest):
		return nil
	}
	return breach(BreachRead, Topic{Group: g.node.Group, Node: g.node.Node}, "the edge node %.80q/%.80q subscribes to %.200q", g.node.Group, g.node.Node, filter)
}

// owns tells whether a filter behind the namespace selects the node's own messages only, of whatever type.
func (g *guest) owns(filter string) bool {
	group, filter, _ := strings.Cut(filter, "/")
	verb, filter, _ := strings.Cut(filter, "/")
	node, _, _ := strings.Cut(filter, "/")
	return group == g.node.Group && verb != "#" && node == g.node.Node
}

// scanSeq finds seq among the fields of a payload without looking into metrics; ok is false for what is no sequence of fields. Every
// message of every node comes through here: what is usual is read in place.
func scanSeq(b []byte) (seq uint64, has, ok bool) {
	for len(b) > 1 {
		n := 0
		switch tag, next := b[0], b[1]; {
		case tag == 0x12 && next < 0x80: // a metric of less than 128 bytes
			n = 2 + int(next)
		case tag == 0x18 && next < 0x80:
			seq, has, n = uint64(next), true, 2
		case tag == 0x18:
			v, k := protowire.ConsumeVarint(b[1:])
			if k < 0 {
				return 0, false, false
			}
			seq, has, n = v, true, 1+k
		case tag == 0x08 && len(b) > 6 && b[6] < 0x80 && b[1]&b[2]&b[3]&b[4]&b[5] >= 0x80: // a time of 6 bytes, from 2004 to 2109
			n = 7
		default:
			if _, _, n = protowire.ConsumeField(b); n < 0 {
				return 0, false, false
			}
		}
		if n > len(b) {
			return 0, false, false
		}
		b = b[n:]
	}
	return seq, has, len(b) == 0
}

// rateKey is what is counted: births of a node, rebirths that an identity asks of a node.
type rateKey struct {
	what MessageType
	name string
	key  string
}

// rate counts within a minute from the first.
type rate struct {
	from time.Time
	n    int
}

// maxRates bounds how many are counted at a time.
const maxRates = 20_000

// allow counts one more. Without room for another rate, room is false: then nothing tells a flood from the rest.
func (f *Firewall) allow(k rateKey, most int, now time.Time) (ok, room bool) {
	r, known := f.rates[k]
	if !known && len(f.rates) >= maxRates {
		for old, r := range f.rates {
			if now.Sub(r.from) >= time.Minute {
				delete(f.rates, old)
			}
		}
		if len(f.rates) >= maxRates {
			return false, false
		}
	}
	if now.Sub(r.from) >= time.Minute || now.Before(r.from) {
		r = rate{from: now}
	}
	r.n++
	f.rates[k] = r
	return r.n <= most, true
}
