package history

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// oneWindow appends a set that lies in one window, by a clock that stands still, so that all of it stays in memory.
func oneWindow(t *testing.T, r *ours, src *gen.Source) (samples int) {
	for {
		list, ok := src.Next()
		if !ok {
			break
		}
		for i := range list {
			r.append(time.Second, message(&list[i]))
			samples += len(list[i].Samples)
		}
		if r.j.Crowded() {
			r.flush()
		}
	}
	r.flush()
	await(t, func() bool { return r.s.Stats().Head == samples })
	return samples
}

func await(t *testing.T, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); <-time.After(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it did not come true within a minute")
		}
	}
}

func standing() time.Time { return epoch.Add(10 * time.Minute) }

// memory is what 10,000 series take for a full window, catalog and head. What the journal keeps for its readers does not
// depend on the number of series, and is there before.
func memory(t *testing.T) (bytes int64, samples int) {
	r := openOurs(t, t.TempDir(), historian.Options{Clock: standing}, journal.Options{})
	r.fill(16 << 20)
	before := heap()
	set := gen.Set{Metrics: 10_000, PerDevice: 100, Duration: 10 * time.Minute, Start: journal.Millis(epoch.UnixMilli())}
	src := gen.New(set)
	r.bind(src.Keys())
	samples = oneWindow(t, r, src)
	r.keys = nil
	bytes = heap() - before
	r.stop()
	return bytes, samples
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// startAfterKill opens the copy of a journal and a store that were running with a full window of G2's 20,000 metrics.
func startAfterKill(t *testing.T) (took time.Duration, samples int) {
	set := gen.G2
	set.Duration, set.Start = 10*time.Minute, journal.Millis(epoch.UnixMilli())
	src := gen.New(set)
	dir, killed := t.TempDir(), t.TempDir()
	r := openOurs(t, dir, historian.Options{Clock: standing}, journal.Options{})
	r.bind(src.Keys())
	samples = oneWindow(t, r, src)
	copyFolder(t, dir, killed)
	r.stop()
	began := time.Now()
	again := openOurs(t, killed, historian.Options{Clock: standing}, journal.Options{})
	took = time.Since(began)
	if got := again.s.Stats(); got.Head != samples {
		t.Errorf("%d samples are back of %d", got.Head, samples)
	}
	again.stop()
	return took, samples
}

// startWithYear opens a store that has the file of a whole day 365 times.
func startWithYear(t *testing.T, d disk) time.Duration {
	day := filepath.Join(d.mnt, "history", "part", epoch.Format(time.DateOnly)+".db")
	part := filepath.Dir(day)
	var links []string
	for n := 1; n < 365; n++ {
		link := filepath.Join(part, epoch.AddDate(0, 0, -n-1).Format(time.DateOnly)+".db")
		err := error(nil)
		if n == 1 { // the others are this one under other names: bbolt locks files, not names
			err = copyFile(day, link)
		} else {
			err = os.Link(links[0], link)
		}
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, link)
	}
	began := time.Now()
	r := openOurs(t, d.mnt, historian.Options{Clock: func() time.Time { return epoch.AddDate(0, 0, 1) }}, journal.Options{})
	took := time.Since(began)
	r.stop()
	for _, l := range links {
		if err := os.Remove(l); err != nil {
			t.Fatal(err)
		}
	}
	return took
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// commitCost is what one durable commit of a second of G1 costs the device.
func commitCost(t *testing.T, d disk) string {
	if d.dev == "" {
		return "not measured"
	}
	src := gen.New(gen.G1)
	r := openOurs(t, d.mnt, historian.Options{}, journal.Options{})
	r.bind(src.Keys())
	await(t, func() bool { return r.j.Stats().Spares == 2 })
	if _, _, err := d.written(); err != nil {
		t.Fatal(err)
	}
	bytes, flushes, err := d.stat()
	before := r.j.Stats()
	for range 300 {
		list, _ := src.Next()
		for i := range list {
			r.append(time.Second, message(&list[i]))
		}
		r.flush()
	}
	bytes2, flushes2, err2 := d.stat()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	js := r.j.Stats()
	n := float64(js.Commits - before.Commits)
	r.stop()
	return fmt.Sprintf("%.2f KB of %.2f KB payload, %.2f flushes", float64(bytes2-bytes)/n/1000,
		float64(js.PayloadBytes-before.PayloadBytes)/n/1000, float64(flushes2-flushes)/n)
}
