package sparkplug

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// caller is someone on loopback whose will is the NDEATH of G/node, with bdSeq 7; no will for "".
func caller(client, user, node string) Caller {
	c := Caller{ClientID: client, User: user, Address: "127.0.0.1:4711"}
	if node != "" {
		d := NodeDeath(NodeRef{"G", node}, 7, t0)
		c.Will = &Packet{Topic: d.Topic, Payload: d.Payload, QoS: 1}
	}
	return c
}

// join connects, which must be let in, and returns the binding.
func join(t testing.TB, f *Firewall, c Caller) *Binding {
	t.Helper()
	v, b := f.Connect(c, t0)
	if v != nil {
		t.Fatalf("%s is not let in: %v", c.ClientID, v)
	}
	f.Joined(c)
	return b
}

func breachOf(v *Violation) Breach {
	if v == nil {
		return ""
	}
	return v.Breach
}

func dataOf(seq uint64) []byte {
	return Encode(&Payload{HasTimestamp: true, Timestamp: 1, HasSeq: true, Seq: seq, Metrics: []Metric{{Alias: 1, HasAlias: true, Type: Double, Value: Value{Type: Double}}}})
}

// TestFirewallBindings follows one name through its owners: the first use, a stranger, the same device from another port, a rule that
// knows better, and a restart.
func TestFirewallBindings(t *testing.T) {
	o := FirewallOptions{Rules: []FirewallRule{{User: "press-*", Group: "G", Node: "Press"}, {Cert: "CN=oven", Group: "G", Node: "O*"},
		{User: "own", Group: "G", Node: "%u"}}}
	f := NewFirewall(o, nil)
	first := join(t, f, caller("a", "", "Press"))
	if want := (Binding{Group: "G", Node: "Press", Key: "client a at loopback", Client: "a", Address: "127.0.0.1:4711", Since: t0, Pinned: true}); *first != want {
		t.Errorf("%+v, want %+v", first, want)
	}
	elsewhere := caller("a", "", "Press")
	elsewhere.Address = "10.0.0.9:1"
	withCert := caller("c", "", "Oven")
	withCert.Cert = "CN=oven"
	steps := []struct {
		name string
		c    Caller
		want Breach
	}{
		{"a stranger", caller("b", "", "Press"), BreachTaken},
		{"its client identifier from elsewhere", elsewhere, BreachTaken},
		{"its client identifier with a user", caller("a", "someone", "Press"), BreachTaken},
		{"itself", caller("a", "", "Press"), ""},
		{"itself as another", caller("a", "", "Other"), BreachForeign},
		{"itself without a will", caller("a", "", ""), BreachWill},
		{"a stranger without a will", caller("b", "", ""), ""},
		{"a rule knows better", caller("p1", "press-1", "Press"), ""},
		{"it is no longer its", caller("a", "", "Press"), BreachTaken},
		{"but it may be another", caller("a", "", "Other"), ""},
		{"a user whose rule says another", caller("p1", "press-1", "Other"), BreachForeign},
		{"a certificate", withCert, ""},
		{"a user with its own name", caller("x", "own", "own"), ""},
		{"a user with another's", caller("x", "own", "Press"), BreachForeign},
		{"who has no rule as a rule's", caller("y", "", "Oven"), BreachTaken},
	}
	for _, s := range steps {
		if v, _ := f.Connect(s.c, t0); breachOf(v) != s.want {
			t.Errorf("%s: %v, want %q", s.name, v, s.want)
		}
	}
	again := NewFirewall(o, f.Bindings())
	if diff := cmp.Diff(f.Bindings(), again.Bindings()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if v, _ := again.Connect(caller("b", "", "Other"), t0); breachOf(v) != BreachTaken {
		t.Errorf("after a restart: %v", v)
	}
	if !again.Forget("node/G/Other") || again.Forget("node/G/Other") {
		t.Error("a binding is forgotten once")
	}
	if v, _ := again.Connect(caller("b", "", "Other"), t0); v != nil {
		t.Errorf("forgotten: %v", v)
	}
}

// TestFirewallTwoUsersOfOneNode: a rule may let several be a node, but not two at a time.
func TestFirewallTwoUsersOfOneNode(t *testing.T) {
	f := NewFirewall(FirewallOptions{Rules: []FirewallRule{{User: "*", Group: "G", Node: "Pair"}}}, nil)
	join(t, f, caller("a", "left", "Pair"))
	if v, _ := f.Connect(caller("b", "right", "Pair"), t0); breachOf(v) != BreachTaken {
		t.Errorf("while the first is there: %v", v)
	}
	f.Left("a")
	join(t, f, caller("b", "right", "Pair"))
	death := NodeDeath(NodeRef{"G", "Pair"}, 7, t0)
	if v := f.Publish("a", "left", Packet{Topic: death.Topic, Payload: death.Payload, QoS: 1}, t0); breachOf(v) != BreachWill {
		t.Errorf("a will of the first, who is not it any more: %v", v)
	}
	f.Left("b")
	if v := f.Publish("b", "right", Packet{Topic: death.Topic, Payload: death.Payload, QoS: 1}, t0); v != nil {
		t.Errorf("the will of the second: %v", v)
	}
	if v := f.Publish("b", "other", Packet{Topic: death.Topic, Payload: death.Payload, QoS: 1}, t0); breachOf(v) != BreachWill {
		t.Errorf("of another user with its client identifier: %v", v)
	}
}

// TestFirewallForget: who is connected does not speak for what was forgotten.
func TestFirewallForget(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	join(t, f, caller("a", "", "N"))
	data := Packet{Topic: "spBv1.0/G/NDATA/N", Payload: dataOf(1)}
	if v := f.Publish("a", "", data, t0); v != nil {
		t.Fatal(v)
	}
	f.Forget("node/G/N")
	if v := f.Publish("a", "", data, t0); breachOf(v) != BreachWill {
		t.Errorf("%v", v)
	}
	f.Left("a")
	death := NodeDeath(NodeRef{"G", "N"}, 7, t0)
	will := Packet{Topic: death.Topic, Payload: death.Payload, QoS: 1}
	if v := f.Publish("b", "", will, t0); breachOf(v) != BreachWill {
		t.Errorf("another's will: %v", v)
	}
	if v := f.Publish("a", "", will, t0); v != nil {
		t.Errorf("the will, without which the node would live on: %v", v)
	}
	join(t, f, caller("b", "", "N"))
	if v := f.Publish("a", "", will, t0); breachOf(v) != BreachWill {
		t.Errorf("the will, when the node is another's: %v", v)
	}
}

// TestFirewallRuleSilencesFirstUse: who came first, and is still connected, does not speak beside whom a rule knows.
func TestFirewallRuleSilencesFirstUse(t *testing.T) {
	f := NewFirewall(FirewallOptions{Rules: []FirewallRule{{User: "press", Group: "G", Node: "N"}}}, nil)
	join(t, f, caller("early", "", "N"))
	join(t, f, caller("press", "press", "N"))
	data := Packet{Topic: "spBv1.0/G/NDATA/N", Payload: dataOf(1)}
	if v := f.Publish("early", "", data, t0); breachOf(v) != BreachForeign {
		t.Errorf("who came first: %v", v)
	}
	if v := f.Publish("press", "press", data, t0); v != nil {
		t.Errorf("whom the rule knows: %v", v)
	}
}

// TestFirewallTakeOver: the client identifier of a node that is connected is its alone, whatever the other wants to be.
func TestFirewallTakeOver(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	join(t, f, caller("a", "", "N"))
	join(t, f, caller("tool", "", ""))
	for _, will := range []string{"", "Other"} {
		c := caller("a", "", will)
		c.Address = "10.0.0.9:1"
		if v, _ := f.Connect(c, t0); breachOf(v) != BreachTaken {
			t.Errorf("from elsewhere, to be %q: %v", will, v)
		}
	}
	join(t, f, caller("a", "", "N"))
	c := caller("tool", "", "")
	c.Address = "10.0.0.9:1"
	join(t, f, c)
}

// TestFirewallHasLimits: names, rates and devices are as many as allowed, and those that a rule knows still come in.
func TestFirewallHasLimits(t *testing.T) {
	f := NewFirewall(FirewallOptions{Bindings: 3, Rules: []FirewallRule{{User: "u", Group: "G", Node: "*"}, {User: "c", Commands: true}}}, nil)
	for i := range 3 {
		join(t, f, caller(fmt.Sprint("c", i), "", fmt.Sprint("N", i)))
	}
	if v, _ := f.Connect(caller("c9", "", "N9"), t0); breachOf(v) != BreachFull {
		t.Errorf("a fourth: %v", v)
	}
	join(t, f, caller("u", "u", "Known"))
	if v, _ := f.Connect(caller("u", "u", strings.Repeat("n", maxName)), t0); breachOf(v) != BreachTopic {
		t.Errorf("a long name: %v", v)
	}
	if n := len(NewFirewall(FirewallOptions{Bindings: 2}, f.Bindings()).Bindings()); n != 2 {
		t.Errorf("%d of before are kept", n)
	}
	join(t, f, caller("cmd", "c", ""))
	ask := func(i int, now time.Time) Breach {
		r := RebirthRequest(NodeRef{"G", fmt.Sprint("n", i)}, now)
		return breachOf(f.Publish("cmd", "c", Packet{Topic: r.Topic, Payload: r.Payload}, now))
	}
	for i := range maxRates {
		if b := ask(i, t0); b != "" {
			t.Fatalf("rebirth %d: %s", i, b)
		}
	}
	if b := ask(-1, t0); b != BreachFull {
		t.Errorf("one rate more: %q", b)
	}
	if b := ask(-1, t0.Add(time.Minute)); b != "" || len(f.rates) != 1 {
		t.Errorf("a minute later: %q, %d rates", b, len(f.rates))
	}
	for i := range 2 * maxGone {
		c := caller(fmt.Sprint("left", i), "", "")
		f.Joined(c)
		f.Left(c.ClientID)
	}
	if len(f.gone) > maxGone || len(f.here) != 5 {
		t.Errorf("%d gone, %d here", len(f.gone), len(f.here))
	}
}

// TestFirewallRates: a minute counts from its first message, also when the clock was set back.
func TestFirewallRates(t *testing.T) {
	f := NewFirewall(FirewallOptions{BirthsPerMinute: 2}, nil)
	join(t, f, caller("a", "", "N"))
	birth := Packet{Topic: "spBv1.0/G/NBIRTH/N", Payload: Encode(&Payload{HasSeq: true})}
	for i, s := range []struct {
		at   time.Duration
		want Breach
	}{{0, ""}, {time.Second, ""}, {59 * time.Second, BreachBirths}, {time.Minute, ""}, {61 * time.Second, ""}, {62 * time.Second, BreachBirths}, {-time.Hour, ""}} {
		if v := f.Publish("a", "", birth, t0.Add(s.at)); breachOf(v) != s.want {
			t.Errorf("step %d: %v, want %q", i, v, s.want)
		}
	}
}

// TestFirewallSubscribe: an edge node reads its own commands and STATE; all others what they like.
func TestFirewallSubscribe(t *testing.T) {
	f := NewFirewall(FirewallOptions{Rules: []FirewallRule{{User: "gateway", Group: "G", Node: "Gate", Commands: true}}}, nil)
	join(t, f, caller("a", "", "N"))
	join(t, f, caller("tool", "", ""))
	join(t, f, caller("g", "gateway", "Gate"))
	for filter, want := range map[string]Breach{
		"spBv1.0/G/NCMD/N": "", "spBv1.0/G/NCMD/N/#": "", "spBv1.0/G/DCMD/N/+": "", "spBv1.0/G/NBIRTH/N": "", "spBv1.0/G/+/N/#": "", "spBv1.0/STATE/+": "", "STATE/scada": "", "plant/#": "",
		"spBv1.0/G/NCMD/N2": BreachRead, "spBv1.0/G/NCMD/+": BreachRead, "spBv1.0/G/NDATA/N2": BreachRead, "spBv1.0/#": BreachRead, "#": BreachRead, "spBv1.0/G/#": BreachRead, "spBv1.0/+/NCMD/N": BreachRead, "spBv1.0/G": BreachRead,
		"+/G/NCMD/N": BreachRead, "$sparkplug/certificates/#": BreachRead,
	} {
		if v := f.Subscribe("a", filter); breachOf(v) != want {
			t.Errorf("%s: %v, want %q", filter, v, want)
		}
		for _, free := range []string{"tool", "g", "nobody"} {
			if v := f.Subscribe(free, filter); v != nil {
				t.Errorf("%s, %s: %v", free, filter, v)
			}
		}
	}
}

func TestGlob(t *testing.T) {
	for _, x := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "ac", true}, {"a*c", "abc", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false},
		{"a*a", "a", false}, {"**", "x", true}, {"a.c", "abc", false},
	} {
		if got := glob(x.pattern, x.text); got != x.want {
			t.Errorf("glob(%q, %q) = %v", x.pattern, x.text, got)
		}
	}
}

// TestFirewallKeys: an identity is the same when a device comes back, and another for every other device.
func TestFirewallKeys(t *testing.T) {
	rule := &FirewallRule{}
	long := strings.Repeat("x", 60_000)
	for _, x := range []struct {
		c    Caller
		rule *FirewallRule
		want string
	}{
		{Caller{ClientID: "c", Address: "[::1]:1"}, nil, "client c at loopback"},
		{Caller{ClientID: "c", Address: "[::ffff:10.1.2.3]:1"}, nil, "client c at 10.1.2.0/24"},
		{Caller{ClientID: "c", Address: "[fe80::1%eth0]:1"}, rule, "client c at fe80::/64"},
		{Caller{ClientID: "c", Address: "/run/edge/mqtt.sock pid 7"}, nil, "client c at local socket"},
		{Caller{ClientID: "c", User: "u"}, nil, "user u, client c"},
		{Caller{ClientID: "c", User: "u"}, rule, "user u"},
		{Caller{ClientID: "c", User: "u", Cert: "CN=x"}, rule, "certificate CN=x"},
	} {
		if got := keyOf(x.c, x.rule); got != x.want {
			t.Errorf("%+v: %q, want %q", x.c, got, x.want)
		}
	}
	a, b := keyOf(Caller{User: long + "a"}, rule), keyOf(Caller{User: long + "b"}, rule)
	if a == b || len(a) > 2*maxShort {
		t.Errorf("long names: %d bytes, the same: %v", len(a), a == b)
	}
	forged := long[:maxShort/2] + strings.TrimPrefix(a, "user "+long[:maxShort/2])
	if c := keyOf(Caller{User: forged}, rule); c == a {
		t.Errorf("%q is the key of a long name and of one that was made to look like it", c)
	}
	if g := (&FirewallRule{Node: "%u-%c"}).expand("%u-%c", Caller{User: "*", ClientID: "c"}); g != "" {
		t.Errorf("a user called * widens a pattern to %q", g)
	}
}

// TestFirewallKnowsData: the short way for data is taken for a node's own data only.
func TestFirewallKnowsData(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	join(t, f, caller("a", "", "N"))
	for topic, want := range map[string]bool{
		"spBv1.0/G/NDATA/N": true, "spBv1.0/G/DDATA/N/D": true, "spBv1.0/G/NDATA/N/D": false, "spBv1.0/G/DDATA/N": false, "spBv1.0/G/DDATA/N/": false,
		"spBv1.0/G/DDATA/N/D/E": false, "spBv1.0/G/DDATA/N2/D": false, "spBv1.0/G/NDATA/": false, "spBv1.0/G/NDATA": false, "spBv1.0/G/XDATA/N": false,
		"spBv1.0/G2/NDATA/N": false, "spBv1.0/G/NDEATH/N": false, "spBv1.0/G/": false, "": false,
	} {
		if f.here["a"].isData(topic) != want {
			t.Errorf("%s: %v", topic, !want)
		}
		if v := f.Publish("a", "", Packet{Topic: topic, Payload: dataOf(9)}, t0); want && v != nil {
			t.Errorf("%s: %v", topic, v)
		}
	}
}

// TestFirewallAllocates nothing for the messages that nearly all are.
func TestFirewallAllocates(t *testing.T) {
	f := NewFirewall(FirewallOptions{}, nil)
	join(t, f, caller("a", "", "N"))
	p := Packet{Topic: "spBv1.0/G/DDATA/N/D", Payload: dataOf(9)}
	if n := testing.AllocsPerRun(100, func() {
		if !Guarded(p.Topic) || f.Publish("a", "", p, t0) != nil || Guarded("plant/line/1") {
			t.Fatal("it is against it")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFirewallData(b *testing.B) {
	f := NewFirewall(FirewallOptions{}, nil)
	join(b, f, caller("a", "", "N"))
	metrics := make([]Metric, 4)
	for i := range metrics {
		metrics[i] = Metric{Alias: uint64(i + 1), HasAlias: true, HasTimestamp: true, Timestamp: Millis(t0), Type: Double, Value: Value{Type: Double}}
	}
	p := Packet{Topic: "spBv1.0/G/NDATA/N", Payload: Encode(&Payload{HasTimestamp: true, Timestamp: Millis(t0), HasSeq: true, Seq: 9, Metrics: metrics})}
	b.ReportAllocs()
	for b.Loop() {
		if Guarded(p.Topic) && f.Publish("a", "", p, t0) != nil {
			b.Fatal("it is against it")
		}
	}
}

// FuzzFirewall: nothing that a client says makes it panic, and scanSeq reads what Decode reads.
func FuzzFirewall(f *testing.F) {
	f.Add("spBv1.0/G/NDATA/N", dataOf(300), byte(0))
	f.Add("spBv1.0/G/NBIRTH/N", dataOf(0), byte(1))
	f.Add("STATE/x", []byte("OFFLINE"), byte(2))
	f.Add("spBv1.0//NDEATH/N", []byte("\x12\xff\xff"), byte(3))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, bits byte) {
		fw := NewFirewall(FirewallOptions{Rules: []FirewallRule{{User: "c", Host: "*", Commands: true}}}, nil)
		will := Caller{ClientID: "w", Address: topic, Will: &Packet{Topic: topic, Payload: payload, QoS: bits & 3, Retain: bits&4 > 0}}
		if v, b := fw.Connect(will, t0); v == nil {
			fw.Joined(will)
			if b != nil && (b.Node == "") == (b.Host == "") {
				t.Fatalf("bound to %+v", b)
			}
		}
		join(t, fw, caller("n", "", "N"))
		join(t, fw, Caller{ClientID: "c", User: "c"})
		m := Packet{Topic: topic, Payload: payload, QoS: bits & 3, Retain: bits&4 > 0}
		for _, id := range []string{"n", "c", "w", "gone"} {
			v := fw.Publish(id, "", m, t0)
			if v != nil && (v.Detail == "" || !Guarded(topic)) {
				t.Fatalf("%q: %+v", topic, v)
			}
			fw.Subscribe(id, topic)
		}
		fw.Left("n")
		fw.Publish("n", "", m, t0)
		p, err := Decode(payload, Limits{})
		seq, has, ok := scanSeq(payload)
		if err == nil && !p.Compressed && (!ok || has != p.HasSeq || has && seq != p.Seq) {
			t.Fatalf("scanSeq says %d %v %v, Decode %d %v", seq, has, ok, p.Seq, p.HasSeq)
		}
	})
}
