package uplink

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
)

// keeper is a historian in memory: it has what was written to the journal, also when that has it no more.
type keeper struct {
	r     *rig
	list  []journal.Sample
	broke func(node string) bool // it cannot be read now; called by every node's goroutine
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
	if k.broke != nil && k.broke(node) {
		return nil, 0, errors.New("input/output error")
	}
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

// forgotten is a rig whose uplink was killed while it was cut off: of 40 samples of n and other nothing is kept but in the historian.
func forgotten(t *testing.T, s *server, history *keeper) *rig {
	r := newRigOver(t, quick(s.as()), journal.Options{SegmentBytes: 64 << 10, MaxBytes: 128 << 10})
	history.r = r
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
	return r
}

// A node that appeared just before the program was killed is in no record of the uplink's. What it said is owed all the same when it
// has left the journal, and a node of which nothing is owed does not come back.
func TestNodeOfNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		r := forgotten(t, s, &keeper{})
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

// A historian that cannot be read for a while is asked again, over a stop of the program too: nothing that it has is forgotten.
func TestHistorianComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		history := &keeper{}
		r := forgotten(t, s, history)
		var failed atomic.Int64
		history.broke = func(string) bool { failed.Add(1); return true }
		r.start()
		r.alive()
		pass(3 * time.Second)
		r.stop()
		if st := r.up.Status(); failed.Load() < 2 || st.Drops[reasonUnread] != 0 {
			t.Fatalf("stopped after %d errors, given up %v", failed.Load(), st.Drops)
		}
		failed.Store(0)
		history.broke = func(string) bool { return failed.Add(1) < 10 }
		r.start()
		r.birth("g", "n", "", oven[0])
		r.birth("g", "other", "", oven[0])
		pass(20 * time.Second)
		c.verdict()
		if distinct, again := c.counts(); distinct != 40 || again != 0 {
			t.Errorf("%d of 40 samples came, %d twice", distinct, again)
		}
		if st := r.up.Status(); st.Delivered != 40 || st.Owed != 0 || len(st.Drops) != 0 {
			t.Errorf("%d delivered, %d owed, given up %v", st.Delivered, st.Owed, st.Drops)
		}
	})
}

// What the historian does not tell of a node is given up with a count, an event and a gap in an outage report; the other nodes'
// samples are delivered.
func TestHistorianDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		history := &keeper{}
		r := forgotten(t, s, history)
		failed := 0
		history.broke = func(node string) bool {
			if node == "n" {
				failed++
			}
			return node == "n"
		}
		before := r.j.Durable()
		r.start()
		r.alive()
		r.birth("g", "n", "", oven[0])
		r.birth("g", "other", "", oven[0])
		pass(2 * time.Minute)
		c.verdict()
		if distinct, again := c.counts(); distinct != 20 || again != 0 {
			t.Errorf("%d samples came, %d twice; want the 20 of other", distinct, again)
		}
		if failed != recountTries+1 {
			t.Errorf("asked %d times, want %d", failed, recountTries+1)
		}
		st := r.up.Status()
		lost := st.Drops[reasonUnread]
		if lost < 20 || lost > uint64(before) {
			t.Errorf("given up %v; want 20 or somewhat more", st.Drops)
		}
		found := false
		for _, o := range r.up.Outages() {
			if o.Owed != o.Delivered+o.Waived || o.To.IsZero() {
				t.Errorf("does not add up, or lasts: %+v", o)
			}
			for _, g := range o.Gaps {
				found = found || g.Node == "n" && g.Reason == reasonUnread && g.Count == lost && o.Waived == lost
			}
		}
		if !found {
			t.Errorf("no report has the gap: %+v", r.up.Outages())
		}
		told := false
		for j := r.j.NewReader(before+1, journal.KindEvent); ; {
			rec, ok, err := j.TryNext()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			e := rec.Event
			told = told || e.Kind == journal.UplinkEvent && e.Node == "n" && e.Count == lost && strings.Contains(e.Reason, "cannot be read")
		}
		if !told {
			t.Error("no event tells of it")
		}
	})
}
