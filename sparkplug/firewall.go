package sparkplug

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Firewall binds MQTT identities to the Sparkplug names that they may speak for, and says which rule a client breaks:
//
//	CONNECT ─► Connect ─► Joined ─► Publish, Subscribe, ... ─► Left ─► Publish (its will)
//	                        ▲
//	other rules ─► Reconfigure
//
// An identity is a user, a client certificate, or, when it is anonymous, a client identifier and the network it comes from. A rule of
// the configuration binds it, or else the first use of a name does: the will with which it connects. A will is what makes a client an
// edge node (NDEATH) or a host (STATE); in its session it speaks for that name and no other. Commands need a rule.
//
// It decides and remembers; to refuse, to list, and to keep Bindings over a restart is the caller's. It is not safe for concurrent use.
// Everything fed from outside has a bound: Bindings by FirewallOptions.Bindings, sessions by those that are connected, rates by maxRates.
type Firewall struct {
	o     FirewallOptions
	bound map[string]Binding // by Binding.Name
	pins  map[string]string  // identity -> the name it was the first to use
	left  map[string]Binding // forgotten lately, and nobody's since
	here  map[string]*guest  // by client identifier
	gone  map[string]Caller  // who has left lately, to name who a will is of
	rates map[rateKey]rate
	p     Payload // decoded last, for its memory
}

// FirewallOptions are the rules. A limit of 0 means the default.
type FirewallOptions struct {
	Rules    []FirewallRule // the first that fits an identity is its rule
	NoPins   bool           // who has no rule speaks for nobody
	OwnHosts []string       // host ids that no client may have

	RebirthsPerMinute int // asked by one identity of one node; default 12
	BirthsPerMinute   int // NBIRTHs of one node, and DBIRTHs of it for each of its devices; default 30
	BirthBytes        int // of one birth; default 1 MiB
	Metrics           int // of one birth, and aliases; default 50,000
	Devices           int // of one node in one session; default 1000
	Bindings          int // names that are kept; default 10,000
}

func (o FirewallOptions) withDefaults() FirewallOptions {
	o.RebirthsPerMinute = cmp.Or(o.RebirthsPerMinute, 12)
	o.BirthsPerMinute = cmp.Or(o.BirthsPerMinute, 30)
	o.BirthBytes = cmp.Or(o.BirthBytes, 1<<20)
	o.Metrics = cmp.Or(o.Metrics, 50_000)
	o.Devices = cmp.Or(o.Devices, 1000)
	o.Bindings = cmp.Or(o.Bindings, 10_000)
	return o
}

// Caller is who an MQTT connection is.
type Caller struct {
	ClientID string
	User     string // empty: anonymous
	Cert     string // subject of the client certificate, empty without one
	Address  string // host:port, or what a unix socket tells of its peer
	Will     *Packet
}

// Packet is a message as a client publishes it, or a will.
type Packet struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Binding says who speaks for a node or a host.
type Binding struct {
	Group   string    `json:"group,omitempty"` // of a node
	Node    string    `json:"node,omitempty"`
	Host    string    `json:"host,omitempty"` // of a host
	Key     string    `json:"identity"`
	Client  string    `json:"client"` // who spoke for it last
	User    string    `json:"user,omitempty"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`  // when this identity was bound
	Pinned  bool      `json:"pinned"` // by first use, else by a rule
}

// Name is what the binding is kept under: node/GROUP/NODE or host/ID.
func (b *Binding) Name() string {
	if b.Host != "" {
		return hostName(b.Host)
	}
	return nodeName(NodeRef{b.Group, b.Node})
}

func nodeName(n NodeRef) string { return "node/" + n.Group + "/" + n.Node }
func hostName(id string) string { return "host/" + id }

// guest is a session that is connected.
type guest struct {
	caller  Caller // without the will's payload
	key     string
	rule    *FirewallRule
	will    claim
	isNode  bool
	node    NodeRef
	ndata   string // the topic of its NDATA
	ddata   string // what the topics of its devices' DDATA begin with
	host    string
	bdSeq   int // of its will; -1: none
	devices map[string]struct{}
}

// claim is what a will makes of a session, if it may be that.
type claim struct {
	name    string // the will's topic, as much of it as is shown
	topic   Topic
	kind    topicKind  // kindForeign: without a will of Sparkplug's
	bdSeq   int        // of an NDEATH; -1: none
	decodes bool       // an NDEATH that is a payload
	against *Violation // what is wrong of the will itself
}

// NewFirewall returns one that knows the bindings of before.
func NewFirewall(o FirewallOptions, kept []Binding) *Firewall {
	f := &Firewall{o: o.withDefaults(), bound: map[string]Binding{}, pins: map[string]string{}, left: map[string]Binding{}, here: map[string]*guest{}, gone: map[string]Caller{}, rates: map[rateKey]rate{}}
	for _, b := range kept {
		if len(f.bound) < f.o.Bindings {
			f.bind(b)
		}
	}
	return f
}

// Bindings returns all bindings, in order of their names.
func (f *Firewall) Bindings() []Binding {
	list := slices.Collect(maps.Values(f.bound))
	slices.SortFunc(list, func(a, b Binding) int { return cmp.Compare(a.Name(), b.Name()) })
	return list
}

// Forget ends a binding: the next that uses the name has it. False: there is none. Who spoke for it does so no more in the
// session that it has, but for the will that ends it.
func (f *Firewall) Forget(name string) bool {
	b, ok := f.bound[name]
	if !ok {
		return false
	}
	f.unbind(name)
	f.silence(b.Key, name)
	if len(f.left) >= maxGone {
		clear(f.left)
	}
	f.left[name] = b
	return true
}

// silence ends that sessions of that identity speak for the name.
func (f *Firewall) silence(key, name string) {
	for _, g := range f.here {
		if g.key == key && g.speaksFor(name) {
			g.isNode, g.node, g.host = false, NodeRef{}, ""
		}
	}
}

func (g *guest) speaksFor(name string) bool {
	return g.isNode && nodeName(g.node) == name || g.host != "" && hostName(g.host) == name
}

func (f *Firewall) bind(b Binding) {
	f.unbind(b.Name())
	delete(f.left, b.Name())
	f.bound[b.Name()] = b
	if b.Pinned {
		f.pins[b.Key] = b.Name()
	}
}

func (f *Firewall) unbind(name string) {
	if old := f.bound[name]; f.pins[old.Key] == name {
		delete(f.pins, old.Key)
	}
	delete(f.bound, name)
}

// Connect judges a CONNECT before it is accepted. A binding that it made or changed is returned as well, to be kept.
func (f *Firewall) Connect(c Caller, now time.Time) (*Violation, *Binding) {
	rule := f.ruleOf(c)
	if v := f.takeOver(c, rule); v != nil {
		return v, nil
	}
	return f.admit(c, rule, f.claimOf(c.Will), now)
}

// admit judges what a session would be, and binds it.
func (f *Firewall) admit(c Caller, rule *FirewallRule, will claim, now time.Time) (*Violation, *Binding) {
	switch {
	case will.against != nil:
		return will.against, nil
	case will.kind == kindForeign:
		return f.withoutWill(c, rule), nil
	}
	return f.claim(c, rule, will.binding(), will.topic, now)
}

// claimOf judges a will by itself.
func (f *Firewall) claimOf(w *Packet) (x claim) {
	x.bdSeq = -1
	if w == nil {
		return x
	}
	t, kind, why := classify(w.Topic)
	x.name, x.topic, x.kind = strings.Clone(w.Topic[:min(len(w.Topic), maxShort)]), t, kind
	switch kind {
	case kindBad:
		x.against = breach(BreachTopic, t, "a will on %.200q: %s", w.Topic, why)
	case kindReserved:
		x.against = breach(BreachReserved, t, "a will on %.200q, where only the server writes", w.Topic)
	case kindState, kindLegacyState:
		x.against = f.stateWill(t, kind, w)
	case kindNode, kindCommand:
		x.decodes = f.p.Decode(w.Payload, Limits{}) == nil
		x.against = f.deathWill(t, w, x.decodes)
		x.bdSeq = BdSeqOf(&f.p)
		f.p.release(len(w.Payload))
	}
	return x
}

// binding is what the name of a claim is bound under.
func (x *claim) binding() Binding {
	return Binding{Group: x.topic.Group, Node: x.topic.Node, Host: x.topic.Host}
}

// takeOver judges that the connection of a node or host would end for another identity that has its client identifier.
func (f *Firewall) takeOver(c Caller, rule *FirewallRule) *Violation {
	g := f.here[c.ClientID]
	if g == nil || !g.isNode && g.host == "" || g.key == keyOf(c, rule) {
		return nil
	}
	t := Topic{Group: g.node.Group, Node: g.node.Node, Host: g.host}
	return breach(BreachTaken, t, "the client identifier of %s, which is %s at %s", speaker(t), g.key, g.caller.Address)
}

// withoutWill judges a client whose will, if it has one, is none of Sparkplug's. Of an edge node nobody would know that it died.
func (f *Firewall) withoutWill(c Caller, rule *FirewallRule) *Violation {
	switch b, pinned := f.bound[f.pins[keyOf(c, rule)]]; {
	case rule != nil && rule.Node != "" && rule.Host == "" && !rule.Commands:
		return breach(BreachWill, Topic{}, "an edge node connects without its NDEATH as will")
	case rule == nil && pinned && b.Node != "":
		return breach(BreachWill, Topic{Group: b.Group, Node: b.Node}, "the edge node %s/%s connects without its NDEATH as will", b.Group, b.Node)
	}
	return nil
}

// deathWill judges a will on a topic of edge nodes: it is an NDEATH that says which session it ends.
// [tck-id-message-flow-edge-node-birth-publish-will-message] [tck-id-payloads-ndeath-will-message]
// Its payload is in f.p, if it decodes.
func (f *Firewall) deathWill(t Topic, w *Packet, decodes bool) *Violation {
	switch {
	case t.Type != NDEATH:
		return breach(BreachWill, t, "the will is %s of %s/%s, which only a living node can say", article(t.Type), t.Group, t.Node)
	case w.Retain:
		return breach(BreachRetain, t, "the will of %s/%s is retained: it would be dead for whoever comes later", t.Group, t.Node)
	case w.QoS > 1:
		return breach(BreachQoS, t, "the will of %s/%s has QoS %d", t.Group, t.Node, w.QoS)
	case !decodes:
		return breach(BreachPayload, t, "the will of %s/%s is no Sparkplug payload", t.Group, t.Node)
	case f.p.HasSeq:
		return breach(BreachSeq, t, "the will of %s/%s has a seq", t.Group, t.Node)
	case BdSeqOf(&f.p) < 0:
		return breach(BreachWill, t, "the will of %s/%s has no bdSeq: it ends no session", t.Group, t.Node)
	}
	return nil
}

// stateWill judges a host's will. [tck-id-host-topic-phid-death-payload]
func (f *Firewall) stateWill(t Topic, kind topicKind, w *Packet) *Violation {
	if slices.Contains(f.o.OwnHosts, t.Host) {
		return breach(BreachState, t, "a will for the host %.80q, which this appliance is", t.Host)
	}
	if kind == kindLegacyState {
		return nil
	}
	if s, err := ParseState(w.Payload); err != nil || s.Online {
		return breach(BreachWill, t, "the will of the host %.80q does not say that it is offline", t.Host)
	}
	return nil
}

// claim binds the caller to the name in b, if nothing speaks against it.
func (f *Firewall) claim(c Caller, rule *FirewallRule, b Binding, t Topic, now time.Time) (*Violation, *Binding) {
	b.Key, b.Client, b.User, b.Address, b.Since, b.Pinned = keyOf(c, rule), c.ClientID, c.User, c.Address, now, rule == nil
	if v := f.mayBe(c, rule, &b, t); v != nil {
		return v, nil
	}
	old, taken := f.bound[b.Name()]
	switch {
	case taken && old.Key == b.Key:
		b.Since = old.Since
	case taken && (b.Pinned || !old.Pinned && f.speaks(old.Key, b.Name())): // a rule wins over a first use
		return breach(BreachTaken, t, "%s is spoken for by %s, client %.80q at %s", speaker(t), old.Key, old.Client, old.Address), nil
	case len(b.Name()) > maxName:
		return breach(BreachTopic, t, "%s has a name of %d bytes, more than %d", speaker(t), len(b.Name()), maxName), nil
	case !taken && len(f.bound) >= f.o.Bindings && (b.Pinned || len(f.bound) >= 2*f.o.Bindings): // first uses do not keep out whom a rule knows
		return breach(BreachFull, t, "%s is the first use of a name, and as many are known as allowed", speaker(t)), nil
	}
	if taken && old.Key != b.Key {
		f.silence(old.Key, b.Name())
	}
	f.bind(b)
	return nil, &b
}

// maxName bounds what is kept of each binding, in bytes; a CONNECT may bring 64 KiB.
const maxName = 1024

// mayBe tells whether the rule, or the first use of another name, is against it.
func (f *Firewall) mayBe(c Caller, rule *FirewallRule, b *Binding, t Topic) *Violation {
	name := f.pins[b.Key]
	switch {
	case rule == nil && f.o.NoPins:
		return breach(BreachUnknown, t, "no rule says who this is, and %s needs one", speaker(t))
	case rule == nil && name != "" && name != b.Name():
		return breach(BreachForeign, t, "%s by who is bound to %s", speaker(t), name)
	case rule != nil && b.Host != "" && !glob(rule.Host, b.Host):
		return breach(BreachState, t, "%s, which its rule does not say", speaker(t))
	case rule != nil && b.Node != "" && !(glob(rule.expand(rule.Group, c), b.Group) && glob(rule.expand(rule.Node, c), b.Node)):
		return breach(BreachForeign, t, "%s, which its rule does not say", speaker(t))
	}
	return nil
}

// speaks tells whether someone of that identity is connected as that node or host.
func (f *Firewall) speaks(key, name string) bool {
	for _, g := range f.here {
		if g.key == key && g.speaksFor(name) {
			return true
		}
	}
	return false
}

// Joined takes note of a session that has begun, of which Connect was asked.
func (f *Firewall) Joined(c Caller) {
	g := &guest{caller: c, will: f.claimOf(c.Will), bdSeq: -1}
	g.caller.Will = nil
	f.know(g)
	f.here[c.ClientID] = g
	delete(f.gone, c.ClientID)
}

// know finds a session's rule and identity, and what it speaks for: what is bound to it and is what its will says.
func (f *Firewall) know(g *guest) {
	g.rule = f.ruleOf(g.caller)
	g.key = keyOf(g.caller, g.rule)
	g.isNode, g.node, g.ndata, g.ddata, g.host, g.bdSeq = false, NodeRef{}, "", "", "", -1
	w := &g.will
	b := w.binding()
	b.Key = g.key
	mine := f.bound[b.Name()].Key == g.key && f.mayBe(g.caller, g.rule, &b, w.topic) == nil // the rules may be others than when Connect was asked
	switch {
	case mine && (w.kind == kindState || w.kind == kindLegacyState):
		g.host = w.topic.Host
	case mine && w.kind == kindNode && w.decodes:
		g.isNode, g.node, g.bdSeq = true, w.topic.NodeRef(), w.bdSeq
		g.ndata = Topic{Type: NDATA, Group: g.node.Group, Node: g.node.Node}.String()
		g.ddata = Namespace + "/" + g.node.Group + "/" + DDATA.String() + "/" + g.node.Node + "/"
	}
}

// Left takes note of a session whose connection has ended; its will may follow.
func (f *Firewall) Left(clientID string) {
	g := f.here[clientID]
	if g == nil {
		return
	}
	if len(f.gone) >= maxGone {
		clear(f.gone)
	}
	f.gone[clientID] = g.caller
	delete(f.here, clientID)
}

// maxGone bounds the clients that have left, and the bindings that were forgotten, that are remembered.
const maxGone = 1000

// speaker names the node or host of a topic.
func speaker(t Topic) string {
	if t.Host != "" {
		return fmt.Sprintf("the host %.80q", t.Host)
	}
	return fmt.Sprintf("the edge node %.80q/%.80q", t.Group, t.Node)
}

// article puts the article before a message type.
func article(t MessageType) string {
	if t.OfDevice() || t == STATE {
		return "a " + t.String()
	}
	return "an " + t.String()
}
