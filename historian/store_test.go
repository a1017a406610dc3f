package historian

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"
	"edge/historian/journal/powercut"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	powercut.Main()
	if dir := os.Getenv("HISTORIAN_CHILD"); dir != "" {
		childMain(dir)
		return
	}
	if err := flag.Set("rapid.checks", "15"); err != nil { // the twin syncs to disk; -rapid.checks asks for more
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// noon is the time at which most tests begin.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func ms(t time.Time) journal.Millis { return millis(t) }

// clock is set by the test.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	passed time.Duration
}

// Passed is monotonic time: what Set went forward.
func (c *clock) Passed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set lets time pass until t.
func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += max(0, t.Sub(c.now))
	c.now = t
}

// leap sets the wall clock only.
func (c *clock) leap(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// rig is a store over a real journal. The test is its follower and flusher: catchUp and flush are called by hand, so that
// every step is in the test's order.
type rig struct {
	t     rapid.TB
	dir   string
	clock *clock
	o     Options
	jopt  journal.Options
	j     *journal.Journal
	s     *Store
	stop  func()
	loose bool // files may be damaged: they are not checked
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir(), o)
}

func newRigIn(t rapid.TB, dir string, o Options) *rig {
	t.Helper()
	return newRigAt(t, dir, o, noon)
}

func newRigAt(t rapid.TB, dir string, o Options, now time.Time) *rig {
	t.Helper()
	return openedRig(t, dir, o, now, false)
}

// openedRig opens a store whose disk may have lied.
func openedRig(t rapid.TB, dir string, o Options, now time.Time, lied bool) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, clock: &clock{now: now}, o: o, loose: lied}
	r.o.Clock, r.o.Passed = r.clock.Now, r.clock.Passed
	r.o.Space = func() (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	r.jopt = journal.Options{SegmentBytes: 1 << 20, Spares: -1, Clock: r.clock.Now}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.j, err = journal.Open(filepath.Join(r.dir, "journal"), r.jopt); err != nil {
		r.t.Fatal(err)
	}
	if r.s, err = Open(filepath.Join(r.dir, "history"), r.j, r.o); err != nil {
		_ = r.j.Close()
		r.t.Fatal(err)
	}
	r.s.markRest = false
	if told := lies(r.s.opening); !r.loose && len(told) > 0 {
		r.t.Errorf("nothing was lost, and it is told: %q", told)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.j.Run(ctx) }()
	r.stop = func() {
		r.stop = func() {} // also for who ends in the middle of closing
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("journal: %v", err)
		}
		if err := r.j.Close(); err != nil {
			r.t.Errorf("close journal: %v", err)
		}
	}
}

// close stops everything in order and checks every file.
func (r *rig) close() {
	r.t.Helper()
	if err := r.s.Close(); err != nil {
		r.t.Errorf("close: %v", err)
	}
	r.stop()
	r.check()
}

// crash stops without writing the head.
func (r *rig) crash() {
	r.t.Helper()
	if err := r.s.closeFiles(); err != nil {
		r.t.Error(err)
	}
	r.stop()
	r.check()
}

// check runs bbolt's own check on every file, adds up its buckets and decodes every block.
func (r *rig) check() {
	r.t.Helper()
	if r.loose {
		return
	}
	checkFiles(r.t, filepath.Join(r.dir, "history"))
}

func checkFiles(t rapid.TB, dir string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.db"))
	parts, _ := filepath.Glob(filepath.Join(dir, "part", "*.db"))
	if len(files) == 0 {
		t.Errorf("no files in %s", dir)
	}
	months, _ := filepath.Glob(filepath.Join(dir, "trend", "*.db"))
	for _, path := range slices.Concat(files, parts, months) {
		db, err := bolt.Open(path, 0o640, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		err = db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("%s: %v", path, err)
			}
			return errors.Join(checkSums(path, tx), checkBlocks(tx.Bucket(bucketBlock)), checkBlocks(tx.Bucket(bucketLate)))
		})
		if err = errors.Join(err, db.Close()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func checkBlocks(b *bolt.Bucket) error {
	if b == nil {
		return nil
	}
	return b.ForEach(func(_, v []byte) error {
		block, err := chunk.Parse(v)
		if err == nil {
			_, err = block.All(nil)
		}
		return err
	})
}

// key names metric n of device "d" of node "n".
func key(n int) journal.SeriesKey {
	return journal.SeriesKey{Group: "g", Node: "n", Device: "d", Metric: fmt.Sprint("m", n), Type: 10}
}

func double(f float64) journal.Value { return journal.Value{Type: 10, Num: math.Float64bits(f)} }

// add appends samples of one series, each in a record of its own, behind its schema if it is fresh.
func (r *rig) add(k journal.SeriesKey, samples ...journal.Sample) {
	r.t.Helper()
	id, fresh := r.s.Resolve(k)
	if id == 0 {
		r.t.Fatalf("no id for %v", k)
	}
	if fresh {
		r.append(journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: k}})
	}
	for _, v := range samples {
		v.Series, v.Value.Type = id, k.Type
		r.append(journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{v}})
	}
}

func (r *rig) append(rec journal.Record) {
	r.t.Helper()
	_, err := r.j.Append(time.Hour, rec)
	if errors.Is(err, journal.ErrFull) {
		if err = r.j.Flush(context.Background()); err == nil {
			_, err = r.j.Append(time.Hour, rec)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) addEvent(e journal.Event) {
	r.t.Helper()
	e.BdSeq = -1
	r.append(journal.Record{Kind: journal.KindEvent, Event: &e})
}

// follow makes what was appended durable and lets the store read it.
func (r *rig) follow() {
	r.t.Helper()
	if err := r.j.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.s.catchUp(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) flush(windows bool) {
	r.t.Helper()
	if err := r.s.flush(windows); err != nil {
		r.t.Fatal(err)
	}
}

// at is a good sample of a double.
func at(t time.Time, f float64) journal.Sample {
	return journal.Sample{At: ms(t), Received: ms(t) + 5, Value: double(f), Quality: journal.Good}
}

func (r *rig) read(k journal.SeriesKey, from, to time.Time) Samples {
	r.t.Helper()
	out, err := r.s.Read(context.Background(), Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric,
		From: ms(from), To: ms(to), Limit: maxLimit})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func values(list []journal.Sample) (out []float64) {
	for _, v := range list {
		f, _ := v.Value.Float64()
		out = append(out, f)
	}
	return out
}

// TestUntil: a store knows when the one before it ended, or when its last record was written.
// TestDowntime: what is not known of the time before a start is a gap, as long as the clock can tell.
func TestDowntime(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name          string
		crash         bool
		clocks        []time.Duration // from noon: of the start, then of looks a minute after one another
		from, until   time.Duration   // of the last gap, from noon
		marked, whole bool            // there is a gap of a millisecond, one of the whole time
	}{
		{"a stop", false, []time.Duration{5 * hour}, 3 * hour, 5 * hour, false, true},
		{"a crash: from the newest record", true, []time.Duration{5 * hour}, 2 * hour, 5 * hour, false, true},
		{"the clock fell back an hour", false, []time.Duration{2 * hour}, 0, 0, false, false},
		{"ten years ahead for a minute", false, []time.Duration{87_600 * hour, 5*hour + time.Minute}, 3 * hour, 5 * hour, true, true},
		{"ten years ahead, after a crash", true, []time.Duration{87_600 * hour, 5*hour + time.Minute}, 2 * hour, 5 * hour, true, true},
		{"1970 until the network tells", false, []time.Duration{-480_000 * hour, 5*hour + time.Minute}, 3 * hour, 5 * hour, true, true},
		{"ten years ahead for ever", false, []time.Duration{87_600 * hour, 87_600*hour + time.Minute}, 3 * hour, 3*hour + time.Millisecond, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.s.TellDowntime() // a new store has nothing to tell
			r.clock.Set(noon.Add(2 * hour))
			r.add(key(0), at(r.clock.Now(), 1))
			r.follow()
			r.clock.Set(noon.Add(3 * hour))
			if c.crash {
				r.crash()
			} else {
				r.close()
			}
			r.clock.leap(noon.Add(c.clocks[0]))
			r.open()
			r.s.TellDowntime()
			for _, at := range c.clocks[1:] {
				r.clock.Set(r.clock.Now().Add(time.Minute))
				r.clock.leap(noon.Add(at))
				r.s.lookAtClock()
			}
			r.follow()
			list, err := r.s.Events(t.Context(), EventQuery{Kinds: []journal.EventKind{journal.GapEvent}})
			want := 0
			for _, is := range [...]bool{c.marked, c.whole} {
				if is {
					want++
				}
			}
			if err != nil || len(list) != want {
				t.Fatalf("%d gaps, want %d: %+v, %v", len(list), want, list, err)
			}
			if want > 0 && (list[0].At != ms(noon.Add(c.from)) || list[0].Until != ms(noon.Add(c.until))) {
				t.Errorf("a gap from %s to %s, want from %v to %v after noon", stampText(list[0].At), stampText(list[0].Until), c.from, c.until)
			}
			r.close()
		})
	}
}

// What was written by a clock that was wrong does not say until when the store ran.
func TestDowntimeAfterAWrongClock(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 1))
	r.follow()
	r.flush(flushAll)
	r.clock.leap(noon.Add(87_600 * time.Hour))
	r.add(key(0), at(noon.Add(time.Minute), 2))
	r.follow()
	r.crash()
	r.clock.leap(noon.Add(time.Hour))
	r.open()
	r.s.TellDowntime()
	r.follow()
	list, err := r.s.Events(t.Context(), EventQuery{Kinds: []journal.EventKind{journal.GapEvent}})
	if err != nil || len(list) != 1 || list[0].At != ms(noon) || list[0].Until != ms(noon.Add(time.Hour)) {
		t.Errorf("gaps %+v, %v, want one from noon, an hour long", list, err)
	}
	r.close()
}

// An appliance that dies again while its clock is doubted owes the whole gap, until it is told.
func TestDowntimeIsOwed(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name   string
		clocks []time.Duration // from noon, one of each start; the last is right
		flush  string          // x: before it dies
	}{
		{"1970, and again", []time.Duration{-480_000 * hour, -480_000 * hour, 5 * hour}, "...."},
		{"1970, and again, with files", []time.Duration{-480_000 * hour, -480_000 * hour, 5 * hour}, "xxxx"},
		{"1970, and again, told in the log", []time.Duration{-480_000 * hour, -480_000 * hour, 5 * hour}, "xx.."},
		{"ten years ahead, and again", []time.Duration{87_600 * hour, 87_600*hour + time.Minute, 87_601 * hour, 5 * hour}, ".x..."},
		{"ten years ahead, and again, with files", []time.Duration{87_600 * hour, 87_601 * hour, 5 * hour}, "xxxx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.add(key(0), at(noon, 1))
			r.follow()
			r.flush(flushAll)
			for n, from := range append(c.clocks, 6*hour) { // what was told is not told again
				r.crash()
				r.clock.leap(noon.Add(from))
				r.open()
				r.s.TellDowntime()
				r.add(key(0), at(noon.Add(time.Duration(n+1)*time.Minute), 2))
				r.follow()
				r.clock.Set(r.clock.Now().Add(time.Minute))
				r.s.lookAtClock()
				if c.flush[n] == 'x' {
					r.flush(flushAll)
				}
			}
			list, err := r.s.Events(t.Context(), EventQuery{Kinds: []journal.EventKind{journal.GapEvent}})
			var told []journal.Event
			for _, e := range list {
				if e.Until > e.At+1 {
					told = append(told, e)
				}
			}
			if err != nil || len(told) != 2 || told[1].At != ms(noon) || told[1].Until != ms(noon.Add(5*hour)) ||
				told[0].At < ms(noon.Add(5*hour)) || told[0].Until != ms(noon.Add(6*hour)) {
				t.Errorf("%+v, %v, want a gap from noon of five hours, and one of the next", list, err)
			}
			r.close()
		})
	}
}

// A repetition is counted, whether it finds the first in memory or in a file.
func TestRepetitionsAreCounted(t *testing.T) {
	r := newRig(t, Options{})
	for want := range uint64(3) {
		r.add(key(0), at(noon, 1))
		r.follow()
		if want > 0 {
			r.flush(flushAll)
		}
		if st := r.s.Stats(); st.Duplicates != want || st.SamplesTotal != 1 {
			t.Errorf("sent %d times: %d duplicates, %d samples", want+1, st.Duplicates, st.SamplesTotal)
		}
	}
	r.close()
}

// Events are asked for by time: from inclusive, to exclusive; in memory and in the file.
func TestEventsOfATime(t *testing.T) {
	r := newRig(t, Options{})
	for n := range 4 {
		r.addEvent(death(noon.Add(time.Duration(n) * time.Minute)))
	}
	r.follow()
	for _, where := range []string{"memory", "file"} {
		list, err := r.s.Events(t.Context(), EventQuery{From: ms(noon.Add(time.Minute)), To: ms(noon.Add(3 * time.Minute))})
		if err != nil || len(list) != 2 || list[0].At != ms(noon.Add(2*time.Minute)) || list[1].At != ms(noon.Add(time.Minute)) {
			t.Errorf("%s: %+v, %v", where, list, err)
		}
		r.flush(flushAll)
	}
	r.close()
}

// lies are the events about files that a disk said it had.
func lies(list []journal.Event) (out []string) {
	for _, e := range list {
		if strings.Contains(e.Reason, "older than it was") || strings.Contains(e.Reason, "is missing: ") {
			out = append(out, e.Reason)
		}
	}
	return out
}
