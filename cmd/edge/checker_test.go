package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"google.golang.org/protobuf/encoding/protowire"
)

// checker listens to one broker and judges what it hears with code that shares nothing with the program:
// its own decoding, its own bookkeeping of seq, bdSeq, births and aliases.
type checker struct {
	mu       sync.Mutex
	nodes    map[string]*checkedNode // "group/node"
	samples  map[sampleKey]*sighting // from NDATA and DDATA
	births   map[sampleKey]bool      // values seen in births
	problems []string
	quietAt  time.Time // when the last sample came
	lost     error     // why the connection ended by itself
}

// sampleKey names a sample: its metric, its own time, and its value on the wire.
type sampleKey struct {
	node, device, metric string
	at                   uint64
	value                string
}

type sighting struct {
	count, historical int
	first             time.Time
}

type checkedNode struct {
	online       bool
	bdSeq        uint64
	next         uint64 // the sequence number that must come
	births, dead int
	bdSeqs       []uint64 // of each NBIRTH
	lastDeath    time.Time
	names        map[uint64][2]string // alias -> device, metric
	bornDevices  map[string]bool
}

// watch subscribes a checker to spBv1.0/# at a broker until the test ends.
func watch(t *testing.T, addr, clientID string) *checker {
	t.Helper()
	c := &checker{nodes: map[string]*checkedNode{}, samples: map[sampleKey]*sighting{}, births: map[sampleKey]bool{}}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(clientID).SetAutoReconnect(false).SetPingTimeout(patience)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost = err
	})
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.message(m.Topic(), m.Payload(), time.Now()) })
	client := mqtt.NewClient(o)
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("checker at %s: %v", addr, token.Error())
	}
	if token := client.Subscribe("spBv1.0/#", 0, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("checker at %s: %v", addr, token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return c
}

func (c *checker) problem(format string, args ...any) {
	if len(c.problems) < 20 {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// message judges one message.
func (c *checker) message(topic string, payload []byte, now time.Time) {
	levels := strings.Split(topic, "/")
	if len(levels) < 4 || levels[2] == "NCMD" || levels[2] == "DCMD" || levels[1] == "STATE" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := decodeWire(payload)
	if err != nil {
		c.problem("%s: %v", topic, err)
		return
	}
	key, device := levels[1]+"/"+levels[3], strings.Join(levels[4:], "/")
	n := c.nodes[key]
	if n == nil {
		n = &checkedNode{names: map[uint64][2]string{}}
		c.nodes[key] = n
	}
	if levels[2] == "NDEATH" {
		c.death(n, key, p, now)
		return
	}
	c.order(n, key, levels[2], p)
	switch levels[2] {
	case "NBIRTH":
		n.online, n.births, n.bdSeq = true, n.births+1, p.bdSeq()
		n.bdSeqs = append(n.bdSeqs, n.bdSeq)
		clear(n.names)
		n.bornDevices = map[string]bool{}
		c.birth(n, key, "", p)
	case "DBIRTH":
		n.bornDevices[device] = true
		c.birth(n, key, device, p)
	case "NDATA", "DDATA":
		if device != "" && !n.bornDevices[device] {
			c.problem("%s: DDATA of %s before its DBIRTH", key, device)
		}
		c.data(n, key, device, p, now)
	case "DDEATH":
		delete(n.bornDevices, device)
	}
}

// order holds the sequence number: 0 in NBIRTH, then one more with each message of the node.
func (c *checker) order(n *checkedNode, key, kind string, p *wirePayload) {
	switch {
	case !p.hasSeq:
		c.problem("%s: %s without seq", key, kind)
	case kind == "NBIRTH" && p.seq != 0:
		c.problem("%s: NBIRTH with seq %d", key, p.seq)
	case kind != "NBIRTH" && !n.online:
		c.problem("%s: %s before NBIRTH", key, kind)
	case kind != "NBIRTH" && p.seq != n.next:
		c.problem("%s: %s with seq %d, want %d", key, kind, p.seq, n.next)
	}
	n.next = (p.seq + 1) % 256
}

func (c *checker) death(n *checkedNode, key string, p *wirePayload, now time.Time) {
	if p.hasSeq {
		c.problem("%s: NDEATH with seq", key)
	}
	if n.online && p.bdSeq() != n.bdSeq {
		c.problem("%s: NDEATH with bdSeq %d, NBIRTH had %d", key, p.bdSeq(), n.bdSeq)
	}
	n.online, n.dead, n.lastDeath = false, n.dead+1, now
}

func (c *checker) birth(n *checkedNode, key, device string, p *wirePayload) {
	for _, m := range p.metrics {
		if m.hasAlias {
			n.names[m.alias] = [2]string{device, m.name}
		}
		c.births[sampleKey{key, device, m.name, m.at, m.value}] = true
	}
}

func (c *checker) data(n *checkedNode, key, device string, p *wirePayload, now time.Time) {
	historical := 0
	for _, m := range p.metrics {
		if m.name == "" {
			m.name = n.names[m.alias][1]
		}
		if m.name == "" {
			c.problem("%s: alias %d is in no birth", key, m.alias)
			continue
		}
		s := c.samples[sampleKey{key, device, m.name, m.at, m.value}]
		if s == nil {
			s = &sighting{first: now}
			c.samples[sampleKey{key, device, m.name, m.at, m.value}] = s
		}
		s.count++
		if m.historical {
			s.historical++
			historical++
		}
	}
	if historical > 0 && historical < len(p.metrics) {
		c.problem("%s: live and historical values in one payload", key)
	}
	c.quietAt = now
}

// verdict is the comparison of what a plant said with what the enterprise heard.
type verdict struct {
	sent, missing, inBirthOnly, duplicated int
	examples                               []sampleKey
}

// compare looks for every data sample that the plant sent before until at the enterprise.
func compare(plant, enterprise *checker, until time.Time) verdict {
	plant.mu.Lock()
	sent := maps.Clone(plant.samples)
	plant.mu.Unlock()
	enterprise.mu.Lock()
	defer enterprise.mu.Unlock()
	var v verdict
	for key, s := range sent {
		if s.first.After(until) {
			continue
		}
		v.sent++
		got := enterprise.samples[key]
		switch {
		case got == nil && enterprise.births[key]:
			v.inBirthOnly++
		case got == nil:
			v.missing++
			if len(v.examples) < 5 {
				v.examples = append(v.examples, key)
			}
		case got.count > s.count:
			v.duplicated += got.count - s.count
		}
	}
	return v
}

// report fails the test for each problem the checker saw.
func (c *checker) report(t *testing.T, who string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.problems {
		t.Errorf("%s: %s", who, p)
	}
}

// online returns the nodes that are alive for this checker, sorted.
func (c *checker) online() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, n := range c.nodes {
		if n.online {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// node returns a copy of what the checker knows of one node.
func (c *checker) node(name string) checkedNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[name]; n != nil {
		return *n
	}
	return checkedNode{}
}

// count returns how many samples came so far.
func (c *checker) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.samples)
}

// wirePayload and wireMetric are what the checker reads of a payload.
type wirePayload struct {
	seq     uint64
	hasSeq  bool
	metrics []wireMetric
}

type wireMetric struct {
	name                 string
	alias, at            uint64
	hasAlias, historical bool
	value                string // field number and bytes
	number               uint64
}

func (p *wirePayload) bdSeq() uint64 {
	for _, m := range p.metrics {
		if m.name == "bdSeq" {
			return m.number
		}
	}
	return 1 << 63
}

// decodeWire reads the fields of a Sparkplug payload that matter here: 2 metrics, 3 seq.
func decodeWire(b []byte) (*wirePayload, error) {
	p := &wirePayload{}
	err := eachField(b, func(num protowire.Number, typ protowire.Type, varint uint64, raw []byte) error {
		switch {
		case num == 2 && typ == protowire.BytesType:
			m, err := decodeWireMetric(raw)
			p.metrics = append(p.metrics, m)
			return err
		case num == 3 && typ == protowire.VarintType:
			p.seq, p.hasSeq = varint, true
		}
		return nil
	})
	return p, err
}

func decodeWireMetric(b []byte) (wireMetric, error) {
	var m wireMetric
	err := eachField(b, func(num protowire.Number, typ protowire.Type, varint uint64, raw []byte) error {
		switch num {
		case 1:
			m.name = string(raw)
		case 2:
			m.alias, m.hasAlias = varint, true
		case 3:
			m.at = varint
		case 5:
			m.historical = varint != 0
		case 10, 11, 12, 13, 14, 15, 16, 17, 18:
			m.value, m.number = fmt.Sprintf("%d:%d:%x", num, varint, raw), varint
		}
		return nil
	})
	return m, err
}

// eachField calls f with each field of a protobuf message; fixed ones come as varint.
func eachField(b []byte, f func(num protowire.Number, typ protowire.Type, varint uint64, raw []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var varint uint64
		var raw []byte
		switch typ {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			varint = uint64(v)
		case protowire.Fixed64Type:
			varint, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			raw, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(num, typ, varint, raw); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
