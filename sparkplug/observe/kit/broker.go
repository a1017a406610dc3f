package kit

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// Broker is an MQTT server under test.
type Broker struct {
	Addr    string               // "127.0.0.1:port", plain TCP, no password
	Version packets.Version      // of the kit's clients; default 3.1.1
	Aware   bool                 // it is to be a Sparkplug Aware server; else only that it is compliant is asked for
	Restart func() (addr string) // stops and starts it with what it keeps; nil: cannot
}

// brokerRun is the scenario of a broker.
type brokerRun struct {
	t     testing.TB
	b     Broker
	tally *observe.Tally
	group string // a name that no run before has used: a broker that runs elsewhere keeps what it has heard
	n     int    // clients so far
}

// RunBroker asks a server for everything that chapter 10 demands. Verdicts on what only an aware server must do are broken for one
// that is not, unless Aware is false: then they are not asked for.
func RunBroker(t testing.TB, b Broker) *Report {
	t.Helper()
	if b.Version == 0 {
		b.Version = packets.V4
	}
	r := &brokerRun{t: t, b: b, tally: observe.NewTally(), group: "kit" + rand.Text()[:8]}
	r.qos()
	r.wills()
	r.retained()
	if b.Aware {
		r.certificates()
		r.hidden()
		r.foreign()
		r.deaths()
		r.keeps()
		basic := true
		for _, id := range []string{"qos0", "qos1", "will-messages", "retained"} {
			basic = basic && r.tally.Verdict("tck-id-conformance-mqtt-"+id) == observe.Holds
		}
		r.note(basic, "aware-basic", "not even compliant")
	}
	return &Report{Tally: r.tally}
}

func (r *brokerRun) note(ok bool, id, format string, args ...any) {
	r.tally.Note("tck-id-conformance-mqtt-"+id, ok, observe.Finding{Text: fmt.Sprintf(format, args...)})
}

func (r *brokerRun) client() *brokertest.Client {
	r.t.Helper()
	r.n++
	return dial(r.t, r.b.Addr, fmt.Sprintf("%s-%d", r.group, r.n), r.b.Version)
}

// listener is a client that has subscribed.
func (r *brokerRun) listener(filter string, qos byte) *brokertest.Client {
	r.t.Helper()
	c := r.client()
	c.Subscribe(filter, qos)
	return c
}

// settled publishes a mark on a topic that c hears, and returns what came to c before it: what has not come by then never will.
func (r *brokerRun) settled(c *brokertest.Client, mark string) (before []*packets.Publish) {
	r.t.Helper()
	c.Subscribe(mark, 0)
	r.client().Publish(&packets.Publish{Topic: mark, QoS: 1, Payload: []byte("mark")})
	for {
		p := c.Await("a PUBLISH", func(p packets.Packet) bool { _, ok := p.(*packets.Publish); return ok }).(*packets.Publish)
		c.Acknowledge(p)
		if p.Topic == mark {
			return before
		}
		before = append(before, p)
	}
}

// looks is how often a late subscriber looks again for what it should get: some servers store retained messages a moment after they
// have acknowledged them.
const looks = 200

// late tells whether what a new subscriber gets on a topic is, sooner or later, what is wanted.
func (r *brokerRun) late(topic string, want func([]*packets.Publish) bool) bool {
	r.t.Helper()
	for range looks {
		c := r.listener(topic, 1)
		got := r.settled(c, r.group+"/mark")
		c.Close()
		if want(got) {
			return true
		}
	}
	return false
}

// nothing and one are what a late subscriber may want.
func nothing(got []*packets.Publish) bool { return len(got) == 0 }

func one(payload []byte) func([]*packets.Publish) bool {
	return func(got []*packets.Publish) bool {
		return len(got) == 1 && got[0].Retain && bytes.Equal(got[0].Payload, payload)
	}
}

func (r *brokerRun) qos() {
	r.t.Helper()
	for qos := range byte(2) {
		topic := fmt.Sprintf("%s/qos/%d", r.group, qos)
		sub, pub := r.listener(topic, qos), r.client()
		code := pub.Publish(&packets.Publish{Topic: topic, QoS: qos, Payload: []byte("x")})
		p := hear(sub, topic)
		r.note(!code.Failed() && p.QoS == qos && string(p.Payload) == "x" && !p.Retain, fmt.Sprintf("qos%d", qos), "published %v, got %+v", code, p)
	}
}

// wills: a broken connection publishes the will with its QoS and its retain flag.
func (r *brokerRun) wills() {
	r.t.Helper()
	for _, retain := range []bool{false, true} {
		topic := fmt.Sprintf("%s/will/%t", r.group, retain)
		sub := r.listener(topic, 1)
		r.dies(&packets.Will{Topic: topic, QoS: 1, Retain: retain, Payload: []byte("gone")})
		p := hear(sub, topic)
		r.note(p.QoS == 1 && string(p.Payload) == "gone" && !p.Retain, "will-messages", "will: %+v", p)
		want := nothing
		if retain {
			want = one([]byte("gone"))
		}
		r.note(r.late(topic, want), "will-messages", "a late subscriber, after a will with retain %t", retain)
	}
}

// dies connects with a will and breaks the connection.
func (r *brokerRun) dies(w *packets.Will) {
	r.t.Helper()
	c := r.bare(w)
	c.Close()
}

// bare is a client with a will.
func (r *brokerRun) bare(w *packets.Will) *brokertest.Client {
	r.t.Helper()
	r.n++
	c := dialBare(r.t, r.b.Addr, r.b.Version)
	c.Send(&packets.Connect{Version: r.b.Version, ClientID: fmt.Sprintf("%s-%d", r.group, r.n), CleanStart: true, Will: w, KeepAlive: 60})
	if ack := brokertest.Expect[*packets.Connack](c); ack.Code.Failed() {
		r.t.Fatalf("CONNECT with a will: %v", ack.Code)
	}
	return c
}

func (r *brokerRun) retained() {
	r.t.Helper()
	topic := r.group + "/retained"
	live, pub := r.listener(topic, 1), r.client()
	say(pub, sparkplug.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte("1")})
	p := hear(live, topic)
	r.note(!p.Retain, "retained", "a present subscriber got it with the retain flag")
	r.note(r.late(topic, one([]byte("1"))), "retained", "a late subscriber")
	say(pub, sparkplug.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte("2")})
	r.note(r.late(topic, one([]byte("2"))), "retained", "a late subscriber of the replaced message")
	say(pub, sparkplug.Publish{Topic: topic, QoS: 2, Retain: true, Payload: []byte("3")})
	r.note(r.late(topic, one([]byte("3"))), "retained", "a late subscriber of the message that was published at QoS 2")
	say(pub, sparkplug.Publish{Topic: topic, QoS: 1, Retain: true})
	r.note(r.late(topic, nothing), "retained", "a cleared message is still there")
}

// birth is an NBIRTH (device empty) or DBIRTH whose bytes differ with v.
func (r *brokerRun) birth(node, device string, v float64) sparkplug.Publish {
	now := time.Now()
	typ := sparkplug.NBIRTH
	ms := []sparkplug.Metric{sparkplug.BdSeqMetric(0, now), {Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false),
		Timestamp: sparkplug.Millis(now), HasTimestamp: true}}
	if device != "" {
		typ, ms = sparkplug.DBIRTH, nil
	}
	ms = append(ms, sparkplug.Metric{Name: "value", Type: sparkplug.Double, Value: sparkplug.DoubleValue(v), Timestamp: sparkplug.Millis(now), HasTimestamp: true})
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(now), HasTimestamp: true, HasSeq: true, Metrics: ms}
	return sparkplug.Publish{Topic: sparkplug.Topic{Type: typ, Group: r.group, Node: node, Device: device}.String(), Payload: sparkplug.Encode(&p)}
}

// certificates: two nodes with two devices each are born and born again. [tck-id-conformance-mqtt-aware-store]
func (r *brokerRun) certificates() {
	r.t.Helper()
	live, original := r.listener(sparkplug.CertificatePrefix+"spBv1.0/"+r.group+"/#", 1), r.listener("spBv1.0/"+r.group+"/#", 1)
	plant := r.client()
	for round := range 2 {
		for _, node := range []string{"E1", "E2"} {
			for _, device := range []string{"", "D1", "D2"} {
				b := r.birth(node, device, float64(round))
				say(plant, b)
				r.certified(live, b, "a present subscriber")
				p := hear(original, b.Topic)
				r.note(!p.Retain && bytes.Equal(p.Payload, b.Payload), "aware-store", "%s itself: retain %t", b.Topic, p.Retain)
				r.note(r.late(sparkplug.CertificatePrefix+b.Topic, one(b.Payload)), "aware-store", "%s for a late subscriber", b.Topic)
				r.note(r.late(b.Topic, nothing), "aware-store", "%s itself is retained", b.Topic)
			}
		}
	}
	again := r.listener(sparkplug.CertificatePrefix+"spBv1.0/"+r.group+"/NBIRTH/E1", 1)
	hear(again, sparkplug.CertificatePrefix+"spBv1.0/"+r.group+"/NBIRTH/E1")
	again.Subscribe(sparkplug.CertificatePrefix+"spBv1.0/"+r.group+"/NBIRTH/E1", 1)
	p := hear(again, sparkplug.CertificatePrefix+"spBv1.0/"+r.group+"/NBIRTH/E1")
	r.note(p.Retain, "aware-nbirth-mqtt-retain", "subscribed again: retain %t", p.Retain)
}

// certified waits for the copy of a birth.
func (r *brokerRun) certified(c *brokertest.Client, b sparkplug.Publish, who string) {
	r.t.Helper()
	typ := "nbirth"
	if t, err := sparkplug.ParseTopic(b.Topic); err == nil && t.Type == sparkplug.DBIRTH {
		typ = "dbirth"
	}
	p := hear(c, sparkplug.CertificatePrefix+b.Topic)
	r.note(bytes.Equal(p.Payload, b.Payload), "aware-"+typ+"-mqtt-topic", "%s got % x, want % x", who, p.Payload, b.Payload)
	r.note(bytes.Equal(p.Payload, b.Payload), "aware-store", "%s got % x, want % x", who, p.Payload, b.Payload)
	r.note(p.Retain, "aware-"+typ+"-mqtt-retain", "%s got it without the retain flag", who)
}

// hidden: who subscribes to # or +/certificates/# sees no certificate.
func (r *brokerRun) hidden() {
	r.t.Helper()
	for _, filter := range []string{"#", "+/certificates/#"} {
		c := r.listener(filter, 0)
		say(r.client(), r.birth("E1", "", 7))
		for _, p := range r.settled(c, r.group+"/mark") {
			_, certificate := sparkplug.CertifiedTopic(p.Topic)
			r.tally.Note(RuleHidden, !certificate, observe.Finding{Topic: p.Topic, Text: "seen by a subscriber of " + filter})
		}
	}
}

// Rules that the specification has no id for; the table has rows for them too.
const (
	// RuleForeignCertificate: what stands under $sparkplug is the server's word; no client writes there.
	RuleForeignCertificate = "rule-certificates-are-the-servers"
	// RuleHidden: a filter that begins with a wildcard takes no certificate [MQTT-4.7.2-1].
	RuleHidden = "rule-certificates-are-not-for-wildcards"
	// RuleEmptyBirth: a message without a payload on a birth's topic is no birth, and does not clear the last one.
	RuleEmptyBirth = "rule-an-empty-birth-clears-no-certificate"
	// RuleCertificatesKept: certificates outlive a restart of the server, as retained messages do.
	RuleCertificatesKept = "rule-certificates-outlive-a-restart"
	// RuleServerLost: when a host loses a server, everything that was born there is stale (chapter 5, without an id).
	RuleServerLost = "rule-a-lost-server-makes-stale"
)

func (r *brokerRun) foreign() {
	r.t.Helper()
	forged := r.birth("E9", "", 9)
	topic := sparkplug.CertificatePrefix + forged.Topic
	live, c := r.listener(topic, 1), r.client()
	_ = c.TrySendRaw((&packets.Publish{Topic: topic, Retain: true, Payload: forged.Payload}).Append(nil, r.b.Version))
	r.handled(c)
	passed := len(r.settled(live, r.group+"/mark"))
	r.tally.Note(RuleForeignCertificate, passed == 0 && r.late(topic, nothing), observe.Finding{Text: "a client wrote a certificate"})

	b := r.birth("E8", "", 8)
	topic = sparkplug.CertificatePrefix + b.Topic
	live, c = r.listener(topic, 1), r.client()
	say(c, b)
	r.certified(live, b, "a present subscriber")
	say(c, sparkplug.Publish{Topic: b.Topic})
	r.handled(c)
	passed = len(r.settled(live, r.group+"/mark"))
	r.tally.Note(RuleEmptyBirth, passed == 0 && r.late(topic, one(b.Payload)), observe.Finding{Text: "the certificate is gone"})
}

// handled returns when the server has read all that c sent, or has ended the connection.
func (r *brokerRun) handled(c *brokertest.Client) {
	_ = c.TrySendRaw((&packets.Pingreq{}).Append(nil, r.b.Version))
	for {
		p, err := c.Next()
		if _, pong := p.(*packets.Pingresp); pong || err != nil {
			return
		}
	}
}

// keeps: certificates outlive the server.
func (r *brokerRun) keeps() {
	r.t.Helper()
	if r.b.Restart == nil {
		return
	}
	b := r.birth("E3", "", 3)
	say(r.client(), b)
	stored := r.late(sparkplug.CertificatePrefix+b.Topic, one(b.Payload))
	r.b.Addr = r.b.Restart()
	kept := r.late(sparkplug.CertificatePrefix+b.Topic, one(b.Payload))
	r.tally.Note(RuleCertificatesKept, stored && kept, observe.Finding{Text: "the certificate is gone"})
}

// otherClock is how far the clock of a server may be from ours.
const otherClock = 10 * time.Second

// deaths: an NDEATH keeps every byte but its timestamp, which is that of its delivery or the node's own.
// [tck-id-conformance-mqtt-aware-ndeath-timestamp]
func (r *brokerRun) deaths() {
	r.t.Helper()
	death := sparkplug.NodeDeath(sparkplug.NodeRef{Group: r.group, Node: "E1"}, 5, time.UnixMilli(1700000000000))
	bare, _ := sparkplug.StampDeath(death.Payload, time.UnixMilli(0))
	bare = bare[2:] // without timestamp
	garbage := []byte{0x12, 0xff, 0xff, 0xff}
	for _, d := range []struct {
		how     string
		payload []byte
		die     func(w *packets.Will)
	}{
		{"the will of a broken connection", death.Payload, r.dies},
		{"the will of a broken connection, without a timestamp", bare, r.dies},
		{"an explicit NDEATH", death.Payload, func(w *packets.Will) {
			say(r.client(), sparkplug.Publish{Topic: w.Topic, Payload: w.Payload, QoS: 1})
		}},
		{"the will of DISCONNECT 0x04", death.Payload, func(w *packets.Will) {
			if r.b.Version != packets.V5 {
				r.dies(w)
				return
			}
			r.bare(w).Send(&packets.Disconnect{Code: packets.DisconnectWithWill})
		}},
		{"an NDEATH that is no payload", garbage, r.dies},
	} {
		sub, before := r.listener(death.Topic, 1), time.Now()
		d.die(&packets.Will{Topic: death.Topic, Payload: d.payload, QoS: 1})
		p := hear(sub, death.Topic)
		stamped, ok := sparkplug.StampDeath(p.Payload, time.UnixMilli(0))
		want, _ := sparkplug.StampDeath(d.payload, time.UnixMilli(0))
		if !ok {
			r.note(bytes.Equal(p.Payload, d.payload), "aware-ndeath-timestamp", "%s: % x became % x", d.how, d.payload, p.Payload)
			continue
		}
		got, err := sparkplug.Decode(p.Payload, sparkplug.Limits{})
		if err != nil {
			r.t.Fatal(err)
		}
		r.note(bytes.Equal(stamped, want), "aware-ndeath-timestamp", "%s: other bytes than the timestamp differ: % x, % x", d.how, p.Payload, d.payload)
		at := time.UnixMilli(int64(got.Timestamp))
		r.note(got.HasTimestamp && at.After(before.Add(-otherClock)) && at.Before(time.Now().Add(otherClock)), "aware-ndeath-timestamp",
			"%s: delivered with timestamp %d", d.how, got.Timestamp)
	}
}
