package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/ui"
)

// intrusion is one way to speak for others, or to hurt a plant, in Sparkplug's own words. do returns who did it, if it is connected.
type intrusion struct {
	name   string
	rule   sparkplug.Breach
	client string // who it is listed as; empty: mallory
	passes int    // messages that are let through before it is too much
	do     func(s *siege) *brokertest.Client
}

const (
	press = "spBv1.0/Plant/%s/Press" // the victim
	evil  = "spBv1.0/Plant/%s/Evil"  // a node that is one, and attacks
)

// spoken puts the verb into a topic.
func spoken(pattern, verb string, device ...string) string {
	return strings.Join(append([]string{strings.Replace(pattern, "%s", verb, 1)}, device...), "/")
}

// intrusions are run one after the other against one appliance.
var intrusions = []intrusion{
	// At CONNECT.
	{"another's NDEATH as will", sparkplug.BreachTaken, "", 0, connects(willOn(spoken(press, "NDEATH"), death(7)))},
	{"another's NDEATH as will, under its name with a user of its own", sparkplug.BreachForeign, "mill", 0, connects(willOn(spoken(press, "NDEATH"), death(7)), as("mill"))},
	{"a node that a rule knows without a will", sparkplug.BreachWill, "mill", 0, connects(as("mill"))},
	{"a node known by first use without a will", sparkplug.BreachWill, "pump", 0, connects(named("pump"))},
	{"a node known by first use as another", sparkplug.BreachForeign, "pump", 0, connects(named("pump"), willOn("spBv1.0/Plant/NDEATH/Other", death(7)))},
	{"the name of a node that is away", sparkplug.BreachTaken, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/Pump", death(7)))},
	{"a birth as will", sparkplug.BreachWill, "", 0, connects(willOn("spBv1.0/Plant/NBIRTH/New", birthOf(0)))},
	{"another device's DDEATH as will", sparkplug.BreachWill, "", 0, connects(willOn(spoken(press, "DDEATH", "Hyd"), birthOf(3)))},
	{"a command as will", sparkplug.BreachWill, "", 0, connects(willOn(spoken(press, "NCMD"), order(nil)))},
	{"a retained will", sparkplug.BreachRetain, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/New", death(7)), func(c *packets.Connect) { c.Will.Retain = true })},
	{"a will at QoS 2", sparkplug.BreachQoS, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/New", death(7)), func(c *packets.Connect) { c.Will.QoS = 2 })},
	{"a will without bdSeq", sparkplug.BreachWill, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/New", []byte{8, 1}))},
	{"a will that is garbage", sparkplug.BreachPayload, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/New", []byte("\x0a\xffgarbage")))},
	{"a will with a seq", sparkplug.BreachSeq, "", 0, connects(willOn("spBv1.0/Plant/NDEATH/New", append(death(7), 0x18, 1)))},
	{"the appliance's own STATE as will", sparkplug.BreachState, "", 0, connects(willOn("spBv1.0/STATE/edge", offline()))},
	{"another host's STATE as will", sparkplug.BreachTaken, "", 0, connects(willOn("spBv1.0/STATE/scada", offline()))},
	{"another host's STATE of 2.2 as will", sparkplug.BreachTaken, "", 0, connects(willOn("STATE/scada", []byte("OFFLINE")))},
	{"STATE online as will", sparkplug.BreachWill, "", 0, connects(willOn("spBv1.0/STATE/new", []byte(`{"online":true,"timestamp":1}`)))},
	{"a will in another case", sparkplug.BreachTopic, "", 0, connects(willOn("spbv1.0/Plant/NDEATH/Press", death(7)))},
	{"a certificate as will", sparkplug.BreachReserved, "", 0, connects(willOn(certificates+spoken(press, "NBIRTH"), birthOf(0)))},

	// By nobody.
	{"foreign NDEATH", sparkplug.BreachForeign, "", 0, says(spoken(press, "NDEATH"), death(7))},
	{"birth under another name", sparkplug.BreachForeign, "", 0, says(spoken(press, "NBIRTH"), birthOf(0, "temperature"))},
	{"foreign NDATA", sparkplug.BreachForeign, "", 0, says(spoken(press, "NDATA"), birthOf(2, "temperature"))},
	{"foreign DBIRTH", sparkplug.BreachForeign, "", 0, says(spoken(press, "DBIRTH", "Fake"), birthOf(2))},
	{"foreign DDATA", sparkplug.BreachForeign, "", 0, says(spoken(press, "DDATA", "Hyd"), birthOf(2, "pressure"))},
	{"foreign DDEATH", sparkplug.BreachForeign, "", 0, says(spoken(press, "DDEATH", "Hyd"), birthOf(2))},
	{"a new node without a will", sparkplug.BreachWill, "", 0, says("spBv1.0/Plant/NBIRTH/New", birthOf(0))},
	{"a command without the role", sparkplug.BreachCommand, "", 0, says(spoken(press, "NCMD"), order(nil))},
	{"a write without the role", sparkplug.BreachCommand, "", 0, says(spoken(press, "DCMD", "Hyd"), order(nil))},
	{"STATE spoof", sparkplug.BreachState, "", 0, says("spBv1.0/STATE/scada", offline())},
	{"STATE spoof of the appliance", sparkplug.BreachState, "", 0, says("spBv1.0/STATE/edge", offline())},
	{"STATE spoof of 2.2", sparkplug.BreachState, "", 0, says("STATE/scada", []byte("OFFLINE"))},
	{"retained STATE removed", sparkplug.BreachState, "", 0, saysRetained("spBv1.0/STATE/scada", nil)},
	{"an empty level", sparkplug.BreachTopic, "", 0, says("spBv1.0//NDEATH/Press", death(7))},
	{"an empty level in front", sparkplug.BreachTopic, "", 0, says("/"+spoken(press, "NDEATH"), death(7))},
	{"another case", sparkplug.BreachTopic, "", 0, says("SPBV1.0/Plant/NDEATH/Press", death(7))},
	{"another namespace", sparkplug.BreachTopic, "", 0, says("spBv3.0/Plant/NDEATH/Press", death(7))},
	{"a type that there is not", sparkplug.BreachTopic, "", 0, says("spBv1.0/Plant/ndeath/Press", death(7))},
	{"a device level too many", sparkplug.BreachTopic, "", 0, says(spoken(press, "NDEATH", "Hyd"), death(7))},
	{"$sparkplug write", sparkplug.BreachReserved, "", 0, saysRetained(certificates+spoken(press, "NBIRTH"), birthOf(0))},

	// By a node that is one.
	{"a node as another", sparkplug.BreachForeign, "evil", 0, evilSays(spoken(press, "NDATA"), birthOf(2))},
	{"a device of another node", sparkplug.BreachForeign, "evil", 0, evilSays(spoken(press, "DBIRTH", "Hyd"), birthOf(2))},
	{"a node that commands", sparkplug.BreachCommand, "evil", 0, evilSays(spoken(press, "NCMD"), order(nil))},
	{"a node that is a host", sparkplug.BreachState, "evil", 0, evilSays("spBv1.0/STATE/scada", offline())},
	{"NBIRTH with seq 300", sparkplug.BreachSeq, "evil", 0, evilSays(spoken(evil, "NBIRTH"), payload(func(p *sparkplug.Payload) { p.Seq, p.HasSeq = 300, true }))},
	{"NBIRTH without seq", sparkplug.BreachSeq, "evil", 0, evilSays(spoken(evil, "NBIRTH"), payload(nil))},
	{"NDATA with seq 256", sparkplug.BreachSeq, "evil", 0, evilSays(spoken(evil, "NDATA"), payload(func(p *sparkplug.Payload) { p.Seq, p.HasSeq = 256, true }))},
	{"NDATA without seq", sparkplug.BreachSeq, "evil", 0, evilSays(spoken(evil, "NDATA"), payload(nil))},
	{"NDEATH with seq", sparkplug.BreachSeq, "evil", 0, evilSays(spoken(evil, "NDEATH"), append(death(7), 0x18, 1))},
	{"NDEATH with foreign bdSeq", sparkplug.BreachBdSeq, "evil", 0, evilSays(spoken(evil, "NDEATH"), death(8))},
	{"NBIRTH with foreign bdSeq", sparkplug.BreachBdSeq, "evil", 0, evilSays(spoken(evil, "NBIRTH"), append(death(8), 0x18, 0))},
	{"retained birth", sparkplug.BreachRetain, "evil", 0, func(s *siege) *brokertest.Client {
		s.evil.Publish(&packets.Publish{Topic: spoken(evil, "NBIRTH"), Payload: birthOf(0), Retain: true})
		return s.evil
	}},
	{"NDEATH at QoS 2", sparkplug.BreachQoS, "evil", 0, func(s *siege) *brokertest.Client {
		s.evil.Publish(&packets.Publish{Topic: spoken(evil, "NDEATH"), Payload: death(7), QoS: 2})
		return s.evil
	}},
	{"alias flood", sparkplug.BreachAliases, "evil", 0, evilSays(spoken(evil, "DBIRTH", "D"), aliases(siegeMetrics+1, 1))},
	{"one alias for all", sparkplug.BreachAliases, "evil", 0, evilSays(spoken(evil, "DBIRTH", "D"), aliases(2, 0))},
	{"oversized birth", sparkplug.BreachSize, "evil", 0, evilSays(spoken(evil, "DBIRTH", "D"), birthOf(1, strings.Repeat("x", siegeBytes)))},
	{"garbage for a birth", sparkplug.BreachPayload, "evil", 0, evilSays(spoken(evil, "NBIRTH"), []byte("\x12\xffgarbage"))},
	{"garbage for data", sparkplug.BreachPayload, "evil", 0, evilSays(spoken(evil, "NDATA"), []byte("\x12\x7fgarbage"))},
	{"birth flood", sparkplug.BreachBirths, "flood", siegeBirths, func(s *siege) *brokertest.Client {
		return s.repeat(s.node("flood", "Flood"), siegeBirths, "spBv1.0/Plant/NBIRTH/Flood", birthOf(0)) // and that of s.node
	}},
	{"device flood", sparkplug.BreachDevices, "many", siegeDevices + 1, func(s *siege) *brokertest.Client {
		c := s.node("many", "Many")
		for i := range siegeDevices + 1 {
			c.Publish(&packets.Publish{Topic: "spBv1.0/Plant/DBIRTH/Many/" + strings.Repeat("d", i+1), Payload: birthOf(uint64(i + 1))})
		}
		return c
	}},
	{"a node that reads everything", sparkplug.BreachRead, "evil", 0, evilReads("#")},
	{"a node that reads another's commands", sparkplug.BreachRead, "evil", 0, evilReads(spoken(press, "NCMD"))},

	// By a host with the command role.
	{"rebirth flood", sparkplug.BreachRebirths, "scada", siegeRebirths, func(s *siege) *brokertest.Client {
		return s.repeat(s.scada, siegeRebirths+1, "spBv1.0/Plant/NCMD/Nobody", sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "Plant", Node: "Nobody"}, time.Now()).Payload)
	}},
	{"a historical command", sparkplug.BreachCommand, "scada", 0, scadaSays(spoken(press, "NCMD"), order(func(p *sparkplug.Payload) { p.Metrics[0].Historical = true }))},
	{"a command without metrics", sparkplug.BreachCommand, "scada", 0, scadaSays(spoken(press, "NCMD"), order(func(p *sparkplug.Payload) { p.Metrics = nil }))},
	{"a command with a seq", sparkplug.BreachSeq, "scada", 0, scadaSays(spoken(press, "NCMD"), order(func(p *sparkplug.Payload) { p.HasSeq = true }))},
	{"a command to a group that is not its", sparkplug.BreachCommand, "scada", 0, scadaSays("spBv1.0/Yard/NCMD/Crane", order(nil))},
	{"garbage for a command", sparkplug.BreachPayload, "scada", 0, scadaSays(spoken(press, "NCMD"), []byte("\x12\x7f"))},
	{"a retained command", sparkplug.BreachRetain, "scada", 0, func(s *siege) *brokertest.Client {
		s.scada.Publish(&packets.Publish{Topic: spoken(press, "NCMD"), Payload: order(nil), Retain: true})
		return s.scada
	}},
	{"garbage for STATE", sparkplug.BreachPayload, "scada", 0, scadaSays("spBv1.0/STATE/scada", []byte("OFFLINE"))},
	{"a host that is a node", sparkplug.BreachForeign, "scada", 0, scadaSays(spoken(press, "NBIRTH"), birthOf(0))},
}

// The limits of the siege.
const (
	siegeMetrics  = 100
	siegeBytes    = 4 << 10
	siegeBirths   = 20
	siegeDevices  = 5
	siegeRebirths = 3
)

// TestFirewallAttacks: with enforce none of the intrusions reaches a subscriber or the host, and the victim is what it was; with observe they
// pass; with both each is listed with who did it, from where, what, and the rule.
func TestFirewallAttacks(t *testing.T) {
	if len(intrusions) < 40 {
		t.Fatalf("%d intrusions", len(intrusions))
	}
	for _, mode := range []string{"observe", "enforce"} {
		for _, v := range bothVersions {
			t.Run(mode+" "+map[packets.Version]string{packets.V4: "3.1.1", packets.V5: "5.0"}[v], func(t *testing.T) {
				t.Parallel()
				s := besiege(t, mode, v)
				for i := range intrusions {
					s.suffer(&intrusions[i])
				}
			})
		}
	}
}

// siege is an appliance with honest clients: the nodes Press, with its device Hyd, and Evil; Pump, which is away; the host scada; and
// someone who hears everything.
type siege struct {
	t                  *testing.T
	app                *testApp
	v                  packets.Version
	enforce            bool
	press, evil, scada *brokertest.Client
	witness            *brokertest.Client
	secure             string // the listener for users
}

func besiege(t *testing.T, mode string, v packets.Version) *siege {
	dir := t.TempDir()
	makeUser(t, dir, "mill")
	everything := "rules:\n  - {user: \"*\", publish: [\"#\"], subscribe: [\"#\"]}\n" // it is the firewall that refuses
	if err := os.WriteFile(filepath.Join(dir, "acl.yaml"), []byte(everything), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &siege{t: t, v: v, enforce: mode == "enforce"}
	s.app = startApp(t, dir, appOptions{}, func(c *Config) {
		c.dir = dir
		c.Broker.Listeners = append(c.Broker.Listeners, ListenerConfig{Name: "users", Address: "127.0.0.1:0", Transport: "tcp"})
		f := &c.Sparkplug.Firewall
		f.Mode = mode
		f.Rules = []FirewallRuleConfig{
			{Client: "scada", Host: "scada", Commands: true, Groups: []string{"Plant"}},
			{User: "mi*", Group: "Plant", Node: "Mill"},
		}
		f.Limits.Metrics, f.Limits.BirthBytes, f.Limits.Devices = siegeMetrics, siegeBytes, siegeDevices
		f.Limits.BirthsPerMinute, f.Limits.RebirthsPerMinute = siegeBirths, siegeRebirths
	})
	s.secure = s.app.mqtt[1].Addr().String()
	s.press, s.evil = s.node("press", "Press"), s.node("evil", "Evil")
	s.press.Publish(&packets.Publish{Topic: spoken(press, "DBIRTH", "Hyd"), Payload: birthOf(1, "pressure")})
	pump := s.node("pump", "Pump")
	pump.Publish(&packets.Publish{Topic: "spBv1.0/Plant/NDEATH/Pump", Payload: death(7), QoS: 1})
	pump.Send(&packets.Disconnect{})
	pump.ExpectClosed()
	s.scada = s.connect(named("scada"), willOn("spBv1.0/STATE/scada", offline()))
	s.scada.Publish(&packets.Publish{Topic: "spBv1.0/STATE/scada", QoS: 1, Retain: true, Payload: []byte(`{"online":true,"timestamp":1}`)})
	s.witness = joinMQTT(t, s.app.MQTTAddr(), v, "witness", 0, "#", certificates+"#", "end")
	s.hear()
	if list, _ := s.app.pipeline.firewall.Violations(); len(list) > 0 {
		t.Fatalf("the honest are listed: %+v", list)
	}
	return s
}

// suffer carries one out and looks at what came of it.
func (s *siege) suffer(x *intrusion) {
	s.t.Helper()
	client := x.client
	if client == "" {
		client = "mallory"
	}
	before, count := s.state(), s.count(x.rule, client)
	if c := x.do(s); c != nil {
		c.Publish(&packets.Publish{Topic: "end/attack", Payload: []byte("x"), QoS: 1}) // what came before it has been handled
	}
	heard := s.hear()
	list, _ := s.app.pipeline.firewall.Violations()
	entry := find(list, x.rule, client)
	switch {
	case s.count(x.rule, client) == count || entry == nil:
		s.t.Errorf("%s: not listed as %q of %s: %+v", x.name, x.rule, client, list[:min(3, len(list))])
		return
	case !strings.HasPrefix(entry.Address, "127.0.0.1:") || entry.Detail == "" || entry.What == "" || entry.Last.IsZero():
		s.t.Errorf("%s: listed without who, what and when: %+v", x.name, entry)
	case entry.Refused != (s.enforce || x.rule == sparkplug.BreachReserved):
		s.t.Errorf("%s: refused %v", x.name, entry.Refused)
	}
	if !s.enforce {
		return
	}
	if len(heard) != x.passes {
		s.t.Errorf("%s: %d messages came through, want %d: %+v", x.name, len(heard), x.passes, heard[:min(3, len(heard))])
	}
	if diff := cmp.Diff(before, s.state()); diff != "" {
		s.t.Errorf("%s: the victim is not what it was (-before +after):\n%s", x.name, diff)
	}
}

// hear returns the Sparkplug messages that the witness got.
func (s *siege) hear() []said {
	s.witness.Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
	all := hear(s.witness, "end")
	n := 0
	for _, m := range all {
		if m.Topic != "end/attack" && !strings.HasPrefix(m.Topic, "$") {
			all[n] = m
			n++
		}
	}
	return all[:n]
}

// victim is what the host knows of the nodes that did nothing.
type victim struct {
	Node                         string
	State                        sparkplug.State
	BdSeq, Seq, Metrics, Devices int
	Birth, Death                 time.Time
	Warnings                     []string
}

func (s *siege) state() (all []victim) {
	for _, n := range s.app.pipeline.plant.Nodes() {
		switch n.Node {
		case "Flood", "Many", "Nobody": // which had their say before it was too much
			continue
		}
		all = append(all, victim{n.Node, n.State, n.BdSeq, n.Seq, n.Metrics, len(n.Devices), n.LastBirth, n.LastDeath, n.Warnings})
	}
	return all
}

func (s *siege) count(rule sparkplug.Breach, client string) (n uint64) {
	list, _ := s.app.pipeline.firewall.Violations()
	for i := range list {
		if list[i].Rule == string(rule) && list[i].Client == client {
			n += list[i].Count
		}
	}
	return n
}

func find(list []ui.Violation, rule sparkplug.Breach, client string) *ui.Violation {
	for i := range list {
		if list[i].Rule == string(rule) && list[i].Client == client {
			return &list[i]
		}
	}
	return nil
}

// connect sends a CONNECT; nil if it is refused, as it is to be then.
func (s *siege) connect(change ...func(*packets.Connect)) *brokertest.Client {
	s.t.Helper()
	connect := &packets.Connect{Version: s.v, ClientID: "mallory", CleanStart: true}
	for _, f := range change {
		f(connect)
	}
	addr := s.app.MQTTAddr()
	if connect.HasUsername {
		addr = s.secure
	}
	c := dialMQTT(s.t, addr, s.v)
	c.Send(connect)
	switch code := brokertest.Expect[*packets.Connack](c).Code; code {
	case packets.Success:
		return c
	case packets.NotAuthorized: // in 3.1.1 too, where it is 0x05
		c.ExpectClosed()
	default:
		s.t.Errorf("CONNACK %v", code)
	}
	return nil
}

// node is an honest edge node that is born.
func (s *siege) node(id, node string) *brokertest.Client {
	s.t.Helper()
	c := s.connect(named(id), willOn("spBv1.0/Plant/NDEATH/"+node, death(7)))
	if c == nil {
		s.t.Fatalf("%s is not let in", id)
	}
	c.Publish(&packets.Publish{Topic: "spBv1.0/Plant/NBIRTH/" + node, Payload: birthOf(0, "temperature")})
	return c
}

func (s *siege) repeat(c *brokertest.Client, n int, topic string, payload []byte) *brokertest.Client {
	for range n {
		c.Publish(&packets.Publish{Topic: topic, Payload: payload})
	}
	return c
}

func named(id string) func(*packets.Connect) { return func(c *packets.Connect) { c.ClientID = id } }

func as(user string) func(*packets.Connect) {
	return func(c *packets.Connect) {
		c.ClientID, c.HasUsername, c.Username, c.HasPassword, c.Password = user, true, user, true, []byte(password)
	}
}

func willOn(topic string, payload []byte) func(*packets.Connect) {
	return func(c *packets.Connect) { c.Will = &packets.Will{Topic: topic, Payload: payload, QoS: 1} }
}

func connects(change ...func(*packets.Connect)) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client { return s.connect(change...) }
}

func says(topic string, payload []byte) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client { return s.repeat(s.connect(), 1, topic, payload) }
}

func saysRetained(topic string, payload []byte) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client {
		c := s.connect()
		c.Publish(&packets.Publish{Topic: topic, Payload: payload, Retain: true})
		return c
	}
}

func evilSays(topic string, payload []byte) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client { return s.repeat(s.evil, 1, topic, payload) }
}

func evilReads(filter string) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client {
		if code := s.evil.Subscribe(filter, 0); code.Failed() != s.enforce {
			s.t.Errorf("SUBSCRIBE %s: %v", filter, code)
		}
		return s.evil
	}
}

func scadaSays(topic string, payload []byte) func(*siege) *brokertest.Client {
	return func(s *siege) *brokertest.Client { return s.repeat(s.scada, 1, topic, payload) }
}

func death(bdSeq uint8) []byte {
	return sparkplug.NodeDeath(sparkplug.NodeRef{}, bdSeq, time.UnixMilli(1)).Payload
}

func offline() []byte { return []byte(`{"online":false,"timestamp":1}`) }

func payload(change func(*sparkplug.Payload)) []byte {
	p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, Metrics: []sparkplug.Metric{
		{Name: "temperature", Type: sparkplug.Int32, Value: sparkplug.Int64Value(sparkplug.Int32, 5), Timestamp: 1, HasTimestamp: true}}}
	if change != nil {
		change(&p)
	}
	return sparkplug.Encode(&p)
}

func order(change func(*sparkplug.Payload)) []byte { return payload(change) }

// aliases is a birth of n metrics whose aliases are step apart.
func aliases(n, step int) []byte {
	return payload(func(p *sparkplug.Payload) {
		p.Seq, p.HasSeq = 1, true
		m := p.Metrics[0]
		p.Metrics = nil
		for i := range n {
			m.Name, m.Alias, m.HasAlias = "m"+strings.Repeat("x", i%7)+string(rune('a'+i%26)), uint64(i*step), true
			p.Metrics = append(p.Metrics, m)
		}
	})
}
