package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// said is a message as a subscriber gets it.
type said struct {
	Topic, Payload string
	QoS            byte
	Retain         bool
}

// dialMQTT opens a connection on which nothing is said yet.
func dialMQTT(t testing.TB, addr string, v packets.Version) *brokertest.Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.NewClient(t, conn, v)
}

// joinMQTT connects a client that subscribes.
func joinMQTT(t testing.TB, addr string, v packets.Version, id string, qos byte, filters ...string) *brokertest.Client {
	t.Helper()
	c := dialMQTT(t, addr, v)
	c.Connect(id, true)
	for _, f := range filters {
		if code := c.Subscribe(f, qos); code.Failed() {
			t.Fatalf("SUBSCRIBE %s: %v", f, code)
		}
	}
	return c
}

// hear returns what came up to the message on topic last, that one left out. Retained STATE is not among it.
func hear(c *brokertest.Client, last string) (all []said) {
	for {
		p := c.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish }).(*packets.Publish)
		c.Acknowledge(p)
		if p.Topic == last {
			return all
		}
		if !strings.HasPrefix(p.Topic, "spBv1.0/STATE/") {
			all = append(all, said{p.Topic, string(p.Payload), p.QoS, p.Retain})
		}
	}
}

// kept returns what a new subscriber gets at once of a filter.
func kept(t testing.TB, addr string, v packets.Version, filter string) []said {
	t.Helper()
	c := joinMQTT(t, addr, v, "late", 1, filter, "end/late")
	defer c.Close()
	c.Publish(&packets.Publish{Topic: "end/late", QoS: 1, Payload: []byte("x")})
	return hear(c, "end/late")
}

const certificates = "$sparkplug/certificates/"

// birthOf is a birth that says its number; a node's has what a node's needs.
func birthOf(seq uint64, names ...string) []byte {
	at := time.UnixMilli(1_700_000_000_000)
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Seq: seq, HasSeq: true}
	if seq == 0 {
		rebirth := sparkplug.Metric{Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false), Timestamp: sparkplug.Millis(at), HasTimestamp: true}
		p.Metrics = append(p.Metrics, sparkplug.BdSeqMetric(7, at), rebirth)
	}
	for _, name := range names {
		p.Metrics = append(p.Metrics, sparkplug.Metric{Name: name, Type: sparkplug.Int32, Value: sparkplug.Int64Value(sparkplug.Int32, 5), Timestamp: sparkplug.Millis(at), HasTimestamp: true})
	}
	return sparkplug.Encode(&p)
}

// eachVersion runs a test with clients of 3.1.1 and of 5.0.
func eachVersion(t *testing.T, test func(t *testing.T, v packets.Version)) {
	for _, v := range bothVersions {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// TestAware: the certificates of two nodes and two devices reach who listens and who comes later with the retain flag, the originals
// nobody; a rebirth takes the place of the birth, and nobody sees a certificate who did not ask for one.
//
// [tck-id-conformance-mqtt-aware-basic] [tck-id-conformance-mqtt-aware-store]
// [tck-id-conformance-mqtt-aware-nbirth-mqtt-topic] [tck-id-conformance-mqtt-aware-nbirth-mqtt-retain]
// [tck-id-conformance-mqtt-aware-dbirth-mqtt-topic] [tck-id-conformance-mqtt-aware-dbirth-mqtt-retain]
func TestAware(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packets.Version) {
		app := startApp(t, t.TempDir(), appOptions{})
		live := joinMQTT(t, app.MQTTAddr(), v, "live", 1, certificates+"#", "end")
		live0 := joinMQTT(t, app.MQTTAddr(), v, "live0", 0, certificates+"spBv1.0/G1/+/E1/#", "end")
		plain := joinMQTT(t, app.MQTTAddr(), v, "plain", 1, "spBv1.0/#", "end")
		blind := joinMQTT(t, app.MQTTAddr(), v, "blind", 1, "#", "+/certificates/#", "end")
		node := joinMQTT(t, app.MQTTAddr(), v, "node", 0)

		births := []said{
			{"spBv1.0/G1/NBIRTH/E1", string(birthOf(0, "a")), 0, false},
			{"spBv1.0/G1/DBIRTH/E1/D1", string(birthOf(1, "b")), 0, false},
			{"spBv1.0/G1/DBIRTH/E1/D2", string(birthOf(2, "c")), 0, false},
			{"spBv1.0/G1/NBIRTH/E2", string(birthOf(0, "d")), 0, false},
			{"spBv1.0/G1/NBIRTH/E1", string(birthOf(0, "a", "anew")), 0, false},
		}
		for _, b := range births {
			node.Publish(&packets.Publish{Topic: b.Topic, Payload: []byte(b.Payload)})
		}
		node.Publish(&packets.Publish{Topic: "end", Payload: []byte("x")})

		var copies, copies0 []said
		for _, b := range births {
			copies = append(copies, said{certificates + b.Topic, b.Payload, 1, true})
			if b.Topic != "spBv1.0/G1/NBIRTH/E2" {
				copies0 = append(copies0, said{certificates + b.Topic, b.Payload, 0, true})
			}
		}
		for _, x := range []struct {
			who  string
			c    *brokertest.Client
			want []said
		}{{"live", live, copies}, {"live, QoS 0", live0, copies0}, {"of the births", plain, births}, {"of everything", blind, births}} {
			if diff := cmp.Diff(x.want, hear(x.c, "end")); diff != "" {
				t.Errorf("subscriber %s (-want +got):\n%s", x.who, diff)
			}
		}
		if diff := cmp.Diff([]said{copies[1], copies[2], copies[4], copies[3]}, kept(t, app.MQTTAddr(), v, certificates+"#")); diff != "" {
			t.Errorf("a late subscriber (-want +got):\n%s", diff)
		}
		for _, filter := range []string{"spBv1.0/+/NBIRTH/#", "spBv1.0/+/DBIRTH/#", "+/certificates/#"} {
			if got := kept(t, app.MQTTAddr(), v, filter); len(got) > 0 {
				t.Errorf("retained on %s: %+v", filter, got)
			}
		}
	})
}

// TestAwareStoresWhatPasses: it looks at the topic and at nothing else, whoever published it and however.
//
// [tck-id-conformance-mqtt-aware-store]
func TestAwareStoresWhatPasses(t *testing.T) {
	tests := []struct {
		name, topic string
		payload     []byte
		qos         byte
		retain      bool
		certified   bool
	}{
		{"a birth", "spBv1.0/G/NBIRTH/E", birthOf(0), 0, false, true},
		{"published at QoS 1", "spBv1.0/G/NBIRTH/q1", birthOf(0), 1, false, true},
		{"published at QoS 2", "spBv1.0/G/NBIRTH/q2", birthOf(0), 2, false, true},
		{"published retained", "spBv1.0/G/NBIRTH/r", birthOf(0), 1, true, true},
		{"of a device of no node", "spBv1.0/G/DBIRTH/nobody/D", birthOf(9), 1, false, true},
		{"no payload that anyone could read", "spBv1.0/G/NBIRTH/bad", []byte("\xff\x00garbage"), 1, false, true},
		{"no seq, which the host does not take", "spBv1.0/G/NBIRTH/noseq", []byte("\x08\x01"), 1, false, true},
		{"names with spaces and dots", "spBv1.0/My Plant/NBIRTH/Press 1.2", birthOf(0), 1, false, true},
		{"empty", "spBv1.0/G/NBIRTH/empty", nil, 1, false, false},
		{"a device level too many", "spBv1.0/G/NBIRTH/E/D", birthOf(0), 1, false, false},
		{"without its device", "spBv1.0/G/DBIRTH/E", birthOf(0), 1, false, false},
		{"six levels", "spBv1.0/G/DBIRTH/E/D/x", birthOf(0), 1, false, false},
		{"no group", "spBv1.0//NBIRTH/E", birthOf(0), 1, false, false},
		{"no node", "spBv1.0/G/NBIRTH/", birthOf(0), 1, false, false},
		{"no device", "spBv1.0/G/DBIRTH/E/", birthOf(0), 1, false, false},
		{"another case", "spbv1.0/G/NBIRTH/E", birthOf(0), 1, false, false},
		{"another namespace", "spCv1.0/G/NBIRTH/E", birthOf(0), 1, false, false},
		{"data", "spBv1.0/G/NDATA/E", birthOf(1), 1, false, false},
		{"a death", "spBv1.0/G/DDEATH/E/D", birthOf(1), 1, false, false},
		{"a group of that name", "spBv1.0/NBIRTH/NDATA/E", birthOf(1), 1, false, false},
	}
	eachVersion(t, func(t *testing.T, v packets.Version) {
		app := startApp(t, t.TempDir(), appOptions{})
		node := joinMQTT(t, app.MQTTAddr(), v, "node", 0)
		will := dialMQTT(t, app.MQTTAddr(), v)
		will.Send(&packets.Connect{Version: v, ClientID: "will", CleanStart: true,
			Will: &packets.Will{Topic: "spBv1.0/G/NBIRTH/will", Payload: birthOf(0), QoS: 1}})
		brokertest.Expect[*packets.Connack](will)
		live := joinMQTT(t, app.MQTTAddr(), v, "live", 1, certificates+"#")
		will.Close()
		if p := brokertest.Expect[*packets.Publish](live); p.Topic != certificates+"spBv1.0/G/NBIRTH/will" || !p.Retain {
			t.Errorf("of a will: %+v", p)
		}

		var want, got []string
		for _, tt := range tests {
			if code := node.Publish(&packets.Publish{Topic: tt.topic, Payload: tt.payload, QoS: tt.qos, Retain: tt.retain}); code.Failed() {
				t.Errorf("%s: %v", tt.name, code)
			}
			if tt.certified {
				want = append(want, certificates+tt.topic+" "+string(tt.payload))
			}
		}
		node.Publish(&packets.Publish{Topic: "spBv1.0/G/NBIRTH/E", QoS: 1}) // what is there stays
		for _, s := range kept(t, app.MQTTAddr(), v, certificates+"#") {
			if s.Topic != certificates+"spBv1.0/G/NBIRTH/will" {
				got = append(got, s.Topic+" "+s.Payload)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := len(kept(t, app.MQTTAddr(), v, "spBv1.0/G/NBIRTH/r")); n != 1 {
			t.Errorf("a birth that its node has published retained is not: %d", n)
		}
	})
}

// TestAwareProperties: what belongs to the payload goes along, what belongs to the message does not.
func TestAwareProperties(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	live := joinMQTT(t, app.MQTTAddr(), packets.V5, "live", 1, certificates+"#")
	node := joinMQTT(t, app.MQTTAddr(), packets.V5, "node", 0)
	user := []packets.UserProperty{{Name: "line", Value: "1"}, {Name: "line", Value: "2"}}
	node.Publish(&packets.Publish{Topic: "spBv1.0/G/NBIRTH/E", Payload: birthOf(0), QoS: 1, TopicAlias: 3,
		Expiry: packets.Some(uint32(60)), Properties: &packets.PublishProperties{
			PayloadFormat: 1, ContentType: "application/x-sparkplug", User: user, ResponseTopic: "answer/here", CorrelationData: []byte("42")}})
	want := &packets.Publish{Topic: certificates + "spBv1.0/G/NBIRTH/E", Payload: birthOf(0), QoS: 1, Retain: true, PacketID: 1,
		Properties: &packets.PublishProperties{PayloadFormat: 1, ContentType: "application/x-sparkplug", User: user}}
	live.Expect(want)
	joinMQTT(t, app.MQTTAddr(), packets.V5, "late", 1, certificates+"#").Expect(want)
	node.Publish(&packets.Publish{Topic: "", TopicAlias: 3, Payload: birthOf(0, "by alias"), QoS: 1})
	live.Expect(&packets.Publish{Topic: certificates + "spBv1.0/G/NBIRTH/E", Payload: birthOf(0, "by alias"), QoS: 1, Retain: true, PacketID: 2})
}

// TestAwareStays: certificates are there after a stop and after kill -9; without sparkplug.aware there is nothing of it, and what
// was kept does not come back.
func TestAwareStays(t *testing.T) {
	dir := t.TempDir()
	file := configure(t, dir, "")
	c := start(t, file)
	node := joinMQTT(t, c.mqtt, packets.V4, "node", 0)
	want := []said{{certificates + "spBv1.0/G/NBIRTH/E", string(birthOf(0)), 1, true}}
	node.Publish(&packets.Publish{Topic: "spBv1.0/G/NBIRTH/E", Payload: birthOf(0), QoS: 1})
	for _, how := range []string{"kill -9", "SIGTERM"} {
		if how == "SIGTERM" {
			c.signal(syscall.SIGTERM)
			c.exit()
		} else {
			c.kill()
		}
		c = start(t, file)
		if diff := cmp.Diff(want, kept(t, c.mqtt, packets.V5, certificates+"#")); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", how, diff)
		}
	}
	c.stop()

	c = start(t, file, "EDGE_SPARKPLUG_AWARE=false")
	live := joinMQTT(t, c.mqtt, packets.V5, "live", 1, certificates+"#", "spBv1.0/+/NDEATH/+", "end")
	node = joinMQTT(t, c.mqtt, packets.V5, "node", 0)
	death := string(sparkplug.NodeDeath(sparkplug.NodeRef{Group: "G", Node: "E"}, 7, time.UnixMilli(5)).Payload)
	node.Publish(&packets.Publish{Topic: "spBv1.0/G/NBIRTH/E", Payload: birthOf(0), QoS: 1})
	node.Publish(&packets.Publish{Topic: "spBv1.0/G/NDEATH/E", Payload: []byte(death), QoS: 1})
	node.Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
	if diff := cmp.Diff([]said{{"spBv1.0/G/NDEATH/E", death, 1, false}}, hear(live, "end")); diff != "" {
		t.Errorf("not aware (-want +got):\n%s", diff)
	}
	c.stop()
	c = start(t, file)
	if got := kept(t, c.mqtt, packets.V5, certificates+"#"); len(got) > 0 {
		t.Errorf("aware again: %+v", got)
	}
}

// TestAwareRefusesWrites: no client publishes below $sparkplug, by any QoS, retained or as a will.
func TestAwareRefusesWrites(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packets.Version) {
		app := startApp(t, t.TempDir(), appOptions{})
		live := joinMQTT(t, app.MQTTAddr(), v, "live", 1, certificates+"#", "end")
		c := joinMQTT(t, app.MQTTAddr(), v, "forger", 0)
		var want packets.ReasonCode
		if v == packets.V5 {
			want = packets.NotAuthorized
		}
		names := []string{"$sparkplug/x", certificates + "spBv1.0/G/NBIRTH/E", "$sparkplug/certificates", "$sparkplug"}
		for _, name := range names {
			for _, qos := range []byte{1, 2} {
				if code := c.Publish(&packets.Publish{Topic: name, Payload: birthOf(0), QoS: qos, Retain: true}); code != want {
					t.Errorf("%s, QoS %d: %v", name, qos, code)
				}
			}
			c.Publish(&packets.Publish{Topic: name, Payload: birthOf(0), Retain: true})
			w := dialMQTT(t, app.MQTTAddr(), v)
			w.Send(&packets.Connect{Version: v, ClientID: "will", CleanStart: true, Will: &packets.Will{Topic: name, Payload: birthOf(0), Retain: true}})
			if code := brokertest.Expect[*packets.Connack](w).Code; code != packets.NotAuthorized {
				t.Errorf("will on %s: %v", name, code)
			}
		}
		c.Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
		if got := append(hear(live, "end"), kept(t, app.MQTTAddr(), v, certificates+"#")...); len(got) > 0 {
			t.Errorf("%+v", got)
		}
		if n := app.pipeline.server.Stats().Dropped["not authorized"]; n != uint64(3*len(names)) {
			t.Errorf("%d counted, want %d", n, 3*len(names))
		}
	})
}

// TestAwareNodeDeath: every NDEATH says when it was delivered, however it came, and is otherwise what the node wrote, byte by byte; of
// one that is no payload all bytes are.
//
// [tck-id-conformance-mqtt-aware-ndeath-timestamp]
func TestAwareNodeDeath(t *testing.T) {
	const name = "spBv1.0/G/NDEATH/E"
	stale := sparkplug.NodeDeath(sparkplug.NodeRef{Group: "G", Node: "E"}, 7, time.UnixMilli(5)).Payload
	rest := stale[2:] // behind its timestamp
	inside := append(bytes.Clone(rest), "\x08\x05\x18\x03\xfa\x3e\x01x"...)
	ends := []struct {
		name  string
		since packets.Version
		end   func(c *brokertest.Client, payload []byte)
	}{
		{"the socket is killed", packets.V4, func(c *brokertest.Client, _ []byte) { c.Close() }},
		{"published", packets.V4, func(c *brokertest.Client, payload []byte) {
			c.Publish(&packets.Publish{Topic: name, Payload: payload, QoS: 1})
			c.Send(&packets.Disconnect{})
		}},
		{"DISCONNECT 0x04", packets.V5, func(c *brokertest.Client, _ []byte) { c.Send(&packets.Disconnect{Code: packets.DisconnectWithWill}) }},
	}
	payloads := []struct {
		name        string
		sent, after []byte
		stamped     bool
	}{
		{"an old time", stale, rest, true},
		{"no time", rest, rest, true},
		{"its time among the others, and fields that nobody knows", inside, append(bytes.Clone(rest), "\x18\x03\xfa\x3e\x01x"...), true},
		{"garbage", []byte("\x0a\x05gone"), []byte("\x0a\x05gone"), false},
		{"empty", nil, nil, false},
	}
	eachVersion(t, func(t *testing.T, v packets.Version) {
		app := startApp(t, t.TempDir(), appOptions{})
		live := joinMQTT(t, app.MQTTAddr(), v, "live", 1, name)
		for _, e := range ends {
			for _, p := range payloads {
				if v < e.since {
					continue
				}
				node := dialMQTT(t, app.MQTTAddr(), v)
				node.Send(&packets.Connect{Version: v, ClientID: "node", CleanStart: true, Will: &packets.Will{Topic: name, Payload: p.sent, QoS: 1}})
				brokertest.Expect[*packets.Connack](node)
				from := sparkplug.Millis(time.Now())
				e.end(node, p.sent)
				got := brokertest.Expect[*packets.Publish](live)
				live.Acknowledge(got)
				until := sparkplug.Millis(time.Now())
				if !p.stamped {
					if !bytes.Equal(got.Payload, p.after) || got.Retain {
						t.Errorf("%s, %s: %x", e.name, p.name, got.Payload)
					}
					continue
				}
				x, err := sparkplug.Decode(got.Payload, sparkplug.Limits{})
				if err != nil || x.Timestamp < from || x.Timestamp > until {
					t.Errorf("%s, %s: time %d, not from %d to %d; %v", e.name, p.name, x.Timestamp, from, until, err)
				}
				if after := got.Payload[1+6:]; !bytes.Equal(after, p.after) || got.QoS != 1 || got.Retain { // a time of today has six bytes
					t.Errorf("%s, %s: %x behind its time, want %x; QoS %d, retain %v", e.name, p.name, after, p.after, got.QoS, got.Retain)
				}
			}
		}
		// the empty one removes what is retained, as it does everywhere
		node := joinMQTT(t, app.MQTTAddr(), v, "node", 0)
		for _, payload := range [][]byte{stale, nil} {
			node.Publish(&packets.Publish{Topic: name, Payload: payload, QoS: 1, Retain: true})
		}
		if got := kept(t, app.MQTTAddr(), v, name); len(got) > 0 {
			t.Errorf("retained: %+v", got)
		}
	})
}

// TestAwareAccess: who may read a birth may read its certificate, and nobody else.
func TestAwareAccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"press", "scada", "viewer", "tool"} {
		makeUser(t, dir, name)
	}
	rules := `rules:
  - {user: press, role: sparkplug-node, group: G1, node: E1}
  - {user: scada, role: sparkplug-host, host_id: scada, groups: [G1]}
  - {user: viewer, role: sparkplug-host, host_id: viewer}
  - {user: tool, publish: ["#"], subscribe: ["tools/#", "spBv1.0/G1/NBIRTH/E1"]}
`
	if err := os.WriteFile(filepath.Join(dir, "acl.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	app := startApp(t, filepath.Join(dir, "data"), appOptions{}, func(c *Config) {
		c.dir, c.Broker.Listeners[0].Anonymous = dir, false
	})
	login := func(v packets.Version, user string) *brokertest.Client {
		c := dialMQTT(t, app.MQTTAddr(), v)
		connect := &packets.Connect{Version: v, ClientID: user, CleanStart: true, HasUsername: true, Username: user, HasPassword: true, Password: []byte(password)}
		if user == "press" {
			connect.Will = &packets.Will{Topic: "spBv1.0/G1/NDEATH/E1", QoS: 1}
		}
		c.Send(connect)
		if code := brokertest.Expect[*packets.Connack](c).Code; code != packets.Success {
			t.Fatalf("%s: %v", user, code)
		}
		return c
	}
	tool := login(packets.V5, "tool")
	for _, name := range []string{"spBv1.0/G1/NBIRTH/E1", "spBv1.0/G1/NBIRTH/E2", "spBv1.0/G2/NBIRTH/E1"} {
		tool.Publish(&packets.Publish{Topic: name, Payload: birthOf(0), QoS: 1})
	}
	tests := []struct {
		user, filter string
		births       int // -1: refused
	}{
		{"press", "spBv1.0/G1/NBIRTH/E1", -1},
		{"press", "#", -1},
		{"scada", "#", -1},
		{"scada", "spBv1.0/#", -1},
		{"scada", "spBv1.0/G1/#", 2},
		{"scada", "+/G1/NBIRTH/+", 2},
		{"scada", "spBv1.0/G2/NBIRTH/E1", -1},
		{"viewer", "#", 3},
		{"viewer", "spBv1.0/+/NBIRTH/E1", 2},
		{"tool", "spBv1.0/G1/NBIRTH/E1", 1},
		{"tool", "spBv1.0/G1/NBIRTH/+", -1},
	}
	for _, v := range bothVersions {
		for _, tt := range tests {
			c := login(v, tt.user)
			code := c.Subscribe(certificates+tt.filter, 1)
			refused := packets.ReasonCode(0x80) // all that 3.1.1 knows
			if v == packets.V5 {
				refused = packets.NotAuthorized
			}
			if tt.births < 0 {
				if code != refused {
					t.Errorf("%s, %s, version %d: %v", tt.user, tt.filter, v, code)
				}
				c.ExpectNothing()
				continue
			}
			for range tt.births {
				c.Acknowledge(brokertest.Expect[*packets.Publish](c))
			}
			c.ExpectNothing()
		}
	}
}

// TestAwareHasLimits: certificates count among the retained messages. What finds no room is delivered, told, and leaves no older one.
func TestAwareHasLimits(t *testing.T) {
	dir := t.TempDir()
	c := start(t, configure(t, dir, "broker: {listeners: [{name: plant, address: \"127.0.0.1:0\", anonymous: true}], limits: {retained_messages: 3}}\n"))
	live := joinMQTT(t, c.mqtt, packets.V5, "live", 1, certificates+"#", "end")
	node := joinMQTT(t, c.mqtt, packets.V5, "node", 0)
	for i := range 5 { // the host's STATE is the third
		if code := node.Publish(&packets.Publish{Topic: fmt.Sprint("spBv1.0/G/NBIRTH/E", i), Payload: birthOf(0), QoS: 1}); code.Failed() {
			t.Errorf("birth %d: %v", i, code)
		}
	}
	node.Publish(&packets.Publish{Topic: "end", QoS: 1, Payload: []byte("x")})
	if got := hear(live, "end"); len(got) != 5 {
		t.Errorf("delivered: %+v", got)
	}
	if got := kept(t, c.mqtt, packets.V5, certificates+"#"); len(got) != 2 {
		t.Errorf("kept: %+v", got)
	}
	if n := scrape(t, c.page)["edge_broker_messages_dropped_total,retained messages full"]; n != 3 {
		t.Errorf("%v counted", n)
	}
	c.logs(`level=WARN msg="a birth has no certificate.*retained_messages.*topic=spBv1.0/G/NBIRTH/E2`)
	if n := strings.Count(c.log(), "a birth has no certificate"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestAwareIsNotForwarded: an uplink carries the births, and the server above makes its own certificates or none.
func TestAwareIsNotForwarded(t *testing.T) {
	above := startApp(t, t.TempDir(), appOptions{}, func(c *Config) { c.Sparkplug.Aware, c.Sparkplug.HostID = false, "above" })
	heard := watch(t, above.MQTTAddr(), "checker")
	below := startApp(t, t.TempDir(), appOptions{tuneUplink: prompt}, toMosquitto(above.MQTTAddr()))
	startFleet(t, below.MQTTAddr(), load(), 200*time.Millisecond)
	eventually(t, patience, "both nodes are alive above", func() bool { return slices.Equal(heard.online(), loadNodes) })
	if got := kept(t, below.MQTTAddr(), packets.V5, certificates+"#"); len(got) != 6 {
		t.Errorf("below: %d certificates", len(got))
	}
	if got := kept(t, above.MQTTAddr(), packets.V5, certificates+"#"); len(got) > 0 {
		t.Errorf("above: %+v", got)
	}
	if n := above.pipeline.server.Stats().Dropped["not authorized"]; n > 0 {
		t.Errorf("%d messages below $ were sent up", n)
	}
}
