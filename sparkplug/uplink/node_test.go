package uplink

import (
	"encoding/json"
	"testing"
	"time"

	"edge/historian/journal"
)

// testNode is a node of an uplink without a journal.
func testNode() *node {
	return newNode(&Uplink{o: Options{PrimaryHost: "scada"}.withDefaults()}, nodeA)
}

// On disk the set is smaller than in memory; what is dropped from it is owed again.
func TestRecordIsBounded(t *testing.T) {
	n := testNode()
	n.owed = 1000
	for i := range journal.Index(100) {
		n.settle([]span{{10 + 10*i, 12 + 10*i, 3}})
	}
	n.fed = 5000
	if n.owed != 700 {
		t.Fatalf("%d owed, want 700", n.owed)
	}
	back := testNode()
	if err := back.restore(n.record(5000), 5000); err != nil {
		t.Fatal(err)
	}
	if len(back.done) != maxSpans || back.owed != 700+3*(100-maxSpans) || len(n.done) != 100 || n.owed != 700 {
		t.Errorf("%d spans and %d owed on disk, %d and %d in memory", len(back.done), back.owed, len(n.done), n.owed)
	}
	if n.record(5000) != nil {
		t.Error("a record though nothing changed")
	}
}

// A node that owes nothing has its cursor at the end of the feed.
func TestRecordOfADrainedNode(t *testing.T) {
	n := testNode()
	n.changed, n.fed = true, 10
	var r nodeRecord
	if err := json.Unmarshal(n.record(500), &r); err != nil {
		t.Fatal(err)
	}
	if r.Fed != 500 || r.Owed != 0 || r.Done.cursor() != 500 {
		t.Errorf("record %+v", r)
	}
}

func TestUnreadableRecord(t *testing.T) {
	for _, data := range []string{"", "{", `{"done":[{"f":9,"t":3}]}`, `{"done":[{"f":1,"t":18446744073709551615}]}`} {
		n := testNode()
		if err := n.restore([]byte(data), 77); err == nil || n.fed != 77 || n.owed != 0 || n.done.cursor() != 77 {
			t.Errorf("%q: err %v, fed %d, owed %d, cursor %d", data, err, n.fed, n.owed, n.done.cursor())
		}
	}
}

// The rewind takes back what was confirmed since, and its memory is bounded.
func TestRewind(t *testing.T) {
	n := testNode()
	at := func(i int) time.Time { return second(i) }
	for i := range 100 {
		from := journal.Index(10*i + 1)
		n.mu.Lock()
		n.owed += 4
		n.fed = from + 9
		n.mu.Unlock()
		n.confirm(&group{spans: []span{{from, from + 9, 4}}}, at(i))
	}
	if n.owed != 0 || n.done.cursor() != 1000 || len(n.recent) != 91 {
		t.Fatalf("%d owed, cursor %d, %d remembered", n.owed, n.done.cursor(), len(n.recent))
	}
	if got := n.rewind(at(90)); got != 40 || n.owed != 40 || n.done.cursor() != 900 {
		t.Errorf("%d rewound, %d owed, cursor %d", got, n.owed, n.done.cursor())
	}
	if got := n.rewind(at(0)); got != 0 {
		t.Errorf("%d rewound twice", got)
	}
	for i := range 5 {
		spans := make([]span, 3000)
		n.confirm(&group{spans: spans}, at(200+i))
	}
	if n.spans > maxRecent {
		t.Errorf("%d spans remembered", n.spans)
	}
}
