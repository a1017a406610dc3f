package uplink

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A checker is a host of its own: it reads protobuf with protowire, knows none of the code under test, and judges
// every message of every node.
type checker struct {
	t testing.TB

	mu    sync.Mutex // guards the rest
	nodes map[string]*checkedNode
	seen  map[string]int // sample -> how often it came as data
	bad   []string
}

type checkedNode struct {
	online      bool
	bdSeq, seq  uint64
	births      int
	deaths      int
	devices     map[string]map[string]uint64 // device -> metric -> datatype; "" is the node
	live, filed int                          // samples in the live and in the history lane
	lastLiveAt  map[string]uint64
}

// wirePayload and wireMetric are a payload as its bytes say.
type wirePayload struct {
	ts, seq       uint64
	hasTs, hasSeq bool
	metrics       []wireMetric
}

type wireMetric struct {
	name              string
	ts, datatype      uint64
	alias, hist, null bool
	hasTs, transient  bool
	value             string
	long              uint64
	hasValue          bool
	props             map[string]uint64
}

func newChecker(t testing.TB) *checker {
	return &checker{t: t, nodes: map[string]*checkedNode{}, seen: map[string]int{}}
}

func (c *checker) fail(format string, a ...any) {
	if len(c.bad) < 20 {
		c.bad = append(c.bad, fmt.Sprintf(format, a...))
	}
}

// verdict reports what was wrong.
func (c *checker) verdict() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bad {
		c.t.Error(b)
	}
}

// take judges one message.
func (c *checker) take(topic string, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	levels := strings.Split(topic, "/")
	if len(levels) < 4 || levels[0] != "spBv1.0" {
		return
	}
	kind, key, device := levels[2], levels[1]+"/"+levels[3], ""
	if len(levels) == 5 {
		device = levels[4]
	}
	if kind == "NCMD" || kind == "DCMD" {
		return
	}
	p, err := wire(payload)
	if err != nil {
		c.fail("%s: %v", topic, err)
		return
	}
	n := c.nodes[key]
	if n == nil {
		n = &checkedNode{devices: map[string]map[string]uint64{}, lastLiveAt: map[string]uint64{}}
		c.nodes[key] = n
	}
	if kind == "NDEATH" {
		c.death(topic, n, p)
		return
	}
	if !p.hasSeq {
		c.fail("%s: no seq", topic)
	}
	if kind == "NBIRTH" {
		n.seq = 255
		if p.seq != 0 {
			c.fail("%s: seq %d in a birth", topic, p.seq)
		}
	}
	if !n.online && kind != "NBIRTH" {
		c.fail("%s: no birth before", topic)
		return
	}
	if want := (n.seq + 1) % 256; p.seq != want && kind != "NBIRTH" {
		c.fail("%s: seq %d, want %d", topic, p.seq, want)
	}
	n.seq = p.seq
	switch kind {
	case "NBIRTH":
		n.online = true
		n.births++
		n.devices = map[string]map[string]uint64{}
		n.lastLiveAt = map[string]uint64{}
		n.bdSeq = bdSeqIn(p)
		c.birth(topic, n, "", p)
		if !hasMetric(p, "Node Control/Rebirth") {
			c.fail("%s: no Node Control/Rebirth", topic)
		}
	case "DBIRTH":
		c.birth(topic, n, device, p)
	case "DDEATH":
		if n.devices[device] == nil {
			c.fail("%s: the device was not born", topic)
		}
		delete(n.devices, device)
	case "NDATA", "DDATA":
		c.data(topic, key, n, device, p)
	}
}

func (c *checker) death(topic string, n *checkedNode, p wirePayload) {
	if p.hasSeq {
		c.fail("%s: a death with seq", topic)
	}
	if len(p.metrics) != 1 || p.metrics[0].name != "bdSeq" {
		c.fail("%s: a death has one metric, bdSeq", topic)
		return
	}
	if n.online && bdSeqIn(p) == n.bdSeq {
		n.online = false
		n.deaths++
	}
}

func (c *checker) birth(topic string, n *checkedNode, device string, p wirePayload) {
	set := map[string]uint64{}
	for _, m := range p.metrics {
		switch {
		case m.alias:
			c.fail("%s: %s has an alias", topic, m.name)
		case m.hist:
			c.fail("%s: %s is historical in a birth", topic, m.name)
		case m.datatype == 0:
			c.fail("%s: %s has no datatype", topic, m.name)
		case !m.hasTs:
			c.fail("%s: %s has no time stamp", topic, m.name)
		case m.null == m.hasValue:
			c.fail("%s: %s has neither a value nor is_null, or both", topic, m.name)
		case set[m.name] != 0:
			c.fail("%s: %s twice", topic, m.name)
		}
		set[m.name] = m.datatype
	}
	n.devices[device] = set
}

func (c *checker) data(topic, key string, n *checkedNode, device string, p wirePayload) {
	set := n.devices[device]
	if set == nil {
		c.fail("%s: data without a birth", topic)
		return
	}
	if len(p.metrics) == 0 || len(p.metrics) > 500 {
		c.fail("%s: %d metrics", topic, len(p.metrics))
	}
	for i, m := range p.metrics {
		switch {
		case m.name == "" || m.alias:
			c.fail("%s: a metric goes by name", topic)
		case m.datatype != 0:
			c.fail("%s: %s has a datatype", topic, m.name)
		case set[m.name] == 0:
			c.fail("%s: %s is in no birth", topic, m.name)
		case !m.hasTs:
			c.fail("%s: %s has no time stamp", topic, m.name)
		case m.hist != p.metrics[0].hist:
			c.fail("%s: metric %d mixes live and history", topic, i)
		}
		metric := device + "/" + m.name
		if m.hist {
			n.filed++
		} else {
			n.live++
			if m.ts < n.lastLiveAt[metric] {
				c.fail("%s: live %s goes back in time", topic, m.name)
			}
			n.lastLiveAt[metric] = m.ts
		}
		c.seen[fmt.Sprintf("%s/%s@%d=%s", key, metric, m.ts, m.value)]++
	}
}

// counts returns how many different samples came, and how many came again.
func (c *checker) counts() (distinct, again int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.seen {
		distinct++
		again += n - 1
	}
	return distinct, again
}

// node returns a copy of what is known of a node.
func (c *checker) node(key string) checkedNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[key]; n != nil {
		return *n
	}
	return checkedNode{}
}

func bdSeqIn(p wirePayload) uint64 {
	for _, m := range p.metrics {
		if m.name == "bdSeq" {
			return m.long
		}
	}
	return math.MaxUint64
}

func hasMetric(p wirePayload, name string) bool {
	for _, m := range p.metrics {
		if m.name == name {
			return true
		}
	}
	return false
}

// wire reads a payload's bytes.
func wire(b []byte) (p wirePayload, err error) {
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) error {
		switch num {
		case 1:
			p.ts, p.hasTs = v, true
		case 2:
			m, err := wireOfMetric(data)
			p.metrics = append(p.metrics, m)
			return err
		case 3:
			p.seq, p.hasSeq = v, true
		}
		return nil
	})
	return p, err
}

func wireOfMetric(b []byte) (m wireMetric, err error) {
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) error {
		switch num {
		case 1:
			m.name = string(data)
		case 2:
			m.alias = true
		case 3:
			m.ts, m.hasTs = v, true
		case 4:
			m.datatype = v
		case 5:
			m.hist = v != 0
		case 6:
			m.transient = v != 0
		case 7:
			m.null = v != 0
			m.value = "null"
		case 9:
			var keys []string
			var values []uint64
			err := eachField(data, func(num protowire.Number, _ uint64, data []byte) error {
				if num == 1 {
					keys = append(keys, string(data))
					return nil
				}
				return eachField(data, func(num protowire.Number, v uint64, _ []byte) error {
					if num >= 3 {
						values = append(values, v)
					}
					return nil
				})
			})
			m.props = map[string]uint64{}
			for i := range min(len(keys), len(values)) {
				m.props[keys[i]] = values[i]
			}
			return err
		case 10, 11, 14:
			m.hasValue, m.long, m.value = true, v, fmt.Sprint(v)
		case 12:
			m.hasValue, m.value = true, fmt.Sprint(math.Float32frombits(uint32(v)))
		case 13:
			m.hasValue, m.value = true, fmt.Sprint(math.Float64frombits(v))
		case 15, 16:
			m.hasValue, m.value = true, string(data)
		}
		return nil
	})
	return m, err
}

func eachField(b []byte, f func(num protowire.Number, v uint64, data []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			v = uint64(w)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("wire type %d", typ)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(num, v, data); err != nil {
			return err
		}
	}
	return nil
}
