package uplink

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// A node is what one plant node owes upstream. The feed writes it, its own proxy goroutine sends.
type node struct {
	// Set before the proxy starts, never changed.
	u    *Uplink
	ref  sparkplug.NodeRef
	wake chan struct{} // something changed; one token

	// Owned by the proxy goroutine.
	history historyReader
	waiting time.Time // since when no server has the primary host; zero: not
	again   uint64    // written by the last session, and not confirmed

	mu       sync.Mutex // guards the rest
	model    model
	done     intervals     // indices of which nothing is owed
	fed      journal.Index // last sample counted
	owed     uint64        // samples up to fed that are not in done
	oldest   journal.Millis
	attached bool   // a session takes the inbox
	inbox    []item // what is new since the session's cut
	lagging  map[*metric]lag
	recent   []delivered                   // for the rewind when the primary host goes offline
	spans    int                           // in recent
	changed  bool                          // the persisted record is behind
	stamped  time.Time                     // of the last birth
	shown    map[sparkplug.MetricRef]shown // flush mode in_order: what the host saw last
	excess   uint64                        // samples to give up for the queue's bound

	state  State
	reason string
	since  time.Time
	bdSeq  int
}

// An item is one thing for the live lane, in journal order.
type item struct {
	kind     itemKind
	from, to journal.Index // skip: a stretch for the history lane; else both are the item's index
	device   string
	metric   *metric
	sample   journal.Sample
	reason   string
}

type itemKind uint8

const (
	itemSample itemKind = iota
	itemSkip
	itemNodeBirth
	itemNodeDeath
	itemDeviceBirth
	itemDeviceDeath // sample.At: the payload's time stamp
)

// lag is a metric whose waiting samples were passed to the history lane: its newest value is sent at once.
type lag struct{ device string }

// delivered is what one barrier confirmed.
type delivered struct {
	at    time.Time
	spans []span
}

// maxRecent bounds the memory for the rewind, in spans.
const maxRecent = 8192

func newNode(u *Uplink, r sparkplug.NodeRef) *node {
	return &node{u: u, ref: r, wake: make(chan struct{}, 1), model: newModel(), bdSeq: -1,
		state: Idle, reason: "waiting for the node's birth in the plant", since: u.o.Clock()}
}

// poke wakes the proxy.
func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// addSample counts one sample, and hands it to the session if there is one.
func (n *node) addSample(i *series, s *journal.Sample) {
	if s.Index <= n.fed {
		return
	}
	if n.owed == 0 {
		n.done = nil
		n.done.add(span{From: 1, To: s.Index - 1})
		n.oldest = s.Received
	}
	n.fed, n.changed = s.Index, true
	n.owed++
	var m *metric
	if !s.Historical {
		m = n.model.apply(i.device, i.name, s)
	}
	switch {
	case !n.attached:
		if n.u.full.Load() && n.u.o.Queue.Full == "drop_newest" {
			n.settle([]span{{s.Index, s.Index, 1}})
			at := time.UnixMilli(int64(s.At))
			n.u.giveUp(Gap{Group: n.ref.Group, Node: n.ref.Node, From: at, To: at, Count: 1, Reason: reasonFull})
			n.u.waived(n.ref, 1)
		}
	case m == nil:
		n.skip(s.Index, s.Index)
	default:
		n.push(item{kind: itemSample, from: s.Index, to: s.Index, device: i.device, metric: m, sample: *s})
	}
}

// push adds to the inbox. When the session does not keep up, what waits is passed to the history lane, and of each
// metric the newest value is sent in its stead.
func (n *node) push(it item) {
	if len(n.inbox) >= n.u.o.LiveSamples {
		n.conflate()
	}
	n.inbox = append(n.inbox, it)
}

// skip leaves a stretch of indices to the history lane.
func (n *node) skip(from, to journal.Index) {
	if k := len(n.inbox); k > 0 && n.inbox[k-1].kind == itemSkip {
		n.inbox[k-1].to = to
		return
	}
	n.push(item{kind: itemSkip, from: from, to: to})
}

func (n *node) conflate() {
	waiting := n.inbox
	n.inbox = nil
	for _, it := range waiting {
		switch it.kind {
		case itemSkip:
			n.skip(it.from, it.to)
		case itemSample:
			n.lagging[it.metric] = lag{it.device}
			n.skip(it.from, it.to)
		default:
			n.inbox = append(n.inbox, it)
		}
	}
	if len(n.inbox) < n.u.o.LiveSamples/2 {
		return
	}
	// So many births and deaths: what counts is how it ended.
	last := item{kind: itemNodeBirth}
	if !n.model.born {
		last = item{kind: itemNodeDeath, reason: n.model.death}
	}
	clear(n.lagging)
	n.inbox = []item{{kind: itemSkip, from: waiting[0].from, to: waiting[len(waiting)-1].to}, last}
}

// take gives the session what waits for it.
func (n *node) take() (items []item, lagging map[*metric]lag) {
	n.mu.Lock()
	defer n.mu.Unlock()
	items, n.inbox = n.inbox, nil
	if len(n.lagging) > 0 {
		lagging, n.lagging = n.lagging, map[*metric]lag{}
	}
	return items, lagging
}

// settle puts spans among what is not owed. Called with mu held.
func (n *node) settle(spans []span) {
	for _, s := range spans {
		n.done.add(s)
		n.owed -= min(n.owed, s.N)
	}
	n.changed = true
}

// confirm takes what a barrier has proved.
func (n *node) confirm(g *group, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settle(g.spans)
	if g.reached > 0 {
		n.oldest = g.reached
	}
	if n.u.o.PrimaryHost == "" || n.u.o.HostRewind < 0 {
		return
	}
	n.recent = append(n.recent, delivered{now, g.spans})
	n.spans += len(g.spans)
	first := 0
	for first < len(n.recent) && (now.Sub(n.recent[first].at) > n.u.o.HostRewind || n.spans > maxRecent) {
		n.spans -= len(n.recent[first].spans)
		first++
	}
	n.recent = append(n.recent[:0], n.recent[first:]...)
}

// rewind makes owed again what was delivered since: the host may not have got it. It returns how much that is.
func (n *node) rewind(since time.Time) (samples uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.recent {
		if d.at.Before(since) {
			continue
		}
		for _, s := range d.spans {
			if s.N == 0 {
				continue
			}
			if n.owed == 0 { // nothing was owed: done may be behind
				n.done.add(span{From: 1, To: max(n.fed, n.done.cursor())})
			}
			n.done.remove(s)
			n.owed += s.N
			samples += s.N
		}
	}
	n.recent, n.spans, n.changed = nil, 0, true
	return samples
}

// cursor is the index up to which nothing is owed; fed is how far the feed is.
func (n *node) cursorLocked(fed journal.Index) journal.Index {
	if n.owed == 0 {
		return max(fed, n.fed)
	}
	return n.done.cursor()
}

func (n *node) set(s State, reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != s {
		n.state, n.since = s, n.u.o.Clock()
	}
	n.reason = reason
}

// nodeRecord is a node's form on disk.
type nodeRecord struct {
	Done   intervals      `json:"done"`
	Fed    journal.Index  `json:"fed"`
	Owed   uint64         `json:"owed"`
	Oldest journal.Millis `json:"oldest"`
}

// record returns what to persist, nil if nothing changed. At most maxSpans go to disk: what is dropped is sent again
// after a crash.
func (n *node) record(fed journal.Index) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.changed {
		return nil
	}
	n.changed = false
	r := nodeRecord{Done: append(intervals(nil), n.done...), Fed: n.fed, Owed: n.owed, Oldest: n.oldest}
	if n.owed == 0 {
		r.Done = nil
		r.Done.add(span{From: 1, To: max(fed, n.fed)})
		r.Fed = max(fed, n.fed)
	}
	r.Owed += r.Done.shrink(maxSpans)
	data, err := json.Marshal(r)
	if err != nil {
		panic("BUG: node record: " + err.Error())
	}
	return data
}

// restore takes a record from disk. One that cannot be read leaves the node owing nothing from before.
func (n *node) restore(data []byte, start journal.Index) error {
	var r nodeRecord
	if err := json.Unmarshal(data, &r); err != nil || !r.Done.valid() {
		n.fed = start
		n.done.add(span{From: 1, To: start})
		return fmt.Errorf("uplink cursor of %s/%s is unreadable; going on from the end", n.ref.Group, n.ref.Node)
	}
	n.done, n.fed, n.owed, n.oldest = r.Done, r.Fed, r.Owed, r.Oldest
	return nil
}

// key is where a node's small state is kept.
func (n *node) key(what string) string {
	return n.u.prefix + what + "/" + n.ref.Group + "/" + n.ref.Node
}

// nextBdSeq returns the bdSeq of the next CONNECT: the first is 0, then one more each time, kept before it is used.
// [tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq] [tck-id-payloads-ndeath-bdseq]
func (n *node) nextBdSeq() (next uint8, data []byte) {
	if old, ok := n.u.d.State.Get(n.key("bdseq")); ok {
		if v, err := strconv.ParseUint(string(old), 10, 8); err == nil {
			next = uint8(v) + 1
		}
	}
	return next, strconv.AppendUint(nil, uint64(next), 10)
}
