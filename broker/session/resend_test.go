package session

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSmallerReceiveMaximum resumes a session with a Receive Maximum below what is unacknowledged: PUBLISH packets wait for a place, PUBREL
// packets do not [MQTT-3.3.4-10] [MQTT-4.9.0-3], and their PUBCOMP counts.
func TestSmallerReceiveMaximum(t *testing.T) {
	s := New("c", &Limits{})
	var o Output
	connect := func(max int) {
		s.Connect(Connect{Protocol: 5, Expiry: time.Hour, ReceiveMaximum: max}, start, &o)
		o.Reset()
	}
	connect(10)
	for i := range 5 {
		s.Deliver(Delivery{Message: message(i), QoS: 2}, true, &o)
	}
	for _, id := range []uint16{3, 5} {
		s.Pubrec(id, false, &o)
	}
	s.Disconnect(false, -1, start, &o)
	connect(1)
	expect := func(step string, want ...uint16) {
		t.Helper()
		o.Reset()
		s.Pump(1000, start, &o)
		var got []uint16
		for _, p := range o.Send {
			got = append(got, p.PacketID)
			if (p.Kind == Pubrel) != (p.PacketID == 3 || p.PacketID == 5) {
				t.Errorf("%s: %+v", step, p)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: sent %v, want %v", step, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: sent %v, want %v", step, got, want)
			}
		}
	}
	expect("resumed", 1, 3, 5)
	expect("again")
	if !s.Pubcomp(5, &o) || !s.Pubcomp(3, &o) || s.Pubcomp(5, &o) {
		t.Error("PUBCOMP of what was sent early")
	}
	expect("PUBCOMP made no place")
	for _, id := range []uint16{1, 2, 4} {
		if !s.Pubrec(id, true, &o) {
			t.Errorf("PUBREC %d", id)
		}
		if next := map[uint16]uint16{1: 2, 2: 4}[id]; next > 0 {
			expect("a place", next)
		}
	}
	if s.QueuedBytes() != 0 {
		t.Errorf("%d bytes left", s.QueuedBytes())
	}
}

// takeAgain checks what is sent again: in its first order, but a PUBREL does not wait for a place in the window [MQTT-3.3.4-10].
func (m *machine) takeAgain(t *rapid.T, p *Send) bool {
	w := m.twin.window()
	for m.twin.again > 0 && m.twin.early[m.twin.entries[w-m.twin.again].PacketID] {
		m.twin.again--
	}
	if m.twin.again == 0 {
		return false
	}
	i := w - m.twin.again
	e := m.twin.entries[i]
	if p.Kind == Pubrel && p.PacketID != e.PacketID && i >= m.twin.quota {
		if j := slices.IndexFunc(m.twin.entries[i:w], func(e Entry) bool { return e.PacketID == p.PacketID }); j < 0 || m.twin.early[p.PacketID] {
			t.Fatalf("sent again %+v", p)
		}
		m.twin.early[p.PacketID] = true
		return true
	}
	m.twin.again--
	if p.PacketID != e.PacketID || (p.Kind == Pubrel) != (e.State == Released) || p.Kind == Publish && (!p.Dup || i >= m.twin.quota) {
		t.Fatalf("sent again %+v, want %+v", p, e)
	}
	return true
}
