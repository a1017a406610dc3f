package main

import (
	"bufio"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"edge/sparkplug"
)

// tailLine is one message as edge tail shows it, and one line of edge tail --json.
type tailLine struct {
	Time      time.Time    `json:"time"` // when it arrived here
	Type      string       `json:"type,omitempty"`
	Group     string       `json:"group,omitempty"`
	Node      string       `json:"node,omitempty"`
	Device    string       `json:"device,omitempty"`
	Host      string       `json:"host,omitempty"`
	Online    *bool        `json:"online,omitempty"` // STATE
	Seq       *uint64      `json:"seq,omitempty"`
	BdSeq     *int         `json:"bdSeq,omitempty"`
	Timestamp *time.Time   `json:"timestamp,omitempty"` // the payload's
	Topic     string       `json:"topic"`
	Retain    bool         `json:"retain,omitempty"`
	Metrics   []tailMetric `json:"metrics,omitempty"`
	Problems  []string     `json:"problems,omitempty"`
	Error     string       `json:"error,omitempty"` // why the payload could not be read
	Bytes     int          `json:"bytes"`

	Findings []tailFinding `json:"findings,omitempty"` // what the specification's assertions say of it
}

// tailFinding is an assertion that a message breaks.
type tailFinding struct {
	ID   string `json:"id"` // tck-id-…
	Text string `json:"text"`
}

// tailMetric is one metric. Without a birth seen, Name is empty and Alias stands for it.
type tailMetric struct {
	Name       string          `json:"name,omitempty"`
	Alias      *uint64         `json:"alias,omitempty"`
	Datatype   string          `json:"datatype,omitempty"`
	Value      json.RawMessage `json:"value"`
	Timestamp  *time.Time      `json:"timestamp,omitempty"`
	Historical bool            `json:"historical,omitempty"`
	Transient  bool            `json:"transient,omitempty"`
}

// nodeNames are the aliases of a node's births.
type nodeNames map[uint64]aliasName

type aliasName struct {
	name, device string
	kind         sparkplug.DataType
}

// Bounds of what tail remembers.
const (
	maxTailNodes   = 10_000
	maxTailAliases = 100_000 // of a node
)

// read decodes a message and learns the names of births.
func (t *tail) read(topic string, payload []byte) tailLine {
	line := tailLine{Topic: topic, Bytes: len(payload)}
	certified, certificate := sparkplug.CertifiedTopic(topic)
	if certificate {
		topic = certified
	}
	parts, err := sparkplug.ParseTopic(topic)
	if err != nil {
		line.Error = err.Error()
		return line
	}
	line.Type, line.Group, line.Node, line.Device, line.Host = parts.Type.String(), parts.Group, parts.Node, parts.Device, parts.Host
	if parts.Type == sparkplug.STATE {
		line.readState(payload)
		return line
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		line.Error = err.Error()
		return line
	}
	t.learn(parts, p, certificate)
	line.readPayload(p)
	if b := sparkplug.BdSeqOf(p); b >= 0 {
		line.BdSeq = &b
	}
	names := t.names[parts.NodeRef()]
	for i := range p.Metrics {
		line.Metrics = append(line.Metrics, names.show(&p.Metrics[i]))
	}
	return line
}

func (l *tailLine) readState(payload []byte) {
	state, err := sparkplug.ParseState(payload)
	if err != nil {
		l.Error = err.Error()
		return
	}
	l.Online, l.Timestamp = &state.Online, moment(true, uint64(state.Timestamp))
}

func (l *tailLine) readPayload(p *sparkplug.Payload) {
	l.Timestamp, l.Problems = moment(p.HasTimestamp, p.Timestamp), p.Problems
	if p.HasSeq {
		l.Seq = &p.Seq
	}
}

func moment(has bool, ms uint64) *time.Time {
	const lastYear = 253402300799999 // of four digits, which JSON's times have
	if !has || ms > lastYear {
		return nil
	}
	at := time.UnixMilli(int64(ms)).UTC()
	return &at
}

// learn takes the aliases of a birth. An NBIRTH forgets those of the births before it, but a certificate may
// stand for an older time than those of its devices and forgets only the node's own.
func (t *tail) learn(topic sparkplug.Topic, p *sparkplug.Payload, certificate bool) {
	if topic.Type != sparkplug.NBIRTH && topic.Type != sparkplug.DBIRTH {
		return
	}
	names := t.names[topic.NodeRef()]
	if names == nil {
		if len(t.names) >= maxTailNodes {
			return
		}
		names = nodeNames{}
		t.names[topic.NodeRef()] = names
	}
	maps.DeleteFunc(names, func(_ uint64, a aliasName) bool {
		return topic.Type == sparkplug.NBIRTH && !certificate || a.device == topic.Device
	})
	for _, m := range p.Metrics {
		if m.HasAlias && len(names) < maxTailAliases {
			names[m.Alias] = aliasName{name: m.Name, device: topic.Device, kind: m.Type}
		}
	}
}

// show names a metric and its datatype, from the births if the message does not.
func (n nodeNames) show(m *sparkplug.Metric) tailMetric {
	out := tailMetric{Name: m.Name, Timestamp: moment(m.HasTimestamp, m.Timestamp), Historical: m.Historical, Transient: m.Transient}
	kind := m.Type
	if m.HasAlias {
		out.Alias = &m.Alias
		known := n[m.Alias]
		if out.Name == "" {
			out.Name = known.name
		}
		if kind == sparkplug.Unknown {
			kind = known.kind
		}
	}
	if kind == sparkplug.Unknown {
		kind = rawType(m.Field)
	} else {
		out.Datatype = kind.String()
	}
	v, err := m.As(kind)
	if err != nil {
		v, _ = m.As(rawType(m.Field))
	}
	out.Value = sparkplug.AppendJSON(nil, v)
	return out
}

// rawType is how to show a value whose datatype nobody told.
func rawType(f sparkplug.Field) sparkplug.DataType {
	switch f {
	case sparkplug.FieldInt:
		return sparkplug.UInt32
	case sparkplug.FieldLong:
		return sparkplug.UInt64
	case sparkplug.FieldFloat:
		return sparkplug.Float
	case sparkplug.FieldDouble:
		return sparkplug.Double
	case sparkplug.FieldBoolean:
		return sparkplug.Boolean
	case sparkplug.FieldString:
		return sparkplug.String
	case sparkplug.FieldDataSet:
		return sparkplug.DataSet
	case sparkplug.FieldTemplate:
		return sparkplug.Template
	}
	return sparkplug.Bytes
}

func (l *tailLine) writeJSON(w *bufio.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(l)
}

// printable is text of our own that may cite some from outside.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '.'
		}
		return r
	}, s)
}

// safe quotes text that holds spaces, quotes, = or anything that does not print.
func safe(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || strings.ContainsRune(` "'=\`, r) {
			return strconv.Quote(s)
		}
	}
	return s
}
