package historian

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// pass lets time go on, records n samples that do not compress, and does what Run does at the end of a window.
func (r *rig) pass(d time.Duration, n int) {
	r.t.Helper()
	r.advance(d, n)
	r.flush(flushAll)
	r.s.retain()
}

// advance lets time go on and records n samples up to then.
func (r *rig) advance(d time.Duration, n int) {
	r.t.Helper()
	r.clock.Set(r.clock.Now().Add(d))
	r.noise(r.clock.Now(), n)
}

// noise records n samples before a time, one a millisecond.
func (r *rig) noise(before time.Time, n int) {
	r.t.Helper()
	noise := rand.New(rand.NewPCG(uint64(ms(before)), 1))
	list := make([]journal.Sample, n)
	for i := range list {
		list[i] = at(before.Add(time.Duration(i-n)*time.Millisecond), 0)
		list[i].Value.Num = noise.Uint64()
	}
	r.add(key(0), list...)
	r.follow()
}

// kept counts the days that have samples, and those that have a file.
func (r *rig) kept() (samples, files int) {
	for _, day := range r.s.days.existing(0, 1<<40) {
		if _, t := r.s.days.info(day); t.samples > 0 {
			samples++
		}
	}
	list, _ := filepath.Glob(filepath.Join(r.dir, "history", "part", "*"))
	return samples, len(list)
}

func TestRetention(t *testing.T) {
	fill := func(t *testing.T, o Options) *rig {
		r := newRig(t, o)
		for range 10 {
			r.pass(24*time.Hour, 1000)
		}
		return r
	}
	files := func(r *rig) int { days, _ := r.kept(); return days }
	t.Run("by age", func(t *testing.T) {
		r := fill(t, Options{Raw: 72 * time.Hour})
		if n := files(r); n != 4 {
			t.Errorf("%d days are kept, want today and three", n)
		}
		r.close()
	})
	t.Run("age spares what is owed", func(t *testing.T) {
		r := newRig(t, Options{Raw: 72 * time.Hour})
		r.s.SetOwed(func() journal.Index { return 1 })
		r.fill(time.Minute)
		r.follow()
		r.flush(flushAll)
		r.clock.Set(noon.Add(240 * time.Hour))
		r.s.retain()
		if n := files(r); n != 1 {
			t.Errorf("%d days, want the one that is owed", n)
		}
		r.s.SetOwed(func() journal.Index { return r.j.Durable() + 1 })
		r.s.retain()
		if n := files(r); n != 0 {
			t.Errorf("%d days after it was delivered, want none", n)
		}
		r.close()
	})
	t.Run("bytes go first by age, then with a gap what is owed", func(t *testing.T) {
		r := fill(t, Options{})
		_, second := r.s.days.info(dayOf(ms(noon)) + 2)
		r.s.SetOwed(func() journal.Index { return second.firstIndex })
		r.s.o.MaxBytes = r.s.bytes.Load() / 3 * 2
		r.s.retain()
		n := files(r)
		if e := r.events(); n > 6 || n < 3 || strings.Count(e, "gap: removed before it was delivered") != 10-n-1 {
			t.Errorf("%d files; the first was not owed, each other has an event:\n%s", n, e)
		}
		r.close()
	})
}

// A day's rollups and events outlive its samples, for as long as Options.Minute says.
func TestThinDay(t *testing.T) {
	r := newRig(t, Options{Raw: 72 * time.Hour, Minute: 240 * time.Hour})
	r.pass(time.Minute, 5000)
	r.addEvent(death(noon.Add(2 * time.Minute)))
	r.follow()
	r.flush(flushAll)
	day := r.s.days.get(dayOf(ms(noon)))
	minutes := []byte("a row of rollups")
	if err := day.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMinute).Put([]byte("12345678"), minutes) }); err != nil {
		t.Fatal(err)
	}
	days := filepath.Join(r.dir, "history", "part")
	before := diskBytes(days)
	r.clock.Set(noon.Add(96 * time.Hour))
	r.s.retain()
	if gone := before - diskBytes(days); gone < 5000*8 {
		t.Errorf("%d bytes came back from 5,000 samples of noise", gone)
	}
	for _, when := range []string{"before", "after"} {
		if got := r.read(key(0), noon.Add(-time.Hour), noon.Add(time.Hour)); len(got.Samples) != 0 || len(got.Gaps) != 1 {
			t.Errorf("%s the store was opened again: %d samples, gaps %v; want the death's", when, len(got.Samples), got.Gaps)
		}
		err := r.s.days.get(dayOf(ms(noon))).view(func(tx *bolt.Tx) error {
			if got := tx.Bucket(bucketMinute).Get([]byte("12345678")); string(got) != string(minutes) {
				t.Errorf("%s: the rollups are %q", when, got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if e := r.events(); !strings.Contains(e, "node_death") {
			t.Errorf("%s: events\n%s", when, e)
		}
		r.add(key(0), at(noon.Add(2*time.Hour), 1)) // too late
		r.follow()
		if n := r.s.Stats().Refused; n != 1 {
			t.Errorf("%s: %d refused, want the sample for the thin day", when, n)
		}
		r.close()
		r.open()
	}
	for range 7 {
		r.clock.Set(r.clock.Now().Add(24 * time.Hour))
		r.s.retain()
	}
	if left := r.s.days.existing(0, dayOf(ms(noon))); len(left) != 0 {
		t.Errorf("days %v are left after the minutes' time", left)
	}
	r.close()
}

// Whatever comes, at no moment is the store larger than its limit and one window: not behind a flush, and not while a file is
// written anew beside the one that it replaces.
func TestLimitOfBytes(t *testing.T) {
	const window, limit = 16 << 10, 1 << 20 // samples of noise: bytes
	for _, c := range []struct {
		name  string
		every time.Duration
		late  time.Duration // before the present, of a fifth of the samples
	}{
		{"of many days", 4 * time.Hour, 0},
		{"of many days, with late samples", 4 * time.Hour, 30 * time.Hour},
		{"of less than a day", 10 * time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{MaxBytes: limit})
			highest, peaks := int64(0), 0
			look := func() int64 {
				took := diskBytes(filepath.Join(r.dir, "history"))
				highest = max(highest, took)
				return took
			}
			r.s.atPeak = func() { peaks++; look() }
			for range 60 {
				if r.advance(c.every, window/9); c.late > 0 {
					r.noise(r.clock.Now().Add(-c.late), window/45)
				}
				r.flush(flushAll)
				look()
				r.rollAll()
				r.s.retain()
				r.s.rewriteLate(context.Background())
				if took := look(); took != r.s.bytes.Load() || took > limit {
					t.Fatalf("the store says %d bytes, it is %d, of at most %d", r.s.bytes.Load(), took, limit)
				}
			}
			t.Logf("%d bytes at most, %d files written anew", highest, peaks)
			if highest > limit+window || peaks == 0 {
				t.Errorf("%d bytes with a limit of %d, %d files written anew", highest, limit, peaks)
			}
			if n := r.s.days.samples(); n*9 < limit/8 { // of so small a store much is pages that are half empty
				t.Errorf("only %d samples are kept", n)
			}
			to := r.clock.Now()
			if got := r.read(key(0), to.Add(-time.Second), to).Samples; len(got) != 1000 {
				t.Errorf("%d samples of the last second", len(got))
			}
			r.close()
		})
	}
}

// Months go when they are too old, and when nothing else is left to remove.
func TestRetentionOfMonths(t *testing.T) {
	r := newRig(t, Options{Hour: 90 * 24 * time.Hour})
	for _, month := range []string{"2025-10", "2025-11", "2025-12", "2026-01", "2026-03"} {
		at, err := time.Parse(monthLayout, month)
		if err != nil {
			t.Fatal(err)
		}
		d := r.s.trends.get(monthAt(at))
		if err := d.writes(); err != nil {
			t.Fatal(err)
		}
		r.s.trends.setInfo(d, about{there: true})
	}
	months := func() string {
		list, _ := filepath.Glob(filepath.Join(r.dir, "history", "trend", "*"))
		for i := range list {
			list[i] = strings.TrimSuffix(filepath.Base(list[i]), ".db")
		}
		return strings.Join(list, " ")
	}
	r.s.retain()
	if got := months(); got != "2025-12 2026-01 2026-03" {
		t.Errorf("90 days before March 10 kept %s", got)
	}
	r.s.o.MaxBytes = 1
	r.s.bytes.Store(diskBytes(r.s.dir))
	r.s.retain()
	if got := months(); got != "2026-03" {
		t.Errorf("a limit of nothing kept %s, want the present month", got)
	}
	r.close()
}

// A clock that leaps ahead removes nothing and refuses nothing; when it is set right, all goes on.
func TestClockLeap(t *testing.T) {
	r := newRig(t, Options{Raw: 48 * time.Hour})
	for range 3 {
		r.pass(24*time.Hour, 10)
	}
	right := r.clock.Now()
	for _, c := range []struct {
		name string
		to   time.Time
	}{{"2038", time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC)}, {"1970", time.Unix(1000, 0)}} {
		refused := r.s.Stats().Refused
		r.clock.leap(c.to)
		r.s.retain()
		r.add(key(0), at(right, 7)) // its device's clock is right
		r.follow()
		r.flush(flushAll)
		r.s.retain()
		r.close()
		r.open()
		r.s.retain()
		if days, _ := r.kept(); days != 3 || r.s.Stats().Refused > refused {
			t.Errorf("%s: %d days are kept, want 3; %+v", c.name, days, r.s.Stats())
		}
		if got := r.read(key(0), right, right.Add(time.Second)).Samples; len(got) != 1 {
			t.Errorf("%s: %d samples that came meanwhile are read", c.name, len(got))
		}
		if e := r.events(); !strings.Contains(e, "clock: the clock stepped by") || !strings.Contains(e, "no day is removed for its age") {
			t.Errorf("%s: events\n%s", c.name, e)
		}
		r.clock.leap(right)
		r.s.retain()
		if e := r.events(); !strings.Contains(e, "the clock is believed again") {
			t.Errorf("%s: events\n%s", c.name, e)
		}
	}
	r.pass(24*time.Hour, 10)
	if days, _ := r.kept(); days != 3 {
		t.Errorf("%d days after one more, want 3", days)
	}
	r.close()
}

func TestSpaceOf(t *testing.T) {
	const disk = 32 << 30
	for _, c := range []struct {
		name        string
		free, total int64
		was, want   Space
	}{
		{"plenty", disk / 2, disk, SpaceOK, SpaceOK},
		{"a fifth", disk * 19 / 100, disk, SpaceOK, SpaceWarn},
		{"a tenth", disk * 9 / 100, disk, SpaceWarn, SpaceDrop},
		{"the reserve", disk * 4 / 100, disk, SpaceOK, SpaceLow},
		{"nothing", disk / 200, disk, SpaceLow, SpaceFull},
		{"a little more than nothing", disk * 2 / 100, disk, SpaceFull, SpaceFull},
		{"a little more again", disk * 6 / 100, disk, SpaceLow, SpaceLow},
		{"more again", disk * 8 / 100, disk, SpaceLow, SpaceDrop},
		{"a little more than a fifth", disk * 21 / 100, disk, SpaceWarn, SpaceWarn},
		{"enough again", disk * 23 / 100, disk, SpaceDrop, SpaceOK},
		{"three percent of a large disk", 60 << 30, 2 << 40, SpaceOK, SpaceOK},
		{"a large disk", 6 << 30, 2 << 40, SpaceOK, SpaceDrop},
		{"no disk", 0, 0, SpaceOK, SpaceOK},
	} {
		if got := spaceOf(c.free, c.total, c.was); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// On a filling disk the oldest samples go, but not what an uplink is owed; the journal and the present day go on.
func TestFillingDisk(t *testing.T) {
	r := newRig(t, Options{})
	for range 8 {
		r.pass(24*time.Hour, 2000)
	}
	_, owed := r.s.days.info(dayOf(ms(noon)) + 6)
	r.s.SetOwed(func() journal.Index { return owed.firstIndex })
	others, disk := int64(0), 4*r.s.bytes.Load()
	r.s.o.Space = func() (free, total int64, err error) {
		return disk - others - diskBytes(r.s.dir), disk, nil
	}
	for _, step := range []struct {
		free  int64 // percent
		event string
		days  func(n int) bool
	}{
		{50, "", func(n int) bool { return n == 8 }},
		{15, "the disk is filling up", func(n int) bool { return n == 8 }},
		{8, "the disk is nearly full", func(n int) bool { return n == 7 }},
		{2, "the disk is full but for a reserve", func(n int) bool { return n >= 3 && n < 7 }},
		{-20, "", func(n int) bool { return n == 3 }}, // two are owed, one is today's
		{60, "the disk has room again", func(n int) bool { return n == 3 }},
	} {
		others = disk - diskBytes(r.s.dir) - disk*step.free/100
		r.s.retain()
		if days, _ := r.kept(); !step.days(days) {
			t.Errorf("with %d %% free %d days are kept", step.free, days)
		}
		if e := r.events(); !strings.Contains(e, step.event) {
			t.Errorf("with %d %% free, events\n%s", step.free, e)
		}
		r.pass(time.Minute, 10)
	}
	if e := r.events(); strings.Contains(e, "before it was delivered") {
		t.Errorf("events\n%s", e)
	}
	r.close()
}

// The ballast is there on a disk that has room, survives a start, is removed when the disk is full, also at the start, and comes back.
func TestBallast(t *testing.T) {
	const disk = 1 << 30
	free := int64(disk / 2)
	r := newRig(t, Options{})
	r.o.Ballast = true
	r.o.Space = func() (int64, int64, error) { return free, disk, nil }
	r.close()
	check := func(when string, want int64) {
		t.Helper()
		if got := bytesOf(r.s.ballastPath()); got != want || r.s.Stats().Ballast != want {
			t.Errorf("%s: %d bytes of ballast, the store says %d, want %d", when, got, r.s.Stats().Ballast, want)
		}
	}
	const size = disk / 50 / 4096 * 4096
	r.open()
	if got := bytesOf(r.s.ballastPath()); got < size || got > size+4096 {
		t.Fatalf("%d bytes of ballast, want %d", got, size)
	}
	size2 := bytesOf(r.s.ballastPath())
	if r.s.measure(); r.s.bytes.Load() > size/2 {
		t.Errorf("%d bytes of history: the ballast counts", r.s.bytes.Load())
	}
	r.close()
	free = disk / 30
	r.open()
	check("on a disk with a reserve", size2)
	free = disk / 200
	r.s.retain()
	check("on a full disk", 0)
	if e := r.events(); !strings.Contains(e, "the disk is full: 20 MiB that were kept for this are freed") {
		t.Errorf("events\n%s", e)
	}
	free = disk / 10
	r.s.retain()
	check("before it has room", 0)
	free = disk / 2
	r.s.retain()
	check("with room again", size2)
	r.close()
	free = 0
	r.open()
	check("opened on a full disk", 0)
	free = disk / 2
	r.s.retain()
	r.s.tellFlush(fmt.Errorf("write a day: %w", syscall.ENOSPC))
	check("when a write fails", 0)
	r.close()
}

// A file that cannot be written anew stays as it was, and nothing of the attempt is left.
func TestRewriteFails(t *testing.T) {
	r := newRig(t, Options{Raw: 24 * time.Hour})
	r.pass(time.Minute, 100)
	path := r.dayPath(noon) + ".anew.tmp"
	err := r.s.rewrite(r.s.days, r.s.days.get(dayOf(ms(noon))), func(src *bolt.Tx, a *anew) error {
		return errors.Join(a.copy(src, bucketBlock), syscall.ENOSPC)
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("rewrite: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was begun is left behind: %v", err)
	}
	if got := r.read(key(0), noon, noon.Add(time.Hour)).Samples; len(got) != 100 {
		t.Errorf("%d samples after it failed, want 100", len(got))
	}
	r.close()
}

// On a full disk no day is written anew for its late samples, which would need as much room again; when there is room it is.
func TestNoRewritingOnAFullDisk(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 0))
	r.follow()
	r.flush(flushAll)
	for i := range 40 {
		r.add(key(0), at(noon.Add(time.Duration(i+1)*time.Second), 1))
	}
	r.follow()
	r.flush(flushAll)
	r.clock.Set(noon.Add(26 * time.Hour))
	r.s.lookAtClock()
	for _, c := range []struct {
		space Space
		want  uint64
	}{{SpaceFull, 0}, {SpaceLow, 0}, {SpaceDrop, 1}} {
		r.s.space.Store(int64(c.space))
		for range 2 {
			r.s.rewriteLate(t.Context())
		}
		if got := r.s.days.about(dayOf(ms(noon))).rewritten; got != c.want {
			t.Errorf("%v: written anew %d times, want %d", c.space, got, c.want)
		}
	}
	r.close()
}
