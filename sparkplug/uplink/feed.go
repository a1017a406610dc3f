package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// maxNodes bounds the plant nodes of one uplink; samples of further ones are not carried.
const maxNodes = 2000

// A series is what a SeriesID stands for; node is nil for what is never carried.
type series struct {
	node         *node
	device, name string
}

// lookup returns what a series is, nil while that is unknown. Any goroutine.
func (u *Uplink) lookup(id journal.SeriesID) *series {
	if i, ok := u.series.Load(id); ok {
		return i.(*series)
	}
	key, ok := u.d.Series(id)
	if !ok {
		return nil
	}
	i := &series{device: key.Device, name: key.Metric}
	if key.Device != "" || key.Metric != sparkplug.NameBdSeq { // bdSeq belongs to a session, and upstream has its own
		i.node = u.ensure(sparkplug.NodeRef{Group: key.Group, Node: key.Node})
	}
	u.series.Store(id, i)
	return i
}

// feedLoop follows the journal's tail: it counts what is owed and keeps every node's model. It never waits for a proxy.
func (u *Uplink) feedLoop(ctx context.Context) error {
	kinds := []journal.Kind{journal.KindSamples, journal.KindEvent}
	r := u.d.Journal.NewReader(u.fed()+1, kinds...)
	for {
		rec, err := r.Next(ctx)
		var gone *journal.RecycledError
		switch {
		case errors.As(err, &gone):
			if err := u.recount(ctx, u.fed()+1, gone.Oldest); err != nil {
				return err // the next run counts again
			}
			u.feeds.Store(uint64(gone.Oldest) - 1)
			r = u.d.Journal.NewReader(gone.Oldest, kinds...)
			continue
		case errors.Is(err, journal.ErrClosed):
			<-ctx.Done()
			return nil
		case err != nil:
			return err
		}
		touched := u.feed(&rec)
		u.feeds.Store(uint64(r.Pos()) - 1)
		for _, n := range touched {
			n.poke()
		}
	}
}

// fed is the index up to which the feed has handed everything to its node.
func (u *Uplink) fed() journal.Index { return journal.Index(u.feeds.Load()) }

// feed takes one record and returns the nodes that have something new.
func (u *Uplink) feed(rec *journal.Record) (touched []*node) {
	if rec.Event != nil {
		if n := u.feedEvent(rec.Event); n != nil {
			touched = append(touched, n)
		}
		return touched
	}
	return u.feedSamples(rec.Samples)
}

func (u *Uplink) feedSamples(samples []journal.Sample) (touched []*node) {
	var locked *node
	for k := range samples {
		s := &samples[k]
		i := u.lookup(s.Series)
		if i == nil || i.node == nil {
			continue
		}
		if i.node != locked {
			if locked != nil {
				locked.mu.Unlock()
			}
			locked = i.node
			locked.mu.Lock()
			if !slices.Contains(touched, locked) {
				touched = append(touched, locked)
			}
		}
		locked.addSample(i, s)
	}
	if locked != nil {
		locked.mu.Unlock()
	}
	return touched
}

func (u *Uplink) feedEvent(e *journal.Event) *node {
	switch e.Kind {
	case journal.NodeBirth, journal.NodeDeath, journal.DeviceBirth, journal.DeviceDeath:
	default:
		return nil
	}
	ref := sparkplug.NodeRef{Group: e.Group, Node: e.Node}
	n := u.ensure(ref)
	if n == nil {
		return nil
	}
	var p *sparkplug.Payload
	if e.Kind == journal.NodeBirth || e.Kind == journal.DeviceBirth {
		var err error
		if p, err = sparkplug.Decode(e.Payload, sparkplug.Limits{}); err != nil {
			return nil // the host would not have recorded it; the node stays as it was
		}
	}
	n.event(e, p, e.Index > u.boot)
	at := time.UnixMilli(int64(e.At))
	u.bookMu.Lock()
	switch e.Kind {
	case journal.NodeBirth:
		u.book.reborn(ref, at)
	case journal.NodeDeath:
		u.book.died(ref, at)
	}
	u.bookMu.Unlock()
	return n
}

// event takes a birth or a death of the plant. fresh: since the appliance started.
func (n *node) event(e *journal.Event, p *sparkplug.Payload, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	it := item{from: e.Index, to: e.Index, device: e.Device, reason: e.Reason}
	it.sample.At = e.At
	switch e.Kind {
	case journal.NodeBirth:
		it.kind = itemNodeBirth
		n.model.nodeBirth(p, fresh, n.owed > 0)
	case journal.NodeDeath:
		it.kind = itemNodeDeath
		n.model.nodeDeath(n.u.o.Clock(), e.Reason)
	case journal.DeviceBirth:
		it.kind = itemDeviceBirth
		n.model.deviceBirth(e.Device, p, n.owed > 0)
	case journal.DeviceDeath:
		it.kind = itemDeviceDeath
		n.model.deviceDeath(e.Device)
	}
	if n.attached {
		n.push(it)
	}
}

// How often the historian is asked again in one recount, and how long after it failed.
const (
	recountTries = 30
	recountPause = time.Second
)

// recount counts, from the historian, what is owed between from and to, which the journal no longer holds. It may be of nodes
// that nothing was kept of before the program was killed. A historian that fails is asked again; nodes that it then does not
// tell of share what was not counted: that is given up, and told.
func (u *Uplink) recount(ctx context.Context, from, to journal.Index) error {
	if u.d.Backlog == nil {
		return nil
	}
	asked := map[sparkplug.NodeRef]bool{}
	var unread []sparkplug.NodeRef
	left, tries := uint64(to-from), recountTries
	for _, m := range u.d.Backlog.Metrics() {
		ref := sparkplug.NodeRef{Group: m.Key.Group, Node: m.Key.Node}
		if asked[ref] {
			continue
		}
		asked[ref] = true
		n, err := u.recountNode(ctx, ref, from, to, &tries)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		left -= min(left, n)
		if err != nil {
			u.o.Log.Error("what is owed cannot be counted", "uplink", u.o.Name, "group", ref.Group, "node", ref.Node, "err", err)
			unread = append(unread, ref)
		}
	}
	for i, ref := range unread {
		n := left / uint64(len(unread)-i)
		left -= n
		u.notCounted(ref, n)
	}
	return nil
}

// recountNode returns how many samples it found, also when it fails.
func (u *Uplink) recountNode(ctx context.Context, r sparkplug.NodeRef, from, to journal.Index, tries *int) (n uint64, err error) {
	for from < to {
		got, next, err := u.d.Backlog.Backlog(ctx, r.Group, r.Node, from, to, 4096)
		if err == nil && next <= from {
			err = fmt.Errorf("it went on at %d", next)
		}
		switch {
		case err == nil:
			u.feedSamples(got)
			n += uint64(len(got))
			from = next
		case *tries == 0:
			return n, fmt.Errorf("read the historian from %d: %w", from, err)
		default:
			*tries--
			u.o.Log.Warn("read the historian, trying again", "uplink", u.o.Name, "group", r.Group, "node", r.Node, "err", err)
			if err := wait(ctx, recountPause); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
