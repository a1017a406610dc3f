package sparkplug

import (
	"fmt"
	"time"
)

// Why returns the chain of reasons why a metric, a device (ref without Name) or a node (without Device too) is not
// good, online and alone, the operator's answer first; none when there is nothing to say. See Explain.
func (h *Host) Why(ref MetricRef) []Reason {
	n := h.nodes[NodeRef{ref.Group, ref.Node}]
	if n == nil {
		return h.unknownNode(ref)
	}
	d := n.own
	if ref.Device != "" {
		if d = n.devices[ref.Device]; d == nil {
			why := []Reason{{Kind: CauseUnknown, Text: "device " + shown(ref.Device) + " was never born", Lasts: true}}
			return append(why, h.whyNode(n)...)
		}
	}
	if ref.Name == "" {
		return h.whyDevice(d)
	}
	m := d.metrics[ref.Name]
	if m == nil {
		return h.notInBirth(d, ref.Name)
	}
	return h.whyMetric(m)
}

func (h *Host) unknownNode(ref MetricRef) []Reason {
	why := []Reason{{Kind: CauseUnknown, Text: "node " + shown(ref.Node) + " was never heard of"}}
	if len(h.nodes) >= h.o.MaxNodes {
		why = append(why, Reason{Kind: CauseLimit, Text: fmt.Sprintf("as many nodes as are taken, %d, are known", h.o.MaxNodes)})
	}
	return why
}

func (h *Host) notInBirth(d *device, name string) []Reason {
	n := d.node
	why := []Reason{{Kind: CauseNotInBirth, At: d.since, Text: "metric " + shown(name) + " is not in the birth of " + d.title()}}
	if r, ok := h.beyond(n); ok {
		why = append(why, r)
	}
	if d.state != StateOnline {
		why = append(why, h.whyDevice(d)...)
	}
	return why
}

// beyond says how many metrics of a node are above the limit.
func (h *Host) beyond(n *node) (r Reason, ok bool) {
	count := n.own.beyond
	for _, d := range n.devices {
		count += d.beyond
	}
	return Reason{Kind: CauseLimit, At: n.lastBirth,
		Text: fmt.Sprintf("node %s has as many metrics as are taken, %d, and %d more were not", shown(n.ref.Node), h.o.MaxMetrics, count)}, count > 0
}

// title is how a device is called in a line; the node's own metrics belong to the node.
func (d *device) title() string {
	if d.name == "" {
		return "node " + shown(d.node.ref.Node)
	}
	return "device " + shown(d.name)
}

// cause returns the text of a metric's chain. All of a dead device have the same but for the last value's time, so the
// last one is kept in memo.
func (h *Host) cause(m *metric, memo *causeMemo) string {
	d := m.device
	if d.state == StateOffline {
		if memo.device != d {
			*memo = causeMemo{d, Explain(h.whyDevice(d))}
		}
		return memo.text
	}
	return Explain(h.whyMetric(m))
}

// causeMemo is the text of the device that was asked for last.
type causeMemo struct {
	device *device
	text   string
}

// whyMetric begins with what the value itself says, unless its bearer is down.
func (h *Host) whyMetric(m *metric) []Reason {
	d := m.device
	if d.state != StateOnline {
		why := h.whyDevice(d)
		if d.state == StateUnknown && !m.received.IsZero() {
			why = append(why, Reason{Kind: CauseNotHeard, At: m.received, Text: "its last value came", Also: true})
		}
		return why
	}
	var why []Reason
	if _, kind := m.quality(); kind != "" {
		why = append(why, m.reason(kind))
		if kind == CauseGap || kind == CauseUndecodable {
			why = append(why, Reason{Kind: kind, At: d.node.doubt.at, Text: d.node.doubt.text})
		}
	} else if ahead := m.at.Sub(m.received); ahead > h.o.FutureStamp {
		why = append(why, Reason{Kind: CauseFuture, At: m.received, Text: "the value's time is " + span(ahead) + " ahead of the appliance's clock"})
	}
	for _, r := range h.concerns(d.node) {
		r.Also = len(why) > 0
		why = append(why, r)
	}
	return why
}

// reason says a metric's own trouble.
func (m *metric) reason(kind Cause) Reason {
	n := m.device.node
	r := Reason{Kind: kind, At: m.received}
	switch kind {
	case CauseNoLive:
		r.Text, r.At = "its birth brought no live value, only a historical one", m.device.since
	case CauseNoValue:
		r.Text, r.At = "its birth brought no value", m.device.since
	case CauseType:
		r.Text, r.At = "its newest value does not fit the "+m.typ.String()+" of its birth and was not taken", time.Time{}
	case CauseTooLarge:
		r.Text = "the value is too large to be kept"
	case CauseNull:
		r.Text = "the device says null"
	case CauseBad:
		r.Text = "the device says bad: its Quality property is 0"
	case CauseStale:
		r.Text = "the device says stale: its Quality property is 500"
	case CauseQuality:
		r.Text = fmt.Sprintf("its Quality property is %d, which means nothing", m.code)
		if m.code == QualityCodeUncertain {
			r.Text = "its Quality property says neither good nor bad"
		}
	case CauseForeign:
		r.Text = "the value was published by client " + shown(m.foreign) + ", which is not that of node " + shown(n.ref.Node) + "'s births"
	case CauseAlias:
		r.Text, r.At = fmt.Sprintf("alias %d stands for this and another metric: the value may be the other's", m.alias), n.lastBirth
	case CauseGap, CauseUndecodable:
		r.Text, r.At, r.Lasts = "a message of node "+shown(n.ref.Node)+" was lost and it was not born again", n.doubt.at, true
	}
	return r
}

// whyDevice explains a device, or the node as the bearer of its own metrics.
func (h *Host) whyDevice(d *device) []Reason {
	n := d.node
	if d.name == "" {
		return h.whyNode(n)
	}
	if d.state == StateOnline {
		return h.concerns(n)
	}
	return append(down(d.title(), "node "+shown(n.ref.Node)+"'s", d.state, d.since, d.why), h.still(n)...)
}

// whyNode explains a node.
func (h *Host) whyNode(n *node) []Reason {
	if n.state != StateOnline {
		return append(down("node "+shown(n.ref.Node), "its", n.state, n.since, n.why), h.still(n)...)
	}
	why := h.concerns(n)
	if x := n.doubt; x.kind != "" {
		why = append(why, Reason{Kind: x.kind, At: x.at, Text: "a message was lost and it was not born again, values from before are uncertain", Lasts: true},
			Reason{Kind: x.kind, At: x.at, Text: x.text})
	}
	if r, ok := h.beyond(n); ok {
		why = append(why, r)
	}
	for i := range why {
		why[i].Also = i > 0 && (why[i].Kind != why[i-1].Kind)
	}
	return why
}

// down is the chain of a node or device that is not online: its state, and why.
func down(title, owner string, state State, since time.Time, why []Reason) []Reason {
	first := Reason{Kind: CauseDown, At: since, Text: title + " dead", Lasts: true}
	switch {
	case len(why) > 0 && (why[0].Kind == CauseNotHeard || why[0].Kind == CauseUnborn): // says it all
		first, why = why[0], why[1:]
		first.Text = title + " " + first.Text
	case state == StateUnknown:
		first.Text = title + " unknown"
	}
	chain := []Reason{first}
	for _, r := range why {
		if r.whose {
			r.Text = owner + " " + r.Text
		}
		chain = append(chain, r)
	}
	return chain
}

// still says what keeps a node from being online again.
func (h *Host) still(n *node) (why []Reason) {
	if n.state == StateOnline {
		return nil
	}
	also := func(r Reason) {
		r.Also = true
		why = append(why, r)
	}
	if n.refusal.count > 0 && !n.refusal.last.Before(n.since) {
		also(n.refusal.line())
	}
	if c := &n.client; c.Connected && !c.Since.Before(n.since) && n.unanswered == 0 {
		also(Reason{Kind: CauseNoBirth, At: c.Since, Text: c.name() + " is connected and has sent no NBIRTH", Lasts: true})
		if len(h.state.ids) > 0 && !h.state.online() {
			also(Reason{Kind: CauseHostOffline, Text: "the STATE of this host is offline, which a node may wait for"})
		}
	}
	if n.unanswered > 0 {
		also(n.unansweredLine())
	}
	if r, ok := n.flapping(); ok {
		also(r)
	}
	return why
}

func (n *node) unansweredLine() Reason {
	text := "a rebirth was asked and not answered"
	if n.unanswered > 1 {
		text = fmt.Sprintf("a rebirth was asked %d times and not answered", n.unanswered)
	}
	if n.askedFor != "" && n.askedFor != n.doubt.text {
		text += " (" + shown(n.askedFor) + ")"
	}
	return Reason{Kind: CauseUnanswered, At: n.firstAsk, Text: text, Lasts: true}
}

// concerns says what makes a node doubtful that is online, most serious first.
func (h *Host) concerns(n *node) (why []Reason) {
	also := func(r Reason) {
		r.Also = len(why) > 0
		why = append(why, r)
	}
	for i := range n.others {
		if o := &n.others[i]; o.Connected && n.client.Connected {
			also(Reason{Kind: CauseTwoClients, At: latest(o.Since, n.client.Since), Lasts: true,
				Text: "two clients speak for node " + shown(n.ref.Node) + ", " + n.client.name() + " and " + o.name()})
		}
	}
	if n.refusal.count > 0 && !n.refusal.Connect && n.refusal.ClientID == n.client.ID {
		also(n.refusal.line())
	}
	if n.unanswered > 0 {
		also(n.unansweredLine())
	}
	if skew := n.skew.value(); skew.Abs() > h.o.FutureStamp {
		side := " behind"
		if skew > 0 {
			side = " ahead of"
		}
		also(Reason{Kind: CauseClock, Text: "the clock of node " + shown(n.ref.Node) + " is " + span(skew.Abs()) + side + " the appliance's"})
	}
	if r, ok := n.flapping(); ok && h.now.Sub(n.newestConnect()) <= flapWithin {
		also(r)
	}
	return why
}

// span writes a duration in its largest unit: "2 h".
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= 2*u.unit-u.unit/60 {
			return fmt.Sprintf("%d %s", d.Round(u.unit)/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
}
