package uplink

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"edge/sparkplug"
)

// Bounds of the reports that are kept.
const (
	maxOutages = 50
	maxGaps    = 100
	maxDeaths  = 32 // of one node in one outage
)

// A book keeps the outage reports of one uplink. One outage at most is open: from the first session lost until every
// node that lost its own has delivered what it owed. Pure; the uplink locks it.
//
// Owed of a node is settled when its session is up again: what it then owes, and what it delivered earlier in the same
// outage. So owed = delivered + waived holds at the end, however often the uplink fails in between.
type book struct {
	Open    *Outage               `json:"open,omitempty"`
	Pending map[string]*nodePaper `json:"pending,omitempty"`
	LastID  uint64                `json:"last"`
	closed  []Outage              // newest first; each is kept on disk by itself
	fresh   []Outage              // of closed: not yet on disk
}

// nodePaper is what the open outage knows of a node beyond its NodeOutage.
type nodePaper struct {
	Index    int    `json:"i"` // in Open.Nodes
	Waived   uint64 `json:"w"`
	Restored bool   `json:"r"` // its session is up, or was
	Drained  bool   `json:"d"`
}

func refKey(r sparkplug.NodeRef) string { return r.Group + "/" + r.Node }

// lost notes that a node has no session, and opens a report if none is open.
func (b *book) lost(r sparkplug.NodeRef, now time.Time, cause, server string) (opened bool) {
	if b.Open == nil {
		b.LastID++
		b.Open = &Outage{ID: b.LastID, From: now, Cause: cause, Server: server}
		b.Pending = map[string]*nodePaper{}
		opened = true
	}
	p := b.Pending[refKey(r)]
	if p == nil {
		p = &nodePaper{Index: len(b.Open.Nodes)}
		b.Pending[refKey(r)] = p
		b.Open.Nodes = append(b.Open.Nodes, NodeOutage{Group: r.Group, Node: r.Node})
	}
	p.Restored, p.Drained = false, false
	return opened
}

// restored notes that a node has a session again while it owes owed samples. It returns whether it is the first.
func (b *book) restored(r sparkplug.NodeRef, now time.Time, owed uint64) (first bool) {
	p, n := b.node(r)
	if p == nil {
		return false
	}
	n.Owed = n.Delivered + p.Waived + owed
	p.Restored, p.Drained = true, false
	b.sum()
	if !b.Open.Restored.IsZero() {
		return false
	}
	b.Open.Restored = now
	return true
}

// delivered notes samples that were owed when the node's session came back, and that a barrier has now confirmed.
func (b *book) delivered(r sparkplug.NodeRef, samples uint64) {
	if p, n := b.node(r); p != nil {
		n.Delivered += samples
		b.sum()
	}
}

// waived notes samples, owed when the session came back, that are given up.
func (b *book) waived(r sparkplug.NodeRef, samples uint64) {
	if p, _ := b.node(r); p != nil {
		p.Waived += samples
		b.Open.Waived += samples
	}
}

// gap notes what is given up, and why; neighbours with the same reason are one gap.
func (b *book) gap(g Gap) {
	if p, _ := b.node(sparkplug.NodeRef{Group: g.Group, Node: g.Node}); p == nil {
		return
	}
	b.Open.Gaps = addGap(b.Open.Gaps, g)
}

// notCounted notes a gap of samples that may be owed beside those that are counted. A node that no report is about gets into one
// with nothing else; if it opened it for that, it is returned closed.
func (b *book) notCounted(g Gap, now time.Time) (closed *Outage) {
	r := sparkplug.NodeRef{Group: g.Group, Node: g.Node}
	p, _ := b.node(r)
	fresh := p == nil
	if fresh {
		b.lost(r, now, "what is owed cannot be counted: the historian cannot be read", "")
	}
	b.gap(g)
	b.waived(r, g.Count)
	if fresh {
		return b.excuse(r, now)
	}
	if p, n := b.node(r); p.Restored {
		n.Owed += g.Count
		b.sum()
	}
	return nil
}

func addGap(list []Gap, g Gap) []Gap {
	for k := range list {
		if o := &list[k]; o.Group == g.Group && o.Node == g.Node && o.Reason == g.Reason {
			o.Count += g.Count
			if g.From.Before(o.From) {
				o.From = g.From
			}
			if g.To.After(o.To) {
				o.To = g.To
			}
			return list
		}
	}
	if len(list) >= maxGaps {
		return list
	}
	return append(list, g)
}

// duplicated notes samples that may have arrived and are sent again.
func (b *book) duplicated(samples uint64) {
	if b.Open != nil {
		b.Open.Duplicated += samples
	}
}

// died and reborn note the node's own deaths in the plant.
func (b *book) died(r sparkplug.NodeRef, at time.Time) {
	if p, n := b.node(r); p != nil && len(n.Deaths) < maxDeaths {
		if k := len(n.Deaths); k == 0 || !n.Deaths[k-1].To.IsZero() {
			n.Deaths = append(n.Deaths, Span{From: at})
		}
	}
}

func (b *book) reborn(r sparkplug.NodeRef, at time.Time) {
	if p, n := b.node(r); p != nil {
		if k := len(n.Deaths); k > 0 && n.Deaths[k-1].To.IsZero() {
			n.Deaths[k-1].To = at
		}
	}
}

// drained notes that a node owes nothing from before its session came back. When it is the last, the report is
// closed and returned.
func (b *book) drained(r sparkplug.NodeRef, now time.Time) (closed *Outage) {
	p, _ := b.node(r)
	if p == nil || !p.Restored {
		return nil
	}
	p.Drained = true
	for _, o := range b.Pending {
		if !o.Drained {
			return nil
		}
	}
	b.Open.To = now
	b.sum()
	report := *b.Open
	b.closed = slices.Insert(b.closed, 0, report)
	b.closed = b.closed[:min(len(b.closed), maxOutages)]
	b.fresh = append(b.fresh, report)
	b.Open, b.Pending = nil, nil
	return &report
}

// excuse takes a node that has no session and owes nothing out of what is waited for.
func (b *book) excuse(r sparkplug.NodeRef, now time.Time) (closed *Outage) {
	if p, _ := b.node(r); p != nil && !p.Restored {
		b.restored(r, now, 0)
		return b.drained(r, now)
	}
	return nil
}

// waitsFor tells whether the open report waits for this node.
func (b *book) waitsFor(r sparkplug.NodeRef) bool {
	p, _ := b.node(r)
	return p != nil && !p.Drained
}

func (b *book) node(r sparkplug.NodeRef) (*nodePaper, *NodeOutage) {
	if b.Open == nil || b.Pending[refKey(r)] == nil {
		return nil, nil
	}
	p := b.Pending[refKey(r)]
	return p, &b.Open.Nodes[p.Index]
}

func (b *book) sum() {
	b.Open.Owed, b.Open.Delivered = 0, 0
	for _, n := range b.Open.Nodes {
		b.Open.Owed += n.Owed
		b.Open.Delivered += n.Delivered
	}
}

// list returns copies, newest first.
func (b *book) list() []Outage {
	var out []Outage
	if b.Open != nil {
		out = append(out, copyOutage(*b.Open))
	}
	for _, o := range b.closed {
		out = append(out, copyOutage(o))
	}
	return out
}

func copyOutage(o Outage) Outage {
	o.Gaps = slices.Clone(o.Gaps)
	o.Nodes = slices.Clone(o.Nodes)
	for i := range o.Nodes {
		o.Nodes[i].Deaths = slices.Clone(o.Nodes[i].Deaths)
	}
	return o
}

// encode is the open report on disk.
func (b *book) encode() []byte { return mustJSON(b) }

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("BUG: outage reports: " + err.Error())
	}
	return data
}

// decodeBook never fails: a report that cannot be read is gone, the uplink is not.
func decodeBook(open []byte, closed ...[]byte) *book {
	b := &book{}
	if len(open) > 0 && json.Unmarshal(open, b) != nil {
		b = &book{}
	}
	for _, p := range b.Pending {
		if p == nil || b.Open == nil || p.Index < 0 || p.Index >= len(b.Open.Nodes) {
			b = &book{LastID: b.LastID}
			break
		}
	}
	if b.Open != nil && b.Pending == nil {
		b.Pending = map[string]*nodePaper{}
	}
	for _, data := range closed {
		var o Outage
		if json.Unmarshal(data, &o) == nil && o.ID > 0 {
			b.closed = append(b.closed, o)
			b.LastID = max(b.LastID, o.ID)
		}
	}
	slices.SortFunc(b.closed, func(x, y Outage) int { return cmp.Compare(y.ID, x.ID) })
	b.closed = b.closed[:min(len(b.closed), maxOutages)]
	return b
}

// sentence is the report in one line, for the event log.
func (o *Outage) sentence() string {
	return fmt.Sprintf("outage from %s to %s: %d owed, %d delivered, at most %d duplicates, %d given up, %d gaps; %s",
		o.From.UTC().Format(time.RFC3339), o.To.UTC().Format(time.RFC3339), o.Owed, o.Delivered, o.Duplicated, o.Waived,
		len(o.Gaps), o.Cause)
}
