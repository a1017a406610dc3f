package historian

import (
	"cmp"
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	"pgregory.net/rapid"
)

// twin is what the store was sent, in order of arrival.
type twin struct {
	list []twinSample
}

type twinSample struct {
	metric int
	again  bool // a repetition of the sample that counts at its time
	journal.Sample
}

func (w *twin) add(metric int, v journal.Sample) {
	again := false
	for i := len(w.list) - 1; i >= 0; i-- {
		if o := &w.list[i]; o.metric == metric && o.At == v.At {
			again = o.Quality == v.Quality && chunk.EqualValue(o.Value, v.Value)
			break
		}
	}
	w.list = append(w.list, twinSample{metric, again, v})
}

// read is the answer to a range.
func (w *twin) read(metric int, from, to journal.Millis) (out []journal.Sample) {
	byTime := make(map[journal.Millis]journal.Sample)
	for _, v := range w.list {
		if v.metric == metric && v.At >= from && v.At < to {
			byTime[v.At] = v.Sample
		}
	}
	for _, v := range byTime {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b journal.Sample) int { return cmp.Compare(a.At, b.At) })
	return out
}

// twinMachine drives the store and its twin with the same random steps.
type twinMachine struct {
	*rig
	twin
	metrics int
	kinds   []journal.DataType
	sent    []twinSample // to be sent again
	waiting []twinSample // appended, not yet read by the store

	events []journal.Event // in order of arrival
	gaps   []Gap           // by From; only the last may last
	turned time.Time       // up to here it is known when the device lived
	unseen bool            // nothing had been sent when it died last
}

// turn adds an event some time after the one before, unless that is still to come.
func (m *twinMachine) turn(t *rapid.T) {
	at := m.turned.Add(time.Duration(rapid.IntRange(1, 6*3600_000).Draw(t, "until the turn")) * time.Millisecond)
	if at.After(m.clock.Now()) {
		return
	}
	n := len(m.gaps)
	dead := n > 0 && m.gaps[n-1].To == 0
	e := death(at)
	switch {
	case dead:
		e = birth(journal.DeviceBirth, "d", at)
		m.gaps[n-1].To = ms(at)
	case rapid.Bool().Draw(t, "gap"):
		e = journal.Event{Kind: journal.GapEvent, At: ms(at), Until: ms(at) + journal.Millis(rapid.IntRange(1, 3600_000).Draw(t, "gap of")),
			Group: "g", Node: "n", Reason: "lost"}
		m.gaps = append(m.gaps, Gap{From: e.At, To: e.Until})
		at = at.Add(time.Duration(e.Until-e.At) * time.Millisecond)
	default:
		m.gaps, m.unseen = append(m.gaps, Gap{From: ms(at)}), len(m.list) == 0
	}
	m.turned = at
	m.addEvent(e)
	m.events = append(m.events, e)
}

func (m *twinMachine) key(n int) journal.SeriesKey {
	k := key(n % (m.metrics - 1))
	k.Type = m.kinds[n] // the last metric is a type epoch of the first
	return k
}

func (m *twinMachine) send(metric int, v journal.Sample) {
	v.Value.Type = m.kinds[metric]
	v.At &^= 3
	if metric == m.metrics-1 {
		v.At |= 1 // epochs do not meet: whether a repetition in one outdoes the other is not said
	}
	if v.Historical {
		v.At |= 2 // nor do live and historical samples: which of them is then the latest is not said
	}
	v.Received = max(v.Received, v.At) // nor is any ahead of its arrival: a repetition of it may be the latest until it is stored
	m.rig.add(m.key(metric), v)
	m.waiting = append(m.waiting, twinSample{metric: metric, Sample: v})
}

func (m *twinMachine) actions() map[string]func(*rapid.T) {
	value := func(t *rapid.T, metric int) journal.Value {
		v := journal.Value{Type: m.kinds[metric], Num: rapid.Uint64Range(0, 4).Draw(t, "value")}
		if v.Type == 12 {
			v.Num, v.Bytes = 0, []byte(rapid.StringN(0, 3, 9).Draw(t, "text"))
		}
		return v
	}
	draw := func(t *rapid.T, at time.Time, spread int) {
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			metric := rapid.IntRange(0, m.metrics-1).Draw(t, "metric")
			when := ms(at) + journal.Millis(rapid.IntRange(-spread, spread).Draw(t, "ms"))
			m.send(metric, journal.Sample{At: when, Received: ms(m.clock.Now()), Value: value(t, metric),
				Quality: rapid.SampledFrom([]journal.Quality{journal.Good, journal.Bad}).Draw(t, "q"), Historical: spread > 5000})
		}
	}
	return map[string]func(*rapid.T){
		"live":     func(t *rapid.T) { draw(t, m.clock.Now(), 3000) },
		"late":     func(t *rapid.T) { draw(t, m.clock.Now().Add(-20*time.Minute), 1_200_000) },
		"old days": func(t *rapid.T) { draw(t, m.clock.Now().Add(-30*time.Hour), 86_400_000) },
		"again": func(t *rapid.T) {
			if len(m.sent) > 0 {
				v := rapid.SampledFrom(m.sent).Draw(t, "which")
				m.send(v.metric, v.Sample)
			}
		},
		"in order": func(t *rapid.T) { // a backlog that fills a window
			metric := rapid.IntRange(0, m.metrics-1).Draw(t, "metric")
			start := m.clock.Now().Add(-time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
			for i := range 100 {
				m.send(metric, journal.Sample{At: ms(start.Add(time.Duration(i) * time.Second)), Value: value(t, metric), Quality: journal.Good,
					Historical: true})
			}
		},
		"time": func(t *rapid.T) {
			m.clock.Set(m.clock.Now().Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "s")) * time.Second))
		},
		"flush":   func(t *rapid.T) { m.sync(); m.flush(flushAll) },
		"window":  func(t *rapid.T) { m.sync(); m.flush(flushWindows) },
		"reopen":  func(t *rapid.T) { m.sync(); m.rig.close(); m.rig.open() },
		"crash":   func(t *rapid.T) { m.sync(); m.rig.crash(); m.rig.open() },
		"turn":    m.turn,
		"roll up": func(t *rapid.T) { m.sync(); m.flush(flushWindows); m.rollAll() },
		"ask": func(t *rapid.T) {
			m.sync()
			p := m.plant()
			p.ask(t)
			p.askRows(t, minuteMillis)
			p.askRows(t, hourMillis)
		},
		"": m.check,
	}
}

// plant is what was sent as charts and aggregates see it.
func (m *twinMachine) plant() *plantOfQuestions {
	p := &plantOfQuestions{rig: m.rig, gaps: m.gaps, sent: make(map[Metric]map[journal.Millis]journal.Sample)}
	for metric := range m.metrics - 1 {
		k := m.key(metric)
		byTime := make(map[journal.Millis]journal.Sample)
		for _, v := range m.all(metric, 0, 1<<50) {
			byTime[v.At] = v
		}
		if len(byTime) > 0 {
			p.sent[Metric{k.Group, k.Node, k.Device, k.Metric}] = byTime
		}
	}
	return p
}

// all is the answer to a range of a metric, its epochs together.
func (m *twinMachine) all(metric int, from, to journal.Millis) []journal.Sample {
	if metric == 0 {
		return m.twin.both(from, to, m.metrics-1)
	}
	return m.twin.read(metric, from, to)
}

// sync lets the store read what was sent, and then the twin.
func (m *twinMachine) sync() {
	m.follow()
	for _, v := range m.waiting {
		m.twin.add(v.metric, v.Sample)
		m.sent = append(m.sent, v)
	}
	m.waiting = nil
}

func (m *twinMachine) check(t *rapid.T) {
	m.sync()
	now := ms(m.clock.Now())
	from := now - journal.Millis(rapid.IntRange(0, 200_000_000).Draw(t, "from"))
	to := from + journal.Millis(rapid.IntRange(1, 250_000_000).Draw(t, "to"))
	m.checkRead(t, from, to)
	m.checkLast(t)
	m.checkEvents(t)
	rows, err := m.s.Rows(Selection{Group: "g", From: from, To: to})
	if err != nil && len(m.sent) > 0 {
		t.Fatal(err)
	}
	if rows == nil {
		return
	}
	for name, list := range rowsOf(t, m.s, Selection{Group: "g", From: from, To: to}) {
		sameRows(t, m.s, name, list, from, to)
	}
}

func (m *twinMachine) checkRead(t *rapid.T, from, to journal.Millis) {
	for metric := range m.metrics - 1 {
		want := m.all(metric, from, to)
		k := m.key(metric)
		got, err := m.s.Read(context.Background(), Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: from, To: to})
		if err != nil && len(want) > 0 {
			t.Fatal(err)
		}
		if len(got.Samples) != len(want) {
			t.Fatalf("metric %d: %d samples, want %d", metric, len(got.Samples), len(want))
		}
		for i, v := range got.Samples {
			if !sameAnswer(v, want[i]) {
				t.Fatalf("metric %d: sample %d is %+v, want %+v", metric, i, v, want[i])
			}
		}
		if want, got := seen(m.gaps, from, to), seen(got.Gaps, from, to); err == nil && !slices.Equal(want, got) {
			t.Fatalf("metric %d: gaps %v, want %v", metric, got, want)
		}
	}
}

func sameAnswer(a, b journal.Sample) bool {
	return a.At == b.At && a.Quality == b.Quality && chunk.EqualValue(a.Value, b.Value)
}

// checkLast: of each series the newest live sample counts, or the newest if none is live; of two of one time the last to arrive.
func (m *twinMachine) checkLast(t *rapid.T) {
	newest := make(map[int]journal.Sample)
	for i, w := range m.twin.list {
		w.Index = journal.Index(i)
		if v, ok := newest[w.metric]; !ok || outdoes(&w.Sample, &v) {
			newest[w.metric] = w.Sample
		}
	}
	list, err := m.s.Latest(context.Background(), nil)
	if err != nil || len(list) != len(newest) {
		t.Fatalf("Latest: %d series, want %d; %v", len(list), len(newest), err)
	}
	dead := len(m.gaps) > 0 && m.gaps[len(m.gaps)-1].To == 0
	for metric, want := range newest {
		if dead && want.Quality != journal.Bad {
			want.Quality = journal.Stale
		}
		id, _ := m.s.Resolve(m.key(metric))
		i := slices.IndexFunc(list, func(v journal.Sample) bool { return v.Series == id })
		if i < 0 || !sameAnswer(list[i], want) {
			t.Fatalf("metric %d: Latest is %+v, want %+v", metric, list, want)
		}
		k := m.key(metric)
		if got, ok := m.s.Last(k.Group, k.Node, k.Device, k.Metric); metric > 0 && metric < m.metrics-1 && (!ok || !sameAnswer(got, want)) {
			t.Fatalf("metric %d: Last is %+v, want %+v", metric, got, want)
		}
	}
}

func (m *twinMachine) checkEvents(t *rapid.T) {
	got, err := m.s.Events(context.Background(), EventQuery{Group: "g", Limit: maxEvents})
	if err != nil || len(got) != len(m.events) {
		t.Fatalf("%d events, want %d; %v", len(got), len(m.events), err)
	}
	for i, e := range slices.Backward(m.events) {
		if v := got[len(got)-1-i]; v.Kind != e.Kind || v.At != e.At || v.Until != e.Until || v.Device != e.Device {
			t.Fatalf("event %d is %+v, want %+v", i, v, e)
		}
	}
}

// checkRetention lets days grow too old: their samples are gone, all others are there.
func (m *twinMachine) checkRetention(t *rapid.T) {
	m.flush(flushAll)
	m.clock.Set(m.clock.Now().Add(time.Duration(rapid.IntRange(0, 150).Draw(t, "hours later")) * time.Hour))
	m.s.retain()
	oldest := dayOf(ms(m.clock.Now().Add(-m.o.Raw)))
	m.twin.list = slices.DeleteFunc(m.twin.list, func(v twinSample) bool { return dayOf(v.At) < oldest })
	m.checkRead(t, 0, ms(m.clock.Now())+dayMillis)
}

// both is read for two type epochs of one metric: the last to arrive counts, of whatever type.
func (w *twin) both(from, to journal.Millis, other int) []journal.Sample {
	joined := twin{}
	for _, v := range w.list {
		if v.metric == other {
			v.metric = 0
		}
		joined.list = append(joined.list, v)
	}
	return joined.read(0, from, to)
}

func TestStoreAgainstASortedSlice(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		r := newRigIn(t, dir, Options{HeadBytes: 1 << 20, Raw: 96 * time.Hour})
		m := &twinMachine{rig: r, metrics: 4, kinds: []journal.DataType{4, 11, 12, 3}, turned: noon.Add(-30 * time.Hour)}
		defer m.rig.close()
		t.Repeat(m.actions())
		m.checkBacklog(t)
		m.checkRetention(t)
	})
}

// checkBacklog reads everything in index order in small steps: what was sent, in order of arrival, each at most once.
func (m *twinMachine) checkBacklog(t *rapid.T) {
	m.sync()
	var got []journal.Sample
	end := m.j.Durable() + 1
	for from := journal.Index(1); from < end; {
		list, next, err := m.s.Backlog(context.Background(), "g", "n", from, end, rapid.IntRange(1, 50).Draw(t, "limit"))
		if err != nil {
			t.Fatal(err)
		}
		if next <= from {
			t.Fatalf("Backlog from %d goes on at %d", from, next)
		}
		got, from = append(got, list...), next
	}
	n := 0
	for i, v := range got {
		if i > 0 && v.Index <= got[i-1].Index {
			t.Fatalf("index %d after %d", v.Index, got[i-1].Index)
		}
	}
	for _, w := range m.twin.list {
		switch {
		case n < len(got) && w.At == got[n].At && w.Quality == got[n].Quality && chunk.EqualValue(w.Value, got[n].Value):
			n++
		case !w.again: // a repetition may be left out
			t.Fatalf("Backlog sample %d of %d should be %+v", n, len(got), w)
		}
	}
	if n != len(got) {
		t.Fatalf("Backlog gave %d samples more than were sent", len(got)-n)
	}
}
