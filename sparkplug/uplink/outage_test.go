package uplink

import (
	"testing"
	"time"

	"edge/sparkplug"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	nodeA = sparkplug.NodeRef{Group: "g", Node: "a"}
	nodeB = sparkplug.NodeRef{Group: "g", Node: "b"}
)

func second(n int) time.Time { return time.Unix(int64(1_000_000+n), 0).UTC() }

func TestBookOfOneOutage(t *testing.T) {
	b := &book{}
	if !b.lost(nodeA, second(0), "cable", "mqtt://x") || b.lost(nodeB, second(1), "later", "mqtt://x") {
		t.Error("an outage opens once")
	}
	b.duplicated(3)
	b.died(nodeA, second(2))
	b.died(nodeA, second(3)) // said twice
	b.reborn(nodeA, second(4))
	if !b.restored(nodeA, second(10), 100) || b.restored(nodeB, second(11), 50) {
		t.Error("it is restored once")
	}
	b.delivered(nodeA, 40)
	b.lost(nodeA, second(12), "again", "mqtt://x") // in the flush
	b.restored(nodeA, second(13), 65)              // 60 of before and 5 new ones
	b.gap(Gap{Group: "g", Node: "a", Count: 10, Reason: "full", From: second(1), To: second(2)})
	b.gap(Gap{Group: "g", Node: "a", Count: 5, Reason: "full", From: second(2), To: second(5)})
	b.waived(nodeA, 15)
	b.delivered(nodeA, 50)
	b.delivered(nodeB, 50)
	if b.drained(nodeA, second(20)) != nil {
		t.Error("closed while b is on the way")
	}
	if b = decodeBook(b.encode()); b.Open == nil {
		t.Fatal("the open report did not outlive a restart")
	}
	got := b.drained(nodeB, second(21))
	want := &Outage{ID: 1, From: second(0), To: second(21), Restored: second(10), Cause: "cable", Server: "mqtt://x",
		Owed: 155, Delivered: 140, Waived: 15, Duplicated: 3,
		Gaps: []Gap{{Group: "g", Node: "a", Count: 15, Reason: "full", From: second(1), To: second(5)}},
		Nodes: []NodeOutage{{Group: "g", Node: "a", Owed: 105, Delivered: 90, Deaths: []Span{{second(2), second(4)}}},
			{Group: "g", Node: "b", Owed: 50, Delivered: 50}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if l := b.list(); len(l) != 1 || b.Open != nil {
		t.Errorf("list %+v", l)
	}
	b.lost(nodeA, second(30), "cable", "mqtt://x")
	b.restored(nodeA, second(31), 0)
	b.drained(nodeA, second(32))
	back := decodeBook(b.encode(), mustJSON(b.fresh[0]), []byte("{"), mustJSON(b.fresh[1]))
	if diff := cmp.Diff(b.list(), back.list()); diff != "" || len(b.fresh) != 2 || back.LastID != 2 {
		t.Error(diff)
	}
}

// Whatever happens in whatever order: a closed report has owed = delivered + waived.
func TestBookAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &book{}
		nodes := []sparkplug.NodeRef{nodeA, nodeB}
		owed := map[sparkplug.NodeRef]uint64{}
		cut := map[sparkplug.NodeRef]uint64{} // of owed, from before the session
		up := map[sparkplug.NodeRef]bool{}
		for i := range rapid.IntRange(1, 100).Draw(t, "steps") {
			r := rapid.SampledFrom(nodes).Draw(t, "node")
			now := second(i)
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0: // samples; live ones while up
				n := uint64(rapid.IntRange(1, 50).Draw(t, "n"))
				owed[r] += n
				if up[r] {
					owed[r] -= n
				}
			case 1:
				b.lost(r, now, "x", "y")
				up[r] = false
			case 2:
				if !up[r] {
					b.restored(r, now, owed[r])
					cut[r], up[r] = owed[r], true
				}
			case 3, 4: // a barrier
				if up[r] && cut[r] > 0 {
					n := uint64(rapid.IntRange(1, int(cut[r])).Draw(t, "delivered"))
					b.delivered(r, n)
					owed[r], cut[r] = owed[r]-n, cut[r]-n
				}
			case 5: // the queue's bound, with and without a session
				if n := min(owed[r], 7); n > 0 && (!up[r] || cut[r] >= n) {
					b.waived(r, n)
					owed[r] -= n
					if up[r] {
						cut[r] -= n
					}
				}
			}
			if up[r] && cut[r] == 0 {
				if o := b.drained(r, now); o != nil {
					var perNode uint64
					for _, n := range o.Nodes {
						perNode += n.Owed
					}
					if o.Owed != o.Delivered+o.Waived || perNode != o.Owed {
						t.Fatalf("does not add up: %+v", o)
					}
				}
			}
			if i%7 == 0 {
				b = decodeBook(b.encode())
			}
		}
	})
}

func TestBookIsBounded(t *testing.T) {
	b := &book{}
	for i := range 3 * maxOutages {
		b.lost(nodeA, second(i), "x", "y")
		for k := range 3 * maxGaps {
			b.gap(Gap{Group: "g", Node: "a", Count: 1, Reason: string(rune('a' + k))})
			b.died(nodeA, second(k))
			b.reborn(nodeA, second(k))
		}
		b.restored(nodeA, second(i), 0)
		b.drained(nodeA, second(i))
	}
	l := b.list()
	if len(l) != maxOutages || l[0].ID != 3*maxOutages || len(l[0].Gaps) != maxGaps || len(l[0].Nodes[0].Deaths) != maxDeaths {
		t.Errorf("%d reports, the newest %d with %d gaps and %d deaths", len(l), l[0].ID, len(l[0].Gaps), len(l[0].Nodes[0].Deaths))
	}
}

// A damaged value costs that value, never more.
func FuzzDecodeBook(f *testing.F) {
	b := &book{}
	b.lost(nodeA, second(0), "x", "y")
	f.Add(b.encode())
	f.Add([]byte(`{"open":{},"pending":{"g/a":{"i":7}}}`))
	f.Add([]byte(`{"open":{},"pending":{"g/a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := decodeBook(data, data)
		b.lost(nodeA, second(1), "x", "y")
		b.restored(nodeA, second(2), 5)
		b.delivered(nodeA, 5)
		b.drained(nodeA, second(3))
		_ = b.list()
	})
}

func FuzzRestoreNode(f *testing.F) {
	f.Add([]byte(`{"done":[{"f":1,"t":10},{"f":20,"t":30,"n":4}],"fed":40,"owed":9}`))
	f.Add([]byte(`{"done":[{"f":5,"t":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := newNode(&Uplink{o: Options{}.withDefaults()}, nodeA)
		err := n.restore(data, 100)
		if !n.done.valid() {
			t.Fatalf("restored %v, %v", n.done, err)
		}
		n.cursorLocked(100)
		n.done.shrink(2)
	})
}
