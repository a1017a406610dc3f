package uplink

import (
	"context"
	"errors"
	"fmt"

	"edge/historian/journal"
)

// scanSamples bounds how much of the journal one read for one node goes through.
const scanSamples = 20_000

// A historyReader reads one node's owed samples, in index order, from the journal or, where it no longer reaches, from
// the historian. It belongs to the proxy goroutine.
type historyReader struct {
	r    *journal.Reader
	rest []journal.Sample // read, not yet looked at
	next journal.Index    // where rest and r go on
}

// An owedSample is a sample with what it is of.
type owedSample struct {
	journal.Sample
	*series
}

// readHistory returns at most most samples of the node in [from, upto] that are not in sent. Everything up to to
// has been looked at, also when there is no sample.
func (n *node) readHistory(ctx context.Context, from, upto journal.Index, sent intervals, most int) (got []owedSample, to journal.Index, err error) {
	if oldest := n.u.d.Journal.Oldest(); from < oldest {
		return n.readBacklog(ctx, from, min(upto, oldest-1), sent, most)
	}
	h := &n.history
	if h.r == nil || h.next != from {
		h.r, h.rest, h.next = n.u.d.Journal.NewReader(from, journal.KindSamples), nil, from
	}
	for scanned := 0; scanned < scanSamples && h.next <= upto; {
		if len(h.rest) == 0 {
			rec, ok, err := h.r.TryNext()
			if err != nil {
				h.r = nil
				if errors.Is(err, journal.ErrRecycled) {
					return got, h.next - 1, nil // the rest is the historian's
				}
				return got, h.next - 1, fmt.Errorf("read journal at %d: %w", h.next, err)
			}
			if !ok {
				h.r, h.next = nil, upto+1
				break
			}
			h.rest = rec.Samples
		}
		s := h.rest[0]
		if s.Index > upto {
			h.next = upto + 1
			h.r = nil
			break
		}
		h.rest, h.next = h.rest[1:], s.Index+1
		scanned++
		if o, ok := n.owes(s, sent); ok {
			got = append(got, o)
			if len(got) == most {
				break
			}
		}
	}
	return got, h.next - 1, nil
}

func (n *node) readBacklog(ctx context.Context, from, upto journal.Index, sent intervals, most int) (got []owedSample, to journal.Index, err error) {
	if n.u.d.Backlog == nil {
		return nil, upto, nil // settled tells how much is lost
	}
	samples, next, err := n.u.d.Backlog.Backlog(ctx, n.ref.Group, n.ref.Node, from, upto+1, most)
	if err != nil {
		return nil, from - 1, fmt.Errorf("read the historian from %d: %w", from, err)
	}
	if next <= from || next > upto+1 {
		return nil, from - 1, fmt.Errorf("read the historian from %d: it went on at %d", from, next)
	}
	for _, s := range samples {
		if o, ok := n.owes(s, sent); ok && s.Index >= from && s.Index < next {
			got = append(got, o)
		}
	}
	return got, next - 1, nil
}

func (n *node) owes(s journal.Sample, sent intervals) (owedSample, bool) {
	i := n.u.lookup(s.Series)
	if i == nil || i.node != n || sent.has(s.Index) {
		return owedSample{}, false
	}
	return owedSample{s, i}, true
}
