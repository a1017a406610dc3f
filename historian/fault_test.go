package historian

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// fill records one sample a second of metric 0 for the given time up to noon.
func (r *rig) fill(d time.Duration) {
	var list []journal.Sample
	for i := range int(d / time.Second) {
		list = append(list, at(noon.Add(-d+time.Duration(i)*time.Second), float64(i%977)+0.125))
	}
	r.add(key(0), list...)
}

func (r *rig) dayPath(t time.Time) string {
	return filepath.Join(r.dir, "history", "part", t.UTC().Format(dayLayout)+".db")
}

// events returns the reasons of the newest events.
func (r *rig) events() string {
	r.t.Helper()
	r.follow()
	list, err := r.s.Events(context.Background(), EventQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Kind.String()+": "+e.Reason)
	}
	return strings.Join(out, "\n")
}

func TestDamagedBlockIsAGap(t *testing.T) {
	r := newRig(t, Options{})
	r.fill(30 * time.Minute)
	r.follow()
	r.close()
	flipPayload(t, r.dayPath(noon))
	r.open()
	out := r.read(key(0), noon.Add(-time.Hour), noon)
	if len(out.Samples) != 1200 || len(out.Gaps) != 1 || !strings.Contains(out.Gaps[0].Cause, "damaged") {
		t.Errorf("%d samples, gaps %v; want two blocks of 600 and a gap", len(out.Samples), out.Gaps)
	}
	k := key(0)
	columns, err := r.s.Columns(context.Background(), []Metric{{k.Group, k.Node, k.Device, k.Metric}}, ms(noon.Add(-time.Hour)), ms(noon), nil, 1800)
	if err != nil || len(columns[0].At) != 1200 || len(columns[0].Damage) != 1 {
		t.Errorf("columns: %v, %v; want 1200 samples and a gap", columns, err)
	}
	if e := r.events(); strings.Count(e, "stored samples are damaged") != 1 {
		t.Errorf("events:\n%s", e)
	}
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	r.stop()
}

// flipPayload damages the second block of a file.
func flipPayload(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o640, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketBlock)
		c := b.Cursor()
		c.First()
		k, v := c.Next()
		v = bytes.Clone(v)
		v[len(v)-20] ^= 0x10
		return b.Put(bytes.Clone(k), v)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedFilesAreMovedAside(t *testing.T) {
	cut := func(path string) error { return os.Truncate(path, 5000) }
	zero := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		clear(b[:2*4096]) // both meta pages
		return os.WriteFile(path, b, 0o640)
	}
	noise := func(path string) error { return os.WriteFile(path, []byte("not a database"), 0o640) }
	empty := func(path string) error { return os.Truncate(path, 0) }
	for _, c := range []struct {
		name, file string
		damage     func(string) error
	}{
		{"day cut", "part/2026-03-10.db", cut},
		{"day without meta pages", "part/2026-03-10.db", zero},
		{"day is something else", "part/2026-03-10.db", noise},
		{"day is empty", "part/2026-03-10.db", empty},
		{"older day is empty", "part/2026-03-08.db", empty},
		{"catalog is empty", "catalog.db", empty},
		{"catalog cut", "catalog.db", cut},
		{"catalog without meta pages", "catalog.db", zero},
		{"catalog is something else", "catalog.db", noise},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.fill(10 * time.Minute)
			r.add(key(1), at(noon.Add(-48*time.Hour), 3))
			r.follow()
			r.close()
			if err := c.damage(filepath.Join(r.dir, "history", c.file)); err != nil {
				t.Fatal(err)
			}
			r.open()
			// The log still has everything: it is taken again, and what the other files have is not taken twice.
			if got := r.read(key(0), noon.Add(-time.Hour), noon).Samples; len(got) != 600 {
				t.Errorf("%d samples of 600 came back from the journal", len(got))
			}
			if got := r.read(key(1), noon.Add(-72*time.Hour), noon).Samples; len(got) != 1 {
				t.Errorf("%d samples of the whole day, want 1", len(got))
			}
			r.flush(flushAll) // in a later flush, samples from before the others
			if n := r.s.Stats().SamplesTotal; n != 601 {
				t.Errorf("%d samples in all, want 601", n)
			}
			if got, next, err := r.s.Backlog(context.Background(), "g", "n", 1, 604, 10_000); err != nil || len(got) != 601 || next != 604 {
				t.Errorf("%d samples of backlog, next %d, %v; want 601 and 604", len(got), next, err)
			}
			if e := r.events(); !strings.Contains(e, "damaged") {
				t.Errorf("events:\n%s", e)
			}
			moved, _ := filepath.Glob(filepath.Join(r.dir, "history", "quarantine", "*"+filepath.Base(c.file)))
			if len(moved) != 1 {
				t.Errorf("quarantine holds %v", moved)
			}
			r.close()
		})
	}
}

// A page in the middle is damaged: opening for reading does not see it, opening for writing does.
func TestDamagedPage(t *testing.T) {
	for _, c := range []struct {
		name string
		back time.Duration // how far before the newest day the damaged one lies
	}{{"of the newest day, found when opening", 0}, {"of an older day, found when writing", 48 * time.Hour}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			day := noon.Add(-c.back)
			var list []journal.Sample
			for i := range 5000 {
				list = append(list, at(day.Add(time.Duration(i-5000)*time.Second), math.Sin(float64(i))))
			}
			r.add(key(0), list...)
			r.add(key(1), at(noon, 1))
			r.follow()
			r.close()
			damagePages(t, r.dayPath(day))
			r.open()
			r.add(key(0), at(day, 7))
			r.follow()
			r.flush(flushAll)
			got := values(r.read(key(0), day, day.Add(time.Second)).Samples)
			if len(got) != 1 || got[0] != 7 {
				t.Errorf("the sample behind the damage reads as %v", got)
			}
			if e := r.events(); !strings.Contains(e, "moved to") || !strings.Contains(e, "gap: the day's file was damaged") {
				t.Errorf("events:\n%s", e)
			}
			r.close()
		})
	}
}

// damagePages overwrites every leaf page of the bucket of blocks with noise.
func damagePages(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o640, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	var pages []int64
	err = db.View(func(tx *bolt.Tx) error {
		for id := 2; ; id++ {
			p, err := tx.Page(id)
			if p == nil || err != nil {
				return err
			}
			if p.Type == "leaf" && p.OverflowCount > 0 { // only blocks are that long
				pages = append(pages, int64(id)*4096)
			}
			id += p.OverflowCount
		}
	})
	if err = errors.Join(err, db.Close()); err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range pages {
		_, e := f.WriteAt(bytes.Repeat([]byte{0xA5}, 4096), at)
		err = errors.Join(err, e)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	for file, kind := range map[string]*fileKind{"catalog.db": catalogKind, "part/2026-03-10.db": dayKind, "trend/2026-03.db": trendKind} {
		t.Run(file, func(t *testing.T) {
			r := newRig(t, Options{})
			r.fill(time.Minute)
			r.follow()
			if err := r.s.trends.get(monthOf(ms(noon))).writes(); err != nil {
				t.Fatal(err)
			}
			r.close()
			path := filepath.Join(r.dir, "history", file)
			db, err := bolt.Open(path, 0o640, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaVersion, versionRow(kind.version+1)) })
			if err = errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			j, err := journal.Open(filepath.Join(r.dir, "journal"), r.jopt)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(filepath.Join(r.dir, "history"), j, r.o)
			var newer *VersionError
			if s != nil || !errors.Is(err, ErrNewer) || !errors.As(err, &newer) || newer.Found != kind.version+1 {
				t.Errorf("Open: %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	r := newRig(t, Options{DayBytes: 256 << 10, HeadBytes: 4 << 20})
	noise := rand.New(rand.NewPCG(1, 1))
	noisy := func(n int) {
		var list []journal.Sample
		for i := range n {
			v := at(noon.Add(time.Duration(i)*time.Millisecond), 0)
			v.Value.Num = noise.Uint64() // does not compress
			list = append(list, v)
		}
		r.add(key(0), list...)
		r.follow()
	}
	noisy(30_000)
	if err := r.s.flush(flushAll); !errors.Is(err, berrors.ErrMaxSizeReached) {
		t.Fatalf("flush: %v, want %v", err, berrors.ErrMaxSizeReached)
	}
	if e := r.events(); !strings.Contains(e, "history cannot be written") {
		t.Errorf("events:\n%s", e)
	}
	// The journal goes on taking samples, and what is in memory is answered.
	r.add(key(1), at(noon, 5))
	r.follow()
	if got := r.read(key(0), noon, noon.Add(time.Hour)).Samples; len(got) != 30_000 {
		t.Errorf("%d samples of 30,000", len(got))
	}
	if got := r.read(key(1), noon, noon.Add(time.Hour)).Samples; len(got) != 1 {
		t.Errorf("%d samples of 1 that came while the disk was full", len(got))
	}
	// The disk has room again.
	r.s.days.get(dayOf(ms(noon))).close()
	r.s.days.get(dayOf(ms(noon))).capBytes = 64 << 20
	r.flush(flushAll)
	if e := r.events(); !strings.Contains(e, "history is written again") {
		t.Errorf("events:\n%s", e)
	}
	if st := r.s.Stats(); st.SamplesTotal != 30_001 {
		t.Errorf("%d samples, want 30,001", st.SamplesTotal)
	}
	r.close()
}

// When memory is full as well, a day that has reached its cap loses samples, said with their number; other days go on.
func TestFullDayGivesWay(t *testing.T) {
	r := newRig(t, Options{DayBytes: 256 << 10, HeadBytes: 1 << 20})
	noise := rand.New(rand.NewPCG(1, 1))
	var list []journal.Sample
	for i := range 150_000 {
		v := at(noon.Add(time.Duration(i)*time.Millisecond), 0)
		v.Value.Num = noise.Uint64()
		list = append(list, v)
	}
	r.add(key(0), list...)
	r.add(key(0), at(noon.Add(-24*time.Hour), 1))
	for range 20 {
		r.follow()
		_ = r.s.flush(flushAll) // fails while there is memory left
	}
	if got := r.read(key(0), noon.Add(-25*time.Hour), noon.Add(-time.Hour)).Samples; len(got) != 1 {
		t.Errorf("the other day has %d samples, want 1", len(got))
	}
	list2, err := r.s.Events(context.Background(), EventQuery{Kinds: []journal.EventKind{journal.GapEvent}})
	if err != nil || len(list2) == 0 {
		t.Fatalf("no gap tells of the loss: %v", err)
	}
	kept, lost := uint64(len(r.read(key(0), noon, noon.Add(time.Hour)).Samples)), uint64(0)
	for _, e := range list2 {
		lost += e.Count
	}
	if kept+lost != 150_000 {
		t.Errorf("%d kept and %d told as lost, of 150,000", kept, lost)
	}
	r.s.mu.RLock()
	held := r.s.head.bytes
	r.s.mu.RUnlock()
	if held > 4<<20 {
		t.Errorf("the head holds %d bytes, its limit is 1 MiB", held)
	}
	if err := r.s.Close(); err != nil {
		t.Logf("close: %v", err)
	}
	r.stop()
}

func TestSamplesOutOfBoundsAreRefused(t *testing.T) {
	r := newRig(t, Options{Raw: 24 * time.Hour, MaxValueBytes: 10})
	long := at(noon, 0)
	long.Value = journal.Value{Bytes: []byte("more than ten")}
	early := at(noon.Add(25*time.Hour), 1)
	early.Received = ms(noon)
	text := key(1)
	text.Type = 12
	r.add(key(0), at(noon.Add(-37*time.Hour), 1), early, at(time.UnixMilli(-5), 1), at(noon, 1), at(noon.Add(-35*time.Hour), 1)) // the last in the day that is kept
	r.add(text, long)
	r.append(journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{{Series: 77, At: ms(noon)}}})
	r.follow()
	if st := r.s.Stats(); st.Refused != 4 || st.Unknown != 1 || st.SamplesTotal != 2 {
		t.Errorf("%+v", st)
	}
	told := func() int { return strings.Count(r.events(), "and is not kept, nor are others like it") }
	if n := told(); n != 1 {
		t.Errorf("%d events tell of stamps out of bounds, want one for the device", n)
	}
	r.clock.Set(noon.Add(25 * time.Hour))
	early.At = ms(noon.Add(75 * time.Hour))
	r.add(key(0), early)
	r.follow()
	if e := r.events(); told() != 2 || !strings.Contains(e, "more than a day ahead of the clock") || !strings.Contains(e, "historian.retention.raw") {
		t.Errorf("a day later: events\n%s", e)
	}
	r.close()
}
