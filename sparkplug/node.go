package sparkplug

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// node is what the host knows of one edge node.
type node struct {
	ref   NodeRef
	state State
	since time.Time // by the node's clock where it said so itself
	heard time.Time // since, by ours
	why   []Reason  // of state; none while online

	server     string    // where it was born last, or is heard while it has no session
	born       time.Time // the payload's time of the session's NBIRTH; zero: it had none
	bdSeq      int       // of the session, -1 none
	bdAlias    uint64    // what the birth calls bdSeq, if hasBdAlias
	hasBdAlias bool
	seq        int   // last processed, -1 none
	next       uint8 // expected sequence number, while online
	lastBirth  time.Time
	birthHeard time.Time // lastBirth, by our clock
	lastDeath  time.Time
	died       []Reason // why of the last death
	skew       skew

	own         *device // the node's own metrics
	devices     map[string]*device
	sorted      []*device   // own, then devices by name
	definitions Definitions // of templates, of the present birth

	aliases map[uint64]*metric // of the present birth, node and devices together; the first of those that share one
	metrics int                // of all devices

	held      []held // waiting for a missing sequence number or a birth, in order of arrival
	heldBytes int
	reorder   time.Time // when waiting ends; zero: nothing held
	doubt     doubt     // since when values may be behind, because something was lost

	want     string       // why a rebirth is wanted; empty: it is not
	wantFor  RebirthCause // the same, counted
	wantAt   time.Time    // when it may be asked
	askedAt  time.Time    // last request
	awaiting bool         // asked, and no NBIRTH since
	closing  bool         // its session is being ended: nothing is asked of it
	tries    int          // requests that followed each other closely
	unborn   RebirthCause // why it is that no NBIRTH was seen, should it be heard
	causes   [RebirthCauses]int
	asked    int
	answered int

	unanswered int // requests since the last NBIRTH
	firstAsk   time.Time
	askedFor   string // reason of the newest
	gaps       int

	client  ClientView    // that gave birth; before a birth, that has the node's NDEATH as its will
	others  []ClientView  // that speak for the node too, the newest maxOthers
	ended   ClientView    // client, as its connection ended since the birth; zero: it did not
	gone    time.Time     // when a node whose client is gone counts as dead without NDEATH; zero: its client is there
	notes   []SessionNote // the newest maxNotes, oldest first
	refusal refusal       // the newest since the birth

	warnings []string
	touched  uint64
}

// doubt is a loss in a node's session; zero: none.
type doubt struct {
	at   time.Time
	turn uint64 // metrics whose newest value came in an earlier step are doubtful; a clock may be set back
	kind Cause
	text string
}

// device is a device, or the node itself as the bearer of its own metrics.
type device struct {
	node    *node
	name    string // empty for the node itself
	state   State
	since   time.Time
	heard   time.Time // as a node's
	why     []Reason  // of state; none while online
	metrics map[string]*metric
	sorted  []*metric // by name
	beyond  int       // metrics of its birth that are above the limit
}

// metric is the current value of one metric.
type metric struct {
	device    *device
	name      string
	alias     uint64
	hasAlias  bool
	transient bool
	missing   bool    // in the birth without a value
	tooLarge  bool    // the value is not kept for want of room
	unfit     bool    // the newest value was not taken: its datatype cannot hold it
	foreign   string  // who published the value, if not the client of the node's births
	shared    bool    // its alias is that of another metric of its device too
	sibling   *metric // the next metric of the node with the same alias
	typ       DataType
	field     Field
	code      uint16 // Quality property
	unit      string
	low, high *float64
	value     Value // Bytes owned by the metric
	at        time.Time
	received  time.Time
	turn      uint64 // the step of the newest value
	touched   uint64
	slot      Slot
}

func newNode(ref NodeRef, now time.Time) *node {
	n := &node{ref: ref, state: StateUnknown, since: now, heard: now, why: unborn(now), bdSeq: -1, seq: -1, unborn: AskNoBirth,
		devices: map[string]*device{}, aliases: map[uint64]*metric{}}
	n.own = newDevice(n, "", now)
	n.sorted = []*device{n.own}
	return n
}

func newDevice(n *node, name string, now time.Time) *device {
	return &device{node: n, name: name, state: StateUnknown, since: now, heard: now, why: unborn(now), metrics: map[string]*metric{}}
}

func (m *metric) ref() MetricRef {
	n := m.device.node.ref
	return MetricRef{Group: n.Group, Node: n.Node, Device: m.device.name, Name: m.name}
}

// device returns a device, made if it is new. When a node has too many, the offline one that is so for longest
// makes room; nil when all are online.
func (s *step) device(n *node, name string) *device {
	if d := n.devices[name]; d != nil {
		return d
	}
	cost := deviceCost + len(name)
	if (len(n.devices) >= s.h.o.MaxDevices || s.h.full(cost)) && !s.evictDevice(n) {
		s.h.stats.Refused++
		s.warn(n, "more devices than the limit; the rest is not shown or recorded")
		return nil
	}
	s.h.bytes += cost
	for other := range n.devices {
		if strings.EqualFold(other, name) {
			s.warn(n, "two devices' names differ only in case [tck-id-case-sensitivity-sparkplug-ids]")
		}
	}
	d := newDevice(n, strings.Clone(name), s.now)
	n.devices[d.name] = d
	n.sorted = slices.Insert(n.sorted, n.position(d.name), d)
	s.touch(n)
	return d
}

// position is where a device stands, or would stand, among the node's.
func (n *node) position(name string) int {
	at, _ := slices.BinarySearchFunc(n.sorted, name, func(d *device, name string) int { return strings.Compare(d.name, name) })
	return at
}

func (s *step) evictDevice(n *node) bool {
	var oldest *device
	for _, d := range n.devices {
		if d.state != StateOnline && (oldest == nil || d.heard.Before(oldest.heard) || d.heard.Equal(oldest.heard) && d.name < oldest.name) {
			oldest = d
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(oldest)
	delete(n.devices, oldest.name)
	at := n.position(oldest.name)
	n.sorted = slices.Delete(n.sorted, at, at+1)
	return true
}

// forget gives back what a device holds.
func (s *step) forget(d *device) {
	s.replaceMetrics(d, map[string]*metric{})
	t := Topic{Type: NBIRTH, Group: d.node.ref.Group, Node: d.node.ref.Node, Device: d.name}
	if d.name != "" {
		t.Type = DBIRTH
		s.h.bytes -= deviceCost + len(d.name)
	}
	if !s.silent {
		s.out.Forgotten = append(s.out.Forgotten, t)
	}
}

// replaceMetrics makes keep the metrics of a device; the others go, with their aliases.
func (s *step) replaceMetrics(d *device, keep map[string]*metric) {
	n := d.node
	for name, m := range d.metrics {
		if keep[name] != m {
			s.h.valueBytes -= len(m.value.Bytes)
			s.h.bytes -= metricCost + len(m.name)
			n.unalias(m)
			s.h.files.Drop(m)
			s.changed(m)
		}
	}
	n.metrics += len(keep) - len(d.metrics)
	d.metrics = keep
	d.sorted = d.sorted[:0]
	for _, m := range keep {
		d.sorted = append(d.sorted, m)
	}
	slices.SortFunc(d.sorted, func(a, b *metric) int { return strings.Compare(a.name, b.name) })
	clear(d.sorted[len(d.sorted):cap(d.sorted)])
}

// set makes v the live value. Bytes are copied: a value must not pin the payload it came in.
func (s *step) set(m *metric, v Value) {
	b := m.value.Bytes
	s.h.valueBytes -= len(b)
	m.tooLarge = s.h.valueBytes+len(v.Bytes) > s.h.o.MaxValueBytes
	switch {
	case m.tooLarge:
		v.Null, v.Bytes = true, nil
	case len(v.Bytes) == 0:
		v.Bytes = nil
	case cap(b) >= len(v.Bytes) && cap(b) <= 2*len(v.Bytes):
		v.Bytes = append(b[:0], v.Bytes...)
	default:
		v.Bytes = bytes.Clone(v.Bytes)
	}
	s.h.valueBytes += len(v.Bytes)
	m.value = v
}

// warn notes what a node does against the specification, each text once, the newest 16.
func (s *step) warn(n *node, text string) {
	if slices.Contains(n.warnings, text) {
		return
	}
	if len(n.warnings) == 16 {
		n.warnings = append(n.warnings[:0:0], n.warnings[1:]...)
	}
	n.warnings = append(n.warnings, text)
	s.touch(n)
}

// judge notes what is wrong with a message as a whole.
func (s *step) judge(n *node, m *Message, p *Payload) {
	s.speaks(n, m.ClientID)
	for _, text := range p.Problems {
		s.warn(n, text)
	}
	if m.Retain {
		s.warn(n, "births or data are published retained [tck-id-topics-nbirth-mqtt]")
	}
	if !p.HasTimestamp || p.Timestamp > maxDate {
		s.warn(n, "payloads without a timestamp [tck-id-topics-nbirth-timestamp]")
		return
	}
	s.skewed(n, p)
}

// stamp returns a payload's timestamp, the arrival's if it has none.
func (s *step) stamp(p *Payload) time.Time {
	if p.HasTimestamp && p.Timestamp <= maxDate {
		return time.UnixMilli(int64(p.Timestamp))
	}
	return s.arrived
}
