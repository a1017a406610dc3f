package uplink

import (
	"fmt"
	"maps"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// rateWindow is the span of Status.Rate, in ticks of keepEvery.
const rateWindow = 10

// tally is what the uplink counts besides the book. Guarded by bookMu.
type tally struct {
	delivered, duplicated uint64
	drops                 map[string]uint64
	gaps                  []Gap // given up since the last reportGaps
	bookChanged           bool
	bookKept              time.Time
	history               [rateWindow + 1]sampling // newest last
}

// sampling is the counters at one time.
type sampling struct {
	at              time.Time
	delivered, owed uint64
}

// lost notes that a node has no session though it should.
func (u *Uplink) lost(r sparkplug.NodeRef, cause string, server int) {
	name := u.o.Servers[max(0, server)].redacted()
	u.bookMu.Lock()
	opened := u.book.lost(r, u.o.Clock(), cause, name)
	u.tally.bookChanged = true
	u.bookMu.Unlock()
	if opened {
		u.o.Log.Warn("uplink lost", "uplink", u.o.Name, "reason", cause)
		u.event("uplink " + u.o.Name + " lost: " + cause)
	}
}

// restored notes that a node has a session again.
func (u *Uplink) restored(r sparkplug.NodeRef, owed uint64) {
	u.bookMu.Lock()
	first := u.book.restored(r, u.o.Clock(), owed)
	u.tally.bookChanged = true
	u.bookMu.Unlock()
	if first {
		u.o.Log.Info("uplink restored", "uplink", u.o.Name)
		u.event("uplink " + u.o.Name + " restored")
	}
}

// drained notes that a node has delivered what it owed when its session began.
func (u *Uplink) drained(r sparkplug.NodeRef) {
	u.bookMu.Lock()
	var closed *Outage
	if u.book.waitsFor(r) {
		closed = u.book.drained(r, u.o.Clock())
		u.tally.bookChanged = true
	}
	u.bookMu.Unlock()
	u.closed(closed)
}

// excuse notes that a node without a session owes nothing.
func (u *Uplink) excuse(r sparkplug.NodeRef) {
	u.bookMu.Lock()
	var closed *Outage
	if u.book.waitsFor(r) {
		closed = u.book.excuse(r, u.o.Clock())
		u.tally.bookChanged = true
	}
	u.bookMu.Unlock()
	u.closed(closed)
}

func (u *Uplink) closed(o *Outage) {
	if o == nil {
		return
	}
	u.o.Log.Info("uplink drained", "uplink", u.o.Name, "owed", o.Owed, "delivered", o.Delivered, "duplicated", o.Duplicated, "waived", o.Waived)
	u.event("uplink " + u.o.Name + ": " + o.sentence())
}

// confirmed counts what a barrier proved.
func (u *Uplink) confirmed(r sparkplug.NodeRef, g *group) {
	u.bookMu.Lock()
	u.tally.delivered += g.samples - g.waived
	if g.outage > 0 {
		u.book.delivered(r, g.outage)
		u.tally.bookChanged = true
	}
	if g.owaived > 0 {
		u.book.waived(r, g.owaived)
		u.tally.bookChanged = true
	}
	u.bookMu.Unlock()
	for _, gap := range g.given {
		u.giveUp(gap)
	}
}

// duplicate counts samples that will be sent again though they may have arrived.
func (u *Uplink) duplicate(samples uint64) {
	if samples == 0 {
		return
	}
	u.bookMu.Lock()
	u.tally.duplicated += samples
	u.book.duplicated(samples)
	u.tally.bookChanged = true
	u.bookMu.Unlock()
}

// rewound counts samples that are owed again although a barrier confirmed them.
func (u *Uplink) rewound(r sparkplug.NodeRef, samples uint64) {
	if samples == 0 {
		return
	}
	u.bookMu.Lock()
	u.tally.duplicated += samples
	u.book.duplicated(samples)
	u.tally.bookChanged = true
	u.bookMu.Unlock()
}

// giveUp counts samples that will never be delivered.
func (u *Uplink) giveUp(g Gap) {
	u.bookMu.Lock()
	defer u.bookMu.Unlock()
	u.tally.drops[g.Reason] += g.Count
	u.tally.gaps = addGap(u.tally.gaps, g)
	u.book.gap(g)
	u.tally.bookChanged = true
}

// notCounted gives up what a node is owed at most, for the historian cannot be read.
func (u *Uplink) notCounted(r sparkplug.NodeRef, most uint64) {
	if most == 0 {
		return
	}
	now := u.o.Clock()
	g := Gap{Group: r.Group, Node: r.Node, From: now, To: now, Count: most, Reason: reasonUnread}
	u.bookMu.Lock()
	if u.book.Open != nil {
		g.From = u.book.Open.From
	}
	u.tally.drops[g.Reason] += g.Count
	u.tally.gaps = addGap(u.tally.gaps, g)
	closed := u.book.notCounted(g, now)
	u.tally.bookChanged = true
	u.bookMu.Unlock()
	u.closed(closed)
}

// waived counts samples given up that the open outage counts as owed.
func (u *Uplink) waived(r sparkplug.NodeRef, samples uint64) {
	u.bookMu.Lock()
	defer u.bookMu.Unlock()
	u.book.waived(r, samples)
	u.tally.bookChanged = true
}

// reportGaps writes an event for what was given up since the last time.
func (u *Uplink) reportGaps() {
	u.bookMu.Lock()
	gaps := u.tally.gaps
	u.tally.gaps = nil
	u.bookMu.Unlock()
	for _, g := range gaps {
		u.o.Log.Warn("samples given up", "uplink", u.o.Name, "group", g.Group, "node", g.Node, "reason", g.Reason, "count", g.Count)
		reason := fmt.Sprintf("uplink %s: %d samples will not be delivered: %s", u.o.Name, g.Count, g.Reason)
		if g.Reason == reasonUnread {
			reason = fmt.Sprintf("uplink %s: the historian cannot be read, at most %d samples will not be delivered: %s", u.o.Name, g.Count, g.Reason)
		}
		u.append(journal.Event{Kind: journal.UplinkEvent, Group: g.Group, Node: g.Node, Count: g.Count,
			At: journal.Millis(g.From.UnixMilli()), Until: journal.Millis(g.To.UnixMilli()), Reason: reason})
	}
}

func (u *Uplink) event(reason string) {
	u.append(journal.Event{Kind: journal.UplinkEvent, At: journal.Millis(u.o.Clock().UnixMilli()), Reason: reason})
}

// append puts an event in the journal.
func (u *Uplink) append(e journal.Event) {
	if _, err := u.d.Journal.Append(250*time.Millisecond, journal.Record{Kind: journal.KindEvent, Event: &e}); err != nil {
		u.o.Log.Warn("write event", "uplink", u.o.Name, "reason", e.Reason, "err", err)
	}
}

// measure takes the counters for the rates.
func (u *Uplink) measure(now time.Time) {
	var owed uint64
	for _, n := range u.all() {
		n.mu.Lock()
		owed += n.owed
		n.mu.Unlock()
	}
	u.bookMu.Lock()
	defer u.bookMu.Unlock()
	h := &u.tally.history
	copy(h[:], h[1:])
	h[rateWindow] = sampling{now, u.tally.delivered, owed}
}

// Outages returns the reports of the last interruptions, newest first.
func (u *Uplink) Outages() []Outage {
	u.bookMu.Lock()
	defer u.bookMu.Unlock()
	return u.book.list()
}

// Status returns a copy of the uplink's state.
func (u *Uplink) Status() Status {
	st := Status{Name: u.o.Name, State: Idle, Since: u.started, Server: u.o.Servers[u.hosts.server()].redacted()}
	fed := u.fed()
	rank := map[State]int{Idle: 0, Down: 1, Dying: 2, Connecting: 3, WaitState: 4, Birthing: 5, Live: 6, Flushing: 7}
	var up, history int
	for k, n := range u.all() {
		n.mu.Lock()
		ns := NodeStatus{Group: n.ref.Group, Node: n.ref.Node, State: n.state, Reason: n.reason, Since: n.since, BdSeq: n.bdSeq,
			Cursor: uint64(n.cursorLocked(fed)), Owed: n.owed}
		if oldest := time.UnixMilli(int64(n.oldest)); n.owed > 0 && (st.Oldest.IsZero() || oldest.Before(st.Oldest)) {
			st.Oldest = oldest
		}
		n.mu.Unlock()
		st.Nodes = append(st.Nodes, ns)
		st.Owed += ns.Owed
		if ns.State == Live || ns.State == Flushing {
			up++
		}
		if ns.State == Flushing {
			history++
		}
		if k == 0 || rank[ns.State] > rank[st.State] {
			st.State, st.Reason, st.Since = ns.State, ns.Reason, ns.Since
		}
	}
	if up > 0 {
		st.Reason = fmt.Sprintf("%d of %d nodes have a session", up, len(st.Nodes))
		if history > 0 {
			st.Reason += fmt.Sprintf(", %d send history", history)
		}
	} else if len(st.Nodes) == 0 {
		st.Reason = "no plant node has been seen yet"
	}
	u.bookMu.Lock()
	defer u.bookMu.Unlock()
	st.Delivered, st.Duplicated, st.Drops = u.tally.delivered, u.tally.duplicated, maps.Clone(u.tally.drops)
	st.Rate, st.Eta = u.tally.rates(st.Owed, history > 0)
	if up == 0 && st.Owed > 0 {
		st.Eta = -1 // nothing goes out
	}
	return st
}

// rates returns the samples delivered per second, and how long until nothing is owed: -1 when that is not in sight.
func (t *tally) rates(owed uint64, flushing bool) (perSecond float64, eta time.Duration) {
	last := t.history[rateWindow]
	var first sampling
	for _, s := range t.history {
		if !s.at.IsZero() {
			first = s
			break
		}
	}
	seconds := last.at.Sub(first.at).Seconds()
	if seconds > 0 {
		perSecond = float64(last.delivered-first.delivered) / seconds
	}
	switch {
	case owed == 0:
		return perSecond, 0
	case seconds <= 0 || last.owed >= first.owed && flushing:
		return perSecond, -1
	case !flushing && perSecond > 0: // what is owed is on its way
		return perSecond, time.Second
	case last.owed >= first.owed:
		return perSecond, -1
	}
	drain := float64(first.owed-last.owed) / seconds
	return perSecond, time.Duration(float64(owed) / drain * float64(time.Second))
}
