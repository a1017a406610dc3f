package uplink

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
)

// keeper is a historian in memory: it has what was written to the journal, also when that has it no more.
type keeper struct {
	r    *rig
	list []journal.Sample
}

// write appends a sample of each node and keeps it.
func (k *keeper) write(nodes ...string) {
	for _, n := range nodes {
		s := k.r.sample("g", n, "", "temp", time.Now(), float64(len(k.list)))
		s.Index = k.r.samples(s)
		k.list = append(k.list, s)
		pass(10 * time.Millisecond)
	}
}

func (k *keeper) Metrics() []journal.Schema { return k.r.metrics() }

func (k *keeper) Backlog(_ context.Context, group, node string, from, to journal.Index, limit int) (out []journal.Sample, next journal.Index, err error) {
	for _, s := range k.list {
		key, _ := k.r.key(s.Series)
		if s.Index < from || s.Index >= to || key.Group != group || key.Node != node {
			continue
		}
		if out = append(out, s); len(out) == limit {
			return out, s.Index + 1, nil
		}
	}
	return out, to, nil
}

// A node that appeared just before the program was killed is in no record of the uplink's. What it said is owed all the same when it
// has left the journal, and a node of which nothing is owed does not come back.
func TestNodeOfNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		r := newRigOver(t, quick(s.as()), journal.Options{SegmentBytes: 64 << 10, MaxBytes: 128 << 10})
		history := &keeper{r: r}
		history.write("gone") // before there was an uplink
		state := &crashingState{StateStore: r.st}
		r.state, r.backlog = state, history
		s.cut()
		r.start()
		pass(100 * time.Millisecond)
		r.birth("g", "n", "", oven[0])
		for range 20 {
			history.write("n", "other")
		}
		said := r.j.Durable()
		state.dead.Store(true)
		r.stop()
		for r.j.Oldest() <= said {
			r.death("g", "filler", "", "")
			pass(10 * time.Millisecond)
		}

		s.restore()
		r.state = r.st
		r.start()
		r.alive()
		r.birth("g", "other", "", oven[0])
		pass(3 * time.Second)
		c.verdict()
		if distinct, again := c.counts(); distinct != 40 || again != 0 {
			t.Errorf("%d of 40 samples came, %d twice", distinct, again)
		}
		st := r.up.Status()
		if st.Delivered != 40 || st.Owed != 0 {
			t.Errorf("%d delivered, %d owed", st.Delivered, st.Owed)
		}
		for _, n := range st.Nodes {
			if n.Node == "gone" {
				t.Errorf("%+v is carried", n)
			}
		}
	})
}
