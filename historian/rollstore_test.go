package historian

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// rollAll rolls up until nothing is left to do.
func (r *rig) rollAll() {
	for r.s.rollUp(context.Background()) {
	}
}

// rollMachine drives a store with random samples and events, late ones too, and compares its rows with those made of
// everything that was sent.
type rollMachine struct {
	*rig
	twin
	metrics int
	kinds   []journal.DataType
	waiting []twinSample
	start   time.Time
	turned  time.Time // of the last death or birth: they come late, but in their order
}

func (m *rollMachine) turn(at time.Time) time.Time {
	if at.Before(m.turned) {
		at = m.turned.Add(time.Second)
	}
	m.turned = at
	return at
}

func (m *rollMachine) key(n int) journal.SeriesKey {
	k := key(n % (m.metrics - 1)) // the last is a type epoch of the first
	k.Type = m.kinds[n]
	return k
}

func (m *rollMachine) send(metric int, v journal.Sample) {
	v.Value.Type = m.kinds[metric]
	if v.At &^= 1; metric == m.metrics-1 {
		v.At |= 1
	}
	m.rig.add(m.key(metric), v)
	m.waiting = append(m.waiting, twinSample{metric: metric, Sample: v})
}

func (m *rollMachine) sync() {
	m.follow()
	for _, v := range m.waiting {
		m.twin.add(v.metric, v.Sample)
	}
	m.waiting = nil
}

func rollValue(t *rapid.T, kind journal.DataType) journal.Value {
	x := rapid.IntRange(0, 4).Draw(t, "value")
	if kind == 10 {
		return journal.Value{Type: kind, Num: math.Float64bits(float64(x)/4 - 0.5)}
	}
	return journal.Value{Type: kind, Num: uint64(x)}
}

func (m *rollMachine) actions() map[string]func(*rapid.T) {
	qualities := []journal.Quality{journal.Good, journal.Good, journal.Good, journal.Bad, 64}
	some := func(t *rapid.T, around time.Time, spread int) {
		metric := rapid.IntRange(0, m.metrics-1).Draw(t, "metric")
		for range rapid.IntRange(1, 6).Draw(t, "n") {
			at := ms(around) + journal.Millis(rapid.IntRange(-spread, spread).Draw(t, "ms"))
			m.send(metric, journal.Sample{At: at, Received: ms(m.clock.Now()), Value: rollValue(t, m.kinds[metric]),
				Quality: rapid.SampledFrom(qualities).Draw(t, "q")})
		}
	}
	past := func(t *rapid.T) time.Time {
		return m.clock.Now().Add(-time.Duration(rapid.IntRange(0, 40*60).Draw(t, "minutes ago")) * time.Minute)
	}
	return map[string]func(*rapid.T){
		"live": func(t *rapid.T) { some(t, m.clock.Now(), 2000) },
		"later": func(t *rapid.T) {
			m.clock.Set(m.clock.Now().Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "minutes")) * time.Minute))
		},
		"late":        func(t *rapid.T) { some(t, past(t), 600_000) },
		"at the hour": func(t *rapid.T) { some(t, past(t).Truncate(time.Hour), 2) },
		"dense": func(t *rapid.T) {
			metric, start := rapid.IntRange(0, m.metrics-2).Draw(t, "metric"), past(t)
			for i := range 400 {
				m.send(metric, journal.Sample{At: ms(start) + journal.Millis(i)*2000, Value: rollValue(t, m.kinds[metric]), Quality: journal.Good})
			}
		},
		"death": func(t *rapid.T) {
			m.addEvent(death(m.turn(rapid.SampledFrom([]time.Time{m.clock.Now(), past(t), past(t).Truncate(time.Hour)}).Draw(t, "when"))))
		},
		"birth": func(t *rapid.T) {
			at := m.turn(rapid.SampledFrom([]time.Time{m.clock.Now(), past(t)}).Draw(t, "when"))
			m.addEvent(birth(journal.NodeBirth, "", at))
			m.addEvent(birth(journal.DeviceBirth, "d", at))
		},
		"gap": func(t *rapid.T) {
			from := past(t)
			until := from.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "long")) * time.Minute)
			m.addEvent(journal.Event{Kind: journal.GapEvent, At: ms(from), Until: ms(until), Group: "g", Node: "n", Reason: "lost"})
		},
		"flush":   func(t *rapid.T) { m.sync(); m.flush(flushAll) },
		"roll up": func(t *rapid.T) { m.sync(); m.flush(flushWindows); m.rollAll() },
		"one turn": func(t *rapid.T) {
			m.sync()
			m.flush(flushWindows)
			for day := range m.s.rollDaysSet() { // an hour of any day
				budget := 1
				if _, err := m.s.rollDay(context.Background(), day, true, &budget); err != nil {
					t.Fatal(err)
				}
			}
		},
		"reopen": func(t *rapid.T) { m.sync(); m.rig.close(); m.rig.open() },
		"crash":  func(t *rapid.T) { m.sync(); m.rig.crash(); m.rig.open() },
		"":       m.check,
	}
}

func (s *Store) rollDaysSet() map[int64]bool {
	s.rollDays()
	out := make(map[int64]bool)
	for day := range s.rolling {
		out[day] = true
	}
	return out
}

func (m *rollMachine) check(t *rapid.T) {
	m.sync()
	for metric := range m.metrics - 1 {
		for _, step := range []journal.Millis{minuteMillis, hourMillis} {
			m.compare(t, metric, step, rapid.IntRange(0, 3000).Draw(t, "from"))
		}
	}
}

// expected are all rows of a metric from m.start to now, as they are stored.
func (m *rollMachine) expected(t *rapid.T, q *query, metric int, step journal.Millis) (out []Rollup) {
	from := ms(m.start)
	hours := int((ms(m.clock.Now())-from)/hourMillis) + 1
	end := from + journal.Millis(hours)*hourMillis
	list := m.twin.read(metric, 0, end)
	if metric == 0 {
		list = m.twin.both(0, end, m.metrics-1)
	}
	gaps, err := m.s.gaps(context.Background(), q.owner, 0, end)
	if err != nil {
		t.Fatal(err)
	}
	var r roller
	rows := func(step journal.Millis, n int) []Rollup {
		r.begin(from, step, n, held{}, Edges(gaps))
		for _, v := range list {
			r.add(pointOf(v))
		}
		rows, _ := r.end()
		return slices.Clone(rows)
	}
	minutes, whole := rows(minuteMillis, 60*hours), rows(hourMillis, hours)
	for i := range whole {
		fine, hour := minutes[60*i:60*(i+1)], whole[i:i+1]
		if counted(fine) >= minuteSamples {
			fine = rowsAsStored(t, fine)
			hour = []Rollup{hourOf(hour[0].At, fine)}
		} else {
			hour = rowsAsStored(t, hour)
		}
		if step == hourMillis {
			fine = hour
		}
		out = append(out, fine...)
	}
	return out
}

// rowsAsStored are the rows of an hour with integrals and sums as a block has them, rounded.
func rowsAsStored(t *rapid.T, rows []Rollup) []Rollup {
	list := slices.DeleteFunc(slices.Clone(rows), func(r Rollup) bool { return r.Empty() })
	if len(list) == 0 {
		return rows
	}
	if _, err := chunk.EncodeRollups(hourSpan(rows[0].At), []chunk.Rollups{{Series: 1, Rows: list, Quality: journal.Good}}); err != nil {
		t.Fatal(err)
	}
	return list
}

func (m *rollMachine) compare(t *rapid.T, metric int, step journal.Millis, minutes int) (unknown journal.Millis) {
	k := m.key(metric)
	from := ms(m.start) + journal.Millis(minutes)*minuteMillis/2
	q, err := m.s.query(Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: from, To: ms(m.clock.Now())})
	if err != nil {
		return 0 // nothing was sent
	}
	want := m.expected(t, q, metric, step)
	slack := 1e-3
	if step == hourMillis {
		slack = 1 // the trend file rounds once more, to the last digit of the values of a day: at most 1
	}
	at := from
	err = q.rollups(context.Background(), step, func(p rollPart) bool {
		if p.From != at || p.To <= p.From {
			t.Fatalf("part from %d to %d, after %d", p.From, p.To, at)
		}
		at = p.To
		if !p.Known {
			unknown += p.To - p.From
			return true
		}
		rows := p.Rows
		for _, w := range want {
			if w.At < p.From || w.Until > p.To {
				continue
			}
			got := chunk.NoRollup(w.At, w.Until)
			if len(rows) > 0 && rows[0].At == w.At {
				got, rows = rows[0], rows[1:]
			}
			if err := nearRow(w, got, slack); err != nil {
				t.Fatalf("metric %d, row of %d ms at %s: %v\nwant %+v\ngot  %+v", metric, step, stampText(w.At), err, w, got)
			}
		}
		if len(rows) > 0 {
			t.Fatalf("metric %d: row %+v too many", metric, rows[0])
		}
		return true
	})
	if err != nil || from < q.to && at != q.to {
		t.Fatalf("rows up to %d of %d: %v", at, q.to, err)
	}
	return unknown
}

// nearRow compares rows; Integral may differ by slack.
func nearRow(want, got Rollup, slack float64) error {
	near := func(a, b, by float64) bool { return math.Abs(a-b) <= by || math.IsNaN(a) && math.IsNaN(b) }
	if !near(want.Sum, got.Sum, 1e-3) || !near(want.Integral, got.Integral, slack) {
		return fmt.Errorf("sum %g and integral %g, want %g and %g", got.Sum, got.Integral, want.Sum, want.Integral)
	}
	same := want.At == got.At && want.Until == got.Until && near(want.First, got.First, 0) && near(want.Last, got.Last, 0) &&
		near(want.Min, got.Min, 0) && near(want.Max, got.Max, 0) && want.GoodMs == got.GoodMs && want.Count == got.Count &&
		want.Good == got.Good && want.Quality == got.Quality
	if !same {
		return fmt.Errorf("rows differ")
	}
	return nil
}

func TestRollupsAgainstEverythingSent(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		start := noon.Truncate(24 * time.Hour)
		r := newRigAt(t, dir, Options{HeadBytes: 1 << 20}, start.Add(45*time.Hour))
		m := &rollMachine{rig: r, metrics: 3, kinds: []journal.DataType{10, 4, 3}, start: start.Add(-time.Hour)}
		defer func() { m.rig.close() }()
		t.Repeat(m.actions())
		// In the end all that is over is known.
		m.sync()
		m.clock.Set(m.clock.Now().Add(25 * time.Hour))
		for i := range m.metrics - 1 {
			m.send(i, journal.Sample{At: ms(m.clock.Now()), Value: journal.Value{Num: 0}, Quality: journal.Good})
		}
		m.sync()
		m.flush(flushAll)
		m.rollAll()
		for metric := range m.metrics - 1 {
			m.compare(t, metric, minuteMillis, 0)
			m.compare(t, metric, hourMillis, 0)
		}
	})
}

// steady records two hours of a metric of each minute and one of each second, and a day later closes the day.
func steady(r *rig) {
	for i := range 7200 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Second), float64(i%50)/4))
		if i%600 == 0 {
			r.add(key(1), at(noon.Add(time.Duration(i)*time.Second), float64(i)))
		}
	}
	r.clock.Set(noon.Add(13 * time.Hour))
	r.add(key(0), at(r.clock.Now(), 1))
	r.follow()
	r.s.lookAtClock()
	r.flush(flushAll)
}

// rowsOf are the known rows of a metric, and how much of the time is not known.
func (r *rig) rowsOf(k journal.SeriesKey, step journal.Millis, from, to time.Time) (rows []Rollup, unknown time.Duration) {
	r.t.Helper()
	q, err := r.s.query(Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: ms(from), To: ms(to)})
	if err != nil {
		r.t.Fatal(err)
	}
	err = q.rollups(context.Background(), step, func(p rollPart) bool {
		rows = append(rows, p.Rows...)
		if !p.Known {
			unknown += time.Duration(p.To-p.From) * time.Millisecond
		}
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return rows, unknown
}

func sameRowList(t *testing.T, what string, want, got []Rollup) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		if err := nearRow(want[i], got[i], 0); err != nil {
			t.Errorf("%s: row %d: %v", what, i, err)
		}
	}
}

// What a crash leaves between two transactions is finished after the start.
func TestRollUpAfterACrash(t *testing.T) {
	day := dayOf(ms(noon))
	meta := func(r *rig, f func(*bolt.Bucket) error) {
		r.t.Helper()
		if err := r.s.days.get(day).update(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketMeta)) }); err != nil {
			r.t.Fatal(err)
		}
	}
	for name, tear := range map[string]func(r *rig){
		"samples are in the file, nothing is rolled up": func(r *rig) {
			meta(r, func(b *bolt.Bucket) error { return remove(b, bucketMeta, metaRolled) })
			if err := r.s.days.get(day).update(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketMinute) }); err != nil {
				r.t.Fatal(err)
			}
			if err := r.s.days.get(day).update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucketMinute); return err }); err != nil {
				r.t.Fatal(err)
			}
		},
		"half of the hours are rolled up": func(r *rig) {
			meta(r, func(b *bolt.Bucket) error { return (&rolled{until: ms(noon) + hourMillis}).put(b, day) })
		},
		"the trend file has the day, the day does not say so": func(r *rig) {
			meta(r, func(b *bolt.Bucket) error { return (&rolled{until: dayStart(day + 1)}).put(b, day) })
		},
		"the day says so, the trend file is gone": func(r *rig) {
			if err := r.s.trends.drop(monthOf(ms(noon))); err != nil {
				r.t.Fatal(err)
			}
		},
		"an hour is marked, what it is marked for did not happen": func(r *rig) {
			if _, err := r.s.markDay(day, ms(noon), []uint32{0}); err != nil {
				r.t.Fatal(err)
			}
		},
		"a block of rollups is damaged": func(r *rig) {
			err := r.s.days.get(day).update(func(tx *bolt.Tx) error {
				return put(tx.Bucket(bucketMinute), bucketMinute, hourKey(ms(noon), 1), []byte("damaged"))
			})
			if err != nil {
				r.t.Fatal(err)
			}
			if _, err := r.s.markDay(day, ms(noon), []uint32{1}); err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			steady(r)
			r.rollAll()
			from, to := noon.Truncate(24*time.Hour), noon.Truncate(24*time.Hour).Add(24*time.Hour)
			minutes, _ := r.rowsOf(key(0), minuteMillis, from, to)
			hours, unknown := r.rowsOf(key(0), hourMillis, from, to)
			slow, _ := r.rowsOf(key(1), hourMillis, from, to)
			if len(minutes) < 120 || len(hours) < 2 || len(slow) < 2 || unknown != 0 {
				t.Fatalf("%d minutes, %d and %d hours, %s not known", len(minutes), len(hours), len(slow), unknown)
			}
			tear(r)
			r.crash()
			r.open()
			defer r.close()
			r.s.lookAtClock()
			r.rollAll()
			after, _ := r.rowsOf(key(0), minuteMillis, from, to)
			sameRowList(t, "minutes", minutes, after)
			after, unknown = r.rowsOf(key(0), hourMillis, from, to)
			sameRowList(t, "hours", hours, after)
			after, _ = r.rowsOf(key(1), hourMillis, from, to)
			sameRowList(t, "hours of few samples", slow, after)
			if unknown != 0 || !r.s.isTrended(day) {
				t.Errorf("%s not known; in the trend file: %v", unknown, r.s.isTrended(day))
			}
		})
	}
}

// Rows outlive the samples: of a day whose samples left the minutes and the hours, of one that is gone the hours.
func TestRowsOutliveSamples(t *testing.T) {
	r := newRig(t, Options{Raw: 48 * time.Hour, Minute: 96 * time.Hour})
	defer r.close()
	steady(r)
	from, to := noon.Truncate(24*time.Hour), noon.Truncate(24*time.Hour).Add(24*time.Hour)
	r.clock.Set(noon.Add(80 * time.Hour)) // nothing was rolled up before
	r.s.retain()
	if !r.s.days.isThin(dayOf(ms(noon))) {
		t.Fatal("the day has its samples still")
	}
	minutes, unknown := r.rowsOf(key(0), minuteMillis, from, to)
	if n := counted(minutes); n != 7200 || unknown != 0 {
		t.Errorf("minutes count %d samples, %s not known", n, unknown)
	}
	slow, unknown := r.rowsOf(key(1), minuteMillis, from, to)
	if n := counted(slow); n != 12 || unknown != 0 {
		t.Errorf("a metric of few samples: rows count %d, %s not known", n, unknown)
	}
	r.clock.Set(noon.Add(160 * time.Hour))
	r.s.retain()
	for _, when := range []string{"the day is gone", "the catalog and the journal too"} {
		for i, want := range []int{7200, 12} {
			hours, unknown := r.rowsOf(key(i), hourMillis, from, to)
			if n := counted(hours); n != want || unknown != 0 {
				t.Errorf("%s: metric %d: hours count %d samples, want %d; %s not known", when, i, n, want, unknown)
			}
		}
		r.crash()
		if err := errors.Join(os.Remove(filepath.Join(r.dir, "history", "catalog.db")), os.RemoveAll(filepath.Join(r.dir, "journal"))); err != nil {
			t.Fatal(err)
		}
		r.open()
	}
}

// TestMarksRest: an hour that late samples change again and again is rolled up again when an hour of the clock brought none,
// or after a day; until then its rows are not known, so that nobody is told of the old ones.
func TestMarksRest(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.s.markRest = true
	steady(r)
	r.rollAll()
	from, to := noon, noon.Add(time.Hour)
	sent := 3600
	late := func() {
		t.Helper()
		sent++
		r.add(key(0), at(noon.Add(time.Duration(sent)*time.Millisecond+500*time.Microsecond), 1))
		r.follow()
		r.flush(flushAll)
		r.rollAll()
	}
	expect := func(when string, known bool) {
		t.Helper()
		rows, unknown := r.rowsOf(key(0), hourMillis, from, to)
		if n := counted(rows); known && (n != sent || unknown != 0) || !known && unknown != time.Hour {
			t.Errorf("%s: rows count %d of %d samples, %s not known", when, n, sent, unknown)
		}
	}
	pass := func(d time.Duration) { r.clock.Set(r.clock.Now().Add(d)); r.rollAll() }
	pass(time.Hour)
	expect("nothing is late", true)
	late()
	expect("one is late", false)
	pass(59 * time.Minute)
	expect("an hour has not passed", false)
	late()
	pass(59 * time.Minute)
	expect("another came", false)
	pass(time.Minute)
	expect("an hour without", true)
	for range 46 {
		late()
		pass(30 * time.Minute)
		expect("one each half an hour", false)
	}
	late()
	pass(30 * time.Minute)
	late()
	pass(30 * time.Minute)
	expect("for a day", true)
	late()
	r.crash()
	r.open()
	r.s.markRest = true
	r.rollAll()
	expect("after a start", true)
}

// Rows of version 1 in a day file of version 2 are read as they are and after the file was upgraded; an hour that is rolled up again is
// written as it is now, and the trend file, of version 1, upgraded with it.
func TestRollupsOfVersion1(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	steady(r)
	r.rollAll()
	from, to := noon, noon.Add(time.Hour)
	want, _ := r.rowsOf(key(0), minuteMillis, from, to)
	text, err := os.ReadFile("testdata/rollups1.hex")
	if err != nil {
		t.Fatal(err)
	}
	block, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	day, k := r.s.days.get(dayOf(ms(noon))), hourKey(ms(noon), 1)
	err = day.update(func(tx *bolt.Tx) error {
		return errors.Join(tx.Bucket(bucketMinute).Put(k, block), tx.Bucket(bucketMeta).Put(metaVersion, versionRow(2)))
	})
	if err == nil {
		err = r.s.trends.get(monthOf(ms(noon))).update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaVersion, versionRow(1)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	stored := func() (version byte) {
		t.Helper()
		err := day.view(func(tx *bolt.Tx) error { version = tx.Bucket(bucketMinute).Get(k)[1]; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return version
	}
	r.crash()
	r.open()
	day = r.s.days.get(dayOf(ms(noon)))
	for _, when := range []string{"as it is", "upgraded"} {
		got, unknown := r.rowsOf(key(0), minuteMillis, from, to)
		sameRowList(t, when, want, got)
		if unknown != 0 || stored() != 1 {
			t.Errorf("%s: %s not known, block of version %d", when, unknown, stored())
		}
		if err := day.writes(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.s.markDay(day.unit, ms(noon), []uint32{0}); err != nil {
		t.Fatal(err)
	}
	r.rollAll()
	got, _ := r.rowsOf(key(0), minuteMillis, from, to)
	sameRowList(t, "rolled up again", want, got)
	hours, unknown := r.rowsOf(key(0), hourMillis, from, to)
	if n := counted(hours); n != 3600 || unknown != 0 || !r.s.isTrended(day.unit) {
		t.Errorf("hours count %d samples, %s not known", n, unknown)
	}
	versionIn := func(f *storeFile) (version uint32) {
		t.Helper()
		if err := f.view(func(tx *bolt.Tx) error { version, _ = versionOf(tx.Bucket(bucketMeta)); return nil }); err != nil {
			t.Fatal(err)
		}
		return version
	}
	if d, m := versionIn(day), versionIn(r.s.trends.get(monthOf(ms(noon)))); stored() != 2 || d != fileVersion || m != fileVersion {
		t.Errorf("block of version %d, day of %d, month of %d", stored(), d, m)
	}
}

// What rollups take of the processor is counted where it can be asked.
func TestRollupCPU(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	steady(r)
	asked := time.Duration(0)
	r.s.o.CPU = func() time.Duration { asked += time.Second; return asked }
	r.s.rollOn(context.Background())
	if got := r.s.Stats().RollupCPU; got != time.Second {
		t.Errorf("%v, want what passed between two questions, 1s", got)
	}
	r.s.o.CPU = nil
	r.s.rollOn(context.Background())
	if got := r.s.Stats().RollupCPU; got != time.Second {
		t.Errorf("%v, want the second of before", got)
	}
}
