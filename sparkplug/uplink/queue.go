package uplink

import (
	"context"
	"slices"
	"time"

	"edge/historian/journal"
)

// Why samples are given up: the labels of Status.Drops.
const (
	reasonAge       = "queue_age"         // older than Queue.Age
	reasonFull      = "queue_full"        // Queue.Bytes
	reasonType      = "datatype_changed"  // and the value does not fit the new one
	reasonSchema    = "too_many_metrics"  // to be declared
	reasonSize      = "packet_too_large"  // for the server
	reasonElsewhere = "history_elsewhere" // the flush mode
	reasonRecycled  = "not_kept"          // neither the journal nor the historian has them any more
	reasonUnread    = "not_counted"       // the historian that has them cannot be read; so many at most
)

// sampleBytes is what one owed sample is estimated to take on the wire.
const sampleBytes = 48

// trimBatches bounds the work of one trim.
const trimBatches = 8

// bound looks whether more is owed than Queue.Bytes allows, and tells each node its share of what is too much. The oldest
// of each node go first.
func (u *Uplink) bound(nodes []*node) {
	if u.o.Queue.Bytes == 0 {
		return
	}
	var total uint64
	for _, n := range nodes {
		n.mu.Lock()
		total += n.owed
		n.mu.Unlock()
	}
	limit := u.o.Queue.Bytes / sampleBytes
	u.full.Store(total >= limit)
	if total <= limit || u.o.Queue.Full != "drop_oldest" {
		return
	}
	for _, n := range nodes {
		n.mu.Lock()
		n.excess = (total - limit) * n.owed / total
		n.mu.Unlock()
		n.poke()
	}
}

// trim gives up what the queue's bounds no longer allow; s is the node's session, if it has one.
func (n *node) trim(ctx context.Context, s *session) {
	for range trimBatches {
		n.mu.Lock()
		var limit journal.Millis
		if n.u.o.Queue.Age > 0 {
			limit = journal.Millis(n.u.o.Clock().Add(-n.u.o.Queue.Age).UnixMilli())
		}
		excess, upto := n.excess, n.fed
		over := n.owed > 0 && (excess > 0 || n.oldest < limit)
		var skip intervals
		if over && s == nil {
			skip = slices.Clone(n.done)
		}
		n.mu.Unlock()
		if !over {
			return
		}
		if s != nil {
			skip, upto = s.sent, s.pos
			if from, _, _ := skip.gap(upto); from <= s.restored {
				upto = s.restored // a batch is of one side of the cut
			}
		}
		if !n.trimBatch(ctx, s, skip, upto, excess, limit) {
			return
		}
	}
}

// trimBatch gives up the oldest excess samples, and those that arrived before limit. It returns whether there may be more.
func (n *node) trimBatch(ctx context.Context, s *session, skip intervals, upto journal.Index, excess uint64, limit journal.Millis) bool {
	from, _, ok := skip.gap(upto)
	if !ok {
		return false
	}
	got, to, err := n.readHistory(ctx, from, upto, skip, 4096)
	if err != nil || to < from {
		return false
	}
	reason := reasonAge
	k := 0
	for k < len(got) && (uint64(k) < excess || got[k].Received < limit) {
		if got[k].Received >= limit {
			reason = reasonFull
		}
		k++
	}
	more := k == len(got)
	if !more {
		to = got[k].Index - 1
	}
	gone := Gap{Group: n.ref.Group, Node: n.ref.Node, Count: uint64(k), Reason: reason}
	for i, o := range got[:k] {
		at := time.UnixMilli(int64(o.At))
		if i == 0 || at.Before(gone.From) {
			gone.From = at
		}
		if at.After(gone.To) {
			gone.To = at
		}
	}
	rest := got[:k]
	var spans []span
	for _, g := range skip.gaps(from, to) {
		for len(rest) > 0 && rest[0].Index <= g.To {
			g.N++
			rest = rest[1:]
		}
		spans = append(spans, g)
	}
	n.mu.Lock()
	n.settle(spans)
	n.excess -= min(n.excess, uint64(k))
	if !more {
		n.oldest = got[k].Received
	} else if k > 0 {
		n.oldest = got[k-1].Received
	}
	n.mu.Unlock()
	n.history = historyReader{}
	if s != nil {
		s.sent.add(span{From: from, To: to})
	}
	if k > 0 {
		n.u.giveUp(gone)
		if s == nil || from <= s.restored {
			n.u.waived(n.ref, uint64(k))
		}
	}
	return more
}
