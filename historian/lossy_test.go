package historian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	"pgregory.net/rapid"
)

// lossyMachine is a twinMachine whose store loses things: retention takes days, files are damaged at rest, the log is lost. It checks what
// is left of the promise: every sample of an answer was sent, with that value and quality, and what was sent and is not there was
// taken by retention, or lies in a gap that the answer tells.
type lossyMachine struct {
	*twinMachine
	refused map[int]bool  // places in the list of samples that were older than retention when they came
	known   int           // up to this place in the list it is known of which
	thin    map[int64]int // samples of the day from this place in the list on were refused: it had become thin
	taken   map[int64]int // samples of the day before this place in the list were taken by retention
	copies  map[string][]byte
	damaged bool // a file was damaged
	noState bool // the catalog was
}

func (m *lossyMachine) actions() map[string]func(*rapid.T) {
	out := m.twinMachine.actions()
	delete(out, "ask") // its answers are exact
	out["age"] = func(t *rapid.T) {
		m.retain(func() {
			m.clock.Set(m.clock.Now().Add(time.Duration(rapid.IntRange(6, 40).Draw(t, "hours later")) * time.Hour))
			m.s.retainAge()
		})
	}
	out["bytes"] = func(t *rapid.T) {
		m.retain(func() {
			m.s.measure()
			m.s.o.MaxBytes = m.s.bytes.Load() * int64(rapid.IntRange(110, 170).Draw(t, "percent of what is there")) / 100
			m.s.retainBytes()
			m.s.o.MaxBytes = 0
		})
	}
	out["damage"] = m.damage
	out["damage again"] = m.damage
	out[""] = m.check
	return out
}

// retain notes which days lose their samples.
func (m *lossyMachine) retain(f func()) {
	m.sync()
	m.noteRefused()
	m.flush(flushAll)
	m.rollAll()
	before := make(map[int64]uint64)
	for _, day := range m.s.days.existing(0, 1<<40) {
		_, t := m.s.days.info(day)
		before[day] = t.samples
	}
	f()
	for day := range before {
		if _, t := m.s.days.info(day); t.samples == 0 && before[day] > 0 {
			m.taken[day] = len(m.list)
		}
	}
	m.noteThin()
	m.follow()
}

// lastTaken is the place in a list of places of the last sample that was not refused, -1 if all may have been.
func (m *lossyMachine) lastTaken(list []int) int {
	n := len(list) - 1
	for n >= 0 && m.refused[list[n]] {
		n--
	}
	return n
}

func (m *lossyMachine) noteRefused() {
	for ; m.known < len(m.list); m.known++ {
		m.refused[m.known] = m.tooOld(m.list[m.known].At)
	}
}

func (m *lossyMachine) noteThin() {
	for _, day := range m.s.days.existing(0, 1<<40) {
		if _, was := m.thin[day]; !was && m.s.days.isThin(day) {
			m.thin[day] = len(m.list)
		}
	}
	for day := range m.thin {
		if !m.s.days.isThin(day) {
			delete(m.thin, day)
		}
	}
}

// copy keeps the files as they are, of those that it has no copy of.
func (m *lossyMachine) copy(files []string) {
	for _, path := range files {
		if _, have := m.copies[path]; !have {
			m.copies[path], _ = os.ReadFile(path)
		}
	}
}

// damage changes bytes of a random file while the store is closed, and sometimes takes the log away.
func (m *lossyMachine) damage(t *rapid.T) {
	m.sync()
	m.rig.close()
	files, _ := filepath.Glob(filepath.Join(m.dir, "history", "*", "*.db"))
	files = append(files, filepath.Join(m.dir, "history", "catalog.db"))
	files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(filepath.Dir(f)) == "quarantine" })
	path := rapid.SampledFrom(files).Draw(t, "file")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m.copy(files)
	pages := len(data) / pageBytes
	page := data[rapid.IntRange(0, pages-1).Draw(t, "page")*pageBytes:][:pageBytes]
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		page[rapid.IntRange(0, pageBytes-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 1:
		clear(page)
	case 2:
		for i := range page {
			page[i] ^= 0xA5
		}
	case 3:
		data = data[:rapid.IntRange(0, pages-1).Draw(t, "pages left")*pageBytes]
	case 4: // as it was when something was damaged before: a disk lost what came later
		data = m.copies[path]
		delete(m.copies, path)
	case 5: // it has another one's name now
		data = m.copies[rapid.SampledFrom(files).Draw(t, "other file")]
	}
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "the log is lost") {
		if err := os.RemoveAll(filepath.Join(m.dir, "journal")); err != nil {
			t.Fatal(err)
		}
	}
	m.damaged, m.loose = true, true
	m.rig.open()
	m.follow()
	m.noState = m.noState || filepath.Base(path) == "catalog.db"
}

func (m *lossyMachine) check(t *rapid.T) {
	m.sync()
	for _, day := range m.s.days.existing(0, 1<<40) {
		if m.s.days.isThin(day) { // it takes no samples, and counts them
			m.taken[day] = len(m.list)
		}
	}
	m.noteThin()
	m.noteRefused()
	for metric := range m.metrics - 1 {
		m.checkMetric(t, metric)
	}
	m.checkLast(t)
}

// sent are the samples of a metric at a time, in order of arrival, its epochs together; optional says that retention took the last.
func (m *lossyMachine) sent(metric int) map[journal.Millis][]int {
	out := make(map[journal.Millis][]int)
	for i, v := range m.list {
		if v.metric == metric || metric == 0 && v.metric == m.metrics-1 {
			out[v.At] = append(out[v.At], i)
		}
	}
	return out
}

func (m *lossyMachine) checkMetric(t *rapid.T, metric int) {
	k := m.key(metric)
	sent := m.sent(metric)
	got, err := m.s.Read(context.Background(), Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, To: 1 << 50, Limit: maxLimit})
	if err != nil && (len(sent) == 0 || m.noState) { // its number was in the catalog, and in files that were damaged too
		return
	}
	if err != nil {
		t.Fatalf("metric %d: %v", metric, err)
	}
	there := make(map[journal.Millis]bool)
	for _, v := range got.Samples {
		there[v.At] = true
		list := sent[v.At]
		i := slices.IndexFunc(list, func(i int) bool { return sameAnswer(v, m.list[i].Sample) })
		if i < 0 {
			t.Fatalf("metric %d: %+v was never sent", metric, v)
		}
		counts := max(0, m.lastTaken(list)) // what came behind it may have been refused, or not
		last := m.list[list[counts]].Sample
		if !slices.ContainsFunc(list[counts:], func(i int) bool { return sameAnswer(v, m.list[i].Sample) }) && !m.told(got.Gaps, v.At) {
			t.Fatalf("metric %d: %+v was corrected to %+v; gaps %v", metric, v, last, got.Gaps)
		}
	}
	for at, list := range sent {
		if !there[at] && m.lastTaken(list) >= 0 && list[len(list)-1] >= m.taken[dayOf(at)] && !m.tooOld(at) && !m.told(got.Gaps, at) {
			t.Fatalf("metric %d: %+v is not there, and in no gap of %v\n%s", metric, m.list[list[len(list)-1]], got.Gaps, m.story())
		}
	}
	m.checkHours(t, k, sent, got.Gaps)
	for _, g := range m.gaps {
		mid := g.From
		if g.To != 0 {
			mid = (g.From + g.To) / 2
		}
		if !m.told(got.Gaps, g.From) && !m.told(got.Gaps, mid) && (g.To == 0 || g.To > g.From) {
			t.Fatalf("metric %d: of the gap %v nothing is told: %v\n%s", metric, g, got.Gaps, m.story())
		}
	}
}

func (m *lossyMachine) tooOld(at journal.Millis) bool {
	return dayStart(dayOf(at)+1) <= ms(m.clock.Now().Add(-m.o.Raw))
}

func (m *lossyMachine) told(gaps []Gap, at journal.Millis) bool {
	return slices.ContainsFunc(gaps, func(g Gap) bool { return g.From <= at && (g.To == 0 || at < g.To) })
}

// toldIn says that a gap touches a stretch of time.
func (m *lossyMachine) toldIn(gaps []Gap, from, to journal.Millis) bool {
	return slices.ContainsFunc(gaps, func(g Gap) bool { return g.From < to && (g.To == 0 || from < g.To) })
}

// checkHours: no row has a number that was not sent before its end.
func (m *lossyMachine) checkHours(t *rapid.T, k journal.SeriesKey, sent map[journal.Millis][]int, gaps []Gap) {
	q, err := m.s.query(Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric,
		From: ms(noon) - 4*dayMillis, To: ms(m.clock.Now())})
	if err != nil {
		return
	}
	err = q.rollups(context.Background(), hourMillis, func(p rollPart) bool {
		for _, row := range p.Rows {
			count := 0
			known := map[float64]bool{}
			for at, list := range sent {
				for _, i := range list {
					if f, ok := m.list[i].Value.Float64(); ok && at < row.Until {
						known[f] = true
					}
				}
				if at >= row.At && at < row.Until {
					count++
				}
			}
			if row.Count > count || row.Good > 0 && (!known[row.Min] || !known[row.Max]) || row.GoodMs > 0 && row.Last == row.Last && !known[row.Last] {
				t.Fatalf("the row %+v of %s is not of %d samples that were sent", row, k.Metric, count)
			}
			if row.Count < count && p.Known && dayOf(row.At) > 0 && m.taken[dayOf(row.At)] == 0 && !m.tooOld(row.At) && !m.toldIn(gaps, row.At, row.Until) {
				if !m.damaged {
					t.Fatalf("the row %+v of %s counts less than %d samples; gaps %v", row, k.Metric, count, gaps)
				}
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkLast: of each series some sample that was sent, the newest unless that was lost, and never a good one of a device that is dead.
func (m *lossyMachine) checkLast(t *rapid.T) {
	list, err := m.s.Latest(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dead := len(m.gaps) > 0 && m.gaps[len(m.gaps)-1].To == 0 && !m.unseen // the death of what has no series yet is not kept beyond its day
	for _, v := range list {
		if dead && v.Quality == journal.Good && !m.noState {
			t.Fatalf("the device is dead, Latest is %+v\n%s", v, m.story())
		}
		if !slices.ContainsFunc(m.list, func(w twinSample) bool {
			id, _ := m.s.Resolve(m.key(w.metric))
			return id == v.Series && w.At == v.At && chunk.EqualValue(w.Value, v.Value)
		}) {
			t.Fatalf("Latest has %+v, which was never sent", v)
		}
	}
	if m.damaged { // the catalog, for all that is known here
		return
	}
	seen := map[int]bool{}
	for i, w := range m.list {
		if from, thin := m.thin[dayOf(w.At)]; seen[w.metric] || m.refused[i] || thin && i >= from {
			continue
		}
		seen[w.metric] = true
		id, _ := m.s.Resolve(m.key(w.metric))
		if !slices.ContainsFunc(list, func(v journal.Sample) bool { return v.Series == id }) {
			t.Fatalf("Latest has nothing of metric %d\n%s", w.metric, m.story())
		}
	}
}

// story is what the store says of itself.
func (m *lossyMachine) story() (out string) {
	list, err := m.s.Events(context.Background(), EventQuery{Limit: maxEvents})
	for _, e := range list {
		out += fmt.Sprintf("%d %s %s..%s %s\n", e.Index, e.Kind, stampText(e.At), stampText(e.Until), e.Reason)
	}
	return fmt.Sprint(out, err)
}

// TestLossyStoreAgainstASortedSlice: whatever is lost is told as lost.
func TestLossyStoreAgainstASortedSlice(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		r := newRigIn(t, dir, Options{HeadBytes: 1 << 20, Raw: 96 * time.Hour, Minute: 192 * time.Hour})
		m := &lossyMachine{twinMachine: &twinMachine{rig: r, metrics: 4, kinds: []journal.DataType{4, 11, 12, 3}, turned: noon.Add(-30 * time.Hour)},
			copies: make(map[string][]byte), taken: make(map[int64]int), thin: make(map[int64]int), refused: make(map[int]bool)}
		defer m.rig.close()
		t.Repeat(m.actions())
	})
}
