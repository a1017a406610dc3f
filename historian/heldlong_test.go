package historian

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// heldTwin is one metric of two datatypes that says little for weeks: what holds is told by going through all of it.
type heldTwin struct {
	*rig
	sent  []journal.Sample // in order of arrival
	edges []journal.Millis
	alive bool
	late  int  // hours
	gone  bool // retention took samples
}

// holds is what holds just before a time.
func (m *heldTwin) holds(at journal.Millis) string {
	var last journal.Sample
	for _, v := range m.sent {
		if v.At < at && v.At >= last.At {
			last = v
		}
	}
	for _, e := range m.edges {
		if e > last.At && e < at {
			return "-"
		}
	}
	return heldText(&last)
}

func heldText(v *journal.Sample) string {
	f, ok := v.Value.Float64()
	if v.At == 0 || !ok || v.Quality == journal.Bad {
		return "-"
	}
	return fmt.Sprint(f)
}

// held is what a cursor says, and nothing beyond an edge.
func (m *heldTwin) held(t *rapid.T, at journal.Millis) string {
	c, err := m.s.Cursor("g", "n", "d", "m0", at, at+hourMillis)
	if err != nil {
		t.Fatal(err)
	}
	v, ok, err := c.Held(context.Background(), at, 0)
	if err != nil {
		t.Fatal(err)
	}
	gaps, err := m.s.Gaps(context.Background(), "g", "n", "d", v.At, at)
	if err != nil {
		t.Fatal(err)
	}
	if !ok || nextEdge(Edges(gaps), v.At) < at {
		return "-"
	}
	return heldText(&v)
}

func (m *heldTwin) step(t *rapid.T) {
	now := m.clock.Now()
	switch what := rapid.IntRange(0, 13).Draw(t, "what"); what {
	case 0, 1, 2: // a sample of now, or one that comes late
		when := now
		if what > 0 {
			when = now.Add(-time.Duration(rapid.IntRange(1, m.late*3600).Draw(t, "s late")) * time.Second)
		}
		k, v := key(0), at(when, float64(rapid.IntRange(0, 3).Draw(t, "value")))
		if rapid.IntRange(0, 3).Draw(t, "type") == 0 {
			k.Type, v.Value.Num = 3, uint64(7)
			v.At++ // epochs do not meet: whether a repetition in one outdoes the other is not said
		}
		if rapid.IntRange(0, 5).Draw(t, "q") == 0 {
			v.Quality = journal.Bad
		}
		if v.Historical = what == 2; v.Historical {
			v.At += 2 // nor do live and historical samples
		}
		v.Received = max(ms(now), v.At)
		m.add(k, v)
		v.Value.Type = k.Type
		m.sent = append(m.sent, v)
	case 3, 4: // of another metric, so that there are days
		m.add(key(1), at(now.Add(-time.Duration(rapid.IntRange(0, m.late/2).Draw(t, "h late"))*time.Hour), 1))
	case 5:
		if rapid.IntRange(0, 2).Draw(t, "turn") > 0 {
			break
		}
		e := death(now)
		if m.alive = !m.alive; m.alive {
			m.addEvent(birth(journal.NodeBirth, "", now))
			e = birth(journal.DeviceBirth, "d", now)
		}
		m.addEvent(e)
		m.edges = append(m.edges, ms(now))
	case 6:
		m.follow()
		m.flush(flushAll)
	case 7:
		m.follow()
		m.flush(flushWindows)
		m.rollAll()
		if m.o.Raw > 0 {
			m.s.retain()
			m.gone = m.gone || slices.ContainsFunc(m.s.days.existing(0, 1<<40), m.s.days.isThin)
		}
	case 8:
		m.follow()
		m.rig.close()
		m.rig.open()
	default:
		m.clock.Set(now.Add(time.Duration(rapid.IntRange(1, 30*3600).Draw(t, "s")) * time.Second))
	}
}

// TestHeldAgainstEverythingSent: what holds is found however long ago it came, whatever is rolled up, late, or in memory.
func TestHeldAgainstEverythingSent(t *testing.T) {
	gone := 0
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		m := &heldTwin{rig: newRigIn(t, dir, Options{}), alive: true, late: 200}
		if rapid.Bool().Draw(t, "retention") {
			m.rig.close()
			m.rig, m.late = newRigIn(t, dir, Options{Raw: 48 * time.Hour, Minute: time.Duration(rapid.SampledFrom([]int{100, 1000}).Draw(t, "minute")) * time.Hour}), 20
		}
		defer func() {
			if m.rig.close(); m.gone {
				gone++
			}
		}()
		begin := m.clock.Now().Add(-10 * 24 * time.Hour)
		m.add(key(0), at(m.clock.Now(), 5))
		m.sent = append(m.sent, at(m.clock.Now(), 5))
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			m.step(t)
			if rapid.IntRange(0, 5).Draw(t, "ask") > 0 {
				continue
			}
			m.follow()
			for range 8 {
				when := begin.Add(time.Duration(rapid.Int64Range(1, int64(m.clock.Now().Sub(begin)/time.Millisecond)).Draw(t, "at")) * time.Millisecond)
				if m.o.Raw > 0 && dayOf(ms(when)) <= dayOf(ms(m.clock.Now()))-4 { // of the hours in it nobody knows
					continue
				}
				if got, want := m.held(t, ms(when)), m.holds(ms(when)); got != want {
					t.Fatalf("at %v: %s holds, want %s", when, got, want)
				}
			}
		}
	})
	t.Logf("retention took samples %d times", gone)
}
