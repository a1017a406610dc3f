package session

import (
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"edge/broker/topic"
)

// Steps of TestSessionAgainstTwin.

// give hands a message of a shared subscription over to another session: which may go, and that it is gone.
func (m *machine) give(t *rapid.T) {
	var want []Entry
	for _, e := range m.twin.entries {
		if e.Shared != "" && (e.State == Queued || e.State == Sent && e.QoS == 1) { // [MQTT-4.8.2-4]
			want = append(want, e)
		}
	}
	got := m.s.Movable()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Entry{}, "IDs")); diff != "" {
		t.Fatalf("may be given (-twin +session):\n%s", diff)
	}
	if len(got) == 0 {
		if m.s.Giving(m.s.lastSeq+1, &m.o) {
			t.Fatal("gives what it does not have")
		}
		return
	}
	e := rapid.SampledFrom(got).Draw(t, "entry")
	if !m.s.Giving(e.Seq, &m.o) {
		t.Fatal("does not give what it may")
	}
	m.s.Give(e.Seq)
	i := slices.IndexFunc(m.twin.entries, func(x Entry) bool { return x.Seq == e.Seq })
	if w := m.twin.window(); i < w && i >= w-m.twin.again {
		m.twin.again--
	}
	m.twin.entries = slices.Delete(m.twin.entries, i, i+1)
	m.carry(t)
}

// replay begins, goes on with or ends the replay of retained messages for a subscription.
func (m *machine) replay(t *rapid.T) {
	f := rapid.SampledFrom([]topic.Filter{"a", "b", "c/#"}).Draw(t, "filter")
	if _, ok := m.s.Subscription(f); !ok {
		t.Skip("not subscribed")
	}
	switch rapid.IntRange(0, 2).Draw(t, "how far") {
	case 0:
		m.s.BeginReplay(f, &m.o)
	case 1:
		m.s.ReplayedTo(f, "c/x", &m.o)
	default:
		m.s.EndReplay(f, &m.o)
	}
	m.carry(t)
}
