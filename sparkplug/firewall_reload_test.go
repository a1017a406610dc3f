package sparkplug

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Other rules are as if all who are connected came again: who was something is it first, who may not be it any more is told.
func TestFirewallReconfigure(t *testing.T) {
	press := FirewallRule{User: "press", Group: "G", Node: "Press"}
	mill := FirewallRule{User: "mill", Group: "G", Node: "Mill"}
	tests := []struct {
		name   string
		before FirewallOptions
		joined []Caller // in this order; what speaks against them is let pass, as with mode observe
		after  FirewallOptions
		want   []string // changes, then who speaks for what
	}{
		{"the same rules", FirewallOptions{Rules: []FirewallRule{press}}, []Caller{caller("p", "press", "Press"), caller("x", "", "X")},
			FirewallOptions{Rules: []FirewallRule{press}},
			[]string{"bound node/G/Press: user press", "bound node/G/X: client x at loopback", "p is Press", "x is X"}},
		{"a rule for who was first", FirewallOptions{}, []Caller{caller("p", "press", "Press")}, FirewallOptions{Rules: []FirewallRule{press}},
			[]string{"bound node/G/Press: user press", "p is Press"}},
		{"a rule for another than who was first", FirewallOptions{}, []Caller{caller("p", "", "Press"), caller("q", "press", "Press")},
			FirewallOptions{Rules: []FirewallRule{press}},
			[]string{"bound node/G/Press: client p at loopback", "bound node/G/Press: user press", "q is Press"}},
		{"the rule is gone", FirewallOptions{Rules: []FirewallRule{press}}, []Caller{caller("p", "press", "Press")}, FirewallOptions{},
			[]string{"bound node/G/Press: user press, client p", "p is Press"}},
		{"the rule is gone, and who has none may be nothing", FirewallOptions{Rules: []FirewallRule{press}},
			[]Caller{caller("p", "press", "Press"), caller("p2", "press", "Press")}, FirewallOptions{NoPins: true},
			[]string{"freed node/G/Press", "barred p: unknown identity", "barred p2: unknown identity"}},
		{"the rule says another node", FirewallOptions{Rules: []FirewallRule{press}}, []Caller{caller("p", "press", "Press")},
			FirewallOptions{Rules: []FirewallRule{{User: "press", Group: "G", Node: "Oven"}}},
			[]string{"freed node/G/Press", "barred p: another node"}},
		{"two change places", FirewallOptions{Rules: []FirewallRule{press, mill}},
			[]Caller{caller("a", "mill", "Press"), caller("b", "press", "Press"), caller("c", "mill", "Mill")},
			FirewallOptions{Rules: []FirewallRule{{User: "mill", Group: "G", Node: "Press"}, {User: "press", Group: "G", Node: "Mill"}}},
			[]string{"freed node/G/Press", "freed node/G/Mill", "bound node/G/Press: user mill", "barred b: another node",
				"barred c: another node", "a is Press"}},
		{"who has a name keeps it before who comes first", FirewallOptions{}, []Caller{caller("b", "", "N"), caller("a", "", "N")},
			FirewallOptions{Rules: []FirewallRule{{Client: "b", Group: "G", Node: "N"}}},
			[]string{"bound node/G/N: client b at loopback", "barred a: name taken", "b is N"}},
		{"a will that is none is told again", FirewallOptions{}, []Caller{badWill(caller("a", "", "N"))}, FirewallOptions{},
			[]string{"barred a: retain"}},
		{"who is nothing stays it", FirewallOptions{}, []Caller{caller("scada", "scada", "")}, FirewallOptions{Rules: []FirewallRule{press}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFirewall(tt.before, nil)
			for _, c := range tt.joined {
				f.Connect(c, t0)
				f.Joined(c)
			}
			c := f.Reconfigure(tt.after, t0)
			var got []string
			for _, name := range c.Freed {
				got = append(got, "freed "+name)
			}
			for _, b := range c.Bound {
				got = append(got, "bound "+b.Name()+": "+b.Key)
			}
			for _, b := range c.Barred {
				got = append(got, "barred "+b.Caller.ClientID+": "+string(b.Violation.Breach))
			}
			for _, who := range tt.joined {
				if g := f.here[who.ClientID]; g.isNode {
					got = append(got, who.ClientID+" is "+g.node.Node)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// badWill is the caller with a will that is retained.
func badWill(c Caller) Caller {
	c.Will.Retain = true
	return c
}

// A client that was there before the rules are may go on under them, and its will is believed when they are against it.
func TestFirewallReconfigureWhileConnected(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	f.Joined(caller("a", "", "N")) // nobody asked Connect: it was off
	data := Packet{Topic: "spBv1.0/G/NDATA/N", Payload: dataOf(1)}
	if v := f.Publish("a", "", data, t0); v == nil {
		t.Error("it speaks for a name that nobody gave it")
	}
	f.Reconfigure(FirewallOptions{OwnHosts: []string{"ours"}}, t0)
	if v := f.Publish("a", "", data, t0); v != nil {
		t.Error(v)
	}
	if len(f.o.OwnHosts) != 0 {
		t.Error("the own hosts changed")
	}
	f.Reconfigure(FirewallOptions{NoPins: true}, t0)
	if v := f.Publish("a", "", data, t0); breachOf(v) != BreachWill {
		t.Errorf("by rules that do not know it: %v", v)
	}
	f.Left("a")
	death := NodeDeath(NodeRef{"G", "N"}, 7, t0)
	if v := f.Publish("a", "", Packet{Topic: death.Topic, Payload: death.Payload, QoS: 1}, t0); v != nil {
		t.Errorf("its will: %v", v)
	}
}

// What comes out of who has left is judged by the rules of now: of wills that were only observed none passes that Connect would refuse.
func TestFirewallWillsAreJudgedAgain(t *testing.T) {
	good := NodeDeath(NodeRef{"G", "N"}, 7, t0).Payload
	withSeq := Encode(&Payload{Seq: 1, HasSeq: true, Metrics: []Metric{BdSeqMetric(7, t0)}})
	state := func(online bool, host string) Packet {
		p := StateMessage(host, HostState{Online: online, Timestamp: 1})
		return Packet{Topic: p.Topic, Payload: p.Payload, QoS: 1, Retain: true}
	}
	node := func(payload []byte) Packet { return Packet{Topic: "spBv1.0/G/NDEATH/N", Payload: payload, QoS: 1} }
	retained, twice := node(good), node(good)
	retained.Retain, twice.QoS = true, 2
	for _, tt := range []struct {
		name string
		will Packet
		want Breach
	}{
		{"a good one", node(good), ""},
		{"retained", retained, BreachRetain},
		{"QoS 2", twice, BreachQoS},
		{"no payload", node([]byte{0xff}), BreachPayload},
		{"with a seq", node(withSeq), BreachSeq},
		{"without bdSeq", node(nil), BreachWill},
		{"a birth", Packet{Topic: "spBv1.0/G/NBIRTH/N", Payload: good, QoS: 1}, BreachWill},
		{"a command", Packet{Topic: "spBv1.0/G/NCMD/N", Payload: good, QoS: 1}, BreachWill},
		{"a certificate", Packet{Topic: CertificatePrefix + "spBv1.0/G/NBIRTH/N", Payload: good, QoS: 1}, BreachReserved},
		{"STATE online", state(true, "scada"), BreachWill},
		{"STATE of our own host", state(false, "edge"), BreachState},
		{"STATE offline of a host that it never was", state(false, "other"), BreachWill},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFirewall(FirewallOptions{OwnHosts: []string{"edge"}}, nil)
			join(t, f, caller("a", "", "N")) // the name is its own since
			f.Left("a")
			c := Caller{ClientID: "a", Address: "127.0.0.1:4711", Will: &tt.will}
			f.Connect(c, t0) // observed, whatever it says
			f.Joined(c)
			f.Reconfigure(FirewallOptions{NoPins: true}, t0)
			f.Left("a")
			if v := f.Publish("a", "", tt.will, t0); breachOf(v) != tt.want {
				t.Errorf("%v, want %q", v, tt.want)
			}
		})
	}
}

// Believe is for who was the node while nobody was asked, as long as the name is nobody's.
func TestFirewallBelieves(t *testing.T) {
	death := caller("a", "", "N").Will
	for _, tt := range []struct {
		name  string
		owner string
		who   string
		want  Breach
	}{
		{"it was the node", "", "a", ""},
		{"somebody else's will", "", "b", BreachWill},
		{"the name is another's by now", "b", "a", BreachWill},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFirewall(FirewallOptions{Rules: []FirewallRule{{Client: "b", Group: "G", Node: "N"}}, NoPins: true}, nil)
			f.Joined(caller("a", "", "N"))
			if tt.owner != "" {
				join(t, f, caller(tt.owner, "", "N"))
			}
			f.Believe(Caller{ClientID: "a"}, NodeRef{"G", "N"})
			f.Left("a")
			f.Left("b")
			if v := f.Publish(tt.who, "", *death, t0); breachOf(v) != tt.want {
				t.Errorf("%v, want %q", v, tt.want)
			}
		})
	}
}

// A session of which Connect was asked before the rules changed, and which begins after, is nothing that they are against.
func TestFirewallReconfigureBetweenConnectAndJoined(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	a := caller("a", "", "N")
	if v, _ := f.Connect(a, t0); v != nil {
		t.Fatal(v)
	}
	f.Reconfigure(FirewallOptions{NoPins: true}, t0)
	f.Joined(a)
	if v := f.Publish("a", "", Packet{Topic: "spBv1.0/G/NDATA/N", Payload: dataOf(1)}, t0); v == nil {
		t.Error("it speaks for a name that the rules let nobody have")
	}
}

// A name that nobody has after other rules is told, whatever the reason: what is kept of it would come back with the next start.
func TestFirewallReconfigureTellsWhatIsFree(t *testing.T) {
	a := FirewallRule{User: "a", Group: "G", Node: "*"}
	f := NewFirewall(FirewallOptions{Rules: []FirewallRule{a}}, nil)
	kept := map[string]Binding{}
	for _, n := range []string{"N", "M"} {
		c := caller(n, "a", n)
		_, b := f.Connect(c, t0)
		f.Joined(c)
		kept[b.Name()] = *b
	}
	c := f.Reconfigure(FirewallOptions{Bindings: 1}, t0) // the rule is gone, and the first use of a name finds no room
	for _, name := range c.Freed {
		delete(kept, name)
	}
	for _, b := range c.Bound {
		kept[b.Name()] = b
	}
	if diff := cmp.Diff(f.bound, kept); diff != "" {
		t.Errorf("what is kept is not what is bound (-bound +kept)\n%s", diff)
	}
	if len(f.bound) != 1 {
		t.Errorf("bound: %v", f.bound)
	}
}
