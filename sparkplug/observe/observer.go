package observe

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"edge/sparkplug"
)

// Options are an Observer's settings; the zero value works.
type Options struct {
	// AsPublished says that QoS and Retain of each message are the publisher's own, as a broker's tap sees them. A
	// subscriber sees them lowered: QoS by its subscription, Retain to false for live messages. Then only what is too
	// high is judged.
	AsPublished bool
	MaxNodes    int    // edge nodes remembered; default 5,000; those beyond are judged message by message
	Tally       *Tally // counts what holds as well; nil: not counted
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
	wrong map[string]bool // ids of the decoder's problems with the present payload
}

// node is what is known of one edge node.
type node struct {
	born, alive bool
	bdSeq       int     // of the last birth, -1 none
	next        int     // expected sequence number, -1 unknown
	own         metrics // of the NBIRTH
	devices     map[string]metrics
	aliases     map[uint64]owner
	definitions map[string]*template // of the NBIRTH, by name
}

// metrics are those of one birth by name.
type metrics map[string]declaration

type declaration struct {
	aliased bool
	typ     sparkplug.DataType
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
		o.check(false, "topic-structure", "%v", err)
		return o.found
	case t.Type == sparkplug.STATE:
		o.state()
		return o.found
	}
	o.check(true, rulesOf[t.Type].topic+" "+topicIDs, "")
	if t.Type.OfDevice() {
		o.check(true, deviceTopicIDs, "")
	} else {
		o.check(true, nodeTopicIDs, "")
	}
	p, err := sparkplug.Decode(m.Payload, sparkplug.Limits{})
	if o.check(err == nil, "payloads-metric-datatype-value-type "+rulesOf[t.Type].payload, "%v", err); err != nil {
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

// Learn takes a message for what it declares, without judging it.
func (o *Observer) Learn(m Message) {
	tally := o.o.Tally
	o.o.Tally = nil
	o.Message(m)
	o.o.Tally = tally
}

// Tally returns the verdicts so far: that of the options.
func (o *Observer) Tally() *Tally { return o.o.Tally }

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
	return node{bdSeq: -1, next: -1, own: metrics{}, devices: map[string]metrics{}, aliases: map[uint64]owner{},
		definitions: map[string]*template{}}
}

// check counts one observation for each of the ids, and says what was seen under the first of them if it does not hold.
func (o *Observer) check(ok bool, ids, format string, args ...any) {
	if o.o.Tally == nil && ok {
		return
	}
	f := Finding{At: o.m.At, Topic: o.m.Topic}
	if !ok {
		f.Text = fmt.Sprintf(format, args...)
	}
	for i, id := range strings.Fields(ids) {
		f.ID = "tck-id-" + id
		if o.o.Tally != nil {
			o.o.Tally.Note(f.ID, ok, f)
		}
		if !ok && i == 0 && len(o.found) < maxFindings {
			o.found = append(o.found, f)
		}
	}
}

var idInText = regexp.MustCompile(`^(.*) \[tck-id-([-A-Za-z0-9]+)\]$`)

// problems passes on what the decoder noticed and could name an assertion for.
func (o *Observer) problems(p *sparkplug.Payload) {
	o.wrong = nil
	for _, text := range p.Problems {
		if m := idInText.FindStringSubmatch(text); m != nil {
			if o.wrong == nil {
				o.wrong = map[string]bool{}
			}
			o.wrong[m[2]] = true
			o.check(false, m[2], "%s", m[1])
		}
	}
}

// unless counts the ids as held that the decoder has no problem with.
func (o *Observer) unless(ids string) {
	if o.o.Tally == nil {
		return
	}
	for id := range strings.FieldsSeq(ids) {
		if !o.wrong[id] {
			o.check(true, id, "")
		}
	}
}

// envelope judges QoS, retain, payload timestamp and seq, which each type of message has its own ids for. The QoS of an
// NDEATH is a rule for the will alone, which only a Wire can tell from an NDEATH that the node publishes itself.
func (o *Observer) envelope(t sparkplug.Topic, p *sparkplug.Payload) {
	r := rulesOf[t.Type]
	if t.Type == sparkplug.NDEATH {
		o.check(!o.m.Retain, r.retain, "NDEATH is retained")
		o.check(!p.HasSeq, "topics-ndeath-seq payloads-ndeath-seq", "NDEATH with seq %d", p.Seq)
		return
	}
	o.check(o.m.QoS == 0, r.qos, "%s with QoS %d, want 0", t.Type, o.m.QoS)
	o.check(!o.m.Retain, r.retain, "%s is retained", t.Type)
	o.check(p.HasTimestamp, r.timestamp, "%s without a timestamp", t.Type)
	if p.HasTimestamp {
		o.check(inMillis(p.Timestamp), "payloads-timestamp-in-UTC", "timestamp %d is not in ms since 1970", p.Timestamp)
	}
}

// inMillis tells whether a timestamp can be milliseconds since 1970: one in seconds would be before 1980, one in
// microseconds after 5000.
func inMillis(ms uint64) bool { return ms > 315532800000 && ms < 95617584000000 }

// order judges the sequence number of a message that has a place in it.
func (o *Observer) order(n *node, t sparkplug.Topic, p *sparkplug.Payload) {
	r := rulesOf[t.Type]
	if o.check(p.HasSeq, r.seq, "%s without seq", t.Type); !p.HasSeq {
		return
	}
	if p.Seq > 255 || n.next >= 0 {
		o.check(p.Seq <= 255 && (n.next < 0 || int(p.Seq) == n.next), r.order, "seq %d, want %d", p.Seq, n.next)
	}
	n.next = int(p.Seq+1) & 255
}

// certificate judges an aware server's copy of a birth.
func (o *Observer) certificate(topic string) {
	id := "nbirth"
	if t, err := sparkplug.ParseTopic(topic); err == nil && t.Type == sparkplug.DBIRTH {
		id = "dbirth"
	}
	o.check(true, "conformance-mqtt-aware-"+id+"-mqtt-topic conformance-mqtt-aware-store", "")
	o.check(o.m.Retain, "conformance-mqtt-aware-"+id+"-mqtt-retain", "the certificate is not delivered as retained")
}
