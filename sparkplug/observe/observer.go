package observe

import (
	"fmt"
	"regexp"
	"time"

	"edge/sparkplug"
)

// Options are an Observer's settings; the zero value works.
type Options struct {
	// AsPublished says that QoS and Retain of each message are the publisher's own, as a broker's tap sees them. A
	// subscriber sees them lowered: QoS by its subscription, Retain to false for live messages. Then only what is too
	// high is judged.
	AsPublished bool
	MaxNodes    int // edge nodes remembered; default 5,000; those beyond are judged message by message
}

// Message is one MQTT message.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	At      time.Time
}

// Finding is one assertion that a message breaks.
type Finding struct {
	At    time.Time
	Topic string
	ID    string // of the assertion, "tck-id-…"
	Text  string // what was seen
}

// Observer remembers of each node what the next message is judged by.
type Observer struct {
	o     Options
	nodes map[sparkplug.NodeRef]*node
	found []Finding
	m     Message
}

// node is what is known of one edge node.
type node struct {
	born, alive bool
	bdSeq       int             // of the last birth, -1 none
	next        int             // expected sequence number, -1 unknown
	own         map[string]bool // metrics of the birth: has an alias
	devices     map[string]map[string]bool
	aliases     map[uint64]owner
}

// owner is the metric that an alias stands for.
type owner struct{ device, name string }

// New returns an Observer that has seen nothing.
func New(o Options) *Observer {
	if o.MaxNodes <= 0 {
		o.MaxNodes = 5000
	}
	return &Observer{o: o, nodes: map[sparkplug.NodeRef]*node{}}
}

// maxFindings bounds what one message can be told.
const maxFindings = 32

// Message judges one message, in the order of arrival, and returns what it breaks, at most 32 findings. A topic
// outside the Sparkplug namespace and its certificates is never judged.
func (o *Observer) Message(m Message) []Finding {
	o.m, o.found = m, nil
	if topic, ok := sparkplug.CertifiedTopic(m.Topic); ok {
		o.certificate(topic)
		return o.found
	}
	t, err := sparkplug.ParseTopic(m.Topic)
	switch {
	case err == sparkplug.ErrForeign:
		return nil
	case err != nil:
		o.say("tck-id-topic-structure", "%v", err)
		return o.found
	case t.Type == sparkplug.STATE:
		o.state()
		return o.found
	}
	p, err := sparkplug.Decode(m.Payload, sparkplug.Limits{})
	if err != nil {
		o.say("tck-id-payloads-metric-datatype-value-type", "%v", err)
		return o.found
	}
	o.problems(p)
	o.envelope(t, p)
	n := o.node(t.NodeRef())
	switch t.Type {
	case sparkplug.NBIRTH:
		o.nodeBirth(n, p)
	case sparkplug.DBIRTH:
		o.deviceBirth(n, t, p)
	case sparkplug.NDATA, sparkplug.DDATA:
		o.data(n, t, p)
	case sparkplug.DDEATH:
		o.deviceDeath(n, t, p)
	case sparkplug.NDEATH:
		o.nodeDeath(n, p)
	case sparkplug.NCMD, sparkplug.DCMD:
		o.command(n, t, p)
	}
	return o.found
}

func (o *Observer) node(ref sparkplug.NodeRef) *node {
	n := o.nodes[ref]
	if n == nil {
		fresh := newNode()
		n = &fresh
		if len(o.nodes) < o.o.MaxNodes {
			o.nodes[ref] = n
		}
	}
	return n
}

// maxDevices and maxAliases bound what is remembered of one node; a birth adds at most sparkplug's limit of metrics.
const maxDevices, maxAliases = 1000, 100_000

func newNode() node {
	return node{bdSeq: -1, next: -1, own: map[string]bool{}, devices: map[string]map[string]bool{}, aliases: map[uint64]owner{}}
}

func (o *Observer) say(id, format string, args ...any) {
	if len(o.found) < maxFindings {
		o.found = append(o.found, Finding{At: o.m.At, Topic: o.m.Topic, ID: id, Text: fmt.Sprintf(format, args...)})
	}
}

var idInText = regexp.MustCompile(`^(.*) \[(tck-id-[-A-Za-z0-9]+)\]$`)

// problems passes on what the decoder noticed and could name an assertion for.
func (o *Observer) problems(p *sparkplug.Payload) {
	for _, text := range p.Problems {
		if m := idInText.FindStringSubmatch(text); m != nil {
			o.say(m[2], "%s", m[1])
		}
	}
}

// envelope judges QoS, retain, payload timestamp and seq, which each type of message has its own ids for.
func (o *Observer) envelope(t sparkplug.Topic, p *sparkplug.Payload) {
	typ := lower[t.Type]
	if t.Type == sparkplug.NDEATH {
		if o.o.AsPublished && o.m.QoS != 1 {
			o.say("tck-id-payloads-ndeath-will-message-qos", "NDEATH with QoS %d, want 1", o.m.QoS)
		}
		if o.m.Retain {
			o.say("tck-id-payloads-ndeath-will-message-retain", "NDEATH is retained")
		}
		if p.HasSeq {
			o.say("tck-id-topics-ndeath-seq", "NDEATH with seq %d", p.Seq)
		}
		return
	}
	if o.m.QoS > 0 {
		o.say("tck-id-topics-"+typ+"-mqtt", "%s with QoS %d, want 0", t.Type, o.m.QoS)
	}
	if o.m.Retain {
		o.say("tck-id-topics-"+typ+"-mqtt", "%s is retained", t.Type)
	}
	if !p.HasTimestamp {
		id := "tck-id-topics-" + typ + "-timestamp"
		if t.Type == sparkplug.DDEATH {
			id = "tck-id-payloads-ddeath-timestamp"
		}
		o.say(id, "%s without a timestamp", t.Type)
	}
}

var lower = [...]string{sparkplug.NBIRTH: "nbirth", sparkplug.NDEATH: "ndeath", sparkplug.NDATA: "ndata", sparkplug.NCMD: "ncmd",
	sparkplug.DBIRTH: "dbirth", sparkplug.DDEATH: "ddeath", sparkplug.DDATA: "ddata", sparkplug.DCMD: "dcmd"}

// order judges the sequence number of a message that has a place in it.
func (o *Observer) order(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	if !p.HasSeq {
		o.say("tck-id-payloads-sequence-num-always-included", "%s without seq", t.Type)
		return
	}
	if p.Seq > 255 {
		o.say("tck-id-payloads-sequence-num-incrementing", "seq %d", p.Seq)
	} else if n.next >= 0 && int(p.Seq) != n.next {
		o.say("tck-id-payloads-sequence-num-incrementing", "seq %d, want %d", p.Seq, n.next)
	}
	n.next = int(p.Seq+1) & 255
}

// certificate judges an aware server's copy of a birth.
func (o *Observer) certificate(topic string) {
	if o.m.Retain {
		return
	}
	id := "tck-id-conformance-mqtt-aware-nbirth-mqtt-retain"
	if t, err := sparkplug.ParseTopic(topic); err == nil && t.Type == sparkplug.DBIRTH {
		id = "tck-id-conformance-mqtt-aware-dbirth-mqtt-retain"
	}
	o.say(id, "the certificate is not delivered as retained")
}
