package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// Journal is the log that an uplink follows; *journal.Journal is one.
type Journal interface {
	Append(due time.Duration, recs ...journal.Record) (journal.Index, error)
	NewReader(from journal.Index, kinds ...journal.Kind) *journal.Reader
	Durable() journal.Index
	Oldest() journal.Index
}

// StateStore keeps small durable values; *journal.State is one.
type StateStore interface {
	Get(key string) ([]byte, bool)
	Put(key string, data []byte) (journal.Index, error)
	PutSync(ctx context.Context, key string, data []byte) error
	Keys(prefix string) []string
}

// Backlog reads one node's samples with from <= Index < to in index order, at most max, when the journal no longer
// holds them. The index that it returns is where to go on: everything below it was read.
type Backlog interface {
	Backlog(ctx context.Context, group, node string, from, to journal.Index, max int) ([]journal.Sample, journal.Index, error)
	// Metrics lists every series that may have such samples.
	Metrics() []journal.Schema
}

// Commands takes an allowed command to the plant: an NCMD or DCMD, QoS 0, not retained. It refuses one whose node is
// not online.
type Commands interface {
	Command(ctx context.Context, topic string, payload []byte) error
}

// Deps are the parts an uplink stands on.
type Deps struct {
	Journal  Journal
	Series   func(journal.SeriesID) (journal.SeriesKey, bool)
	Backlog  Backlog // nil: nothing is older than the journal
	State    StateStore
	Commands Commands // nil: every command is refused
}

// Uplink carries every plant node to one enterprise broker.
type Uplink struct {
	// Set by New, never changed.
	o      Options
	d      Deps
	prefix string        // of its keys in the StateStore
	boot   journal.Index // the journal's end at the start: births before it are not of this life
	gate   *gate

	connects, samples, bits, audits bucket

	feeds          atomic.Uint64 // see fed
	kicks          atomic.Uint64
	full           atomic.Bool // Queue.Bytes is reached
	inboundDropped atomic.Uint64
	series         sync.Map // journal.SeriesID -> *series
	started        time.Time

	// Set by Run before its loops start.
	ctx context.Context
	wg  sync.WaitGroup

	mu    sync.Mutex // guards the next; nothing else is locked under it
	nodes map[sparkplug.NodeRef]*node
	order []*node
	run   bool // proxies start at once

	bookMu sync.Mutex // guards the next; nothing else is locked under it
	book   *book
	tally  tally

	hosts hosts
}

// New returns an Uplink that continues where the last one of its name ended; Run starts it. What the journal already
// holds is not owed by an uplink that is new.
func New(o Options, d Deps) (*Uplink, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("uplink %s: %w", o.Name, err)
	}
	if d.Journal == nil || d.Series == nil || d.State == nil {
		return nil, errors.New("uplink: it needs a Journal, Series and a State")
	}
	u := &Uplink{o: o, d: d, prefix: "uplink/" + o.Name + "/", boot: d.Journal.Durable(), started: o.Clock(),
		gate: newGate(o.Commands, o.CommandTTL), nodes: map[sparkplug.NodeRef]*node{}}
	u.connects.perSecond = o.ConnectRate
	u.samples.perSecond = float64(o.FlushSamplesPerSecond)
	u.bits.perSecond = float64(o.FlushBitsPerSecond)
	u.audits.perSecond = 10
	u.hosts.init(len(o.Servers))
	u.tally.drops = map[string]uint64{}
	u.restore()
	return u, nil
}

// restore reads what the last run left.
func (u *Uplink) restore() {
	var closed [][]byte
	for _, key := range u.d.State.Keys(u.prefix + "outage/") {
		data, _ := u.d.State.Get(key)
		closed = append(closed, data)
	}
	open, _ := u.d.State.Get(u.prefix + "outage")
	u.book = decodeBook(open, closed...)
	start := u.boot
	if data, ok := u.d.State.Get(u.prefix + "fed"); ok {
		if v, err := strconv.ParseUint(string(data), 10, 64); err == nil {
			start = min(start, journal.Index(v))
		}
	}
	u.feeds.Store(uint64(start))
	var owed uint64
	for _, key := range u.d.State.Keys(u.prefix + "node/") {
		group, name, ok := strings.Cut(strings.TrimPrefix(key, u.prefix+"node/"), "/")
		data, found := u.d.State.Get(key)
		n := u.ensure(sparkplug.NodeRef{Group: group, Node: name})
		if !ok || !found || n == nil {
			continue
		}
		if err := n.restore(data, start); err != nil {
			u.o.Log.Warn("uplink", "uplink", u.o.Name, "err", err)
		}
		if n.fed > u.boot { // the journal lost its end, or is another one
			n.fed, n.owed, n.done = u.boot, 0, nil
		}
		owed += n.owed
	}
	if u.book.Open == nil && owed > 0 {
		for _, n := range u.order {
			if n.owed > 0 {
				u.book.lost(n.ref, u.started, "the appliance was restarted while samples were owed", "")
			}
		}
	}
}

// ensure returns the node, which may be new; nil when there are too many.
func (u *Uplink) ensure(r sparkplug.NodeRef) *node {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.nodes[r]
	if n == nil && len(u.nodes) < maxNodes && sparkplug.ValidateID(r.Group) == nil && sparkplug.ValidateID(r.Node) == nil {
		n = newNode(u, r)
		u.nodes[r] = n
		u.order = append(u.order, n)
		u.startProxyLocked(n)
	}
	return n
}

func (u *Uplink) startProxyLocked(n *node) {
	if u.run {
		u.wg.Go(func() { n.proxyLoop(u.ctx) })
	}
}

// all returns the nodes, in the order they were first seen.
func (u *Uplink) all() []*node {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.order)
}

// Run carries until ctx ends; then every node's session is closed with its NDEATH. It fails when the journal cannot be
// read.
func (u *Uplink) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.ctx = ctx
	if _, ok := u.d.State.Get(u.prefix + "fed"); !ok { // new: from now on everything is owed
		if err := u.d.State.PutSync(ctx, u.prefix+"fed", strconv.AppendUint(nil, u.feeds.Load(), 10)); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return fmt.Errorf("uplink %s: %w", u.o.Name, err)
		}
	}
	u.mu.Lock()
	u.run = true
	for _, n := range u.order {
		u.startProxyLocked(n)
	}
	u.mu.Unlock()
	if u.o.PrimaryHost != "" {
		for i := range u.o.Servers {
			u.wg.Go(func() { u.watchLoop(ctx, i) })
		}
	}
	u.wg.Go(func() { u.keepLoop(ctx) })
	err := u.feedLoop(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	u.mu.Lock()
	u.run = false
	u.mu.Unlock()
	u.wg.Wait()
	u.persist(true)
	if err != nil {
		return fmt.Errorf("uplink %s: %w", u.o.Name, err)
	}
	return nil
}

// Kick cuts every back-off short; call it when the network has come up.
func (u *Uplink) Kick() {
	u.kicks.Add(1)
	u.wake()
}

func (u *Uplink) wake() {
	for _, n := range u.all() {
		n.poke()
	}
}

// OwedFrom returns the lowest index that is still owed: retention must keep it and what follows.
func (u *Uplink) OwedFrom() journal.Index {
	low := u.fed()
	for _, n := range u.all() {
		n.mu.Lock()
		if n.owed > 0 {
			low = min(low, n.done.cursor())
		}
		n.mu.Unlock()
	}
	return low + 1
}

// clientID is the stable MQTT client id of a node's session: a server drops a half-open predecessor at once.
func (u *Uplink) clientID(r sparkplug.NodeRef) string {
	return u.o.ClientID + "/" + r.Group + "/" + r.Node
}

// keepEvery is how often cursors are persisted and the queue's bounds looked at.
const keepEvery = time.Second

// keepLoop persists cursors and reports, and watches the queue's bounds.
func (u *Uplink) keepLoop(ctx context.Context) {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		u.bound(u.all())
		u.reportGaps()
		u.persist(false)
		u.measure(time.Now())
	}
}

// persist keeps what changed. The feed's position is read before the nodes and written after them, and only if they could
// be written: a node's record may be newer than it, never older, so that no sample between is forgotten. all: the open
// report too.
func (u *Uplink) persist(all bool) {
	fed := u.fed()
	changed, kept := false, true
	for _, n := range u.all() {
		data := n.record(fed)
		if data == nil {
			continue
		}
		changed = true
		if !u.keep(n.key("node"), data) {
			kept = false
			n.mu.Lock()
			n.changed = true
			n.mu.Unlock()
		}
	}
	if changed && kept {
		u.keep(u.prefix+"fed", strconv.AppendUint(nil, uint64(fed), 10))
	}
	u.persistBook(all)
}

// reportEvery is how often the open report is kept; it grows with the nodes.
const reportEvery = 5 * time.Second

// persistBook keeps the open report, and each closed one once, in a slot that a later one takes over.
func (u *Uplink) persistBook(all bool) {
	u.bookMu.Lock()
	fresh := u.book.fresh
	u.book.fresh = nil
	var open []byte
	if u.tally.bookChanged && (all || len(fresh) > 0 || time.Since(u.tally.bookKept) >= reportEvery) {
		open = u.book.encode()
		u.tally.bookChanged, u.tally.bookKept = false, time.Now()
	}
	u.bookMu.Unlock()
	var failed []Outage
	for _, o := range fresh {
		if !u.keep(fmt.Sprintf("%soutage/%02d", u.prefix, o.ID%maxOutages), mustJSON(o)) {
			failed = append(failed, o)
		}
	}
	kept := open == nil || len(failed) == 0 && u.keep(u.prefix+"outage", open)
	u.bookMu.Lock()
	u.book.fresh = append(failed, u.book.fresh...)
	u.book.fresh = u.book.fresh[max(0, len(u.book.fresh)-maxOutages):]
	u.tally.bookChanged = u.tally.bookChanged || !kept
	u.bookMu.Unlock()
}

func (u *Uplink) keep(key string, data []byte) bool {
	_, err := u.d.State.Put(key, data)
	if err != nil {
		u.o.Log.Warn("keep uplink state", "uplink", u.o.Name, "err", err)
	}
	return err == nil
}
